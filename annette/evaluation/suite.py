"""Evaluates a platform on networks that it never saw: predicted against measured, for every layer model."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from annette.backends.protocol import Backend
from annette.backends.registry import open_device
from annette.benchmark.campaign import check_jobs
from annette.errors import MeasurementError, UsageError
from annette.estimation.platform import Platform
from annette.evaluation.comparison import FailedNetwork, NetworkResult
from annette.evaluation.interval_score import IntervalScore, score_intervals
from annette.evaluation.metrics import Accuracy, accuracy
from annette.evaluation.predictions import PredictionTable
from annette.evaluation.ranking import Ranking
from annette.evaluation.stream import OnProgress, iterate_results
from annette.graph.network import Network
from annette.hardware.codec import is_preset
from annette.models.layer_models import MODEL_NAMES
from annette.models.trained_networks import was_suggested_for
from annette.store.identity import device_difference
from annette.zoo.suites import SuiteMember, is_sampled, iterate_members

__all__ = ["EVALUATION_SCHEMA_VERSION", "Evaluation", "evaluate_suite"]

EVALUATION_SCHEMA_VERSION = 1
"""Version of `Evaluation.to_dict`."""

_GIVEN = "given networks"
_NOT_UNSEEN = (
    "kernels that the platform was trained on were suggested for this network (annette suggest), so it is no "
    "longer unseen"
)
_LOG = logging.getLogger(__name__)


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

    def table(self) -> PredictionTable:
        """The latencies as columns, with the multiply-accumulates as the quality of a network."""
        predicted_s = [dict(item.predicted_s) for item in self.networks]
        return PredictionTable(
            names=tuple(item.name for item in self.networks),
            groups=tuple(item.group for item in self.networks),
            identities=tuple(item.network_id for item in self.networks),
            measured_s=np.array([item.measured_s for item in self.networks]),
            predicted_s={model: np.array([item[model] for item in predicted_s]) for model in MODEL_NAMES},
            quality=np.array([item.macs for item in self.networks], dtype=np.float64),
            quality_name="macs",
        )

    def accuracy(self, model: str) -> Accuracy:
        """The figures of merit of one layer model over the networks."""
        return self.table().accuracy(model)

    def ranking(self, model: str) -> Ranking | None:
        """What choosing by one layer model would give; ``None`` of too few networks."""
        return self.table().ranking(model)

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
        compared = sum(item.compared_kernels for item in self.networks)
        if not compared:
            return None
        return sum(dict(item.kernel_error_sums).get(model, 0.0) for item in self.networks) / compared

    def interval_score(self, model: str, group: str | None = None) -> IntervalScore | None:
        """How good the intervals of one layer model are; ``None`` where the platform knows of none.

        Of the networks of one suite, or of all for ``None``.
        """
        rows = [
            (item.measured_s, dict(item.predicted_s)[model], low, high)
            for item in self.networks
            for name, low, high in item.intervals_s
            if name == model and group in (None, item.group)
        ]
        return score_intervals(*zip(*rows, strict=True)) if rows else None

    def kernel_coverage(self, model: str) -> float | None:
        """Share of the exactly predicted kernels that lie in their intervals; ``None`` without any."""
        known = [item for item in self.networks if model in dict(item.covered_kernels)]
        compared = sum(item.compared_kernels for item in known)
        covered = sum(dict(item.covered_kernels)[model] for item in known)
        return covered / compared if compared else None

    def to_dict(self) -> dict[str, object]:
        """The evaluation as JSON types; seconds and joules everywhere, errors as fractions.

        ``energy`` is ``None`` unless both the device and the platform know it; the ``ranking`` of a model is
        ``None`` of too few networks.
        """
        found = {model: self.energy_accuracy(model) for model in MODEL_NAMES}
        energy = {model: value.to_dict() for model, value in found.items() if value is not None}
        table = self.table()
        models = {
            model: {
                **figures,
                "kernel_mape": self.kernel_mape(model),
                "interval": self._interval(model),
                "kernel_coverage": self.kernel_coverage(model),
            }
            for model, figures in table.models_to_dict().items()
        }
        groups = table.groups_to_dict()
        for group, part in groups.items():
            part["intervals"] = {model: self._interval(model, group) for model in models}
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
            "groups": groups,
            "energy": {"models": energy} if energy else None,
            "networks": [item.to_dict() for item in self.networks],
            "failed": [{"name": item.name, "error": item.error} for item in self.failed],
        }

    def _interval(self, model: str, group: str | None = None) -> dict[str, object] | None:
        score = self.interval_score(model, group)
        return None if score is None else score.to_dict()


def evaluate_suite(
    platform: Platform,
    suite: str | Sequence[str | Network],
    *,
    device: str | Backend | None = None,
    seed: int = 0,
    sample_seed: int | None = None,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Measure the networks of a suite on a device and predict them with every layer model.

    Networks are built, measured, predicted and forgotten part by part, so that a suite may be large. A device
    that wants several visits of a network gets them in rounds over all networks, which are all kept then.

    Parameters
    ----------
    platform : Platform
        What predicts.
    suite : str or sequence of str or Network
        A suite's name, or several names, or networks.
    device : str or Backend, optional
        What measures: a backend or a device's name; by default the simulated accelerator that the platform
        was trained on.
    seed : int
        Seed of the device's noise; each network has its own from it.
    sample_seed : int, optional
        Draws other networks for suites that are random samples; by default the recorded ones.
    jobs : int
        Processes to work with; 1 for a device that times one network at a time.
    on_progress : callable, optional
        Called with the visits done and to do.

    Raises
    ------
    UsageError
        For an unknown suite or device, without networks, with too many jobs, or without ``device`` for a
        platform of a real one.
    MeasurementError
        If no network could be measured, or micro-kernels were suggested for each; the message gives the first
        reason. (Such networks are left out, and are among those that failed.)
    """
    members = _members(suite, sample_seed)
    backend = _open(platform, device)
    check_jobs(jobs, backend.info)
    results: list[NetworkResult] = []
    failed: list[FailedNetwork] = []
    found = iterate_results(platform, backend, members, seed=seed, jobs=jobs, on_progress=on_progress)
    for result in found:
        if isinstance(result, FailedNetwork):
            failed.append(result)
        elif was_suggested_for(platform.metrics, result.network_id):
            failed.append(FailedNetwork(name=result.name, error=_NOT_UNSEEN))
        else:
            results.append(result)
    if not results:
        raise MeasurementError(f"evaluation: no network is left; {failed[0].name}: {failed[0].error}")
    return Evaluation(
        platform=platform.name,
        suite=", ".join(dict.fromkeys(member.suite for member in members)),
        device=backend.info.name,
        seed=seed,
        networks=tuple(results),
        failed=tuple(failed),
    )


def _members(suite: str | Sequence[str | Network], sample_seed: int | None) -> list[SuiteMember]:
    """What there is to evaluate, the networks of named suites not built yet."""
    members: list[SuiteMember] = []
    for item in (suite,) if isinstance(suite, str) else suite:
        if isinstance(item, str):
            members.extend(iterate_members(item, seed=sample_seed if is_sampled(item) else None))
        else:
            members.append(SuiteMember(suite=_GIVEN, name=item.name, build=partial(_same, item)))
    if not members:
        raise UsageError("evaluation: no networks, expected at least one")
    return members


def _same(network: Network) -> Network:
    return network


def _open(platform: Platform, device: str | Backend | None) -> Backend:
    """The device to measure on; says so in the log if it is not the one that the platform was trained on."""
    if device is None:
        device = _own_device(platform)
    backend = open_device(device) if isinstance(device, str) else device
    if backend.info != platform.device:
        _LOG.warning(
            "platform %r was trained on %s, not on %s as it is now: differs in %s",
            platform.name,
            platform.device.name,
            backend.info.name,
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
