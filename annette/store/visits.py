"""Several visits of one network as one measurement: drift divided out, the least kept, stability judged."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cmp_to_key
from typing import Literal

from annette.errors import MeasurementError
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement

__all__ = [
    "STEADY_FRACTION",
    "UNSTABLE_FRACTION",
    "Stability",
    "Verdict",
    "check_stability",
    "combine_visits",
    "most_visits",
]

Verdict = Literal["steady", "unsteady", "unstable"]

STEADY_FRACTION = 0.03
"""Up to here repeated measurements agree as well as they do on a quiet machine."""
UNSTABLE_FRACTION = 0.10
"""From here on the noise is larger than the differences that networks are compared by."""

_MAX_DRIFT = 0.05  # what is further off may say more about the reference than about the network
_EXTRA_FACTOR = 2  # unstable networks get up to this many times the device's visits in addition


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """How well a measurement repeats."""

    verdict: Verdict
    """``steady`` up to 3 %, ``unsteady`` up to 10 %, else ``unstable``."""
    spread_fraction: float
    """(Median - least) / least of the visits; of one visit, of its runs."""
    visits_known: bool
    """Whether several visits were compared, not only the runs of one."""
    text: str
    """The verdict for people, with what to do, in one line."""


def most_visits(device: DeviceInfo) -> int:
    """How many visits of one network a campaign takes at most: those that settle unstable ones included.

    Examples
    --------
    >>> most_visits(DeviceInfo(name="cpu", backend="test", visits=4))
    12
    """
    return device.visits * (1 + _EXTRA_FACTOR) if device.visits > 1 else 1


def combine_visits(visits: Sequence[Measurement], *, reference_s: float | None) -> Measurement:
    """The visits of one network as one measurement; their order does not matter, and one stays as it is.

    The end-to-end time is the least over the visits, after the drift that the reference network saw is
    divided out. A reference that took more than 5 % longer than usual may have been disturbed itself: unless
    at least half of the visits are like that, such a visit is corrected only as far as the others bear out.
    So one wrong timing moves nothing, and a machine that has changed for good is followed. Each kernel's
    time is its least too; all are then scaled by one factor to the share of the total that they have in the
    visits. If visits disagree on the mapping, the most frequent one holds. One failed visit is the answer.

    Parameters
    ----------
    visits
        Of one network on one device; at least one.
    reference_s
        What the reference network takes usually, in seconds; ``None``: no drift is divided out.

    Raises
    ------
    MeasurementError
        Without visits, or if they are of several networks or devices.

    Examples
    --------
    >>> device = DeviceInfo(name="cpu", backend="test", visits=3)
    >>> visits = [Measurement(network_id="0" * 32, device=device, values_s=(s,)) for s in (1.0, 1.5, 1.1)]
    >>> combined = combine_visits(visits, reference_s=None)
    >>> combined.latency_s, round(combined.spread_fraction, 3)
    (1.0, 0.1)
    """
    if not visits:
        raise MeasurementError("no visits to combine, expected at least one")
    if any((item.network_id, item.device) != (visits[0].network_id, visits[0].device) for item in visits):
        raise MeasurementError("visits of several networks or devices, expected those of one")
    failed = [item for item in visits if item.error is not None]
    if failed:
        return min(failed, key=lambda item: item.error or "")
    is_replayed = visits[0].spread_fraction is not None and all(item == visits[0] for item in visits)
    if len(visits) == 1 or is_replayed:
        return visits[0]
    kept = sorted(_corrected(visits, reference_s), key=cmp_to_key(_by_total))
    least_s = kept[0].total_s
    kernels, eliminated_layers = _combined_kernels(kept, least_s)
    seeds = {item.visit.seed for item in kept}
    return Measurement(
        network_id=visits[0].network_id,
        device=visits[0].device,
        values_s=(least_s,),
        kernels=kernels,
        eliminated_layers=eliminated_layers,
        conditions=_combined_conditions(kept, reference_s),
        spread_fraction=_spread(kept),
        seed=seeds.pop() if len(seeds) == 1 else None,
    )


def check_stability(measurement: Measurement) -> Stability:
    """How well ``measurement`` repeats, in a word and in a line that says what to do.

    Raises
    ------
    MeasurementError
        If the measurement failed.

    Examples
    --------
    >>> device = DeviceInfo(name="cpu", backend="test", visits=4)
    >>> found = Measurement(network_id="0" * 32, device=device, values_s=(1.0,), spread_fraction=0.2)
    >>> check_stability(found).verdict
    'unstable'
    """
    if measurement.values_s is None:
        raise MeasurementError(f"no stability: the measurement failed: {measurement.error}")
    known = measurement.spread_fraction is not None
    spread = measurement.spread_fraction
    if spread is None:
        least_s = min(measurement.values_s)
        spread = (statistics.median(measurement.values_s) - least_s) / least_s if least_s > 0 else 0.0
    verdict: Verdict = "unstable"
    if spread <= UNSTABLE_FRACTION:
        verdict = "steady" if spread <= STEADY_FRACTION else "unsteady"
    what = "visits" if known else "the runs of the one visit"
    text = f"{verdict}: {what} differ by {100 * spread:.1f} %"
    advice = {
        "steady": "",
        "unsteady": "; for differences smaller than that stop other programs, or take more visits",
        "unstable": "; stop other programs, fix the clock's speed if you can, use one thread, take more "
        "visits, and measure again",
    }
    return Stability(verdict=verdict, spread_fraction=spread, visits_known=known, text=text + advice[verdict])


@dataclass(frozen=True, slots=True)
class _Corrected:
    visit: Measurement
    factor: float
    """What the visit's times are multiplied by to divide out the drift."""
    total_s: float
    """The least end-to-end time of the visit, multiplied by `factor`."""


