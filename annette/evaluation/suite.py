"""Evaluates a platform on networks that it never saw: predicted against measured, for every layer model."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from annette.backends.protocol import Backend
from annette.backends.registry import open_device
from annette.benchmark.campaign import check_jobs, measure_network, visit_seed
from annette.errors import AnnetteError, MeasurementError, UsageError
from annette.estimation.platform import Platform
from annette.evaluation.metrics import Accuracy, accuracy
from annette.graph.network import Network
from annette.hardware.codec import is_preset
from annette.measurement import Measurement
from annette.models.layer_models import MODEL_NAMES
from annette.models.mapping_model import exact_kernels
from annette.parallel import run_in_order
from annette.store.identity import device_difference
from annette.store.visits import combine_visits
from annette.zoo.suites import suite_networks

__all__ = ["EVALUATION_SCHEMA_VERSION", "Evaluation", "FailedNetwork", "NetworkResult", "evaluate_suite"]

EVALUATION_SCHEMA_VERSION = 1
"""Version of `Evaluation.to_dict`."""

_LOG = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]
"""Called with the visits done and to do: one of each network, or as many as the device wants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkResult:
    """One network: measured, and predicted by each layer model."""

    name: str
    measured_s: float
    """Median seconds over the runs, or the least of the visits; > 0."""
    spread_fraction: float | None
    """(Median - least) / least of the visits; ``None`` for one visit."""
    predicted_s: tuple[tuple[str, float], ...]
    """Seconds by layer model, in the order of `MODEL_NAMES`."""
    measured_kernels: int | None
    """Kernels that the device reported; ``None`` if it reports none."""
    exact_kernels: int | None
    """How many of them were predicted with the same layers on the same unit."""
    predicted_kernels: int
    """Kernels that the mapping model expected; those beyond `exact_kernels` do not exist on the device."""
    kernel_errors: tuple[tuple[str, tuple[float, ...]], ...]
    """By layer model the relative errors of the exactly predicted kernels, predicted / measured - 1."""
    measured_j: float | None = None
    """Joules, > 0; ``None``: the device does not tell."""
    predicted_j: tuple[tuple[str, float], ...] = ()
    """Joules by layer model; none for a platform without energy."""

    def to_dict(self) -> dict[str, object]:
        """The result as JSON types; kernel errors are left to the summary."""
        exact = None
        if self.measured_kernels is not None and self.exact_kernels is not None:
            exact = self.exact_kernels / self.measured_kernels if self.measured_kernels else 1.0
        return {
            "name": self.name,
            "measured_s": self.measured_s,
            "spread_fraction": self.spread_fraction,
            **{f"{model}_s": seconds for model, seconds in self.predicted_s},
            "measured_j": self.measured_j,
            **{f"{model}_j": joules for model, joules in self.predicted_j},
            "measured_kernels": self.measured_kernels,
            "exact_kernels": self.exact_kernels,
            "predicted_kernels": self.predicted_kernels,
            "mapping_accuracy": exact,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedNetwork:
    """A network that could not be measured or predicted, and why; it is left out of the figures."""

    name: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A platform against a device on a set of networks."""

    platform: str
    suite: str
    device: str
    seed: int
    """Seed of the device's noise."""
    networks: tuple[NetworkResult, ...]
    """At least one."""
    failed: tuple[FailedNetwork, ...]

    @property
    def spread_fraction(self) -> float | None:
        """Median over the networks of how much their visits differ; ``None`` if each was visited once."""
        known = [item.spread_fraction for item in self.networks if item.spread_fraction is not None]
        return statistics.median(known) if known else None

    @property
    def mapping_accuracy(self) -> float | None:
        """Share of all measured kernels predicted exactly; ``None`` if the device reports no kernels."""
        measured = sum(item.measured_kernels or 0 for item in self.networks)
        return sum(item.exact_kernels or 0 for item in self.networks) / measured if measured else None

    @property
    def surplus_kernels(self) -> int:
        """Predicted kernels that the device does not have; 0 where it reports no kernels."""
        counted = [item for item in self.networks if item.exact_kernels is not None]
        return sum(item.predicted_kernels - (item.exact_kernels or 0) for item in counted)

    def accuracy(self, model: str) -> Accuracy:
        """The figures of merit of one layer model over the networks."""
        measured_s = [item.measured_s for item in self.networks]
        return accuracy(measured_s, [dict(item.predicted_s)[model] for item in self.networks])

    def energy_accuracy(self, model: str) -> Accuracy | None:
        """The same of energy, over the networks that have it measured and predicted; ``None`` without any."""
        known = [
            (item.measured_j, dict(item.predicted_j)[model])
            for item in self.networks
            if item.measured_j is not None and item.predicted_j
        ]
        return accuracy(*zip(*known, strict=True)) if known else None

    def kernel_mape(self, model: str) -> float | None:
        """Mean absolute relative error over the exactly predicted kernels; ``None`` if there are none."""
        errors = [error for item in self.networks for error in dict(item.kernel_errors).get(model, ())]
        return float(np.abs(errors).mean()) if errors else None

    def to_dict(self) -> dict[str, object]:
        """The evaluation as JSON types; seconds and joules everywhere, errors as fractions.

        ``energy`` is ``None`` unless both the device and the platform know it.
        """
        found = {model: self.energy_accuracy(model) for model in MODEL_NAMES}
        energy = {model: value.to_dict() for model, value in found.items() if value is not None}
        models = {
            model: {**self.accuracy(model).to_dict(), "kernel_mape": self.kernel_mape(model)}
            for model in MODEL_NAMES
        }
        return {
            "schema_version": EVALUATION_SCHEMA_VERSION,
            "platform": self.platform,
            "suite": self.suite,
            "device": self.device,
            "seed": self.seed,
            "spread_fraction": self.spread_fraction,
            "mapping_accuracy": self.mapping_accuracy,
            "surplus_kernels": self.surplus_kernels,
            "models": models,
            "energy": {"models": energy} if energy else None,
            "networks": [item.to_dict() for item in self.networks],
            "failed": [{"name": item.name, "error": item.error} for item in self.failed],
        }


def evaluate_suite(
    platform: Platform,
    suite: str | Sequence[Network],
    *,
    device: str | Backend | None = None,
    seed: int = 0,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Measure the networks of a suite on a device and predict them with every layer model.

    A device that wants several visits of a network gets them in rounds over all networks.

    Parameters
    ----------
    platform : Platform
        What predicts.
    suite : str or sequence of Network
        A suite's name, or networks.
    device : str or Backend, optional
        What measures: a backend or a device's name; by default the simulated accelerator that the platform
        was trained on.
    seed : int
        Seed of the device's noise; each network has its own from it.
    jobs : int
        Processes that measure; 1 for a device that times one network at a time.
    on_progress : callable, optional
        Called with the visits done and to do.

    Raises
    ------
    UsageError
        For an unknown suite or device, without networks, with too many jobs, or without ``device`` for a
        platform of a real one.
    MeasurementError
        If no network could be measured; the message gives the first reason.
    """
    networks = suite_networks(suite) if isinstance(suite, str) else tuple(suite)
    if not networks:
        raise UsageError("evaluation: no networks, expected at least one")
    backend = _open(platform, device)
    results: list[NetworkResult] = []
    failed: list[FailedNetwork] = []
    check_jobs(jobs, backend.info)
    measured = _measure(backend, networks, seed, jobs, on_progress)
    for network, measurement in zip(networks, measured, strict=True):
        result = _compare(platform, network, measurement)
        if isinstance(result, FailedNetwork):
            failed.append(result)
        else:
            results.append(result)
    if not results:
        raise MeasurementError(
            f"evaluation: no network could be measured; {failed[0].name}: {failed[0].error}"
        )
    return Evaluation(
        platform=platform.name,
        suite=suite if isinstance(suite, str) else "given networks",
        device=backend.info.name,
        seed=seed,
        networks=tuple(results),
        failed=tuple(failed),
    )


def _open(platform: Platform, device: str | Backend | None) -> Backend:
    """The device to measure on; says so in the log if it is not the one that the platform was trained on."""
    if device is None:
        device = _own_device(platform)
    backend = open_device(device) if isinstance(device, str) else device
    if backend.info != platform.device:
        _LOG.warning(
            "platform %r was not trained on this device as it is now: differs in %s",
            platform.name,
            device_difference(platform.device, backend.info),
        )
    return backend


def _own_device(platform: Platform) -> str:
    """The name by which the platform's own device can be opened again: only a simulated one's is known."""
    known = platform.device
    if known.backend != "simulator":
        raise UsageError(
            f"platform {platform.name!r} was trained on {known.name!r}, a real device: which "
            "machine and which options to measure with cannot be told from that; name them, as in "
            f"--device {known.backend}"
        )
    if not is_preset(known.name):
        raise UsageError(
            f"platform {platform.name!r} was trained on {known.name!r}, and no simulated accelerator here "
            "has that name; say what to measure on, as in --device simulator:FILE.yaml"
        )
    return f"{known.backend}:{known.name}"


def _measure(
    backend: Backend, networks: Sequence[Network], seed: int, jobs: int, on_progress: OnProgress | None
) -> list[Measurement]:
    """The networks' measurements: as many visits as the device wants, in rounds, combined."""
    visits: list[list[Measurement]] = [[] for _ in networks]
    done, total = 0, backend.info.visits * len(networks)
    for visit in range(backend.info.visits):
        asked = [number for number, found in enumerate(visits) if not found or found[-1].error is None]
        todo = [
            (networks[number], visit_seed(seed * 1_000_003 + number, networks[number], visit))
            for number in asked
        ]
        for number, measurement in zip(asked, _measure_round(backend, todo, jobs), strict=True):
            visits[number].append(measurement)
            done += 1 if measurement.error is None else backend.info.visits - visit  # it is asked no more
            if on_progress is not None:
                on_progress(done, total)
    known = [item.conditions.get("reference_s") for found in visits for item in found]
    references = [item for item in known if item is not None]
    reference_s = statistics.median(references) if references else None
    return [combine_visits(found, reference_s=reference_s) for found in visits]


def _measure_round(backend: Backend, todo: Sequence[tuple[Network, int]], jobs: int) -> Iterator[Measurement]:
    """One visit of each network with its seed, in order; with several jobs in as many processes."""
    return run_in_order(measure_network, [(backend, *item) for item in todo], jobs)


def _compare(platform: Platform, network: Network, measurement: Measurement) -> NetworkResult | FailedNetwork:
    if measurement.error is not None:
        return FailedNetwork(name=network.name, error=measurement.error)
    if measurement.latency_s <= 0:
        return FailedNetwork(name=network.name, error="measured as 0 s, expected seconds > 0")
    try:
        mapping = platform.mapping_model.predict(network)
        estimates = platform.estimate_models(network, mapping=mapping)
    except AnnetteError as err:
        return FailedNetwork(name=network.name, error=f"cannot be predicted: {err}")
    measured = measurement.mapping
    errors: dict[str, tuple[float, ...]] = {}
    exact: int | None = None
    if measured is not None and measurement.kernels is not None:
        flags = exact_kernels(measured, mapping)
        exact = sum(flags)
        measured_s = {
            item.kernel.key: item.latency_s
            for item, flag in zip(measurement.kernels, flags, strict=True)
            if flag and item.latency_s > 0
        }
        for model, estimate in estimates.items():
            pairs = zip(mapping.kernels, estimate.kernels, strict=True)
            known = ((mine.latency_s, measured_s.get(kernel.key)) for kernel, mine in pairs)
            errors[model] = tuple(mine / theirs - 1.0 for mine, theirs in known if theirs is not None)
    return NetworkResult(
        name=network.name,
        measured_s=measurement.latency_s,
        spread_fraction=measurement.spread_fraction,
        predicted_s=tuple((model, estimate.latency_s) for model, estimate in estimates.items()),
        measured_kernels=None if measured is None else len(measured.kernels),
        exact_kernels=exact,
        predicted_kernels=len(mapping.kernels),
        kernel_errors=tuple(errors.items()),
        measured_j=measurement.energy_j or None,
        predicted_j=tuple(
            (model, estimate.energy_j)
            for model, estimate in estimates.items()
            if estimate.energy_j is not None and estimate.energy_j > 0
        ),
    )
