"""What is compared: the kernels of an estimate or of a measurement, from wherever they come, in one form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annette.errors import UsageError
from annette.estimation.estimate import Estimate
from annette.graph.families import layer_family
from annette.graph.network import Layer, Network
from annette.measurement import Measurement
from annette.store.strict_json import shorten

__all__ = [
    "Side",
    "SideKernel",
    "Word",
    "is_answer",
    "side_from_document",
    "side_of_estimate",
    "side_of_measurement",
]

_MOST_KERNELS = 20_000
"""Of a document; more than any network has."""
_MOST_S = 1e9
"""Of a document; thirty years."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a layer is, as far as two networks can be laid side by side by it."""

    operator: str
    """The layer's operator; of a kernel whose layers are not known its family."""
    shape: str = ""
    """Shapes of what it writes and of its weights; empty: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideKernel:
    """One kernel of one side."""

    name: str
    family: str
    """Family of the primary layer, or ``move``."""
    unit: str
    latency_s: float
    """Seconds; >= 0."""
    bound: str | None
    """What limits it; ``None``: not known."""
    layers: tuple[str, ...]
    """Names of its layers; none for a move."""
    words: tuple[Word, ...]
    """One a layer where the network is known; else, and for a move, one of the whole kernel."""

    @property
    def primary(self) -> int:
        """Which of `layers` is its primary one, whose name its own begins with; 0 without layers."""
        if len(self.layers) < 2:
            return 0
        fits = [(len(name), -place) for place, name in enumerate(self.layers) if self.name.startswith(name)]
        return -max(fits)[1] if fits else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two things that are compared."""

    kind: str
    """``estimate`` or ``measurement``."""
    network: str
    place: str
    """The platform that estimated, or the device that was measured."""
    latency_s: float
    """Seconds from end to end; >= 0."""
    kernels: tuple[SideKernel, ...] | None
    """In order of execution; ``None``: the device does not tell its kernels."""
    eliminated_layers: tuple[str, ...] = field(default=(), repr=False)
    """Names of the layers that vanish there."""
    knows_layers: bool = False
    """Whether `SideKernel.words` are of layers."""
    interval_s: tuple[float, float] | None = None
    """Ends of the 90 % interval of an estimate; ``None``: not known."""
    spread_fraction: float | None = None
    """How much visits of a measurement differ, (median - least) / least; ``None``: one, or not known."""
    repeats_s: tuple[float, float] | None = None
    """What a measurement takes when it is repeated, least and most: of several visits the latency less and
    plus the spread, of one visit what its runs took. ``None``: one run, or not known."""
    verdict: str | None = None
    """Level of an estimate's verdict; ``None`` for a measurement, and where it is not known."""

    @property
    def name(self) -> str:
        """Network and place, for people."""
        return f"{self.network} on {self.place}"

    @property
    def kernels_s(self) -> float:
        """Seconds of all kernels together; 0 where they are not known."""
        return math.fsum(item.latency_s for item in self.kernels or ())

    def to_dict(self) -> dict[str, object]:
        """The side as JSON types, without its kernels."""
        return {
            "kind": self.kind,
            "network": self.network,
            "on": self.place,
            "latency_s": self.latency_s,
            "interval_s": None if self.interval_s is None else list(self.interval_s),
            "spread_fraction": self.spread_fraction,
            "repeats_s": None if self.repeats_s is None else list(self.repeats_s),
            "verdict": self.verdict,
            "kernels": None if self.kernels is None else len(self.kernels),
            "kernels_s": None if self.kernels is None else self.kernels_s,
        }


