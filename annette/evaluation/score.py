"""Judges a platform on recorded measurements of whole networks: predictions, ceiling and look-up table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from annette.errors import AnnetteError, UsageError
from annette.estimation.platform import Platform
from annette.evaluation.interval_score import IntervalScore, score_intervals
from annette.evaluation.metrics import accuracy
from annette.evaluation.repeats import Repeats
from annette.models.layer_models import MODEL_NAMES
from annette.models.mapping_model import exact_kernels
from annette.store.records import Record

if TYPE_CHECKING:
    import pandas

__all__ = [
    "Figures",
    "KernelScore",
    "NetworkScore",
    "RecordedEvaluation",
    "score_records",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelScore:
    """One kernel that the device executed, and what the layer model says of it."""

    name: str
    family: str
    unit: str
    measured_s: float
    """Seconds; >= 0."""
    predicted_s: float
    """Seconds by the ``mixed`` model; > 0."""
    interval_s: tuple[float, float] | None = None
    """Ends of its 90 % interval; ``None`` where the platform knows of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkScore:
    """One network: measured, measured again, and predicted in several ways."""

    name: str
    group: str
    """The group of the suite that it belongs to."""
    measured_s: float
    """Seconds; > 0."""
    spread_fraction: float | None
    """How much the visits differ; ``None`` where there was one."""
    halves_s: tuple[float, float] | None
    """Two independent measurements of the same session: of every other visit; ``None`` if not known."""
    predicted_s: Mapping[str, float]
    """Seconds by layer model, with the mapping that the platform predicts."""
    oracle_s: Mapping[str, float]
    """Seconds by layer model, with the mapping that the device reported; empty if it reports none."""
    lookup_s: float | None
    """Sum of the device's own kernels, each timed on its own; ``None`` if not measured."""
    measured_kernels: int | None
    """Kernels that the device reported; ``None`` if it reports none."""
    exact_kernels: int | None
    """How many of them the platform predicted: the same layers, or the same move, on the same unit."""
    predicted_kernels: int
    """Kernels that the platform expects; those beyond `exact_kernels` do not exist on the device."""
    kernels: tuple[KernelScore, ...] = field(default=(), repr=False)
    """The executed kernels, priced with the device's own mapping."""
    measured_j: float | None = None
    """Joules, > 0; ``None``: the device does not tell."""
    predicted_j: Mapping[str, float] = field(default_factory=dict)
    """Joules by layer model, with the predicted mapping; empty for a platform without energy."""
    intervals_s: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Ends of the 90 % interval by layer model, with the predicted mapping; empty where the platform knows of
    none."""

    def to_dict(self) -> dict[str, object]:
        """The score as JSON types, without the single kernels."""
        return {
            "name": self.name,
            "group": self.group,
            "measured_s": self.measured_s,
            "spread_fraction": self.spread_fraction,
            "halves_s": None if self.halves_s is None else list(self.halves_s),
            "predicted_s": dict(self.predicted_s),
            "oracle_s": dict(self.oracle_s),
            "lookup_s": self.lookup_s,
            "measured_kernels": self.measured_kernels,
            "exact_kernels": self.exact_kernels,
            "predicted_kernels": self.predicted_kernels,
            "measured_j": self.measured_j,
            "predicted_j": dict(self.predicted_j),
            "intervals_s": {model: list(ends) for model, ends in self.intervals_s.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How good one way to predict is on some networks."""

    networks: int
    mape: float
    """Mean absolute relative error, as a fraction."""
    bias: float
    """Mean signed relative error, as a fraction; > 0 where predictions are too long."""
    worst: float
    """Largest absolute relative error, as a fraction."""
    within_10_percent: float
    """Share of the networks with an error of at most 10 %, in [0, 1]."""
    spearman: float | None
    """Rank correlation; ``None`` where there is nothing to rank."""

    def to_dict(self) -> dict[str, object]:
        """The figures as JSON types."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvaluation:
    """A platform against recorded measurements of networks that it never saw."""

    platform: str
    device: str
    networks: tuple[NetworkScore, ...]
    """At least one."""
    failed: tuple[tuple[str, str], ...]
    """Networks that were not measured or cannot be predicted, and why; left out of the figures."""

    def groups(self) -> tuple[str, ...]:
        """The groups, in the order of their first networks."""
        return tuple(dict.fromkeys(item.group for item in self.networks))

    def of(self, group: str | None) -> tuple[NetworkScore, ...]:
        """The networks of one group; of all for ``None``."""
        return tuple(item for item in self.networks if group is None or item.group == group)

    def figures(
        self, group: str | None = None, *, model: str = "mixed", way: str = "learned"
    ) -> Figures | None:
        """How good one way to predict is; ``None`` where nothing is known of it.

        Parameters
        ----------
        group
            Of the suite; ``None``: all networks.
        model
            The layer model, for the ways ``learned``, ``oracle`` and ``energy``.
        way
            ``learned``: with the predicted mapping. ``oracle``: with the device's own. ``lookup``: the sum of
            its kernels timed alone. ``repeat``: the measurement against itself. ``energy``: ``learned``
            in joules.

        Raises
        ------
        UsageError
            For another way.
        """
        pairs = [pair for item in self.of(group) if (pair := _pair(item, model, way)) is not None]
        if not pairs:
            return None
        measured, predicted = (np.array(side) for side in zip(*pairs, strict=True))
        found = accuracy(measured, predicted)
        return Figures(
            networks=len(pairs),
            mape=found.mape,
            bias=found.bias,
            worst=float(np.abs(predicted / measured - 1.0).max()),
            within_10_percent=found.within_10_percent,
            spearman=found.spearman,
        )

    def interval_score(self, group: str | None = None, *, model: str = "mixed") -> IntervalScore | None:
        """How good the intervals are, with the predicted mapping; ``None`` where there are none."""
        rows = [
            (item.measured_s, item.predicted_s[model], *item.intervals_s[model])
            for item in self.of(group)
            if model in item.intervals_s
        ]
        return score_intervals(*zip(*rows, strict=True)) if rows else None

    def kernel_coverage(self, group: str | None = None) -> float | None:
        """Share of the executed kernels in the intervals of the ``mixed`` model; ``None`` without any."""
        known = [
            (kernel.interval_s, kernel.measured_s)
            for item in self.of(group)
            for kernel in item.kernels
            if kernel.interval_s is not None and kernel.measured_s > 0
        ]
        inside = sum(ends[0] <= seconds <= ends[1] for ends, seconds in known)
        return inside / len(known) if known else None

    def mapping(self, group: str | None = None) -> dict[str, object]:
        """How well whole networks are mapped: kernels predicted exactly, and those that do not exist."""
        known = [item for item in self.of(group) if item.measured_kernels is not None]
        measured = sum(item.measured_kernels or 0 for item in known)
        exact = sum(item.exact_kernels or 0 for item in known)
        return {
            "networks": len(known),
            "networks_exact": sum(
                item.exact_kernels == item.measured_kernels == item.predicted_kernels for item in known
            ),
            "measured_kernels": measured,
            "exact_kernels": exact,
            "surplus_kernels": sum(item.predicted_kernels - (item.exact_kernels or 0) for item in known),
            "accuracy": exact / measured if measured else None,
        }

    def to_dict(self) -> dict[str, object]:
        """The evaluation as JSON types; seconds and joules everywhere, errors as fractions."""
        return {
            "platform": self.platform,
            "device": self.device,
            "groups": {group: self._group(group) for group in self.groups()},
            "networks": [item.to_dict() for item in self.networks],
            "failed": [{"name": name, "error": error} for name, error in self.failed],
        }

    def _group(self, group: str) -> dict[str, object]:
        ways: dict[str, object] = {}
        for way in ("learned", "oracle", "energy"):
            found = {model: self.figures(group, model=model, way=way) for model in MODEL_NAMES}
            ways[way] = {model: value.to_dict() for model, value in found.items() if value is not None}
        for way in ("lookup", "repeat"):
            figures = self.figures(group, way=way)
            ways[way] = None if figures is None else figures.to_dict()
        scores = {model: self.interval_score(group, model=model) for model in MODEL_NAMES}
        ways["intervals"] = {model: item.to_dict() for model, item in scores.items() if item is not None}
        ways["kernel_coverage"] = self.kernel_coverage(group)
        return {"mapping": self.mapping(group), **ways}

    def to_frame(self) -> pandas.DataFrame:
        """One row a network: name, group, measured, predictions by the four models, error of ``mixed``."""
        import pandas

        rows = [
            {
                "name": item.name, "group": item.group, "measured_s": item.measured_s,
                **{f"{model}_s": item.predicted_s[model] for model in MODEL_NAMES},
                "error": item.predicted_s["mixed"] / item.measured_s - 1.0,
                "oracle_s": item.oracle_s.get("mixed"), "lookup_s": item.lookup_s,
                "spread_fraction": item.spread_fraction, "kernels": item.measured_kernels,
                "exact_kernels": item.exact_kernels,
            }
            for item in self.networks
        ]  # fmt: skip
        return pandas.DataFrame(rows)

    def kernel_frame(self) -> pandas.DataFrame:
        """One row an executed kernel: network, group, family, unit, measured and predicted seconds."""
        import pandas

        rows = [
            {
                "network": item.name, "group": item.group, "kernel": kernel.name, "family": kernel.family,
                "unit": kernel.unit, "measured_s": kernel.measured_s, "predicted_s": kernel.predicted_s,
            }
            for item in self.networks
            for kernel in item.kernels
        ]  # fmt: skip
        columns = ["network", "group", "kernel", "family", "unit", "measured_s", "predicted_s"]
        return pandas.DataFrame(rows, columns=columns)


def _pair(item: NetworkScore, model: str, way: str) -> tuple[float, float] | None:
    if way == "repeat":
        return item.halves_s
    if way == "energy":
        joules = item.predicted_j.get(model)
        return None if joules is None or item.measured_j is None else (item.measured_j, joules)
    if way in ("learned", "oracle"):
        seconds = (item.predicted_s if way == "learned" else item.oracle_s).get(model)
    elif way == "lookup":
        seconds = item.lookup_s
    else:
        raise UsageError(f"way {way!r}: not known, expected learned, oracle, lookup, repeat or energy")
    return None if seconds is None else (item.measured_s, seconds)


def score_records(
    platform: Platform,
    records: Iterable[Record],
    *,
    repeats: Repeats | None = None,
) -> RecordedEvaluation:
    """Predict every recorded network with every layer model and compare.

    Parameters
    ----------
    platform : Platform
        What predicts.
    records : iterable of Record
        Networks and what the device answered, of a store of their own; a task's group is the suite's.
    repeats : Repeats, optional
        What was measured beside: each network again, and its kernels one by one.

    Raises
    ------
    UsageError
        If no network can be scored; the message gives the first reason.
    """
    known = repeats or Repeats()
    scores: list[NetworkScore] = []
    failed: list[tuple[str, str]] = []
    devices: list[str] = []
    for record in records:
        network, measurement = record.task.network, record.measurement
        devices.append(measurement.device.name)
        try:
            score = _score(platform, record, known)
        except AnnetteError as err:
            failed.append((network.name, measurement.error or f"cannot be predicted: {err}"))
        else:
            scores.append(score)
    if not scores:
        reason = f"; {failed[0][0]}: {failed[0][1]}" if failed else ""
        raise UsageError(f"evaluation: found no network to score, expected at least one{reason}")
    return RecordedEvaluation(
        platform=platform.name, device=devices[0], networks=tuple(scores), failed=tuple(failed)
    )


def _score(platform: Platform, record: Record, known: Repeats) -> NetworkScore:
    network, measurement = record.task.network, record.measurement
    lookup_fraction = known.lookup_fractions.get(network.id)
    measured_s, mapping = measurement.latency_s, measurement.mapping
    if measured_s <= 0:
        raise UsageError("measured as 0 s, expected seconds > 0")
    learned = platform.mapping_model.predict(network)
    predicted = platform.estimate_models(network, mapping=learned)
    oracle = {} if mapping is None else platform.estimate_models(network, mapping=mapping)
    kernels: tuple[KernelScore, ...] = ()
    if mapping is not None:
        kernels = tuple(
            KernelScore(
                name=item.name,
                family=item.family,
                unit=item.unit,
                measured_s=seen.latency_s,
                predicted_s=item.latency_s,
                interval_s=None if item.interval is None else (item.interval.low_s, item.interval.high_s),
            )
            for item, seen in zip(oracle["mixed"].kernels, measurement.kernels or (), strict=True)
        )
    return NetworkScore(
        name=network.name,
        group=record.task.group,
        measured_s=measured_s,
        spread_fraction=measurement.spread_fraction,
        halves_s=known.halves_s.get(record.task.id),
        predicted_s={model: item.latency_s for model, item in predicted.items()},
        oracle_s={model: item.latency_s for model, item in oracle.items()},
        lookup_s=None if lookup_fraction is None else lookup_fraction * measured_s,
        measured_kernels=None if mapping is None else len(mapping.kernels),
        exact_kernels=None if mapping is None else sum(exact_kernels(mapping, learned)),
        predicted_kernels=len(learned.kernels),
        kernels=kernels,
        measured_j=measurement.energy_j or None,
        predicted_j={model: item.energy_j for model, item in predicted.items() if item.energy_j},
        intervals_s={
            model: (item.interval.low_s, item.interval.high_s)
            for model, item in predicted.items()
            if item.interval is not None
        },
    )
