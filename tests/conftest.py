"""A small campaign on the simulator and a platform trained on it, made once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from annette.backends.simulator import open_simulator
from annette.benchmark.campaign import run_campaign
from annette.benchmark.plan import load_plan, plan_campaign
from annette.estimation.platform import Platform
from annette.models.generator import generate_platform
from annette.store.campaign import CampaignStore


@pytest.fixture(scope="session")
def small_store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished campaign: some micro-kernels and blocks of the quick plan on zcu102-dpu."""
    return _small_campaign("zcu102-dpu", tmp_path_factory)


def _small_campaign(device: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = load_plan("quick")
    tasks = plan_campaign(plan)
    micro = [task for task in tasks if task.category == "micro-kernel"]
    blocks = [task for task in tasks if task.category == "block"]
    chosen = (*micro[::6], *blocks[::2])
    backend = open_simulator(device)
    path = tmp_path_factory.mktemp("campaign") / "small.db"
    with CampaignStore.create(path, device=backend.info, plan=plan.record) as store:
        store.add_tasks(chosen)
        run_campaign(chosen, backend, store)
    return path


@pytest.fixture(scope="session")
def small_platform(small_store_path: Path) -> Platform:
    """The platform that the small campaign gives."""
    with CampaignStore.open(small_store_path) as store:
        return Platform.from_parts(generate_platform(store, seed=1))


@pytest.fixture(scope="session")
def energy_store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same campaign on a device that knows the energy of its kernels."""
    return _small_campaign("systolic-32x32-ws", tmp_path_factory)


@pytest.fixture(scope="session")
def energy_platform(energy_store_path: Path) -> Platform:
    """The platform that it gives."""
    with CampaignStore.open(energy_store_path) as store:
        return Platform.from_parts(generate_platform(store, seed=1))
