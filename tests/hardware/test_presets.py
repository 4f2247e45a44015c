"""The presets: each runs the networks of the suites, says where its numbers come from, and has its peak."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.codec import list_accelerators, load_accelerator
from annette.simulator.run import SimulatedRun, simulate
from annette.zoo.registry import zoo_network
from annette.zoo.suites import suite_networks

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
PRESETS = [name for name, _ in list_accelerators()]
NETWORKS = ("mobilenet_v2", "inception_v1", "shufflenet_v2", "bert_mini")
"""Depthwise convolutions, branches, splits and shuffles, attention: one of each kind for every day."""

PEAK_OPS_PER_CYCLE = {
    "edge-tpu": 2 * 64 * 64, "ethos-u55-32": 64, "ethos-u55-64": 128, "ethos-u55-128": 256,
    "ethos-u55-256": 512, "ethos-u65-256": 512, "ethos-u65-512": 1024, "eyeriss-v1": 2 * 12 * 14,
    "gemmini-16x16": 512, "ncs2": 512, "nvdla-full": 4096, "nvdla-large": 4096, "nvdla-medium": 1024,
    "nvdla-small-256": 512, "nvdla-small": 128, "plasticine-derived": 512, "systolic-32x32-ws": 2048,
    "tpu-v1": 2 * 256 * 256, "ultratrail": 128, "zcu102-dpu": 4096,
}  # fmt: skip


UNSUPPORTED = {
    "edge-tpu": "LeakyRelu", "ethos-u55-32": "Erf", "ethos-u55-64": "Erf", "ethos-u55-128": "Erf",
    "ethos-u55-256": "Erf", "ethos-u65-256": "Erf", "ethos-u65-512": "Erf", "eyeriss-v1": "MaxPool",
    "gemmini-16x16": "Sigmoid", "nvdla-full": "Softmax", "nvdla-large": "Softmax", "nvdla-medium": "Softmax",
    "nvdla-small-256": "Softmax", "nvdla-small": "Softmax", "systolic-32x32-ws": "Exp", "tpu-v1": "Softmax",
    "ultratrail": "Softmax", "zcu102-dpu": "Tanh",
}  # fmt: skip
"""An operator of each preset that has a host which the accelerator itself does not know."""


@cache
def network(name: str) -> Network:
    return zoo_network(name)


def check_run(run: SimulatedRun, network: Network) -> None:
    """Every layer is somewhere once, and every kernel takes time."""
    names = [name for item in run.kernels for name in item.kernel.layers]
    assert sorted((*names, *run.eliminated_layers)) == sorted(layer.name for layer in network.layers)
    for item in run.kernels:
        assert 0 < item.latency_s < math.inf
        assert 0 <= item.utilisation_fraction <= 1


@pytest.mark.parametrize("name", PRESETS)
def test_networks_of_both_suites_run(name: str) -> None:
    accelerator = load_accelerator(name)
    for item in NETWORKS:
        check_run(simulate(network(item), accelerator), network(item))


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_unsupported_runs_on_the_host_and_what_is_supported_does_not(name: str) -> None:
    accelerator = load_accelerator(name)
    assert (accelerator.host is not None) == (name in UNSUPPORTED)
    build = NetworkBuilder("one_of_each")
    x = build.conv(build.input("x", (1, 16, 24)), 32, kernel=3, padding=1)
    op_type = UNSUPPORTED.get(name, "Softmax")
    y = build.max_pool(x, kernel=3) if op_type == "MaxPool" else build.add(op_type, x)
    one_of_each = build.finish(build.conv(y, 32))
    kernels = [item.kernel for item in simulate(one_of_each, accelerator).kernels]
    units = {one_of_each.layer(kernel.primary).op_type: kernel.unit for kernel in kernels}
    assert units == {"Conv": "array", op_type: "host" if name in UNSUPPORTED else "vector"}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("suite", ["classic12", "modern12"])
def test_all_networks_of_both_suites_run(suite: str, name: str) -> None:
    for item in suite_networks(suite):
        check_run(simulate(item, load_accelerator(name)), item)


def test_each_preset_multiplies_as_often_a_cycle_as_its_name_says() -> None:
    found = {}
    for name in PRESETS:
        accelerator = load_accelerator(name)
        found[name] = accelerator.peak_ops_per_s / accelerator.clock_hz
    assert found == pytest.approx(PEAK_OPS_PER_CYCLE)


def _bare_numbers(data: Any, path: str) -> list[str]:
    """Paths of numbers that stand without a source."""
    if isinstance(data, dict):
        if "value" in data:
            return [] if {"value", "source", "assumed"} == set(data) else [path]
        return [item for key, value in data.items() for item in _bare_numbers(value, f"{path}.{key}")]
    if isinstance(data, list):
        return [item for index, value in enumerate(data) for item in _bare_numbers(value, f"{path}[{index}]")]
    return [path] if isinstance(data, (int, float)) and not isinstance(data, bool) else []


@pytest.mark.parametrize("name", PRESETS)
def test_every_number_says_where_it_comes_from(name: str) -> None:
    file = resources.files("annette.hardware").joinpath("presets", f"{name}.yaml")
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    for key in ("schema_version", "precision", "compiler", "energy", "area"):
        data.pop(key, None)  # bits and conditions explain themselves; tables of costs have tests of their own
    for memory in data["memories"]:
        for key in ("read_j_per_byte", "write_j_per_byte", "area_mm2"):
            memory.pop(key, None)
    for key in ("activation_memory", "weight_memory"):
        for cost in ("read_j_per_byte", "write_j_per_byte", "area_mm2"):
            data.get(key, {}).pop(cost, None)
    assert _bare_numbers(data, name) == []


def _keyword_spotter() -> Network:
    """TC-ResNet8's kind of network: one-dimensional convolutions over time, with residuals."""
    build = NetworkBuilder("keyword_spotter")
    x = build.conv(build.input("x", (1, 40, 101)), 16, kernel=3, padding=1)
    for channels in (24, 32, 48):
        y = build.relu(build.conv(x, channels, kernel=9, stride=2, padding=4))
        y = build.conv(y, channels, kernel=9, padding=4)
        short = build.relu(build.conv(x, channels, stride=2))
        x = build.relu(build.add("Add", y, short))
    return build.finish(build.linear(build.flatten(build.global_avg_pool(x)), 12))


