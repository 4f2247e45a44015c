"""Fits the residual of networks on held-out blocks and decides by cross-validation whether it is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.measurement import DeviceInfo
from annette.models.boosting import group_folds
from annette.models.held_out_networks import HeldOutNetworks
from annette.models.layer_fit import HeldOut
from annette.models.layer_models import LayerModels
from annette.models.network_residual import NetworkResidual, log_ratio, residual_quantities

__all__ = ["ResidualDecision", "decide_residual", "judge_residual"]

MODEL = "mixed"
"""What the other layer models lack is a property of them; of the best one it may be one of the device."""
MIN_NETWORKS = 40
"""Fewer blocks of several kernels cannot show a gain of a few percent."""
FOLDS = 10
LEAST_GAIN = 0.02
"""Of the additive error; less is not worth a further number in each estimate."""
GREATEST = math.log(1.25)
"""The residual is small: no network is moved by more, whatever was fitted."""
_PRIOR_NETWORKS = 10.0
"""So many networks' worth holds each coefficient at 0."""
_ROUNDING = 1e-9
"""Sums of kernels that are off by less are the whole."""

Floats = NDArray[np.float64]


def judge_residual(
    networks: HeldOutNetworks, models: LayerModels, held_out: HeldOut, device: DeviceInfo, *, seed: int
) -> tuple[ResidualDecision | None, HeldOutNetworks]:
    """`decide_residual` of a campaign's blocks of several kernels, and what intervals are calibrated on.

    Prices of kernels, and the mapping, are by models that had not seen the block. The decision is ``None``
    where too few blocks were held out. Where the residual is kept, the networks come back with it: each
    block's is by a residual that was fitted without it.
    """
    predicted = held_out.predicted.get(MODEL)
    if predicted is None or not np.isfinite(predicted).all():
        return None, networks
    table, n_networks = networks.table, networks.table.n_networks
    latency_s = networks.latency_s(models, MODEL, predicted)
    kernels_s = np.bincount(table.network_index, latency_s, n_networks).astype(np.float64)
    quantities = residual_quantities(table.values, table.network_index, n_networks, device.cache_bytes)
    counts = np.bincount(table.network_index, minlength=n_networks)
    own = np.flatnonzero(networks.are_blocks & (counts > 1) & (kernels_s > 0))
    beyond = np.log(networks.end_to_end_s / networks.measured_s)
    decision = decide_residual(
        quantities[own], kernels_s[own], networks.end_to_end_s[own], beyond[own], networks.groups[own],
        cache_bytes=device.cache_bytes, seed=seed,
    )  # fmt: skip
    if decision is None or decision.residual is None:
        return decision, networks
    ratio = decision.residual.log_ratio(quantities, kernels_s)
    ratio[own] = decision.held_out
    factors = {MODEL: np.exp(ratio)}
    return decision, replace(networks, measured_s=networks.end_to_end_s, factors=factors)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualDecision:
    """What cross-validation says of a residual, and the residual where it is kept."""

    n_networks: int
    """Blocks of several kernels."""
    additive_error: float
    """Mean relative error of the kernels' sum; a fraction."""
    error: float
    """The same with a residual that was fitted without the block."""
    standard_error: float
    """Of the difference between the two errors."""
    beyond: float
    """Median of log(end-to-end / sum of the kernels), both as measured."""
    leftover_error: float
    """The error if the same terms were fitted to what the layer models err on kernels as well. Nothing is
    kept for its sake: it belongs to those models."""
    held_out: Floats
    """Shape (n_networks,): log(T / S) of each block by residuals that were fitted without it."""
    residual: NetworkResidual | None
    """Fitted to all blocks; ``None``: it is not kept."""

    @property
    def gain(self) -> float:
        """Share of the additive error that the residual takes away; negative where it adds to it."""
        return 1.0 - self.error / self.additive_error if self.additive_error > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON types."""
        return {
            "networks": self.n_networks,
            "additive_mape": self.additive_error,
            "mape": self.error,
            "standard_error": self.standard_error,
            "median_beyond_kernels": self.beyond,
            "leftover_mape": self.leftover_error,
            "kept": self.residual is not None,
        }


def decide_residual(
    quantities: Floats,
    kernels_s: Floats,
    measured_s: Floats,
    beyond: Floats,
    groups: NDArray[np.int64],
    *,
    cache_bytes: tuple[int, ...],
    seed: int,
) -> ResidualDecision | None:
    """Fit a residual, cross-validate it by network, and keep it only for a clear gain.

    The fit is ridge regression of ``(T - S) / T``, both as measured, on ``q / T``: errors are relative. It
    has no constant: what no quantity explains is no residual, and neither are errors of the layer models.
    It is judged on what is wanted, the error of predictions. A gain is clear where their mean relative error
    falls by more than one standard error of that fall, and by at least `LEAST_GAIN` of it.

    Parameters
    ----------
    quantities : ndarray of shape (n_networks, n_terms)
        `residual_quantities` of blocks of several kernels.
    kernels_s : ndarray of shape (n_networks,)
        Sums of their kernels, each priced by models that had not seen it; > 0.
    measured_s : ndarray of shape (n_networks,)
        End-to-end seconds; > 0.
    beyond : ndarray of shape (n_networks,)
        log(end-to-end / sum of the kernels), both as measured; 0 for a network that is the sum of these.
    groups : ndarray of shape (n_networks,)
        Networks with the same number stay together in cross-validation.
    cache_bytes : tuple of int
        The device's data caches.
    seed : int
        Of the folds.

    Returns
    -------
    ResidualDecision or None
        ``None`` for fewer than `MIN_NETWORKS` blocks.
    """
    n_networks, n_groups = len(measured_s), len(np.unique(groups))
    if n_networks < MIN_NETWORKS or n_groups < 2:
        return None
    wanted = np.log(measured_s / kernels_s)
    if not np.any(np.abs(beyond) > _ROUNDING):
        beyond = np.zeros(n_networks)
    folds = group_folds(groups, min(FOLDS, n_groups), seed)
    blocks = _Blocks(quantities=quantities, kernels_s=kernels_s, measured_s=measured_s)
    held_out = blocks.left_out(beyond, folds)
    before = np.abs(np.expm1(-wanted))
    after = np.abs(np.expm1(held_out - wanted))
    _, place = np.unique(groups, return_inverse=True)
    by_group = np.bincount(place, before - after - float(np.mean(before - after)), n_groups)
    standard_error = float(np.sqrt((by_group**2).sum() * n_groups / max(n_groups - 1, 1)) / n_networks)
    additive_error, error = float(before.mean()), float(after.mean())
    fall = additive_error - error
    residual = None
    if fall > standard_error and fall >= LEAST_GAIN * additive_error:
        everything = np.ones(n_networks, dtype=np.bool_)
        coefficients, least, most = blocks.fit(beyond, everything)
        residual = NetworkResidual(
            coefficients=tuple(coefficients.tolist()),
            least=least,
            most=most,
            cache_bytes=cache_bytes,
            n_networks=n_networks,
            additive_error=additive_error,
            error=error,
        )
    return ResidualDecision(
        n_networks=n_networks,
        additive_error=additive_error,
        error=error,
        standard_error=standard_error,
        beyond=float(np.median(beyond)),
        leftover_error=float(np.mean(np.abs(np.expm1(blocks.left_out(wanted, folds) - wanted)))),
        held_out=held_out,
        residual=residual,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Blocks:
    """Blocks that a residual is fitted to, and their additive numbers."""

    quantities: Floats
    kernels_s: Floats
    measured_s: Floats

    def fit(self, beyond: Floats, own: NDArray[np.bool_]) -> tuple[Floats, float, float]:
        """Coefficients and limits from these of the blocks."""
        slopes = self.quantities[own] / self.measured_s[own, None]
        coefficients = _ridge(slopes, -np.expm1(-beyond[own]))
        added = (self.quantities[own] @ coefficients) / self.kernels_s[own]
        ratio = log_ratio(added, -GREATEST, GREATEST)
        return coefficients, min(float(ratio.min()), 0.0), max(float(ratio.max()), 0.0)

    def left_out(self, beyond: Floats, folds: NDArray[np.int64]) -> Floats:
        """log(T / S) of each block by a fit to the other folds."""
        found = np.zeros(len(beyond))
        for fold in np.unique(folds):
            own = folds == fold
            coefficients, least, most = self.fit(beyond, ~own)
            found[own] = log_ratio((self.quantities[own] @ coefficients) / self.kernels_s[own], least, most)
        return found


def _ridge(slopes: Floats, wanted: Floats) -> Floats:
    """Coefficients of ridge regression; each column counts by its root mean square."""
    scale = np.sqrt(np.mean(slopes**2, axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = slopes / scale
    gram = scaled.T @ scaled + _PRIOR_NETWORKS * np.eye(slopes.shape[1])
    found: Floats = np.linalg.solve(gram, scaled.T @ wanted) / scale
    return found
