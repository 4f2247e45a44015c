"""The error of an estimate in parts that add up: mapping, families, what lies beyond kernels, drift."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from annette.estimation.estimate import Estimate
from annette.measurement import Measurement

__all__ = ["ErrorPart", "split_error"]

_ROUNDING = 1e-12
"""Of a latency: what is left of adding its kernels in another order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPart:
    """One part of the error of an estimate."""

    kind: str
    """``mapping``, ``family``, ``beyond``, ``drift``, or ``whole`` where the device does not tell its
    kernels."""
    name: str
    """For people; of a family its name."""
    error_s: float
    """Seconds, predicted less measured; > 0: the estimate is too long by it."""
    fraction: float
    """The same over the measured latency; 0.01 is a point of per cent."""
    predicted_s: float | None = None
    """Seconds of the family's kernels, or beyond kernels, predicted with the device's own mapping; ``None``:
    of other parts."""
    measured_s: float | None = None
    """Seconds of the same as measured, without drift where that is known."""
    kernels: int = 0
    """Executed kernels of the family."""
    out_of_range_fraction: float = 0.0
    """Share of the family's predicted time from kernels outside what was measured, in [0, 1]."""
    generic_fraction: float = 0.0
    """Share of it priced by the generic model, in [0, 1]."""
    other_models: Mapping[str, float] = field(default_factory=dict)
    """`fraction` as it were by the other layer models, by name; families only."""

    def to_dict(self) -> dict[str, object]:
        """The part as JSON types."""
        return {
            "kind": self.kind,
            "name": self.name,
            "error_s": self.error_s,
            "fraction": self.fraction,
            "predicted_s": self.predicted_s,
            "measured_s": self.measured_s,
            "kernels": self.kernels,
            "out_of_range_fraction": self.out_of_range_fraction,
            "generic_fraction": self.generic_fraction,
            "other_models": dict(self.other_models),
        }


def split_error(
    predicted: Estimate,
    measurement: Measurement,
    *,
    oracles: Mapping[str, Estimate],
    drift_factor: float | None = None,
) -> tuple[ErrorPart, ...]:
    """The error of ``predicted`` in parts, the largest first; they add up to it.

    Be ``P`` the predicted latency, ``P'`` the one predicted for the mapping that the device has, with ``p_k``
    of its kernels and ``o`` beyond them; be ``M`` and ``m_k`` the same as measured, and ``f`` how much slower
    the device is than in its campaign (1 where that is not known). Then ::

        P - M = (P - P')                                 mapping
              + sum over families of sum (p_k - m_k / f)  layer models
              + o - (M - sum m_k) / f                    beyond the kernels
              + M / f - M                                drift

    Parameters
    ----------
    predicted : Estimate
        With the predicted mapping.
    measurement : Measurement
        Of the same network, > 0.
    oracles : mapping
        Estimates with the device's own mapping by layer model, that of ``predicted`` among them; empty where
        the device does not tell its kernels.
    drift_factor : float, optional
        ``f``; > 0.

    Examples
    --------
    >>> import annette
    >>> from annette.backends.registry import open_device
    >>> from annette.zoo.registry import zoo_network
    >>> platform, network = annette.load("zcu102-dpu"), zoo_network("lenet5")
    >>> measured = open_device("zcu102-dpu").measure(network)
    >>> oracles = platform.estimate_models(network, mapping=measured.mapping)
    >>> estimate = platform.estimate(network)
    >>> parts = split_error(estimate, measured, oracles=oracles)
    >>> error_s = sum(part.error_s for part in parts)
    >>> abs(error_s - (estimate.latency_s - measured.latency_s)) < 1e-15
    True
    """
    measured_s, factor = measurement.latency_s, drift_factor or 1.0
    parts = []
    if drift_factor is not None:
        error_s = measured_s / factor - measured_s
        parts.append(ErrorPart(kind="drift", name="drift", error_s=error_s, fraction=error_s / measured_s))
    oracle = oracles.get(predicted.model)
    if oracle is None or measurement.kernels is None:
        error_s = predicted.latency_s - measured_s / factor
        whole = ErrorPart(
            kind="whole", name="all else, not told apart", error_s=error_s, fraction=error_s / measured_s
        )
        return _ranked([*parts, whole])
    error_s = predicted.latency_s - oracle.latency_s
    parts.append(ErrorPart(kind="mapping", name="mapping", error_s=error_s, fraction=error_s / measured_s))
    kernels_s = [item.latency_s / factor for item in measurement.kernels]
    parts += _families(oracle, kernels_s, measured_s, oracles)
    predicted_s = oracle.latency_s - math.fsum(item.latency_s for item in oracle.kernels)
    if abs(predicted_s) <= _ROUNDING * oracle.latency_s:
        predicted_s = 0.0
    beyond_s = measured_s / factor - math.fsum(kernels_s)
    parts.append(
        ErrorPart(
            kind="beyond",
            name="beyond the kernels",
            error_s=predicted_s - beyond_s,
            fraction=(predicted_s - beyond_s) / measured_s,
            predicted_s=predicted_s,
            measured_s=beyond_s,
        )
    )
    return _ranked(parts)


def _ranked(parts: Sequence[ErrorPart]) -> tuple[ErrorPart, ...]:
    return tuple(sorted(parts, key=lambda part: -abs(part.error_s)))


def _families(
    oracle: Estimate, kernels_s: Sequence[float], measured_s: float, oracles: Mapping[str, Estimate]
) -> list[ErrorPart]:
    """What the layer models err, by family of the kernels that the device executes."""
    places: dict[str, list[int]] = {}
    for place, kernel in enumerate(oracle.kernels):
        places.setdefault(kernel.family, []).append(place)
    found = []
    for family, own in places.items():
        took_s = math.fsum(kernels_s[place] for place in own)
        priced_s = {
            model: math.fsum(estimate.kernels[place].latency_s for place in own)
            for model, estimate in oracles.items()
        }
        kernels = [oracle.kernels[place] for place in own]
        error_s = priced_s[oracle.model] - took_s
        outside_s = math.fsum(item.latency_s for item in kernels if item.is_out_of_range)
        generic_s = math.fsum(item.latency_s for item in kernels if item.is_generic)
        found.append(
            ErrorPart(
                kind="family",
                name=family,
                error_s=error_s,
                fraction=error_s / measured_s,
                predicted_s=priced_s[oracle.model],
                measured_s=took_s,
                kernels=len(own),
                out_of_range_fraction=min(1.0, outside_s / priced_s[oracle.model]),
                generic_fraction=min(1.0, generic_s / priced_s[oracle.model]),
                other_models={
                    model: (seconds - took_s) / measured_s
                    for model, seconds in priced_s.items()
                    if model != oracle.model
                },
            )
        )
    return found
