"""Suites in files, and the real networks of data/suites that they name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from annette.errors import UsageError
from annette.evaluation.suite_file import read_suite_file
from annette.graph.network import Network
from annette.graph.work import network_work

DATA = Path(__file__).resolve().parents[2] / "data"
REAL_CPU = DATA / "suites" / "real-cpu.yaml"

PUBLISHED_MMACS = {
    "mobilenet_v2": 301,
    "resnet18": 1814,
    "efficientnet_b0": 386,
    "mobilenet_v3_large": 217,
    "regnet_x_800mf": 800,
    "regnet_y_400mf": 402,
    "shufflenet_v2": 145,
    "convnext_tiny": 4456,
    "swin_tiny": 4491,
    "light_resnet50": 4089,
    "light_vgg19": 19632,
}
"""Of torchvision's table of models, attention included; the zoo's tests hold its own."""


@pytest.fixture(scope="module")
def real_networks() -> dict[str, tuple[str, Network]]:
    suite = read_suite_file(REAL_CPU)
    return {
        network.name: (group, network)
        for group in suite.groups
        if group != "cells"
        for network in suite.networks(group)
    }


def test_the_real_suite_has_at_least_thirty_different_networks_with_known_shapes(
    real_networks: dict[str, tuple[str, Network]],
) -> None:
    suite = read_suite_file(REAL_CPU)
    networks = list(suite.networks("networks"))
    assert len({network.id for network in networks}) == len(networks) >= 30
    assert all(network_work(network).macs > 1e6 for network in networks)
    assert len(suite.groups["int8"]) == len(suite.groups["batch8"]) == len(suite.groups["five"]) == 5
    assert len(suite.groups["ten"]) == 10
    assert [entry.network for entry in suite.groups["cells"]] == ["suite:nasbench101-34"]
    assert real_networks.keys() >= {"distilbert_int8", "vit_small_batch8"}


def test_fresh_networks_stand_in_no_group_that_anything_is_chosen_by() -> None:
    suite = read_suite_file(REAL_CPU)
    others = [group for group in suite.groups if group != "fresh"]
    known = {network.id for group in others for network in suite.networks(group)}
    fresh = {network.id for network in suite.networks("fresh")}
    assert len(fresh) == len(suite.groups["fresh"]) == 20
    assert fresh.isdisjoint(known)
    files = {entry.network for entry in suite.groups["fresh"]}
    assert files.isdisjoint(entry.network for group in others for entry in suite.groups[group])


@pytest.mark.parametrize("name", PUBLISHED_MMACS)
def test_real_networks_have_the_macs_that_are_published(
    name: str, real_networks: dict[str, tuple[str, Network]]
) -> None:
    macs = network_work(real_networks[name][1]).macs / 1e6
    assert macs == pytest.approx(PUBLISHED_MMACS[name], rel=0.01)


@pytest.mark.parametrize(
    ("name", "params"), [("light_vgg19", 143_667_240), ("light_bvlc_alexnet", 60_965_224)]
)
def test_graphs_of_the_onnx_package_count_their_filled_constants_as_weights(
    name: str, params: int, real_networks: dict[str, tuple[str, Network]]
) -> None:
    network = real_networks[name][1]
    assert network_work(network).params == params
    assert len(network.inputs) == 1


def test_eight_pictures_cost_eight_times_the_work_of_one(
    real_networks: dict[str, tuple[str, Network]],
) -> None:
    for name, (group, network) in real_networks.items():
        if group == "batch8":
            one = real_networks[name.removesuffix("_batch8")][1]
            assert network_work(network).macs == 8 * network_work(one).macs


def test_int8_versions_multiply_as_much_as_their_originals_with_weights_of_a_quarter(
    real_networks: dict[str, tuple[str, Network]],
) -> None:
    for name, (group, network) in real_networks.items():
        if group == "int8":
            work, original = (
                network_work(item) for item in (network, real_networks[name.removesuffix("_int8")][1])
            )
            assert work.macs == original.macs
            assert work.weight_bytes < 0.45 * original.weight_bytes


def test_the_manifest_names_every_exported_file_with_its_content() -> None:
    manifest = json.loads((DATA / "networks" / "manifest.json").read_text(encoding="utf-8"))
    found = {
        path.stem: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (DATA / "networks").glob("*.onnx")
    }
    assert found == {name: entry["sha256"] for name, entry in manifest["networks"].items()}
    assert {"torch", "torchvision", "transformers"} <= manifest["versions"].keys()
    assert sum(path.stat().st_size for path in (DATA / "networks").iterdir()) < 6e6


def _write(folder: Path, text: str) -> Path:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return path


HEAD = "schema_version: 1\nname: s\ndescription: d\n"


def test_entries_may_be_renamed_and_bound(tmp_path: Path) -> None:
    path = _write(
        tmp_path, HEAD + "groups: {a: [{network: 'zoo:lenet5', name: mine, batch: 2}, 'zoo:lenet5']}\n"
    )
    mine, plain = read_suite_file(path).networks("a")
    assert (mine.name, plain.name) == ("mine", "lenet5")
    assert mine.tensors[mine.inputs[0]].shape[0] == 2


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[1, 2]", "expected the keys"),
        (HEAD, "expected the keys"),
        (HEAD.replace("1", "2") + "groups: {}\n", "schema_version 2, expected 1"),
        (HEAD + "groups: {a: 1}\n", "expected lists of networks"),
        (HEAD + "groups: {a: [{name: x}]}\n", r"groups.a\[0\]"),
        (HEAD + "groups: {a: [{network: x, batch: 0}]}\n", "batch 0, expected"),
        (HEAD + "groups: {a: [{network: x, shapes: {y: 3}}]}\n", "expected lists of sizes"),
    ],
)
def test_faults_of_a_suite_file_are_named(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        read_suite_file(_write(tmp_path, text))


def test_unknown_groups_and_graphs_are_named(tmp_path: Path) -> None:
    suite = read_suite_file(_write(tmp_path, HEAD + "groups: {a: ['onnx-light:nothing']}\n"))
    with pytest.raises(UsageError, match="no group 'b', expected one of a"):
        suite.networks("b")
    with pytest.raises(UsageError, match="has no such graph"):
        list(suite.networks("a"))