def side_of_estimate(estimate: Estimate, network: Network | None = None) -> Side:
    """The side that an estimate is.

    Parameters
    ----------
    estimate : Estimate
        Of any network.
    network : Network, optional
        What was estimated; with it kernels of unlike networks are laid side by side by their layers.

    Examples
    --------
    >>> import annette
    >>> side = side_of_estimate(annette.load("zcu102-dpu").estimate("zoo:lenet5"))
    >>> side.name, side.verdict
    ('lenet5 on zcu102-dpu', 'solid')
    """
    interval = estimate.interval
    return Side(
        kind="estimate",
        network=estimate.network,
        place=estimate.platform,
        latency_s=estimate.latency_s,
        kernels=tuple(
            SideKernel(
                name=item.name,
                family=item.family,
                unit=item.unit,
                latency_s=item.latency_s,
                bound=item.bound,
                layers=item.layers,
                words=_words(network, item.family, item.unit, item.layers, f"{item.ops} {item.memory_bytes}"),
            )
            for item in estimate.kernels
        ),
        eliminated_layers=estimate.eliminated_layers,
        knows_layers=network is not None,
        interval_s=None if interval is None else (interval.low_s, interval.high_s),
        verdict=estimate.verdict.level,
    )


def side_of_measurement(measurement: Measurement, network: Network) -> Side:
    """The side that a measurement of ``network`` is.

    Raises
    ------
    MeasurementError
        If it failed.
    """
    kernels = None
    if measurement.kernels is not None:
        kernels = []
        for item in measurement.kernels:
            kernel = item.kernel
            family = "move" if kernel.is_move else layer_family(network, network.layer(kernel.primary))
            kernels.append(
                SideKernel(
                    name=kernel.name,
                    family=family,
                    unit=kernel.unit,
                    latency_s=item.latency_s,
                    bound=item.bound,
                    layers=kernel.layers,
                    words=_words(network, family, kernel.unit, kernel.layers, ""),
                )
            )
    return Side(
        kind="measurement",
        network=network.name,
        place=measurement.device.name,
        latency_s=measurement.latency_s,
        kernels=None if kernels is None else tuple(kernels),
        eliminated_layers=measurement.eliminated_layers,
        knows_layers=True,
        spread_fraction=measurement.spread_fraction,
        repeats_s=_repeats_s(measurement.latency_s, measurement.spread_fraction, measurement.values_s or ()),
    )


def _repeats_s(
    latency_s: float, spread_fraction: float | None, values_s: Sequence[float]
) -> tuple[float, float] | None:
    """As `Side.repeats_s`; ``spread_fraction`` is of visits, ``values_s`` of the runs of one."""
    if spread_fraction is not None:
        return max(0.0, latency_s * (1 - spread_fraction)), latency_s * (1 + spread_fraction)
    return (min(values_s), max(values_s)) if len(values_s) > 1 else None


def _words(
    network: Network | None, family: str, unit: str, layers: Sequence[str], shape: str
) -> tuple[Word, ...]:
    if not layers:
        return (Word(f"{family} {unit}", "" if network is not None else shape),)
    if network is None:
        return (Word(family, shape),)
    return tuple(_layer_word(network, network.layer(name)) for name in layers)


def _layer_word(network: Network, layer: Layer) -> Word:
    written = [network.tensors[name].shape for name in layer.outputs if name]
    weights = [network.tensors[name].shape for name in layer.inputs if name in network.weights]
    return Word(layer.op_type, " ".join("x".join(map(str, shape)) for shape in (*written, *weights)))


# Documents that nobody vouches for -----------------------------------------------------------------


def is_answer(document: object) -> bool:
    """Whether a JSON document looks like what ``annette measure`` or ``annette estimate`` prints."""
    return isinstance(document, dict) and "latency_s" in document and "kernels" in document


