"""Judges a platform by latencies that others recorded on a real device, over a whole search space.

The platform is mostly one of another device, so ranks are what counts. Errors are told twice: as they are,
and after the one factor that fits the predictions best, which takes away how fast the two devices are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.errors import UsageError
from annette.estimation.platform import Platform
from annette.estimation.search import SpaceEstimator
from annette.evaluation.latency_table import LatencyTable
from annette.evaluation.predictions import PredictionTable
from annette.evaluation.space_work import count_macs
from annette.evaluation.stream import OnProgress
from annette.models.layer_models import MODEL_NAMES
from annette.zoo.spaces.space import Encodings, SearchSpace

__all__ = ["TABLE_EVALUATION_SCHEMA_VERSION", "TableEvaluation", "evaluate_table"]

TABLE_EVALUATION_SCHEMA_VERSION = 1
"""Version of `TableEvaluation.to_dict`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableEvaluation:
    """A platform against one column of a table of recorded latencies."""

    platform: str
    table: str
    """The file."""
    device: str
    """The column."""
    space: str
    predictions: PredictionTable
    """The architectures with a recorded latency; their predictions are not scaled."""
    missing: int
    """Architectures without one; they are left out."""

    def scale_factor(self, model: str) -> float:
        """Median of recorded / predicted latency: what predictions are multiplied by to fit the device."""
        return float(np.median(self.predictions.measured_s / self.predictions.predicted_s[model]))

    def scaled(self) -> PredictionTable:
        """The same with the predictions of each layer model multiplied by its `scale_factor`."""
        return self.predictions.with_predictions(
            {
                model: values * self.scale_factor(model)
                for model, values in self.predictions.predicted_s.items()
            }
        )

    def to_dict(self) -> dict[str, object]:
        """The evaluation as JSON types; seconds everywhere, errors as fractions.

        The ``ranking`` of a model is of the scaled predictions, since a budget needs seconds of the device.
        """
        table, scaled = self.predictions, self.scaled()
        models = {}
        for model, figures in scaled.models_to_dict().items():
            plain = table.accuracy(model)
            factor = self.scale_factor(model)
            fitted = {f"scaled_{key}": figures[key] for key in ("mape", "bias", "within_10_percent")}
            models[model] = {
                **plain.to_dict(), "scale_factor": factor, **fitted, "ranking": figures["ranking"]
            }  # fmt: skip
        rows = zip(table.names, table.measured_s.tolist(), table.quality.tolist(), strict=True)
        columns = {model: values.tolist() for model, values in table.predicted_s.items()}
        return {
            "schema_version": TABLE_EVALUATION_SCHEMA_VERSION,
            "platform": self.platform,
            "table": self.table,
            "device": self.device,
            "space": self.space,
            "missing": self.missing,
            "quality": table.quality_name,
            "models": models,
            "networks": [
                {
                    "architecture": name,
                    "measured_s": measured_s,
                    "quality": quality,
                    **{f"{model}_s": values[row] for model, values in columns.items()},
                }
                for row, (name, measured_s, quality) in enumerate(rows)
            ],
        }


def evaluate_table(
    platform: Platform | SpaceEstimator,
    table: LatencyTable,
    device: str,
    *,
    quality: str | None = None,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> TableEvaluation:
    """Predict every architecture of a table with each layer model, beside what was recorded of it.

    Parameters
    ----------
    platform : Platform or SpaceEstimator
        What predicts; of the same device or of another one. What is no platform is asked by its
        ``model_names``.
    table : LatencyTable
        As `read_latency_table` gives it.
    device : str
        The column of latencies.
    quality : str, optional
        A column that a search would maximise, as an accuracy; rows without it are left out. By default the
        multiply-accumulates of the network stand in.
    jobs : int
        Processes that predict.
    on_progress : callable, optional
        Called with the predictions done and to do.

    Raises
    ------
    UsageError
        For a column that is not there, or where no row has both a latency and a quality.
    StoreError
        If a cell is no number, or a latency not > 0.
    """
    known = table.latencies_s(device)
    rows, measured_s = known.rows, known.values
    if quality is None:
        value = count_macs(table.space, table.encodings[rows]).astype(np.float64)
    else:
        found = table.numbers(quality)
        rows, here, there = np.intersect1d(rows, found.rows, return_indices=True)
        measured_s, value = measured_s[here], found.values[there]
    if not len(rows):
        raise UsageError(f"{table.path}: no row has both {device!r} and {quality!r}, expected at least one")
    encodings = table.encodings[rows]
    names = tuple(map(table.space.format, encodings.tolist()))
    return TableEvaluation(
        platform=platform.name,
        table=table.path,
        device=device,
        space=table.space.name,
        predictions=PredictionTable(
            names=names,
            groups=(table.space.name,) * len(rows),
            identities=names,  # a runtime may run dead code: alike architectures may differ
            measured_s=measured_s,
            predicted_s=_predict(platform, table.space, encodings, jobs, on_progress),
            quality=value,
            quality_name=quality or "macs",
        ),
        missing=len(table) - len(rows),
    )


def _predict(
    platform: Platform | SpaceEstimator,
    space: SearchSpace,
    rows: Encodings,
    jobs: int,
    on_progress: OnProgress | None,
) -> dict[str, NDArray[np.float64]]:
    """The rows' seconds by layer model."""
    found, told = {}, -1
    names = getattr(platform, "model_names", MODEL_NAMES)
    for number, model in enumerate(names):

        def report(done: int, total: int | None, before: int = number * len(rows)) -> None:
            nonlocal told
            if on_progress is not None and before + done > told:
                told = before + done
                on_progress(told, len(names) * len(rows))

        found[model] = platform.estimate_space(space, rows, model=model, n_jobs=jobs, on_progress=report)
        report(len(rows), len(rows))  # there may have been nothing to do: the answers are known
    return found
