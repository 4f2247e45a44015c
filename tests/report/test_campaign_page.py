"""The report of a campaign: what was measured, how steady it was, what failed; unfinished ones too."""

from __future__ import annotations

from pathlib import Path

import pytest

from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.report.campaign_summary import summarise_campaign
from annette.report.page import render_page
from annette.store.campaign import CampaignStore, PlanRecord, Task

DEVICE = DeviceInfo(
    name="board", backend="test", description="a <board>", visits=2, environment=(("os", "x"),)
)
ERROR = "does not <fit> the memory"


def _task(place: int) -> Task:
    build = NetworkBuilder(f"conv-{place}")
    network = build.finish(build.relu(build.conv(build.input("x", (1, 3, 8, 8)), place + 1, kernel=3)))
    if place % 3:
        return Task(network=network, category="micro-kernel", group=f"micro-kernel/conv/{place}")
    return Task(network=network, category="block", group=f"block/conv_chain/{place}")


def _visit(task: Task, latency_s: float, at_s: float) -> Measurement:
    names = tuple(layer.name for layer in task.network.layers)
    kernel = Kernel(layers=names, primary=names[0], unit="array")
    return Measurement(
        network_id=task.network.id,
        device=DEVICE,
        values_s=(latency_s, 1.1 * latency_s, 1.02 * latency_s),
        kernels=(KernelMeasurement(kernel=kernel, values_s=(latency_s,)),),
        conditions={"started_s": at_s, "reference_s": 0.001 * (1 + 0.1 * (at_s > 5)), "load_fraction": 0.2},
    )


@pytest.fixture(scope="module")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight planned networks: six measured twice, one failed, one not yet measured."""
    path = tmp_path_factory.mktemp("store") / "run.db"
    tasks = [_task(place) for place in range(8)]
    with CampaignStore.create(path, device=DEVICE, plan=PlanRecord(name="tiny", seed=7, text="{}")) as store:
        store.add_tasks(tasks)
        for place, task in enumerate(tasks[:6]):
            for visit, factor in enumerate((1.0, 1.2)):
                store.record(task.id, _visit(task, 0.001 * (1 + place) * factor, place + 0.5 * visit))
        failed = Measurement(network_id=tasks[6].network.id, device=DEVICE, error=ERROR)
        store.record(tasks[6].id, failed)
    return path


def test_what_was_measured_stands_in_the_document(store_path: Path) -> None:
    with CampaignStore.open(store_path) as store:
        document = summarise_campaign(store)
    assert document["counts"] == {
        "planned": 8, "measured": 6, "started": 0, "failed": 1, "pending": 1, "visits": 13,
        "visits_per_task": 2,
    }  # fmt: skip
    assert document["failures"] == [{"error": ERROR, "networks": 1}]
    assert [item["latency_s"] for item in document["networks"]] == pytest.approx(
        [0.00102 * (1 + place) for place in range(6)]
    )
    for item in document["networks"]:
        assert item["visits"] == 2
        assert item["spread_fraction"] == pytest.approx(0.1)  # (median - least) / least of 1 and 1.2
        assert item["run_spread_fraction"] == pytest.approx(0.1 / 1.02)
    assert {(item["category"], item["kind"]) for item in document["networks"]} == {
        ("micro-kernel", "conv"),
        ("block", "conv_chain"),
    }
    assert [(item["family"], item["unit"], item["kernels"]) for item in document["kernels"]] == [
        ("conv", "array", 6)
    ]
    assert len(document["drift"]) == 12
    assert [at for at, _ in document["drift"]] == sorted(at for at, _ in document["drift"])


def test_the_page_shows_noise_failures_and_what_is_left(store_path: Path) -> None:
    with CampaignStore.open(store_path) as store:
        html = render_page(summarise_campaign(store))
        again = render_page(summarise_campaign(store))
    assert html == again
    assert "Unfinished: 1 of 8 networks are still to be measured." in html
    assert "does not &lt;fit&gt; the memory" in html
    assert "a &lt;board&gt;" in html
    assert html.count("<circle") == 6 + 12  # spread and drift
    assert html.count('<tr><td class="text">conv-') == 6


def test_a_campaign_that_has_not_begun_has_a_page(tmp_path: Path) -> None:
    with CampaignStore.create(
        tmp_path / "run.db", device=DEVICE, plan=PlanRecord(name="tiny", seed=7, text="{}")
    ) as store:
        store.add_tasks([_task(0)])
        html = render_page(summarise_campaign(store))
    assert "Nothing was measured yet." in html
