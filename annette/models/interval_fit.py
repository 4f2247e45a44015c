"""Calibrates prediction intervals on held-out kernels and on held-out networks of several layers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from annette.models.held_out_networks import HeldOutNetworks
from annette.models.intervals import LEVEL, ErrorSpread, FamilySpread, Intervals
from annette.models.layer_fit import HeldOut
from annette.models.layer_models import LayerModels
from annette.models.training import TrainingData

__all__ = ["conformal_quantile", "fit_intervals", "interval_ends"]

_MIN_FAMILY_ROWS = 15
"""Families with fewer rows have one spread, widened as if `_PRIOR_ROWS` rows of all families were theirs."""
_PRIOR_ROWS = 5.0
_MIN_NETWORKS = 20
"""Fewer held-out networks cannot tell how errors within a network go together."""
_LEAST_SPREAD = 1e-4
_SLOPE_PRIOR = 30.0
"""A slope is held near 0 as if so many rows without one were seen beside."""
_CORRELATIONS = (0.5, 0.2)
"""Of the same and of other families, where too few networks tell. One kernel has no other to go with: only
networks of several tell."""


def conformal_quantile(values: NDArray[np.float64], level: float) -> float:
    """The bound that a further value keeps with probability ``level``, if it is one of the same kind.

    The ceil((n + 1) level)-th smallest of n values, the greatest where that is beyond the last.

    References
    ----------
    H. Papadopoulos et al., "Inductive confidence machines for regression", ECML 2002; J. Lei et al.,
    "Distribution-free predictive inference for regression", JASA 113, 2018, section 2.2.

    Examples
    --------
    >>> conformal_quantile(np.arange(1.0, 20.0), 0.9)
    18.0
    """
    rank = min(math.ceil((len(values) + 1) * level), len(values))
    return float(np.sort(values)[rank - 1])


def fit_intervals(
    data: TrainingData,
    models: LayerModels,
    held_out: HeldOut,
    networks: HeldOutNetworks | None,
    *,
    drawn: NDArray[np.bool_] | None = None,
) -> Intervals:
    """The intervals of each layer model, from errors on what it had not seen.

    Parameters
    ----------
    data : TrainingData
        The measured kernels.
    models : LayerModels
        Fitted to all of them.
    held_out : HeldOut
        What cross-validation said of them.
    networks : HeldOutNetworks or None
        Networks of several layers under mappings that were predicted without them; ``None``: there are none.
        Where fewer than 20 of them have several kernels, correlations keep their defaults, the reach is that
        of kernels, and the notes say so: ``single_kernel_networks``.
    drawn : ndarray of bool, shape (n_kernels,), optional
        Rows to calibrate on, at least one: those that a plan drew. Families without any are calibrated on
        what they have. By default all rows.
    """
    drawn = np.ones(len(data), dtype=np.bool_) if drawn is None else drawn
    found: dict[str, ErrorSpread] = {}
    notes: dict[str, dict[str, float]] = {}
    for model, predicted in held_out.predicted.items():
        if not np.isfinite(predicted).all():
            continue  # a single group: nothing was held out
        found[model], notes[model] = _fit_model(data, models, model, predicted, held_out, networks, drawn)
    return Intervals(models=found, calibration=notes)


def _fit_model(
    data: TrainingData,
    models: LayerModels,
    model: str,
    predicted: NDArray[np.float64],
    held_out: HeldOut,
    networks: HeldOutNetworks | None,
    drawn: NDArray[np.bool_],
) -> tuple[ErrorSpread, dict[str, float]]:
    table = data.table
    ratio = np.log(data.cost / predicted)
    errors = np.abs(ratio)
    everywhere = float(errors[drawn].mean())
    draft = ErrorSpread(
        families={
            key: _family_spread(errors, predicted, _drawn_of(table.rows_of(key), drawn), everywhere)
            for key in table.family_names
        },
        unseen=max(held_out.unseen, _LEAST_SPREAD),
        per_octave=held_out.per_octave,
        same_family=_CORRELATIONS[0],
        other_family=_CORRELATIONS[1],
        whole=0.0,
        kernel_down=0.0,
        kernel_up=0.0,
        network_down=0.0,
        network_up=0.0,
    )
    down, up = interval_ends((ratio / draft.kernel_spread(table, predicted, models))[drawn])
    draft = replace(draft, kernel_down=down, kernel_up=up, network_down=down, network_up=up)
    notes = {"kernels": float(drawn.sum()), "kernel_mape": _mape(ratio[drawn]), "networks": 0.0}
    if networks is None or len(networks.measured_s) < _MIN_NETWORKS:
        return draft, notes
    n_single = int((networks.n_kernels < 2).sum())
    if len(networks.measured_s) - n_single < _MIN_NETWORKS:
        return draft, {**notes, "single_kernel_networks": float(n_single)}
    sums = _Sums.of(networks, models, model, predicted, draft)
    ratio = np.log(networks.measured_s / sums.total_s)
    draft = _with_correlations(draft, sums, ratio - np.median(ratio))
    spread = draft.network_spread(sums.total_s, sums.family_s, sums.squares_s2)
    down, up = interval_ends(ratio / spread)
    return replace(draft, network_down=down, network_up=up), {
        **notes,
        "networks": float(len(ratio)),
        "network_mape": _mape(ratio),
        "network_coverage": float(np.mean((-down * spread <= ratio) & (ratio <= up * spread))),
        "network_half_width": float(np.median(np.exp(up * spread) - np.exp(-down * spread)) / 2.0),
    }


def interval_ends(standardised: NDArray[np.float64]) -> tuple[float, float]:
    """How many spreads to reach down and up: each side is passed by half of what an interval may miss.

    Parameters
    ----------
    standardised : ndarray of shape (n,)
        log(measured / predicted) of held-out items over their spread.
    """
    level = (1.0 + LEVEL) / 2.0
    return max(conformal_quantile(-standardised, level), 0.0), max(
        conformal_quantile(standardised, level), 0.0
    )


def _mape(ratio: NDArray[np.float64]) -> float:
    """Mean absolute relative error of predictions, from log(measured / predicted)."""
    return float(np.mean(np.abs(np.expm1(-ratio))))


# Kernels -------------------------------------------------------------------------------------------


def _drawn_of(rows: NDArray[np.int64], drawn: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Those of a family's rows that were drawn, or all of a family that is known of suggestions alone."""
    own = rows[drawn[rows]]
    return own if len(own) else rows