def test_ultratrail_runs_keyword_spotting_and_nothing_else() -> None:
    accelerator = load_accelerator("ultratrail")
    run = simulate(_keyword_spotter(), accelerator)
    assert {item.kernel.unit for item in run.kernels} == {"array"}
    image = simulate(network("mobilenet_v2"), accelerator)
    assert {item.kernel.unit for item in image.kernels} == {"host"}


def test_more_of_a_family_is_faster() -> None:
    for family in (
        ("ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256"),
        ("ethos-u65-256", "ethos-u65-512"),
        ("nvdla-small", "nvdla-small-256", "nvdla-medium", "nvdla-full"),
    ):
        for item in ("mobilenet_v2", "inception_v1"):
            times = [simulate(network(item), load_accelerator(name)).latency_s for name in family]
            assert times == sorted(times, reverse=True)


def test_the_parameter_cache_of_the_edge_tpu_is_what_small_networks_live_on() -> None:
    accelerator = load_accelerator("edge-tpu")
    bare = replace(accelerator, weight_memory=None)
    ratios = {
        name: simulate(network(name), bare).latency_s / simulate(network(name), accelerator).latency_s
        for name in ("mobilenet_v2", "inception_v1")
    }
    assert min(ratios.values()) > 2


def test_eyeriss_is_what_the_recorded_study_found() -> None:
    """The number that was fitted, and the milliseconds that follow from it, layer by layer."""
    study = json.loads((RESULTS / "eyeriss_alexnet.json").read_text(encoding="utf-8"))
    accelerator = load_accelerator("eyeriss-v1")
    assert accelerator.array.cycle_efficiency == study["cycle_efficiency"]
    simulated: dict[str, float] = {}
    alexnet = zoo_network("alexnet", resolution=227, batch=4, two_towers=True)
    for item in simulate(alexnet, accelerator).kernels:
        if item.kernel.unit == "array" and item.kernel.primary.startswith("conv"):
            simulated[f"CONV{len(simulated) + 1}"] = item.latency_s * 1e3
    recorded = {name: row["simulated_ms"] for name, row in study["layers"].items()}
    assert simulated == pytest.approx(recorded, rel=1e-3)
    cells = [row["mean_active_cells"] for row in study["layers"].values()]
    assert cells == pytest.approx([154, 135, 156, 156, 156], rel=0.025)  # as counted on the chip