def _corrected(visits: Sequence[Measurement], reference_s: float | None) -> list[_Corrected]:
    """The visits with their drift divided out, as far as their references can be believed."""
    references = [item.conditions.get("reference_s", 0.0) for item in visits]
    if reference_s is None or reference_s <= 0 or min(references) <= 0:
        return [_Corrected(item, 1.0, _least(item)) for item in visits]
    factors = [reference_s / found for found in references]
    ranked = sorted(
        (_Corrected(item, part, _least(item) * part) for item, part in zip(visits, factors, strict=True)),
        key=cmp_to_key(_by_reference),
    )
    half = (len(ranked) + 1) // 2
    limit = 1 / (1 + _MAX_DRIFT)
    doubtful = [item for item in ranked[half:] if item.factor < limit]
    believed = [*ranked[:half], *(item for item in ranked[half:] if item.factor >= limit)]
    least_s = min(item.total_s for item in believed)
    return [*believed, *(_held_back(item, least_s) for item in doubtful)]


def _by_total(one: _Corrected, other: _Corrected) -> int:
    """Order by total; ties are decided by what the visits are, which takes long to write out."""
    if one.total_s != other.total_s:
        return -1 if one.total_s < other.total_s else 1
    first, second = repr(one.visit), repr(other.visit)
    return (first > second) - (first < second)


def _by_reference(one: _Corrected, other: _Corrected) -> int:
    """Order by how far the reference was off, then as `_by_total`."""
    first, second = abs(math.log(one.factor)), abs(math.log(other.factor))
    return -1 if first < second else 1 if first > second else _by_total(one, other)


def _held_back(item: _Corrected, others_s: float) -> _Corrected:
    """A doubtful visit: between its time as it was and as corrected, the nearest to what the others say."""
    uncorrected_s = _least(item.visit)
    total_s = min(max(item.total_s, others_s), uncorrected_s)
    return _Corrected(item.visit, total_s / uncorrected_s if uncorrected_s > 0 else 1.0, total_s)


def _least(visit: Measurement) -> float:
    return min(visit.values_s or (0.0,))


def _spread(kept: Sequence[_Corrected]) -> float:
    """(Median - least) / least, and no less than what visits that were combined before knew of."""
    totals_s = [item.total_s for item in kept]
    own = (statistics.median(totals_s) - min(totals_s)) / min(totals_s) if min(totals_s) > 0 else 0.0
    return max(own, *(item.visit.spread_fraction or 0.0 for item in kept))


def _combined_kernels(
    kept: Sequence[_Corrected], total_s: float
) -> tuple[tuple[KernelMeasurement, ...] | None, tuple[str, ...]]:
    """Kernels and eliminated layers of the most frequent mapping; ``kept`` has the least total first."""
    votes: dict[object, list[_Corrected]] = {}
    for item in kept:
        if item.visit.kernels is not None:
            keys = tuple(kernel.kernel.key for kernel in item.visit.kernels)
            votes.setdefault((keys, frozenset(item.visit.eliminated_layers)), []).append(item)
    if not votes:
        return None, kept[0].visit.eliminated_layers
    agreeing = max(votes.values(), key=len)  # of equally many the one with the least total
    model = agreeing[0].visit.kernels or ()
    times_s = [
        min(min((item.visit.kernels or ())[index].values_s) * item.factor for item in agreeing)
        for index in range(len(model))
    ]
    share = statistics.median(_kernel_share(item.visit) for item in agreeing)
    scale = total_s * share / sum(times_s) if sum(times_s) > 0 else 1.0
    kernels = tuple(
        replace(kernel, values_s=(time_s * scale,)) for kernel, time_s in zip(model, times_s, strict=True)
    )
    return kernels, agreeing[0].visit.eliminated_layers


def _kernel_share(visit: Measurement) -> float:
    total_s = _least(visit)
    return sum(min(item.values_s) for item in visit.kernels or ()) / total_s if total_s > 0 else 1.0


def _combined_conditions(kept: Sequence[_Corrected], reference_s: float | None) -> dict[str, float]:
    """What all visits know: the earliest start, the reference that drift was divided out to, else medians."""
    known = [item.visit.conditions for item in kept]
    names = [name for name in known[0] if all(name in item for item in known)]
    conditions = {name: statistics.median(item[name] for item in known) for name in sorted(names)}
    if "started_s" in conditions:
        conditions["started_s"] = min(item["started_s"] for item in known)
    if reference_s is not None and conditions.get("reference_s", 0.0) > 0:
        conditions["reference_s"] = reference_s
    return conditions
