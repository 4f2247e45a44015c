"""Other devices as sources: a platform as a prior, a column of recorded latencies as a calibrated model."""

from __future__ import annotations

import numpy as np

from annette.calibration.calibrate import calibrate_space
from annette.calibration.calibrated import CalibratedModel
from annette.calibration.design import candidate_rows
from annette.calibration.prior import Prior, prior_from_networks
from annette.estimation.platform import Platform
from annette.evaluation.latency_table import LatencyTable
from annette.zoo.spaces.space import SearchSpace

__all__ = ["PRIOR_NETWORKS", "SOURCE_SAMPLES", "prior_from_platform", "source_from_column"]

SOURCE_SAMPLES = 300
"""Architectures by which a source is learned; a calibrated model of so many is within a percent or two."""
PRIOR_NETWORKS = 100
"""Architectures whose kernels a platform prices: each kind of kernel in a space occurs in some of them."""


def prior_from_platform(platform: Platform, space: SearchSpace, *, seed: int = 0) -> Prior:
    """What each kind of kernel in a space takes on a platform, learned from some of its architectures.

    Raises
    ------
    GraphError
        If a network cannot be mapped.
    """
    rows = candidate_rows(space, seed=seed, count=PRIOR_NETWORKS)
    return prior_from_networks(platform, [space.network(row) for row in rows.tolist()])


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
