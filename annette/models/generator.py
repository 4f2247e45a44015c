"""The model generator: a campaign's measurements become a mapping model, layer models and their metrics."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import dataclass

import numpy as np

import annette
from annette.errors import ModelError
from annette.graph.mapping import Mapping
from annette.graph.network import Network
from annette.measurement import DeviceInfo
from annette.models.held_out_networks import drawn_rows, held_out_networks
from annette.models.interval_fit import fit_intervals
from annette.models.interval_whole import WholeNetworks, fit_whole_networks
from annette.models.intervals import Intervals
from annette.models.kernel_table import build_kernel_table
from annette.models.layer_fit import fit_layer_models, fit_with_held_out
from annette.models.layer_models import MODEL_NAMES, LayerModels
from annette.models.mapping_lessons import seen_mappings
from annette.models.mapping_model import MappingModel, exact_kernels, fit_mapping_model
from annette.models.network_overhead import MIN_NETWORKS, NetworkOverhead, fit_overhead, overhead_terms
from annette.models.network_residual import NetworkResidual
from annette.models.residual_fit import ResidualDecision, judge_residual
from annette.models.trained_networks import trained_networks
from annette.models.training import energy_data, training_data
from annette.store.campaign import CampaignStore, Record
from annette.store.codec import device_to_json, measurement_to_json
from annette.store.records import WHOLE_NETWORK

__all__ = [
    "MIN_MEASUREMENTS",
    "PlatformParts",
    "cross_validate_mapping",
    "generate_platform",
    "network_overhead",
]

MIN_MEASUREMENTS = 20
"""Fewer measured networks than this cannot carry a platform."""
MAPPING_FOLDS = 3

OnStage = Callable[[str], None]
"""Called with the name of the stage that starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformParts:
    """What training gives: the models, and what is known of them."""

    name: str
    description: str
    device: DeviceInfo
    mapping_model: MappingModel
    layer_models: LayerModels
    provenance: MappingType[str, object]
    """Versions, plan, store and seed; JSON types."""
    metrics: MappingType[str, object]
    """Cross-validated on the campaign; JSON types."""
    energy_models: LayerModels | None = None
    """``None``: the measurements carry no energy, or too few of them."""
    overhead: NetworkOverhead | NetworkResidual | None = None
    """``None``: no networks' end-to-end times beside their kernels, and blocks that are the sum of theirs."""
    intervals: Intervals | None = None
    """How far off the latencies are."""
    residual_decision: ResidualDecision | None = None
    """Why a residual was kept or not; no part of a platform's files. ``None``: too few blocks to tell, or
    whole networks told."""


def generate_platform(
    store: CampaignStore, *, seed: int = 0, name: str | None = None, on_progress: OnStage | None = None
) -> PlatformParts:
    """Fit all there is to learn about the store's device; the same store and seed give the same models.

    Where kernels were measured with their energy, the same layer models are fitted to that as well.

    Parameters
    ----------
    store : CampaignStore
        Measurements; failed ones are left out and counted.
    seed : int
        Seed of everything random in the fits.
    name : str, optional
        Name of the platform; the device's by default.
    on_progress : callable, optional
        Called with the name of each stage as it starts.

    Raises
    ------
    ModelError
        If there are too few measurements.
    """
    stage = on_progress or _ignore
    stage("reading the measurements")
    records = tuple(store.records())
    measured = [record for record in records if record.measurement.error is None]
    if len(measured) < MIN_MEASUREMENTS:
        raise ModelError(
            f"store {store.path}: {len(measured)} networks measured of {len(records)} tried, expected at "
            f"least {MIN_MEASUREMENTS}; measure more (annette benchmark --store {store.path}) or import more"
        )
    observations, groups = _observations(measured)
    stage("learning the mapping")
    taught, taught_groups = seen_mappings(measured)
    mapping_model = fit_mapping_model(taught, groups=taught_groups)
    stage("cross-validating the mapping")
    predicted = _held_out_mappings(observations, groups)
    stage("fitting the layer models")
    data = training_data(measured, store.device)
    layer_models, held_out = fit_with_held_out(data, seed=seed)
    metrics: dict[str, object] = {
        "planned_networks": store.summary().planned,
        "measured_networks": len(measured),
        "failed_networks": len(records) - len(measured),
        "measured_kernels": len(data),
        "mapping": _score_mappings(observations, predicted),
    }
    energy, energy_models = energy_data(data), None
    if energy is not None:
        n_networks = len(np.unique(energy.table.network_index))
        metrics["energy"] = {"measured_networks": n_networks, "measured_kernels": len(energy)}
        if n_networks >= MIN_MEASUREMENTS:
            stage("fitting the energy models")
            energy_models = fit_layer_models(energy, seed=seed)
    whole = _whole_networks(measured, mapping_model, layer_models, store.device)
    overhead: NetworkOverhead | NetworkResidual | None = None
    if whole is not None and (learned := fit_overhead(whole.terms, whole.measured_s)) is not None:
        overhead = learned
        metrics["overhead"] = {"networks": learned.n_networks, "mape": dict(learned.error)}
    metrics.update(trained_networks(measured))
    networks = held_out_networks(measured, predicted, data, store.device)
    decision = None
    if networks is not None and overhead is None:
        decision, networks = judge_residual(networks, layer_models, held_out, store.device, seed=seed)
        if decision is not None and decision.residual is not None:
            overhead = decision.residual
            metrics["residual"] = decision.to_json()
    stage("calibrating the intervals")
    intervals = fit_intervals(data, layer_models, held_out, networks, drawn=drawn_rows(measured))
    if whole is not None:
        intervals = fit_whole_networks(intervals, layer_models, whole)
    return PlatformParts(
        overhead=overhead,
        intervals=intervals,
        residual_decision=decision,
        name=name or store.device.name,
        description=store.device.description,
        device=store.device,
        mapping_model=mapping_model,
        layer_models=layer_models,
        provenance=_provenance(store, records, seed),
        metrics=metrics,
        energy_models=energy_models,
    )


