"""The file of suggested micro-kernels: read as it was written, refused in one line, measured into stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annette.backends.simulator import open_simulator
from annette.benchmark.campaign import run_campaign
from annette.benchmark.cuttings import cut_layers
from annette.benchmark.suggested import (
    KIND,
    SuggestedTasks,
    add_suggested,
    open_for_suggested,
    read_suggested,
)
from annette.errors import StoreError, UsageError
from annette.graph.network import Network
from annette.store.records import Task
from annette.zoo.registry import zoo_network

DEVICE = open_simulator("zcu102-dpu")


def _task(network: Network, place: int) -> Task:
    layer = network.layers[place]
    cut = cut_layers(network, [layer.name], name=f"{KIND}/{place}/0")
    assert cut is not None
    return Task(
        network=cut, category="micro-kernel", group=f"{KIND}/{cut.id[:16]}",
        tags=(("kind", KIND), ("suggested", "mine")),
    )  # fmt: skip


SUGGESTED = SuggestedTasks(
    tasks=tuple(_task(zoo_network("lenet5"), place) for place in range(3)),
    seed=4,
    origin={"platform": "mine", "device": "zcu102-dpu", "targets": ["lenet5"]},
)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "suggested.json"
    path.write_bytes(SUGGESTED.to_bytes())
    found = read_suggested(path)
    assert [task.id for task in found.tasks] == [task.id for task in SUGGESTED.tasks]
    assert found.to_bytes() == SUGGESTED.to_bytes()


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.pop(key)


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another version": (lambda item: item.update(schema_version=9), "schema_version: found 9, expected 1"),
    "no kernels": (_without("micro_kernels"), "no list micro_kernels"),
    "an empty list": (lambda item: item.update(micro_kernels=[]), "0 micro_kernels, expected 1 to"),
    "a bad seed": (lambda item: item.update(seed=-1), "seed: found -1"),
    "no network": (lambda item: item["micro_kernels"][1].pop("network"), "micro_kernels[1]: expected group"),
    "an unsound network": (
        lambda item: item["micro_kernels"][0]["network"]["tensors"][0].__setitem__(1, [1, 1, 9, 9]),
        "micro_kernels[0]: network",
    ),
    "a tag of kernel tables": (
        lambda item: item["micro_kernels"][2]["tags"].update(whole_network="resnet18"),
        "micro_kernels[2]: tags: found 'whole_network', expected some of kind, suggested",
    ),
    "another kind": (lambda item: item["micro_kernels"][0]["tags"].update(kind="drawn"), "found 'drawn'"),
    "a plan's group": (lambda item: item["micro_kernels"][0].update(group="conv/3"), "group: expected"),
    "a tag that is no text": (lambda item: item["micro_kernels"][0]["tags"].update(kind=3), "tags: expected"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_told_in_one_line(name: str, tmp_path: Path) -> None:
    change, message = FAULTS[name]
    document = json.loads(SUGGESTED.to_bytes())
    change(document)
    path = tmp_path / "suggested.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_suggested(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_read_is_known_as_suggested_whatever_the_file_says(tmp_path: Path) -> None:
    document = json.loads(SUGGESTED.to_bytes())
    document["micro_kernels"][1]["tags"] = {}
    path = tmp_path / "suggested.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert [task.tag("suggested") for task in read_suggested(path).tasks] == ["mine"] * 3


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{", b'{"micro_kernels": 1e999}'])
def test_what_is_no_suggestion_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "suggested.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="annette suggest wrote"):
        read_suggested(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_suggested(tmp_path / "nothing.json")


def test_a_new_store_starts_with_the_suggestion_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    for visits in (3, 0):
        with open_for_suggested(path, device=DEVICE.info, suggested=SUGGESTED) as store:
            tasks = add_suggested(store, SUGGESTED)
            assert len(tasks) == 3
            assert run_campaign(tasks, DEVICE, store).visits == visits
            assert store.plan.name == KIND


def test_networks_that_a_store_has_are_not_measured_again(tmp_path: Path) -> None:
    first = replace(SUGGESTED, tasks=SUGGESTED.tasks[:1])
    again = replace(SUGGESTED.tasks[0], group="another")
    more = replace(SUGGESTED, tasks=(again, *SUGGESTED.tasks[1:]))
    with open_for_suggested(tmp_path / "run.db", device=DEVICE.info, suggested=first) as store:
        add_suggested(store, first)
        assert len(add_suggested(store, more)) == 3


def test_a_store_of_another_device_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    open_for_suggested(path, device=DEVICE.info, suggested=SUGGESTED).close()
    with pytest.raises(StoreError, match="another device"):
        open_for_suggested(path, device=open_simulator("ncs2").info, suggested=SUGGESTED)
