"""Kernel tables of four phone GPUs as platforms: end-to-end times of networks left out.

    python benchmarks/studies/phone_gpu.py FOLDER

FOLDER holds phone_gpu_kernels.csv and phone_gpu_networks.csv (qed-usc/mobile-ml-benchmark, MIT), which are no
part of this repository. Five times 25 of the 72 networks are left out. Of the kernels of the others some are
measured, drawn at random; of all the others shapes and end-to-end times are known (``mixed, 10 networks``: of
ten only). Networks that are left out are known by the shapes of their layers: which kernel runs is predicted.
``measured kernels`` has the true time of every kernel instead and the same form of overhead: the floor.

How the overhead was chosen: by cross-validation among the 47 networks that the first split trains on. The 25
that it leaves out never took part in a choice: ``mape_first_split``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from provenance import RESULTS, record
from scipy.stats import spearmanr

from annette.graph.builder import NetworkBuilder
from annette.measurement import DeviceInfo
from annette.models.generator import network_overhead
from annette.models.kernel_table import KernelTable, build_kernel_table
from annette.models.layer_fit import fit_layer_models
from annette.models.layer_models import MODEL_NAMES
from annette.models.mapping_lessons import seen_mappings
from annette.models.mapping_model import fit_mapping_model
from annette.models.network_overhead import OverheadTerms, fit_overhead, overhead_terms
from annette.models.training import training_data
from annette.store.records import TIMED_IN, WHOLE_NETWORK
from annette.tables.importing import ImportedTable, read_table, table_device, table_networks, table_records
from annette.tables.kernel import add_kernel
from annette.tables.schema import read_schema

Array = NDArray[Any]
BUDGETS: tuple[int | None, ...] = (30, 100, 300, 1000, None)
N_SPLITS, N_LEFT_OUT, FEW_WHOLES = 5, 25, 10
FEW, FLOOR = "mixed, 10 networks", "measured kernels"
PHONES = ("pixel4", "s10", "mi8se", "iphone7")


def known_part(table: ImportedTable, left_out: set[str], budget: int | None, seed: int) -> ImportedTable:
    """The table without these networks, with the times of as many kernels as the budget allows."""
    kernels = [kernel for kernel in table.kernels if kernel.network not in left_out]
    rng = np.random.default_rng([seed, 1])
    count = len(kernels) if budget is None else budget
    timed = set(rng.choice(len(kernels), count, replace=False).tolist())
    return replace(
        table,
        kernels=tuple(
            kernel if number in timed else replace(kernel, latency_s=None)
            for number, kernel in enumerate(kernels)
        ),
        latencies={name: value for name, value in table.latencies.items() if name not in left_out},
    )


def overhead_of(
    kernels: KernelTable, latency_s: Array, owner: NDArray[np.int64], count: int
) -> OverheadTerms:
    """What an overhead is made of, from kernels with the networks that they belong to."""
    owned = replace(kernels, network_index=owner, n_networks=count)
    return overhead_terms(owned.sums_by_family(latency_s), owned.family_names, owned.values, owner)


def taken(terms: OverheadTerms, rows: Array) -> OverheadTerms:
    """The terms of these networks."""
    return replace(terms, fixed=terms.fixed[rows], family_s=terms.family_s[rows])


def predict(
    table: ImportedTable, left_out: Sequence[str], device: DeviceInfo, *, budget: int | None, seed: int
) -> tuple[dict[str, Array], float]:
    """End-to-end seconds of the networks left out, by model, and what part of their kernels is told right."""
    records = table_records(known_part(table, set(left_out), budget, seed), device)
    wholes = [item for item in records if item.task.tag(WHOLE_NETWORK) is not None]
    observed = [item for item in records if item.task.tag(WHOLE_NETWORK) is None]
    taught, groups = seen_mappings(observed)
    mapping = fit_mapping_model(taught, groups=groups)
    models = fit_layer_models(training_data(observed, device), seed=seed)
    networks = table_networks(table.kernels)
    places = np.array([list(networks).index(name) for name in left_out])
    mapped = {name: mapping.predict(network) for name, network in networks.items()}
    kernels = build_kernel_table([(networks[name], found) for name, found in mapped.items()], device)
    index, count = kernels.network_index, len(networks)
    terms = {
        model: taken(overhead_of(kernels, models.predict_s(kernels, model), index, count), places)
        for model in MODEL_NAMES
    }
    overhead = network_overhead(wholes, mapping, models, device)
    few = np.random.default_rng([seed, 2]).choice(len(wholes), FEW_WHOLES, replace=False)
    few_overhead = network_overhead([wholes[number] for number in few], mapping, models, device)
    assert overhead is not None
    assert few_overhead is not None
    found = {model: overhead.network_s(terms[model], model) for model in MODEL_NAMES}
    found[FEW] = few_overhead.network_s(terms["mixed"], "mixed")
    found[FLOOR] = floor_s(table, device, places)
    predicted = {kernel.key for name in left_out for kernel in mapped[name].kernels}
    ran = [
        add_kernel(NetworkBuilder("one"), kernel)[0].key
        for kernel in table.kernels
        if kernel.network in left_out
    ]
    return found, sum(key in predicted for key in ran) / len(ran)


def floor_s(table: ImportedTable, device: DeviceInfo, places: Array) -> Array:
    """What the true time of every kernel gives with the same form of overhead, learned from the others."""
    names = list(dict.fromkeys(kernel.network for kernel in table.kernels))
    records = [item for item in table_records(table, device) if item.task.tag(TIMED_IN) is not None]
    data = training_data(records, device)
    owner = np.array([names.index(item.task.tag(TIMED_IN) or "") for item in records])
    terms = overhead_of(data.table, data.latency_s, owner, len(names))
    known = np.setdiff1d(np.arange(len(names)), places)
    measured = np.array([table.latencies[name] for name in names])
    overhead = fit_overhead({FLOOR: taken(terms, known)}, measured[known])
    assert overhead is not None
    return overhead.network_s(taken(terms, places), FLOOR)


def study(table: ImportedTable, device: DeviceInfo, budget: int | None) -> dict[str, dict[str, Any]]:
    """Over the splits, by model: mean of error and rank correlation, and the error of each split."""
    names = list(dict.fromkeys(kernel.network for kernel in table.kernels))
    scores: dict[str, list[tuple[float, float]]] = {}
    exact = []
    for seed in range(N_SPLITS):
        chosen = np.random.default_rng(seed).choice(len(names), N_LEFT_OUT, replace=False)
        left_out = [names[index] for index in chosen]
        measured = np.array([table.latencies[name] for name in left_out])
        found, fraction = predict(table, left_out, device, budget=budget, seed=seed)
        exact.append(fraction)
        for model, seconds in found.items():
            error = float(np.mean(np.abs(seconds / measured - 1.0)))
            scores.setdefault(model, []).append((error, float(spearmanr(seconds, measured)[0])))
    models = {
        model: {
            "mape": float(np.mean([error for error, _ in values])),
            "mape_worst_split": max(error for error, _ in values),
            "mape_first_split": values[0][0],
            "spearman": float(np.mean([rank for _, rank in values])),
        }
        for model, values in scores.items()
    }
    return {"models": models, "mapping": {"exact_fraction": float(np.mean(exact))}}


def mean_of(phones: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, float]]:
    """The mean over the phones, by model."""
    first = next(iter(phones.values()))["models"]
    return {
        model: {
            figure: float(np.mean([phone["models"][model][figure] for phone in phones.values()]))
            for figure in figures
        }
        for model, figures in first.items()
    }


def draw(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Error over measured kernels, one line a model."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), dpi=150)
    counts = [result["kernels"] for result in results]
    for model in (*MODEL_NAMES, FEW, FLOOR):
        errors = [100 * result["mean"][model]["mape"] for result in results]
        style = {FEW: "--", FLOOR: ":"}.get(model, "-")
        axes.plot(counts, errors, style, marker="" if model == FLOOR else "o", label=model.replace("_", " "))
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("kernels measured, of networks other than those predicted")
    axes.set_ylabel("error of end-to-end times (MAPE, %)")
    axes.set_title("Four phone GPUs, 25 of 72 networks left out, mean of 5 splits")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, ncols=2, loc="lower left")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def read_phone(folder: Path, phone: str) -> ImportedTable:
    """The table of one phone."""
    return read_table(
        folder / "phone_gpu_kernels.csv",
        read_schema("tflite-gpu"),
        device=phone,
        networks=folder / "phone_gpu_networks.csv",
    )


def study_phone(folder: Path, phone: str, budget: int | None) -> dict[str, dict[str, Any]]:
    """One phone with one budget, told when done."""
    table = read_phone(folder, phone)
    found = study(table, table_device(table, read_schema("tflite-gpu")), budget)
    errors = {model: round(item["mape"], 4) for model, item in found["models"].items()}
    print(budget or "all", phone, errors, found["mapping"], flush=True)
    return found


def main() -> None:
    """Run all and write results and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the two tables")
    parser.add_argument("--jobs", type=int, default=1, help="processes; the results are the same")
    arguments = parser.parse_args()
    tasks = [(phone, budget) for budget in reversed(BUDGETS) for phone in PHONES]  # the longest first
    answers = Parallel(n_jobs=arguments.jobs)(
        delayed(study_phone)(arguments.folder, phone, budget) for phone, budget in tasks
    )
    found = dict(zip(tasks, answers, strict=True))
    table = read_phone(arguments.folder, PHONES[0])
    all_kernels = round(len(table.timed) * (1 - N_LEFT_OUT / len(table.latencies)))
    results = []
    for budget in BUDGETS:
        phones = {phone: found[phone, budget] for phone in PHONES}
        count = budget or all_kernels
        results.append(
            {"kernels": count, "is_all": budget is None, "mean": mean_of(phones), "phones": phones}
        )
    path = record("phone_gpu", {"splits": N_SPLITS, "left_out": N_LEFT_OUT, "budgets": results}, seed=0)
    draw(results, RESULTS / "phone_gpu.png")
    print(path)


if __name__ == "__main__":
    main()
