"""Records one small example of each file that annette writes, as this version writes it.

Run it when a schema version is raised, and keep the old examples: ``python record_examples.py FOLDER``.
``store-1.sqlite`` was written by the commit before 652f17f with the tasks of `chosen_tasks`,
``store-2.sqlite`` by the commit before 36efe90; what ``annette store export`` made of it is
``store-3.sqlite``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from annette.backends.simulator import open_simulator
from annette.benchmark.plan import load_plan, plan_campaign
from annette.calibration.calibrate import calibrate_space
from annette.calibration.codec import save_calibrated
from annette.estimation.platform import Platform
from annette.evaluation.repeats import find_repeats, write_repeats
from annette.graph.codec import network_to_json
from annette.models.generator import generate_platform
from annette.store.campaign import CampaignStore
from annette.store.database import SCHEMA_VERSION
from annette.zoo.registry import zoo_network
from annette.zoo.spaces.registry import open_space

NETWORK = "lenet5"
ENVIRONMENT = {"annette": "0", "made_by": "tests/data/schema/record_examples.py"}


def chosen_tasks() -> tuple:
    """A few tasks of the quick plan, which measure in a second."""
    tasks = plan_campaign(load_plan("quick"))
    micro = [task for task in tasks if task.category == "micro-kernel"]
    blocks = [task for task in tasks if task.category == "block"]
    return (*micro[::24], *blocks[::30])


def record_store(path: Path) -> None:
    """A campaign with all of its tasks measured but the last two."""
    backend, plan = open_simulator("zcu102-dpu"), load_plan("quick")
    tasks = chosen_tasks()
    with CampaignStore.create(path, device=backend.info, plan=plan.record, provenance=ENVIRONMENT) as store:
        store.add_tasks(tasks)
        for task in tasks[:-2]:
            store.record(task.id, backend.measure(task.network, seed=1))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"store-{SCHEMA_VERSION}.sqlite"
    record_store(path)
    with CampaignStore.open(path) as store:
        store.export_campaign(folder / "campaign-1.parquet")
        platform = Platform.from_parts(generate_platform(store, seed=1, name="example"))
        write_repeats(find_repeats(store), folder / "repeats-1.json")
    platform.save(folder / "platform-1")
    network = zoo_network(NETWORK)
    (folder / "network-1.json").write_text(network_to_json(network) + "\n", encoding="utf-8")
    text = json.dumps(platform.estimate(network).to_dict(), indent=1)
    (folder / "estimate-1.json").write_text(text + "\n", encoding="utf-8")
    space = open_space("nasbench201")
    rows = np.random.default_rng(0).integers(0, 5, (10, 6))
    seconds = 1e-3 * (2.0 + (rows == 3).sum(axis=1))
    save_calibrated(calibrate_space(space, rows, seconds, device="example"), folder / "calibrated-1")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