def _ignore(stage: str) -> None:
    """No one listens."""


def network_overhead(
    records: Iterable[Record], mapping_model: MappingModel, layer_models: LayerModels, device: DeviceInfo
) -> NetworkOverhead | None:
    """What whole networks take beyond their predicted kernels; ``None`` where too few of them were timed.

    Records of anything but whole networks say nothing here and are skipped.
    """
    whole = _whole_networks(records, mapping_model, layer_models, device)
    return None if whole is None else fit_overhead(whole.terms, whole.measured_s)


def _whole_networks(
    records: Iterable[Record], mapping_model: MappingModel, layer_models: LayerModels, device: DeviceInfo
) -> WholeNetworks | None:
    """Networks that were timed from end to end, with their predicted kernels; ``None`` for too few."""
    whole = [record for record in records if record.task.tag(WHOLE_NETWORK) is not None]
    if len(whole) < MIN_NETWORKS:
        return None
    networks = [record.task.network for record in whole]
    table = build_kernel_table([(network, mapping_model.predict(network)) for network in networks], device)
    kernels_s = {model: layer_models.predict_s(table, model) for model in MODEL_NAMES}
    terms = {
        model: overhead_terms(
            table.sums_by_family(latency_s), table.family_names, table.values, table.network_index
        )
        for model, latency_s in kernels_s.items()
    }
    measured_s = np.array([record.measurement.latency_s for record in whole])
    return WholeNetworks(table=table, kernels_s=kernels_s, terms=terms, measured_s=measured_s)


def _observations(records: Iterable[Record]) -> tuple[list[tuple[Network, Mapping]], list[str]]:
    observations, groups = [], []
    for record in records:
        mapping = record.measurement.mapping
        if mapping is not None:
            observations.append((record.task.network, mapping))
            groups.append(record.task.group)
    if not observations:
        raise ModelError(
            "mapping model: the device reports no kernels, so no mapping was seen; use a backend that does"
        )
    return observations, groups


def cross_validate_mapping(
    observations: Sequence[tuple[Network, Mapping]], groups: Sequence[str]
) -> dict[str, object]:
    """How well mappings of held-out groups are predicted by a model fitted on the others.

    Only networks of several layers count: a single layer has little to decide.

    Returns
    -------
    dict
        ``kernels``, ``exact_kernels``, ``exact_fraction`` (None if nothing could be held out), and
        ``surplus_kernels``: predicted ones that the device does not have.
    """
    return _score_mappings(observations, _held_out_mappings(observations, groups))


def _held_out_mappings(
    observations: Sequence[tuple[Network, Mapping]], groups: Sequence[str]
) -> dict[int, Mapping]:
    """By its number the mapping of each network of several layers, by a model that did not see its group."""
    fold_of = _group_folds(groups)
    found: dict[int, Mapping] = {}
    for fold in range(MAPPING_FOLDS):
        fitted = [number for number, group in enumerate(groups) if fold_of[group] != fold]
        held_out = [
            number
            for number, group in enumerate(groups)
            if fold_of[group] == fold and len(observations[number][0].layers) > 1
        ]
        if not fitted or not held_out:
            continue
        model = fit_mapping_model(
            [observations[number] for number in fitted], groups=[groups[number] for number in fitted]
        )
        found.update({number: model.predict(observations[number][0]) for number in held_out})
    return dict(sorted(found.items()))


def _score_mappings(
    observations: Sequence[tuple[Network, Mapping]], predicted: MappingType[int, Mapping]
) -> dict[str, object]:
    """What `cross_validate_mapping` returns, of predicted mappings."""
    n_kernels = n_exact = n_surplus = 0
    for number, mapping in predicted.items():
        exact = exact_kernels(observations[number][1], mapping)
        n_kernels, n_exact = n_kernels + len(exact), n_exact + sum(exact)
        n_surplus += len(mapping.kernels) - sum(exact)
    fraction = n_exact / n_kernels if n_kernels else None
    return {
        "kernels": n_kernels,
        "exact_kernels": n_exact,
        "exact_fraction": fraction,
        "surplus_kernels": n_surplus,
    }


def _group_folds(groups: Sequence[str]) -> dict[str, int]:
    """The fold of each group: the largest first, to the fold with the fewest members."""
    filled = [0] * MAPPING_FOLDS
    fold_of: dict[str, int] = {}
    for group, size in sorted(Counter(groups).items(), key=lambda item: (-item[1], item[0])):
        fold_of[group] = filled.index(min(filled))
        filled[fold_of[group]] += size
    return fold_of


def _provenance(store: CampaignStore, records: Sequence[Record], seed: int) -> dict[str, object]:
    digest = hashlib.sha256(device_to_json(store.device).encode())
    for record in records:
        measurement = record.measurement
        answer = measurement.error if measurement.error is not None else measurement_to_json(measurement)
        digest.update(f"\n{record.task.id} {measurement.seed} {answer}".encode())
    return {
        "annette": annette.__version__,
        "seed": seed,
        "plan": store.plan.name,
        "plan_seed": store.plan.seed,
        "plan_hash": store.plan.hash,
        "store_sha256": digest.hexdigest(),
        "libraries": _versions(("numpy", "scikit-learn", "xgboost-cpu", "xgboost")),
    }


def _versions(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
