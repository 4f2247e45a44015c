"""Systolic arrays as accelerators: the closed form in every kernel, the memory behind it, any size."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator, Unroll
from annette.hardware.codec import accelerator_from_yaml, accelerator_to_yaml, load_accelerator
from annette.hardware.systolic_array import DATAFLOWS
from annette.simulator.array_engine import array_machine
from annette.simulator.facts import NetworkFacts
from annette.simulator.lowering import lower_to_array
from annette.simulator.nests import ArrayNest
from annette.simulator.products import network_products
from annette.simulator.run import simulate
from annette.simulator.systolic import count_systolic
from annette.simulator.systolic_engine import choose_product, nest_product, time_product
from annette.zoo.registry import zoo_network


def _conv(channels: int, filters: int, *, size: int = 32, kernel: int = 3, stride: int = 1) -> Network:
    build = NetworkBuilder("one")
    x = build.input("x", (1, channels, size, size))
    return build.finish(build.conv(x, filters, kernel=kernel, stride=stride, padding=kernel // 2))


def _nest(channels: int, filters: int, *, size: int) -> ArrayNest:
    network = _conv(channels, filters, size=size)
    return lower_to_array(NetworkFacts(network), network.layers)


def _free_memory(accelerator: Accelerator) -> Accelerator:
    external = replace(accelerator.external_memory, bandwidth_bytes_per_s=1e18, latency_s=0.0)
    return replace(accelerator, external_memory=external, array=replace(accelerator.array, launch_s=0.0))


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v1"])
def test_with_a_free_memory_every_kernel_takes_the_cycles_of_scale_sim(name: str, dataflow: str) -> None:
    network = zoo_network(name)
    accelerator = _free_memory(load_accelerator(f"systolic-24x16-{dataflow.lower()}"))
    found = {
        item.kernel.primary: item.cycles
        for item in simulate(network, accelerator).kernels
        if item.kernel.unit == "array"
    }
    products = network_products(network)
    assert accelerator.array.systolic is not None
    counts = count_systolic(products.m, products.k, products.n, accelerator.array.systolic)
    expected = dict(zip(products.names, (counts.cycles * products.repeats).tolist(), strict=True))
    assert found == pytest.approx(expected, rel=1e-7)


def test_a_slow_memory_takes_as_long_as_its_bytes() -> None:
    accelerator = load_accelerator("systolic-64x64-ws")
    slow = replace(
        accelerator, external_memory=replace(accelerator.external_memory, bandwidth_bytes_per_s=1e6)
    )
    kernel = simulate(_conv(64, 64), slow).kernels[0]
    assert kernel.bound == "memory"
    assert kernel.latency_s == pytest.approx(kernel.moved_bytes / 1e6, rel=1e-2)
    assert kernel.moved_bytes >= 64 * 32 * 32 * 2 + 64 * 64 * 9


def test_a_stream_is_cut_so_that_partial_sums_stay_on_chip() -> None:
    accelerator = load_accelerator("systolic-32x32-ws")
    assert accelerator.array.systolic is not None
    product = nest_product(_nest(512, 512, size=112))
    machine = array_machine(accelerator)
    chosen = choose_product(_nest(512, 512, size=112), accelerator.array.systolic, machine)
    assert product.repeats == 1 < chosen.repeats == chosen.weight_fetches
    assert product.m <= chosen.m * chosen.repeats < product.m + chosen.repeats
    whole, cut = (
        time_product(_nest(512, 512, size=112), item, accelerator.array.systolic, machine)
        for item in (product, chosen)
    )
    assert cut.latency_s < whole.latency_s / 2
    assert cut.moved_bytes < whole.moved_bytes / 10
    assert whole.macs == cut.macs


def test_a_preset_of_any_size_is_known_by_its_name() -> None:
    accelerator = load_accelerator("systolic-12x200-is")
    assert accelerator.name == "systolic-12x200-is"
    assert accelerator.peak_ops_per_s == 2 * 12 * 200 * accelerator.clock_hz
    assert accelerator_from_yaml(accelerator_to_yaml(accelerator), "copy") == accelerator
    with pytest.raises(UsageError, match="systolic-0x8-os': rows: found 0"):
        load_accelerator("systolic-0x8-os")
    with pytest.raises(UsageError, match="neither a preset"):
        load_accelerator("systolic-8x8-rs")


def test_a_kernel_takes_the_fastest_of_several_unrolls() -> None:
    base = load_accelerator("zcu102-dpu")
    pixels, channels = Unroll(out_w=64), Unroll(out_channels=64)
    latency = {}
    for name, (first, others) in {
        "pixels": (pixels, None),
        "channels": (channels, None),
        "both": (pixels, (channels,)),
    }.items():
        accelerator = replace(
            base,
            array=replace(base.array, unroll=first, alternative_unrolls=others, depthwise_unroll=None),
        )
        assert accelerator.array.macs_per_cycle == 64
        for network in (_conv(8, 64, size=8), _conv(8, 8, size=64)):
            latency[name, network.id] = simulate(network, accelerator).latency_s
    winners = set()
    for network_id in {item for _, item in latency}:
        times = {name: latency[name, network_id] for name in ("pixels", "channels")}
        winners.add(min(times, key=lambda name: times[name]))
        assert latency["both", network_id] == min(times.values())
    assert winners == {"pixels", "channels"}


def test_folding_a_stride_into_channels_helps_layers_of_few_channels_only() -> None:
    base = load_accelerator("zcu102-dpu")
    wide = replace(base.array, unroll=Unroll(in_channels=64, out_channels=32), depthwise_unroll=None)
    plain, folding = (
        replace(base, array=replace(wide, stride_folding=folding)) for folding in (None, "channels")
    )
    first, later = _conv(3, 96, size=224, kernel=11, stride=4), _conv(64, 96, size=56, kernel=3, stride=2)
    runs = {
        name: [simulate(network, item).kernels[0] for item in (plain, folding)]
        for name, network in (("first", first), ("later", later))
    }
    assert runs["first"][1].compute_s < runs["first"][0].compute_s / 8
    assert runs["later"][1].latency_s <= runs["later"][0].latency_s
    macs = [item.utilisation_fraction * item.latency_s for item in runs["first"]]
    assert macs[0] == pytest.approx(macs[1])