def _family_spread(
    errors: NDArray[np.float64], predicted: NDArray[np.float64], rows: NDArray[np.int64], everywhere: float
) -> FamilySpread:
    """The spread of a family's kernels: that under which errors of a Laplace distribution are likeliest.

    The likelihood is ``-log(s) - |error| / s`` a row, with log(s) linear in the logarithm of the latency. Few
    rows lean on the mean error ``everywhere``.
    """
    own, logs = errors[rows], np.log(predicted[rows])
    centre = float(logs.mean())
    edges = {"least_s": float(np.exp(logs.min())), "most_s": float(np.exp(logs.max()))}
    middle = float(np.clip(np.exp(centre), edges["least_s"], edges["most_s"]))
    if len(rows) < _MIN_FAMILY_ROWS:
        spread = (float(own.sum()) + _PRIOR_ROWS * everywhere) / (len(rows) + _PRIOR_ROWS)
        return FamilySpread(spread=max(spread, _LEAST_SPREAD), slope=0.0, latency_s=middle, **edges)
    slope = _likeliest_slope(own, logs - centre)
    spread = float(np.mean(own * np.exp(-slope * (logs - centre))))
    return FamilySpread(spread=max(spread, _LEAST_SPREAD), slope=slope, latency_s=middle, **edges)


def _likeliest_slope(errors: NDArray[np.float64], logs: NDArray[np.float64]) -> float:
    """The power of the latency; for each the best level is known, so one number is looked for."""
    from scipy.optimize import minimize_scalar

    def cost(slope: float) -> float:
        level = max(float(np.mean(errors * np.exp(-slope * logs))), _LEAST_SPREAD)
        return len(errors) * math.log(level) + slope * float(logs.sum()) + _SLOPE_PRIOR * slope**2

    found = minimize_scalar(cost, bounds=(-1.5, 1.5), method="bounded")
    return float(found.x)


# Networks ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sums:
    """Networks as sums over their kernels."""

    total_s: NDArray[np.float64]
    family_s: NDArray[np.float64]
    squares_s2: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        networks: HeldOutNetworks,
        models: LayerModels,
        model: str,
        predicted: NDArray[np.float64],
        draft: ErrorSpread,
    ) -> _Sums:
        """Kernels that exist have the price that was held out, others that of the models of all rows."""
        table = networks.table
        latency_s = networks.latency_s(models, model, predicted)
        doubt_s = latency_s * draft.kernel_spread(table, latency_s, models)
        n_networks, n_families = table.n_networks, len(table.family_names)
        place = table.network_index * n_families + table.family_index
        sums = np.bincount(place, doubt_s, n_networks * n_families)
        return cls(
            total_s=np.bincount(table.network_index, latency_s, n_networks)
            * networks.factors.get(model, np.ones(n_networks)),
            family_s=sums.astype(np.float64).reshape(n_networks, n_families),
            squares_s2=np.bincount(table.network_index, doubt_s**2, n_networks).astype(np.float64),
        )


def _with_correlations(draft: ErrorSpread, sums: _Sums, ratio: NDArray[np.float64]) -> ErrorSpread:
    """With correlations within and between families and a spread of the whole: the likeliest, as above.

    A factor on all spreads is fitted beside and thrown away: the calibration finds it again.
    """
    from scipy.optimize import minimize

    errors = np.abs(ratio)
    total2 = sums.family_s.sum(axis=1) ** 2 / sums.total_s**2
    within = (sums.family_s**2).sum(axis=1) / sums.total_s**2
    apart = sums.squares_s2 / sums.total_s**2

    def unpack(point: NDArray[np.float64]) -> tuple[float, float, float, float]:
        first, second, third, fourth = np.clip(point, -12.0, 12.0).tolist()
        same = 1.0 / (1.0 + math.exp(-first))
        return same, same / (1.0 + math.exp(-second)), math.exp(third), math.exp(fourth)

    def cost(point: NDArray[np.float64]) -> float:
        same, other, whole, factor = unpack(point)
        variance = other * total2 + (same - other) * within + (1.0 - same) * apart + whole**2
        width = factor * np.sqrt(variance) + 1e-9
        prior = float((point[:2] ** 2).sum()) + 0.1 * point[3] ** 2  # moderate, unless networks say otherwise
        return float(np.sum(np.log(width) + errors / width) + prior)

    start = np.array([-1.0, -1.0, math.log(max(0.3 * float(np.median(errors)), 1e-6)), 0.0])
    best = minimize(
        cost, start, method="Nelder-Mead", options={"maxiter": 1200, "xatol": 1e-4, "fatol": 1e-4}
    )
    same, other, whole, _ = unpack(best.x)
    return replace(draft, same_family=same, other_family=other, whole=min(whole, 1.0))
