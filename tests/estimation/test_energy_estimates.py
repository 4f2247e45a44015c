"""Platforms that were trained with energy: what they estimate, keep in their folder, and refuse."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from annette.errors import ModelError, UsageError
from annette.estimation.platform import Platform
from annette.models.generator import MIN_MEASUREMENTS, generate_platform
from annette.models.layer_models import MODEL_NAMES
from annette.models.target import ENERGY
from annette.store.campaign import CampaignStore
from annette.zoo.registry import zoo_network

NAMES = ("squeezenet1_1", "mobilenet_v2", "lenet5")


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_the_kernels_add_up_to_the_network_and_populations_to_single_ones(
    energy_platform: Platform, model: str
) -> None:
    networks = [zoo_network(name) for name in NAMES]
    estimates = [energy_platform.estimate(network, model=model) for network in networks]
    for estimate in estimates:
        joules = [kernel.energy_j for kernel in estimate.kernels]
        known = [value for value in joules if value is not None]
        assert len(known) == len(joules)
        assert min(known) > 0
        assert estimate.energy_j == pytest.approx(sum(known), rel=1e-12)
    together = energy_platform.estimate_many(networks, model=model, target="energy")
    assert together.tolist() == [estimate.energy_j for estimate in estimates]


def test_json_and_frame_carry_joules(energy_platform: Platform) -> None:
    estimate = energy_platform.estimate("zoo:squeezenet1_1")
    document = json.loads(json.dumps(estimate.to_dict(), allow_nan=False))
    assert document["energy_j"] == estimate.energy_j
    assert [kernel["energy_j"] for kernel in document["kernels"]] == [
        kernel.energy_j for kernel in estimate.kernels
    ]
    assert estimate.to_frame()["energy_j"].sum() == pytest.approx(estimate.energy_j)


def test_platforms_without_energy_say_so(small_platform: Platform) -> None:
    estimate = small_platform.estimate("zoo:squeezenet1_1")
    assert estimate.energy_j is None
    assert {kernel.energy_j for kernel in estimate.kernels} == {None}
    assert estimate.to_dict()["energy_j"] is None
    assert "energy_j" not in estimate.to_frame()
    with pytest.raises(UsageError, match="without energy"):
        small_platform.estimate_many([zoo_network("lenet5")], target="energy")


def test_the_folder_keeps_energy_beside_the_files_of_latency(
    energy_platform: Platform, tmp_path: Path
) -> None:
    energy_platform.save(tmp_path / "both")
    again = Platform.load(tmp_path / "both")
    network = zoo_network("squeezenet1_1")
    assert again.estimate_models(network) == energy_platform.estimate_models(network)
    replace(energy_platform, energy_models=None).save(tmp_path / "latency")
    both, latency = (
        {item.name: item for item in (tmp_path / name).iterdir()} for name in ("both", "latency")
    )
    extra = set(both) - set(latency)
    assert extra
    assert all(name.startswith("energy.") for name in extra)
    assert set(latency) <= set(both)
    for name in set(latency) - {"manifest.json"}:
        assert latency[name].read_bytes() == both[name].read_bytes()
    units = [json.loads(files["manifest.json"].read_text())["units"] for files in (latency, both)]
    assert "energy" not in units[0]
    assert units[1] == {**units[0], "energy": "J"}
    without = Platform.load(tmp_path / "latency").estimate(network)
    assert without.latency_s == energy_platform.estimate(network).latency_s
    assert without.energy_j is None


def test_a_lost_index_and_models_in_the_wrong_place_are_refused(
    energy_platform: Platform, tmp_path: Path
) -> None:
    assert energy_platform.energy_models is not None
    with pytest.raises(ModelError, match="models of energy in place of latency"):
        replace(energy_platform, layer_models=energy_platform.energy_models)
    with pytest.raises(ModelError, match="models of latency in place of energy"):
        replace(energy_platform, energy_models=energy_platform.layer_models)
    energy_platform.save(tmp_path / "whole")
    broken = shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    manifest = json.loads((broken / "manifest.json").read_text())
    del manifest["files"]["energy.layer_models.json"]
    (broken / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=r"layer_models\.json"):
        Platform.load(broken)


def test_training_counts_what_carries_energy(energy_platform: Platform, small_platform: Platform) -> None:
    metrics = energy_platform.metrics
    assert metrics["energy"]["measured_kernels"] == metrics["measured_kernels"]
    assert MIN_MEASUREMENTS < metrics["energy"]["measured_networks"] <= metrics["measured_networks"]
    assert energy_platform.energy_models is not None
    assert energy_platform.energy_models.target is ENERGY
    assert "energy" not in small_platform.metrics


def test_a_few_networks_with_energy_do_not_carry_models(energy_store_path: Path, tmp_path: Path) -> None:
    """Of a device that tells energy now and then, only what told it counts; too few and none is predicted."""
    with CampaignStore.open(energy_store_path) as store:
        records = list(store.records())[: 2 * MIN_MEASUREMENTS]
        few = MIN_MEASUREMENTS - 1
        with CampaignStore.create(tmp_path / "few.db", device=store.device, plan=store.plan) as target:
            target.add_tasks([record.task for record in records])
            for number, record in enumerate(records):
                kernels = record.measurement.kernels or ()
                if number >= few:
                    kernels = tuple(replace(kernel, counters={}) for kernel in kernels)
                target.record(record.task.id, replace(record.measurement, kernels=kernels))
            parts = generate_platform(target)
    assert parts.energy_models is None
    assert parts.metrics["energy"]["measured_networks"] == few  # type: ignore[index]
