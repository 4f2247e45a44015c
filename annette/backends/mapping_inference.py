"""Finds by timing alone which layers a device merges: for devices that do not tell.

Each part is repeated in a row, and its cost is what more of them cost more; so whatever a call costs, inputs
and outputs included, cancels out. A pair is merged if it saves more than half of its cheaper part, and the
confidence interval of that saving, by the bootstrap over the visits, decides whether that is sure. A merge
that saves little, such as that of a costly activation on a device that computes, is not seen; nor does it
matter to the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from annette.backends.mapping_probe import PairProbe, probe_shapes, repeated
from annette.errors import DeviceLostError, GraphError, MeasurementError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.measurement import Measurement

__all__ = [
    "THRESHOLD",
    "FusionFinding",
    "Verdict",
    "call_cost",
    "find_fusion",
    "infer_fusions",
    "judge_saving",
    "timed_by",
]

Verdict = Literal["fused", "apart", "undecided"]
Measure = Callable[[Network], Measurement]
Values = Callable[[Sequence[Network], int], list[NDArray[np.float64]]]
"""Seconds of each network, one value a visit, at least so many visits each, made in turn."""

THRESHOLD = 0.5
"""A merge saves at least this share of the cheaper part."""
_REPEATS = 4
"""How much longer the longer one of two chains is."""
_VISITS = (4, 10)
"""Visits to each network: at first, and where these do not decide."""
_RESAMPLES = 400
_CONFIDENCE = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionFinding:
    """What timing says of a pair at one size."""

    first: str
    """The kernel that may be joined: its primary layer's signature, and its last layer's operator."""
    second: str
    """Signature of the layer that may join."""
    shape: tuple[int, ...]
    """Shape of the activation that the pair was fed with."""
    saving: float
    """Of the pair, as a share of the cheaper part: near 0 if apart, near 1 or more if merged."""
    low: float
    """Lower end of the saving's confidence interval."""
    high: float
    """Its upper end."""
    verdict: Verdict
    """Whether the interval lies on one side of one half."""


def timed_by(measure: Measure) -> Values:
    """Visits networks in turn and keeps the least run of each visit; none is visited more than asked for.

    Runs of one visit share what disturbs it, so a visit is one observation, whatever its number of runs.

    Raises
    ------
    MeasurementError
        From what is returned: if the device cannot run a network.
    """
    kept: dict[str, list[float]] = {}

    def values(networks: Sequence[Network], visits: int) -> list[NDArray[np.float64]]:
        waiting = {item.id: item for item in networks}
        for number in range(1, visits + 1):
            for network in waiting.values():
                if len(kept.get(network.id, ())) >= number:
                    continue
                answer = measure(network)
                if answer.values_s is None:
                    raise MeasurementError(f"probe {network.name!r}: {answer.error}")
                kept.setdefault(network.id, []).append(min(answer.values_s))
        return [np.array(kept[item.id]) for item in networks]

    return values


def infer_fusions(
    measure: Measure,
    *,
    pairs: Iterable[PairProbe],
    shapes: Sequence[tuple[int, ...]] | None = None,
    seed: int = 0,
) -> tuple[FusionFinding, ...]:
    """Which of the pairs the device merges, each tried at several sizes.

    Parameters
    ----------
    measure : callable
        Times one network; called several times for most.
    pairs : iterable of PairProbe
        The pairs in doubt.
    shapes : sequence of tuple of int, optional
        Shapes to feed the pairs with; by default those of `probe_shapes` that fit.
    seed : int
        Of the bootstrap.

    Returns
    -------
    tuple of FusionFinding
        One a pair and shape; none where the pair cannot be built or the device cannot run it.
    """
    values = timed_by(measure)
    findings = []
    for pair in pairs:
        rank = len(pair.network.activation_inputs(pair.network.layer(pair.first[0]))[0].shape)
        for shape in probe_shapes(rank) if shapes is None else shapes:
            found = find_fusion(values, pair, shape, seed=seed)
            if found is not None:
                findings.append(found)
    return tuple(findings)


def find_fusion(
    values: Values, pair: PairProbe, shape: tuple[int, ...], *, seed: int = 0
) -> FusionFinding | None:
    """What timing says of one pair at one size; ``None`` if it cannot be built or run."""
    try:
        chains = _pair_chains(pair, shape)
        for visits in _VISITS:
            timed = values([network for chain in chains for network in chain.networks], visits)
            saving, low, high = judge_saving(
                timed, [chain.difference for chain in chains], rng=np.random.default_rng(seed)
            )
            if not low <= THRESHOLD <= high:
                break
    except DeviceLostError:
        raise
    except (GraphError, MeasurementError):
        return None
    first, second = pair.key
    verdict: Verdict = "fused" if low > THRESHOLD else "apart" if high < THRESHOLD else "undecided"
    return FusionFinding(
        first=first, second=second, shape=shape, saving=saving, low=low, high=high, verdict=verdict
    )


