"""From a campaign's store to the parts of a platform: counted, cross-validated, and the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from annette.backends.simulator import open_simulator
from annette.benchmark.plan import load_plan, plan_campaign
from annette.errors import ModelError
from annette.estimation.platform import Platform
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.measurement import Measurement
from annette.models.generator import MIN_MEASUREMENTS, cross_validate_mapping, generate_platform
from annette.store.campaign import CampaignStore


def _store(path: Path, *, measured: int, failed: int) -> CampaignStore:
    plan, backend = load_plan("quick"), open_simulator("zcu102-dpu")
    tasks = plan_campaign(plan)[: measured + failed]
    store = CampaignStore.create(path, device=backend.info, plan=plan.record)
    store.add_tasks(tasks)
    for number, task in enumerate(tasks):
        if number < failed:
            answer = Measurement(network_id=task.network.id, device=backend.info, error="out of memory")
        else:
            answer = backend.measure(task.network)
        store.record(task.id, answer)
    return store


def test_too_few_measurements_say_how_many_are_needed(tmp_path: Path) -> None:
    with (
        _store(tmp_path / "few.db", measured=MIN_MEASUREMENTS - 1, failed=3) as store,
        pytest.raises(ModelError, match=r"19 networks measured of 22 tried, expected at least 20"),
    ):
        generate_platform(store)


def test_metrics_count_what_was_measured(small_platform: Platform) -> None:
    metrics = small_platform.metrics
    assert metrics["measured_networks"] > 100
    assert metrics["failed_networks"] == 0
    assert metrics["measured_kernels"] >= metrics["measured_networks"]
    assert 0.8 < metrics["mapping"]["exact_fraction"] <= 1


def test_provenance_names_versions_plan_store_and_seed(small_platform: Platform) -> None:
    provenance = small_platform.provenance
    assert {"annette", "seed", "plan", "plan_hash", "store_sha256", "libraries"} <= set(provenance)
    assert provenance["seed"] == 1
    assert provenance["plan"] == "quick"
    assert len(provenance["store_sha256"]) == 64


def test_failures_are_counted_and_the_rest_is_used(tmp_path: Path) -> None:
    stages: list[str] = []
    with _store(tmp_path / "some.db", measured=60, failed=5) as store:
        parts = generate_platform(store, name="mine", on_progress=stages.append)
    assert parts.name == "mine"
    assert parts.metrics["failed_networks"] == 5
    assert parts.metrics["measured_networks"] == 60
    assert stages[0] == "reading the measurements"
    assert len(stages) == len(set(stages)) >= 4


def _pair(size: int, *, merged: bool) -> tuple[Network, Mapping]:
    build = NetworkBuilder("pair")
    x = build.input("x", (1, 4, size, size))
    network = build.finish(build.relu(build.conv(x, 4)))
    names = [layer.name for layer in network.layers]
    parts = (names,) if merged else ([name] for name in names)
    kernels = tuple(Kernel(layers=tuple(part), primary=part[0], unit="array") for part in parts)
    return network, Mapping(kernels=kernels)


def test_held_out_groups_are_really_held_out() -> None:
    """Every group has its own answer, which none of the others can tell."""
    seen = [_pair(size, merged=True) for size in range(4, 34)]
    assert cross_validate_mapping(seen, ["one"] * 30)["exact_fraction"] is None
    apart = cross_validate_mapping(seen, [str(number) for number in range(30)])
    assert apart == {"kernels": 30, "exact_kernels": 30, "exact_fraction": 1.0, "surplus_kernels": 0}
    odd = [*seen[:20], *(_pair(size, merged=False) for size in range(40, 50))]
    groups = ["merged a"] * 10 + ["merged b"] * 10 + ["apart"] * 10
    assert cross_validate_mapping(odd, groups)["exact_kernels"] == 20
