"""Why an estimate is off: the network is measured, and the error told apart in words and numbers."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike

from annette.backends.protocol import Backend
from annette.benchmark.campaign import measure_visits
from annette.errors import MeasurementError
from annette.estimation.estimate import Estimate
from annette.estimation.platform import Platform
from annette.evaluation.advice import advise
from annette.evaluation.difference import Comparison, compare
from annette.evaluation.drift import UNKNOWN_DRIFT, Drift, find_drift
from annette.evaluation.error_parts import ErrorPart, split_error
from annette.evaluation.error_words import describe
from annette.evaluation.sides import side_of_estimate, side_of_measurement
from annette.graph.network import Network
from annette.measurement import Measurement
from annette.models.mapping_model import exact_kernels
from annette.store.identity import device_difference
from annette.store.visits import Stability, check_stability, combine_visits

__all__ = ["DIAGNOSIS_SCHEMA_VERSION", "Diagnosis", "diagnose", "diagnose_on"]

DIAGNOSIS_SCHEMA_VERSION = 1
"""Version of `Diagnosis.to_dict`."""

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """An estimate against a measurement of the same network, and where they part."""

    estimate: Estimate
    """With the predicted mapping."""
    measurement: Measurement
    parts: tuple[ErrorPart, ...]
    """What the error consists of, the largest first; they add up to `error_s`."""
    comparison: Comparison
    """The measurement (A) against the estimate (B), kernel by kernel."""
    exact_kernels: int | None
    """Executed kernels that were predicted exactly; ``None``: the device does not tell its kernels."""
    drift: Drift
    """How the device has changed since its campaign."""
    device_difference: str
    """How the measured device differs from the platform's, in words; empty: not at all."""
    knows_overhead: bool
    """Whether the platform learned what networks take beyond their kernels."""

    @property
    def error_s(self) -> float:
        """Seconds, predicted less measured."""
        return self.estimate.latency_s - self.measurement.latency_s

    @property
    def error_fraction(self) -> float:
        """The same over the measured latency."""
        return self.error_s / self.measurement.latency_s

    @cached_property
    def stability(self) -> Stability:
        """How well the measurement repeats."""
        return check_stability(self.measurement)

    @property
    def summary(self) -> tuple[str, ...]:
        """What was found, in sentences."""
        return describe(self)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do, in sentences, the most useful first."""
        return advise(self)

    def to_dict(self) -> dict[str, object]:
        """The diagnosis as JSON types; seconds everywhere, errors as fractions of the measured latency."""
        kernels = self.measurement.kernels
        interval = self.estimate.interval
        return {
            "schema_version": DIAGNOSIS_SCHEMA_VERSION,
            "network": self.estimate.network,
            "platform": self.estimate.platform,
            "device": self.measurement.device.name,
            "model": self.estimate.model,
            "predicted_s": self.estimate.latency_s,
            "interval_s": None if interval is None else interval.to_list(),
            "measured_s": self.measurement.latency_s,
            "error_s": self.error_s,
            "error_fraction": self.error_fraction,
            "parts": [
                {**part.to_dict(), "share": part.error_s / self.error_s if self.error_s else None}
                for part in self.parts
            ],
            "measured_kernels": None if kernels is None else len(kernels),
            "predicted_kernels": len(self.estimate.kernels),
            "exact_kernels": self.exact_kernels,
            "stability": {
                "verdict": self.stability.verdict,
                "spread_fraction": self.stability.spread_fraction,
                "text": self.stability.text,
            },
            "drift": self.drift.to_dict(),
            "device_difference": self.device_difference,
            "summary": list(self.summary),
            "advice": list(self.advice),
            "comparison": self.comparison.to_dict(),
        }


def diagnose(
    network: Network,
    platform: Platform,
    measurement: Measurement,
    *,
    model: str = "mixed",
    drift: Drift | None = None,
) -> Diagnosis:
    """Where the estimate of ``network`` parts from its measurement.

    The network is estimated twice: with the mapping that the platform predicts and with the one that the
    device reported. What these differ by is the mapping's part of the error; see `split_error` for the rest.

    Parameters
    ----------
    network : Network
        Any.
    platform : Platform
        What estimates.
    measurement : Measurement
        Of that network; visits combined.
    model : str
        One of `MODEL_NAMES`.
    drift : Drift, optional
        As `find_drift` finds it; by default it counts as not known.

    Raises
    ------
    MeasurementError
        If the measurement failed, is of another network, or 0 s.
    UsageError
        For an unknown model.

    Examples
    --------
    >>> import annette
    >>> from annette.backends.registry import open_device
    >>> from annette.zoo.registry import zoo_network
    >>> network = zoo_network("resnet18")
    >>> measured = open_device("zcu102-dpu").measure(network)
    >>> found = diagnose(network, annette.load("zcu102-dpu"), measured)
    >>> error_s = sum(part.error_s for part in found.parts)
    >>> abs(found.error_fraction) < 0.2, abs(error_s - found.error_s) < 1e-12
    (True, True)
    """
    if measurement.network_id != network.id:
        raise MeasurementError(f"the measurement is of another network than {network.name!r}")
    if measurement.latency_s <= 0:
        raise MeasurementError(f"{network.name} was measured as 0 s, expected seconds > 0")
    known = drift or UNKNOWN_DRIFT
    estimate, mapping = platform.estimate(network, model=model), measurement.mapping
    oracles = {} if mapping is None else platform.estimate_models(network, mapping=mapping)
    exact = None if mapping is None else sum(exact_kernels(mapping, platform.mapping_model.predict(network)))
    return Diagnosis(
        estimate=estimate,
        measurement=measurement,
        parts=split_error(estimate, measurement, oracles=oracles, drift_factor=known.factor),
        comparison=compare(side_of_measurement(measurement, network), side_of_estimate(estimate, network)),
        exact_kernels=exact,
        drift=known,
        device_difference=device_difference(
            *(replace(item, description="", visits=1) for item in (platform.device, measurement.device))
        ),
        knows_overhead=estimate.overhead_s is not None,
    )


def diagnose_on(
    network: Network,
    platform: Platform,
    backend: Backend,
    *,
    store: str | PathLike[str] | None = None,
    model: str = "mixed",
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Diagnosis:
    """Measure ``network`` on a device and tell where its estimate parts from that; `diagnose` says more.

    Parameters
    ----------
    backend : Backend
        The device.
    store : path, optional
        The campaign that the platform was trained on: tells how the device has changed since.
    seed : int
        Seed of the noise of a simulated device.
    on_progress : callable, optional
        Called with the visits done and to do.

    Raises
    ------
    MeasurementError
        If the network cannot be measured.
    StoreError
        If the store cannot be read.
    """
    visits = measure_visits(backend, network, seed, on_progress)
    references = [item.conditions["reference_s"] for item in visits if "reference_s" in item.conditions]
    reference_s = statistics.median(references) if references else None
    measurement = combine_visits(visits, reference_s=reference_s)
    if measurement.error is not None:
        raise MeasurementError(f"{network.name} on {backend.info.name}: {measurement.error}")
    drift = find_drift(backend, store, reference_s=reference_s, seed=seed, on_progress=on_progress)
    return diagnose(network, platform, measurement, model=model, drift=drift)