def side_from_document(document: Mapping[str, Any], where: str) -> Side:
    """The side that ``annette measure`` or ``annette estimate`` printed with ``--format json``.

    Parameters
    ----------
    document : mapping
        Any JSON object.
    where : str
        The file's name, for messages.

    Raises
    ------
    UsageError
        If a field is missing or wrong; the message names it.

    Examples
    --------
    >>> document = {"network": "net", "device": "npu", "latency_s": 0.1, "kernels": []}
    >>> side_from_document(document, "a.json").name
    'net on npu'
    >>> side_from_document({**document, "latency_s": "x"}, "a.json")
    Traceback (most recent call last):
    ...
    annette.errors.UsageError: a.json: latency_s: found 'x', expected seconds from 0 to 1e+09
    """
    if not is_answer(document):
        raise UsageError(
            f"{where}: found no kernels in it; expected what annette measure or annette estimate prints "
            "with --format json"
        )
    is_estimate = "platform" in document
    kernels = _list(document["kernels"], f"{where}: kernels")
    latency_s = _seconds(document["latency_s"], f"{where}: latency_s")
    gone = _names(document.get("eliminated_layers", []), f"{where}: eliminated_layers")
    if len(kernels) > _MOST_KERNELS:
        raise UsageError(f"{where}: {len(kernels)} kernels, expected at most {_MOST_KERNELS}")
    spread = _spread(document, f"{where}: stability: spread_fraction")
    runs = document.get("values_s")
    runs_s = [] if runs is None else _list(runs, f"{where}: values_s")
    verdict = document.get("verdict")
    level = verdict.get("level") if isinstance(verdict, Mapping) else None
    known = tuple(_kernel(item, f"{where}: kernels[{place}]") for place, item in enumerate(kernels))
    is_untold = not is_estimate and not known and not gone and latency_s > 0
    return Side(
        kind="estimate" if is_estimate else "measurement",
        network=_text(document.get("network"), f"{where}: network"),
        place=_text(document.get("platform" if is_estimate else "device"), f"{where}: device"),
        latency_s=latency_s,
        kernels=None if is_untold else known,
        eliminated_layers=gone,
        interval_s=_interval(document.get("interval_s"), f"{where}: interval_s"),
        spread_fraction=spread,
        repeats_s=_repeats_s(latency_s, spread, [_seconds(item, f"{where}: values_s") for item in runs_s]),
        verdict=None if level is None else _text(level, f"{where}: verdict: level"),
    )


def _spread(document: Mapping[str, Any], where: str) -> float | None:
    """The spread of a measurement's visits; ``None``: there was one, whose runs differ by what is said."""
    stability = document.get("stability")
    if not isinstance(stability, Mapping) or stability.get("spread_fraction") is None:
        return None
    visits = document.get("visits")
    is_known = stability.get("visits_known", isinstance(visits, list) and len(visits) > 1)
    return _seconds(stability["spread_fraction"], where) if is_known is True else None


def _kernel(value: object, where: str) -> SideKernel:
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: found {type(value).__name__}, expected a kernel")
    family, unit = (_text(value.get(name), f"{where}: {name}") for name in ("family", "unit"))
    layers = _names(value.get("layers", []), f"{where}: layers")
    sizes = [value.get(name) for name in ("ops", "memory_bytes")]
    shape = " ".join(str(size) for size in sizes) if all(isinstance(size, int) for size in sizes) else ""
    bound = value.get("bound")
    return SideKernel(
        name=_text(value.get("name"), f"{where}: name"),
        family=family,
        unit=unit,
        latency_s=_seconds(value.get("latency_s"), f"{where}: latency_s"),
        bound=None if bound is None else _text(bound, f"{where}: bound"),
        layers=layers,
        words=_words(None, family, unit, layers, shape),
    )


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: found {shorten(repr(value), 40)}, expected text")
    return value


def _seconds(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_S:
        raise UsageError(f"{where}: found {shorten(repr(value), 40)}, expected seconds from 0 to {_MOST_S:g}")
    return float(value)


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise UsageError(f"{where}: found {type(value).__name__}, expected a list")
    return value


def _names(value: object, where: str) -> tuple[str, ...]:
    return tuple(_text(item, where) for item in _list(value, where))


def _interval(value: object, where: str) -> tuple[float, float] | None:
    if value is None:
        return None
    ends = [_seconds(item, where) for item in _list(value, where)]
    if len(ends) != 2 or ends[0] > ends[1]:
        raise UsageError(f"{where}: found {shorten(ends, 40)}, expected a lower and an upper end")
    return ends[0], ends[1]
