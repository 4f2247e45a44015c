"""Whether networks are the sum of their kernels, and whether a residual on whole networks helps, by device.

    python benchmarks/studies/non_additivity.py [--device zcu102-dpu ...]

Trains a platform from a campaign of each device and records what training decided of the residual: the error
of the kernels' sum on held-out blocks, the error with the residual, and whether it is kept. Simulated devices
run the plan `quick`; recorded ones are data/real-cpu and its like. ``control`` is zcu102-dpu with 20 us more
for each kernel of a network, which no kernel's time shows: a residual has to be found there.
Devices that are not named keep what benchmarks/results/non_additivity.json says of them. No suite takes part.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from provenance import RESULTS, record

from annette.backends.simulator import open_simulator
from annette.benchmark.campaign import run_campaign
from annette.benchmark.plan import load_plan, plan_campaign
from annette.measurement import Measurement
from annette.models.generator import generate_platform
from annette.store.campaign import CampaignStore

DATA = Path(__file__).resolve().parents[2] / "data" / "real-cpu"
RECORDED = {
    "onnxruntime-epyc": DATA / "campaign.parquet",
    "onnxruntime-epyc, quick plan": DATA / "quick" / "campaign.parquet",
    "onnxruntime-epyc, two threads": DATA / "two-threads" / "campaign.parquet",
    "openvino-epyc": DATA / "openvino" / "campaign.parquet",
}
SIMULATED = ("zcu102-dpu", "ncs2")
CONTROL = "control"
CONTROL_S = 20e-6
SEED = 0


def with_launches(answer: Measurement) -> Measurement:
    """The measurement of a network that takes `CONTROL_S` more a kernel, if it has several."""
    if answer.values_s is None or answer.kernels is None or len(answer.kernels) < 2:
        return answer
    more_s = CONTROL_S * len(answer.kernels)
    return replace(answer, values_s=tuple(value + more_s for value in answer.values_s))


@contextmanager
def campaign(name: str) -> Iterator[CampaignStore]:
    """The finished campaign of a device."""
    if name in RECORDED:
        with CampaignStore.open(RECORDED[name]) as store:
            yield store
        return
    plan, backend = load_plan("quick"), open_simulator(SIMULATED[0] if name == CONTROL else name)
    tasks = plan_campaign(plan)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "campaign.db"
        with CampaignStore.create(path, device=backend.info, plan=plan.record) as store:
            store.add_tasks(tasks)
            run_campaign(tasks, backend, store)
            if name != CONTROL:
                yield store
                return
            path = path.with_name("control.db")
            with CampaignStore.create(path, device=backend.info, plan=plan.record) as control:
                control.add_tasks(tasks)
                for item in store.records():
                    control.record(item.task.id, with_launches(item.measurement))
                yield control


def decided(name: str) -> dict[str, Any] | None:
    """What training says of the residual; ``None`` for too few blocks."""
    with campaign(name) as store:
        parts = generate_platform(store, seed=SEED)
    decision = parts.residual_decision
    if decision is None:
        return None
    residual = decision.residual
    terms = None if residual is None else residual.to_json()["residual"]["coefficients"]
    return {**decision.to_json(), "gain": decision.gain, "coefficients": terms}


def main() -> None:
    """Train, print, and keep."""
    names = [*SIMULATED, *RECORDED, CONTROL]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", action="append", choices=names, help="may be repeated; by default all")
    arguments = parser.parse_args()
    path = RESULTS / "non_additivity.json"
    for name in arguments.device or names:
        found = decided(name)
        print(f"{name}: {found}", flush=True)
        known = json.loads(path.read_text(encoding="utf-8"))["devices"] if path.is_file() else {}
        devices = {key: value for key, value in {**known, name: found}.items() if key in names}
        record("non_additivity", {"control_s_per_kernel": CONTROL_S, "devices": devices}, seed=SEED)
    print(f"written to {path.name}")


if __name__ == "__main__":
    main()