def judge_saving(
    timed: Sequence[NDArray[np.float64]], differences: Sequence[int], *, rng: np.random.Generator
) -> tuple[float, float, float]:
    """The saving of a pair as a share of its cheaper part, and the ends of its confidence interval.

    Parameters
    ----------
    timed : sequence of ndarray
        Seconds of the visits to a long and a short chain each of the first part, of the second part, of both
        in a row, and of a cheap layer.
    differences : sequence of int
        By how many repeats the long one of each two chains is longer; 0 if it goes on where the sizes of the
        short one begin, so that it is longer by one.
    rng : Generator
        For the bootstrap.

    Examples
    --------
    >>> times = ([5.1], [1.1], [3.1], [0.7], [7.1], [1.7], [1.1], [0.3])  # 1.0, 0.6 and 1.35 a repeat
    >>> timed = [np.array(item) for item in times]
    >>> round(judge_saving(timed, [4, 4, 4, 4], rng=np.random.default_rng(0))[0], 2)
    0.42
    """
    drawn = np.stack([_medians(item, rng) for item in timed])  # (8, 1 + resamples): first the sample itself
    steps = np.array([max(item, 1) for item in differences])
    slopes = (drawn[0::2] - drawn[1::2]) / steps[:, None]
    # What a call costs with no layer at all: rows that merge into one cannot tell, so the least counts.
    calls = [drawn[7] - slopes[3]] + ([drawn[1] - slopes[0]] if differences[0] else [])
    call = min(calls, key=lambda item: float(item[0]))
    parts = [slopes[0], slopes[1]]
    for part in (0, 1):
        alone = drawn[2 * part + 1] - call
        if differences[part] and _interval(slopes[part])[1] < 0.5 * _interval(alone)[0]:
            parts[part] = alone  # a row that the device merges into one says nothing of one of its layers
    cheaper = np.maximum(np.minimum(*parts), 1e-12)
    saving = (parts[0] + parts[1] - slopes[2]) / cheaper
    return float(saving[0]), *_interval(saving)


def _interval(drawn: NDArray[np.float64]) -> tuple[float, float]:
    tail = (1.0 - _CONFIDENCE) / 2.0
    low, high = np.quantile(drawn[1:], [tail, 1.0 - tail])
    return float(low), float(high)


def call_cost(values: Values, shape: tuple[int, ...] = (1, 8)) -> float:
    """Seconds that a call costs without any layer, for networks fed with ``shape``; >= 0.

    A chain of a cheap layer is extended to the left until none is left.

    Raises
    ------
    MeasurementError
        If the device cannot run it.
    """
    long, short = (float(np.median(item)) for item in values(_cheap(shape).networks, _VISITS[0]))
    return max(short - (long - short) / _REPEATS, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """Two networks whose difference is what some repeats cost."""

    networks: tuple[Network, Network]
    """The long and the short one."""
    difference: int
    """Repeats; 0 if the layers change the sizes, and the long one is a repeat ahead of the short one."""


def _chain(pair: PairProbe, names: Sequence[str], shape: tuple[int, ...]) -> _Chain:
    short, after = repeated(pair.network, names, shape, 1)
    if after == shape:
        long, _ = repeated(pair.network, names, shape, 1 + _REPEATS)
        return _Chain(networks=(long, short), difference=_REPEATS)
    long, _ = repeated(pair.network, names, shape, 2)
    short, _ = repeated(pair.network, names, after, 1)
    return _Chain(networks=(long, short), difference=0)


def _pair_chains(pair: PairProbe, shape: tuple[int, ...]) -> tuple[_Chain, _Chain, _Chain, _Chain]:
    _, between = repeated(pair.network, pair.first, shape, 1)
    return (
        _chain(pair, pair.first, shape),
        _chain(pair, (pair.second,), between),
        _chain(pair, (*pair.first, pair.second), shape),
        _cheap(shape),
    )


def _cheap(shape: tuple[int, ...]) -> _Chain:
    networks = []
    for times in (1 + _REPEATS, 1):
        build = NetworkBuilder("cheap")
        x = build.input("x", shape)
        for _ in range(times):
            x = build.relu(x)
        networks.append(build.finish(x))
    return _Chain(networks=(networks[0], networks[1]), difference=_REPEATS)


def _medians(visits: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The median of the visits, then of resamples of them."""
    resamples = visits[rng.integers(len(visits), size=(_RESAMPLES, len(visits)))]
    return np.concatenate(([np.median(visits)], np.median(resamples, axis=1)))
