"""Prints where the layer models err: grouped cross-validation by family and model, from a campaign store.

    python benchmarks/studies/layer_model_cv.py run.db [--worst 5] [--seed 0]

The forests are judged on kernels whose group they did not see, by the folds that also chose their size;
parameters and physics below them, and the rooflines, saw all rows: the figures are a little too good,
most so for families that are little larger than the least for a model of their own. `time-weighted` is
what matters for whole networks: the sum of absolute errors over the sum of the measured times.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from annette.models.kernel_layout import OPERATORS
from annette.models.layer_fit import fit_layer_models
from annette.models.layer_models import MODEL_NAMES, LayerModels
from annette.models.training import TrainingData, training_data
from annette.store.campaign import CampaignStore
from annette.units import format_seconds

COLUMNS = (*MODEL_NAMES, "generic")
SHAPE = (
    "batch",
    "groups",
    "in_channels",
    "in_h",
    "in_w",
    "out_channels",
    "out_h",
    "out_w",
    "kernel_h",
    "stride_h",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", type=Path, help="campaign store, as `annette benchmark --store` writes it")
    parser.add_argument("--seed", type=int, default=0, help="seed of the fits")
    parser.add_argument("--worst", type=int, default=0, help="also print this many worst kernels a family")
    arguments = parser.parse_args()
    with CampaignStore.open(arguments.store) as store:
        data = training_data(store.records(), store.device)
    start = time.perf_counter()
    models = fit_layer_models(data, seed=arguments.seed)
    print(f"{len(data)} kernels, fitted in {time.perf_counter() - start:.1f} s")
    print_parameters(models)
    print_scores(models)
    if arguments.worst:
        print_worst(models, data, arguments.worst)


def print_parameters(models: LayerModels) -> None:
    """One line a family: rates, overhead, unroll factors."""
    print(
        f"\n{'family':22} {'rows':>6} {'Gop/s':>9} {'GB/s':>7} {'overhead':>9} {'error':>6}  unroll/softness"
    )
    for family in models.parameters.families:
        unrolls = " ".join(f"{fit.dimension} {fit.factor}/{fit.softness:.2f}" for fit in family.unrolls)
        print(
            f"{family.family:22} {family.n_rows:6d} {(family.peak_ops_per_s or 0) / 1e9:9.1f} "
            f"{family.bandwidth_bytes_per_s / 1e9:7.2f} {family.overhead_s * 1e6:7.1f}us "
            f"{family.error:6.1%}  {unrolls}"
        )


def print_scores(models: LayerModels) -> None:
    """One line a family: MAPE / time-weighted error of each model."""
    print(f"\n{'MAPE / time-weighted':22} {'rows':>6} " + " ".join(f"{name:>17}" for name in COLUMNS))
    for family, scores in models.scores.items():
        cells = [
            f"{scores[name]['mape']:8.1%} {scores[name]['time_weighted_error']:8.1%}"
            if name in scores
            else " " * 17
            for name in COLUMNS
        ]
        print(f"{family:22} {int(scores['roofline']['n_rows']):6d} " + " ".join(cells))


def print_worst(models: LayerModels, data: TrainingData, count: int) -> None:
    """The kernels that even the fitted mixed model, which has seen them, prices worst."""
    table = data.table
    error = models.predict_s(table, "mixed") / data.latency_s - 1.0
    for family in sorted(table.family_names):
        rows = table.rows_of(family)
        print(f"\n{family}")
        for row in rows[np.argsort(-np.abs(error[rows]))][:count]:
            code = int(table.column("operator")[row])
            sizes = " ".join(f"{name}={table.column(name)[row]:.0f}" for name in SHAPE)
            operator = OPERATORS[code - 1] if code else "?"
            print(f"  {error[row]:+7.1%} {format_seconds(float(data.latency_s[row])):>10} {operator} {sizes}")


if __name__ == "__main__":
    main()
