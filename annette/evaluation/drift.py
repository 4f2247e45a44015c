"""Whether a device is still as fast as when its campaign was measured: some of it is timed again."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from annette.backends.protocol import Backend
from annette.benchmark.campaign import measure_visits
from annette.store.campaign import CampaignStore
from annette.store.identity import device_difference
from annette.store.records import WHOLE_NETWORK, Record
from annette.store.visits import combine_visits
from annette.units import format_number, format_seconds

__all__ = ["UNKNOWN_DRIFT", "Drift", "find_drift", "reference_drift"]

_SAMPLED = 9
"""Benchmarks that are timed again: an odd number, of which a few may be disturbed."""
_READ = 200
"""Of the campaign, to choose those from."""
_MOST_S = 0.1
"""Longer ones are not timed again."""

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How much slower a device has become since its campaign."""

    factor: float | None
    """Time now over time then, > 0; ``None``: not known."""
    how: str
    """``reference``: by the device's reference network; ``repeated``: by benchmarks of the campaign that were
    timed again; ``unknown``."""
    text: str
    """The same for people, in one line."""
    spread_fraction: float | None = None
    """How much the benchmarks differ among themselves: half of the range of the middle half, over the median;
    ``None`` where only one thing was timed."""

    def to_dict(self) -> dict[str, object]:
        """The drift as JSON types."""
        return {
            "factor": self.factor,
            "how": self.how,
            "spread_fraction": self.spread_fraction,
            "text": self.text,
        }


UNKNOWN_DRIFT = Drift(
    factor=None,
    how="unknown",
    text="not known: without the campaign (--store) nothing tells how fast the device was when the platform "
    "was trained",
)
"""Where there is no campaign to compare with."""


def find_drift(
    backend: Backend,
    store: str | PathLike[str] | None,
    *,
    reference_s: float | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Drift:
    """How the device does now what it did in its campaign.

    Where both the campaign and the measurement of today have a reference network, its two times tell. Else
    nine benchmarks of the campaign are timed again, from the longer half of those that take up to 0.1 s, and
    the median of the ratios tells.

    Parameters
    ----------
    backend : Backend
        The device.
    store : path or None
        The campaign, a store or its Parquet file; ``None``: nothing is known of the drift.
    reference_s : float, optional
        What the reference network takes today, in seconds.
    seed : int
        Seed of the noise of a simulated device.
    on_progress : callable, optional
        Called with the benchmarks done and to do.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    if store is None:
        return UNKNOWN_DRIFT
    with CampaignStore.open(Path(store)) as kept:
        then_s, difference = kept.reference_s, device_difference(kept.device, backend.info)
        if kept.device.name != backend.info.name:
            return _unknown(f"not known: {store} is of another device: {difference}")
        if reference_s is not None and then_s is not None and min(reference_s, then_s) > 0:
            return reference_drift(then_s, reference_s)
        records = _sample(kept)
    return _repeat(backend, records, seed, on_progress or _ignore)


def reference_drift(then_s: float, now_s: float) -> Drift:
    """The drift that two times of a reference network tell, both > 0.

    Examples
    --------
    >>> reference_drift(0.002, 0.0025).factor
    1.25
    """
    times = f"{format_seconds(then_s)} then, {format_seconds(now_s)} now"
    return Drift(factor=now_s / then_s, how="reference", text=f"the reference network took {times}")


def _ignore(done: int, total: int) -> None:
    """No one listens."""


def _unknown(text: str) -> Drift:
    return Drift(factor=None, how="unknown", text=text)


def _sample(store: CampaignStore) -> tuple[Record, ...]:
    """Benchmarks of the campaign, evenly taken from the longer half of the shorter ones."""
    counts = store.visit_counts()
    done = [task_id for task_id, visits in counts.items() if visits]
    asked = frozenset(done[place * len(done) // _READ] for place in range(_READ)) if done else frozenset()
    known = [
        record
        for record in store.records(asked)
        if record.task.tag(WHOLE_NETWORK) is None
        and record.measurement.error is None
        and 0 < record.measurement.latency_s <= _MOST_S
    ]
    known.sort(key=lambda record: (record.measurement.latency_s, record.task.id))
    longer = known[len(known) // 2 :]
    if len(longer) <= _SAMPLED:
        return tuple(longer)
    return tuple(longer[place * len(longer) // _SAMPLED] for place in range(_SAMPLED))


def _repeat(backend: Backend, records: Sequence[Record], seed: int, on_progress: OnProgress) -> Drift:
    ratios = []
    on_progress(0, len(records))
    for done, record in enumerate(records, start=1):
        visits = measure_visits(backend, record.task.network, seed + done)
        found = combine_visits(visits, reference_s=None)
        if found.error is None and found.latency_s > 0:
            ratios.append(found.latency_s / record.measurement.latency_s)
        on_progress(done, len(records))
    if not ratios:
        return _unknown("not known: no benchmark of the campaign could be timed again")
    factor = statistics.median(ratios)
    spread = None
    if len(ratios) > 2:
        low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
        spread = (high - low) / 2 / factor
    again = f"{format_number(len(ratios), 'benchmark')} of the campaign, timed again,"
    within = (
        "" if spread is None or not math.isfinite(spread) else f" (half of them within {100 * spread:.1f} %)"
    )
    return Drift(
        factor=factor,
        how="repeated",
        spread_fraction=spread,
        text=f"{again} take {factor:.3f} times what they took then{within}",
    )
