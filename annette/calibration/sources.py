"""Other devices as sources: a platform, or a column of recorded latencies, as a calibrated model."""

from __future__ import annotations

import numpy as np

from annette.calibration.calibrate import calibrate_space
from annette.calibration.calibrated import CalibratedModel
from annette.calibration.design import candidate_rows
from annette.estimation.platform import Platform
from annette.evaluation.latency_table import LatencyTable
from annette.zoo.spaces.space import SearchSpace

__all__ = ["SOURCE_SAMPLES", "source_from_column", "source_from_platform"]

SOURCE_SAMPLES = 300
"""Architectures by which a source is learned; a calibrated model of so many is within a percent or two."""


def source_from_platform(platform: Platform, space: SearchSpace, *, seed: int = 0) -> CalibratedModel:
    """What a platform predicts for a space, learned from some of its architectures.

    The model stands by itself: the platform need not be there when it is used.

    Raises
    ------
    UsageError, ModelError
        As `Platform.estimate_space`.
    """
    rows = candidate_rows(space, seed=seed, count=SOURCE_SAMPLES)
    return calibrate_space(space, rows, platform.estimate_space(space, rows), device=platform.name)


def source_from_column(table: LatencyTable, column: str, *, seed: int = 0) -> CalibratedModel:
    """Another device of a table of recorded latencies, learned from at most `SOURCE_SAMPLES` rows.

    Raises
    ------
    UsageError, StoreError
        As `LatencyTable.latencies_s`.
    ModelError
        If the column has too few latencies.
    """
    known = table.latencies_s(column)
    chosen = np.random.default_rng(seed).permutation(len(known.rows))[:SOURCE_SAMPLES]
    rows = table.encodings[known.rows[chosen]]
    return calibrate_space(table.space, rows, known.values[chosen], device=column)
