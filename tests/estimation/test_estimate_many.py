"""Many networks at once: the numbers of one by one to the last bit, however they are asked for."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.estimation import many_networks
from annette.estimation.catalogue import load_platform
from annette.estimation.kernel_bank import KernelBank
from annette.graph.network import Network
from annette.zoo.nasbench101 import nasbench101_network
from annette.zoo.nasbench101_sampling import sample_cells
from annette.zoo.registry import zoo_network


@cache
def population() -> tuple[Network, ...]:
    """Networks that have some kernels in common."""
    widths = (zoo_network("mobilenet_v2", width=width, resolution=96) for width in (0.35, 0.5, 0.75))
    cells = (nasbench101_network(cell) for cell in sample_cells(4, seed=5))
    return (*widths, zoo_network("lenet5"), *cells, zoo_network("squeezenet1_1"))


@cache
def one_by_one(name: str, model: str = "mixed") -> tuple[float, ...]:
    platform = load_platform(name)
    return tuple(platform.estimate(network, model=model).latency_s for network in population())


PLATFORMS = ("zcu102-dpu", "ncs2", "onnxruntime-epyc")


@pytest.mark.parametrize("name", PLATFORMS)
@pytest.mark.parametrize("model", ["roofline", "mixed"])
def test_shipped_platforms_say_the_same_of_many(name: str, model: str) -> None:
    assert tuple(load_platform(name).estimate_many(population(), model=model)) == one_by_one(name, model)


@settings(max_examples=8, deadline=None)
@given(
    picks=st.lists(st.integers(0, 8), max_size=6),
    chunk=st.integers(1, 5),
    limit=st.sampled_from([1, 20, 100, 10_000]),
    name=st.sampled_from(["zcu102-dpu", "onnxruntime-epyc"]),
)
def test_neither_order_nor_chunks_nor_what_was_forgotten_matters(
    picks: list[int], chunk: int, limit: int, name: str
) -> None:
    platform = copy.deepcopy(load_platform(name))
    platform.memory.bank.limit = limit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many_networks, "CHUNK", chunk)
        for _ in range(2):
            found = platform.estimate_many([population()[pick] for pick in picks])
            assert found.tolist() == [one_by_one(name)[pick] for pick in picks]
    most = max((len(population()[pick].layers) for pick in picks), default=0)
    assert len(platform.memory.bank) <= limit + 2 * chunk * most


def test_other_processes_say_the_same() -> None:
    networks = population() * 16
    done: list[tuple[int, int | None]] = []
    found = load_platform("zcu102-dpu").estimate_many(
        networks, n_jobs=2, on_progress=lambda *counts: done.append(counts)
    )
    assert tuple(found) == one_by_one("zcu102-dpu") * 16
    assert [total for _, total in done] == [len(networks)] * len(done)
    assert done[-1][0] == len(networks)


def test_a_generator_is_read_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_networks, "CHUNK", 2)
    read: list[int] = []

    def networks() -> Iterator[Network]:
        for number, network in enumerate(population()):
            read.append(number)
            yield network

    done: list[tuple[int, int | None, int]] = []
    found = load_platform("ncs2").estimate_many(
        networks(), on_progress=lambda count, total: done.append((count, total, len(read)))
    )
    assert tuple(found) == one_by_one("ncs2")
    assert done == [(count, None, count) for count in (2, 4, 6, 8, 9)]


def test_threads_do_not_get_in_each_others_way() -> None:
    platform = copy.deepcopy(load_platform("onnxruntime-epyc"))
    platform.memory.bank.limit = 50
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda network: platform.estimate(network).latency_s, population() * 3))
        many = list(pool.map(platform.estimate_many, [population()] * 4))
    assert tuple(found) == one_by_one("onnxruntime-epyc") * 3
    assert all(tuple(item) == one_by_one("onnxruntime-epyc") for item in many)


def test_what_is_no_network_is_named() -> None:
    with pytest.raises(UsageError, match=r"network 1: found str.*expected a Network"):
        load_platform("ncs2").estimate_many([zoo_network("lenet5"), "zoo:lenet5"])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="target 'power'"):
        load_platform("ncs2").estimate_many([], target="power")


# What is remembered --------------------------------------------------------------------------------


def test_kernels_are_priced_once_also_across_calls() -> None:
    platform = copy.deepcopy(load_platform("zcu102-dpu"))
    assert (platform.cache_info().hits, platform.cache_info().misses, platform.cache_info().size) == (0, 0, 0)
    platform.estimate_many(population())
    first = platform.cache_info()
    assert 0 < first.misses == first.size
    platform.estimate_many(population())
    again = platform.cache_info()
    assert (again.misses, again.size) == (first.misses, first.size)
    assert again.hits == 2 * first.hits + first.misses
    platform.estimate(population()[0], model="roofline")  # a price of another model is another price
    assert platform.cache_info().misses > again.misses
    platform.clear_cache()
    assert platform.cache_info().size == platform.cache_info().misses == 0


def test_a_network_object_is_estimated_once_a_model() -> None:
    platform = copy.deepcopy(load_platform("zcu102-dpu"))
    network = zoo_network("lenet5")
    first = platform.estimate(network)
    assert platform.estimate(network) is first
    assert platform.estimate(network, model="roofline") is not first
    info = platform.cache_info()
    assert (info.estimate_hits, info.estimate_misses, info.estimate_size) == (1, 2, 2)
    assert platform.estimate(zoo_network("lenet5")) == first


def test_equal_networks_keep_their_own_names() -> None:
    platform = load_platform("zcu102-dpu")
    first, second = (zoo_network("resnet18") for _ in range(2))
    platform.estimate(first)
    layers = tuple(
        type(layer)(
            name=f"{layer.name}?", op_type=layer.op_type, inputs=layer.inputs, outputs=layer.outputs,
            attributes=layer.attributes,
        )
        for layer in second.layers
    )  # fmt: skip
    other = Network(
        name="other", inputs=second.inputs, outputs=second.outputs, layers=layers, tensors=second.tensors
    )
    assert other == first
    estimate = platform.estimate(other)
    assert estimate.network == "other"
    assert all(name.endswith("?") for kernel in estimate.kernels for name in kernel.layers)


def test_estimates_of_networks_that_are_gone_do_not_come_back() -> None:
    platform = copy.deepcopy(load_platform("zcu102-dpu"))
    for resolution in range(32, 64, 4):  # new objects may get the identity of old ones
        network = zoo_network("mobilenet_v2", resolution=resolution)
        assert platform.estimate(network).network_id == network.id


def test_platforms_are_equal_whatever_they_remember() -> None:
    platform = load_platform("zcu102-dpu")
    twin = copy.copy(platform)
    platform.estimate("zoo:lenet5")
    assert twin == platform
    assert "PlatformMemory" not in repr(platform)


def test_the_rows_not_asked_for_in_the_longest_time_are_forgotten() -> None:
    bank, platform = KernelBank(4), load_platform("zcu102-dpu")
    row = np.arange(bank._values.shape[1], dtype=np.float64)
    numbers = np.array([bank.add("conv", row + place) for place in range(6)])
    bank.make_room()  # begins a new time
    assert len(bank) == 2
    numbers = np.array([bank.add("conv", row + place) for place in range(10, 14)])
    bank.make_room()
    kept = bank.rows(numbers[-2:]) if len(bank) > 4 else bank.rows(np.arange(len(bank)))
    assert len(bank) <= 4
    assert kept[:, 0].tolist() == [12.0, 13.0]
    again = bank.add("conv", row + 13)
    assert again == 1
    assert bank.prices(np.array([0, 1]), platform.layer_models, "roofline").shape == (2,)


@pytest.mark.parametrize("networks", [zoo_network("lenet5"), None, 3])
def test_what_is_not_many_networks_is_refused(networks: Any) -> None:
    with pytest.raises(UsageError, match="expected an iterable of Networks; put one in a list"):
        load_platform("zcu102-dpu").estimate_many(networks)


@pytest.mark.parametrize("n_jobs", [0, -2, 1.5, "2"])
def test_so_many_processes_are_refused(n_jobs: Any) -> None:
    with pytest.raises(UsageError, match="expected a number of processes"):
        load_platform("zcu102-dpu").estimate_many([zoo_network("lenet5")], n_jobs=n_jobs)
