"""Physical sense of the simulator, over random accelerators and random networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from annette.errors import HardwareError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import require_complete
from annette.graph.network import Network
from annette.graph.work import layer_work, network_work
from annette.hardware.accelerator import Accelerator, ExternalMemory, Memory, Unroll
from annette.hardware.codec import load_accelerator
from annette.hardware.rules import PlacementRule
from annette.hardware.systolic_array import DATAFLOWS, SystolicArray
from annette.simulator.array_engine import known_times
from annette.simulator.compiler import compile_network
from annette.simulator.run import SimulatedRun, simulate
from annette.simulator.stream_engine import known_vector_times, time_host

TOLERANCE = 1 + 1e-9
Draw = Callable[[st.SearchStrategy], object]

STEPS = (
    "conv1", "conv3", "conv5s2", "conv3d2", "depthwise", "grouped", "transposed", "bias_add", "batch_norm",
    "relu", "relu6", "sigmoid", "max_pool2", "max_pool3", "avg_pool", "residual", "scale", "identity",
    "dropout", "transpose", "softmax", "resize", "concat", "global_pool", "flatten", "layer_norm", "reduce",
)  # fmt: skip


@st.composite
def accelerators(draw: Draw) -> Accelerator:
    """A preset with another array, other memories, clocks and overheads."""
    base = load_accelerator(draw(st.sampled_from(("zcu102-dpu", "ncs2"))))
    sizes = st.sampled_from((1, 1, 2, 3, 4, 8, 12, 14, 16))
    unroll = Unroll(
        out_h=draw(sizes), out_w=draw(sizes), in_channels=draw(sizes), out_channels=draw(sizes),
        kernel_h=draw(st.sampled_from((1, 1, 3))),
    )  # fmt: skip
    if draw(st.integers(0, 3)) == 0:
        sides = st.sampled_from((1, 4, 12, 32))
        ways: dict[str, object] = {
            "unroll": None,
            "depthwise_unroll": None,
            "systolic": SystolicArray(
                rows=draw(sides), columns=draw(sides), dataflow=draw(st.sampled_from(DATAFLOWS))
            ),
        }
    else:
        ways = {
            "unroll": unroll,
            "depthwise_unroll": draw(st.sampled_from((None, Unroll(groups=8), Unroll(out_h=4, groups=4)))),
            "alternative_unrolls": draw(st.sampled_from((None, (Unroll(out_w=16, out_channels=4),)))),
            "stride_folding": draw(st.sampled_from((None, "channels"))),
            "weight_load_cycles": draw(st.sampled_from((None, 7.5, 40.0))),
        }
    array = replace(
        base.array,
        **ways,  # type: ignore[arg-type]
        pass_cycles=draw(st.floats(0, 500)),
        weight_switch_cycles=draw(st.floats(0, 50)),
        tile_cycles=draw(st.floats(0, 2000)),
        launch_s=draw(st.floats(0, 5e-5)),
    )
    capacity = st.integers(20_000, 3_000_000)
    if draw(st.booleans()):
        memories = (Memory(name="all", holds=("input", "weight", "output"), size_bytes=draw(capacity)),)
    else:
        memories = tuple(
            Memory(name=operand, holds=(operand,), size_bytes=draw(capacity))
            for operand in ("input", "weight", "output")
        )
    external = ExternalMemory(
        bandwidth_bytes_per_s=draw(st.floats(1e9, 1e11)),
        latency_s=draw(st.floats(0, 2e-6)),
        burst_bytes=draw(st.sampled_from((1, 32, 64, 128))),
        layout=draw(st.sampled_from(("channels_last", "channels_first"))),
        channel_alignment=draw(st.sampled_from((1, 8, 16))),
    )
    return replace(
        base,
        clock_hz=draw(st.floats(1e8, 1.5e9)),
        array=array,
        memories=memories,
        external_memory=external,
    )


@st.composite
def chains(draw: Draw, *, longest: int = 6) -> tuple[str, ...]:
    """Steps for `build_chain`."""
    return tuple(draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=longest)))


def build_chain(steps: tuple[str, ...], *, channels: int = 24, size: int = 20) -> Network:
    """A chain of the steps; those that do not fit the shape at their place are left out."""
    build = NetworkBuilder("chain")
    x = build.input("x", (1, channels, size, size))
    for step in steps:
        x = _add_step(build, x, step)
    if x == "x":
        x = build.relu(x)
    return build.finish(x)


def _add_step(build: NetworkBuilder, x: str, step: str) -> str:
    shape = build.shape(x)
    image = len(shape) == 4
    if step in _ANY_SHAPE:
        return _ANY_SHAPE[step](build, x)
    if not image or (step in ("max_pool2", "max_pool3", "avg_pool", "conv5s2") and min(shape[2:]) < 4):
        return x
    if step == "grouped" and shape[1] % 4:
        return x
    return _IMAGES[step](build, x)


_ANY_SHAPE: dict[str, Callable[[NetworkBuilder, str], str]] = {
    "relu": lambda b, x: b.relu(x),
    "relu6": lambda b, x: b.relu6(x),
    "sigmoid": lambda b, x: b.add("Sigmoid", x),
    "identity": lambda b, x: b.add("Identity", x),
    "dropout": lambda b, x: b.add("Dropout", x),
    "softmax": lambda b, x: b.softmax(x),
    "scale": lambda b, x: b.add("Mul", x, b.constant((1,))),
    "residual": lambda b, x: b.add("Add", x, x),
    "flatten": lambda b, x: b.flatten(x),
    "layer_norm": lambda b, x: b.layer_norm(x),
    "transpose": lambda b, x: b.transpose(x, tuple(reversed(range(len(b.shape(x)))))),
    "reduce": lambda b, x: b.add("ReduceMean", x, b.int_constant((len(b.shape(x)) - 1,)), keepdims=1),
}

_IMAGES: dict[str, Callable[[NetworkBuilder, str], str]] = {
    "conv1": lambda b, x: b.conv(x, 40),
    "conv3": lambda b, x: b.conv(x, 33, kernel=3, padding=1),
    "conv5s2": lambda b, x: b.conv(x, 16, kernel=5, stride=2, padding=2),
    "conv3d2": lambda b, x: b.conv(x, 16, kernel=3, padding=2, dilation=2, bias=False),
    "depthwise": lambda b, x: b.depthwise_conv(x),
    "grouped": lambda b, x: b.conv(x, 32, kernel=3, padding=1, groups=4),
    "transposed": lambda b, x: b.conv_transpose(x, 16),
    "bias_add": lambda b, x: b.add("Add", x, b.constant((b.channels(x), 1, 1))),
    "batch_norm": lambda b, x: b.batch_norm(x),
    "max_pool2": lambda b, x: b.max_pool(x, kernel=2, stride=2),
    "max_pool3": lambda b, x: b.max_pool(x, kernel=3, stride=2, padding=1),
    "avg_pool": lambda b, x: b.avg_pool(x, kernel=3, padding="same"),
    "resize": lambda b, x: b.resize(x, (b.shape(x)[2] * 2, b.shape(x)[3] * 2)),
    "concat": lambda b, x: b.concat(x, x),
    "global_pool": lambda b, x: b.global_avg_pool(x),
}


def simulate_or_skip(network: Network, accelerator: Accelerator) -> SimulatedRun:
    """The run; examples whose memories are too small for any tile are left out."""
    try:
        return simulate(network, accelerator)
    except HardwareError:
        assume(False)
        raise


def floor_s(network: Network, accelerator: Accelerator, unit: str) -> float:
    """The roofline of a network of one layer: MACs at the unit's peak, compulsory bytes at its bandwidth."""
    work = layer_work(network, network.layers[0])
    weight_s = work.weight_elements * accelerator.precision.weight_bytes
    elements = work.input_elements + work.output_elements
    if unit == "host":
        host = accelerator.host
        data = elements * host.activation_bytes + weight_s
        return max(work.macs / (host.rates.macs * host.clock_hz), data / host.bandwidth_bytes_per_s)
    data = elements * accelerator.precision.activation_bytes + weight_s
    if unit == "vector":
        peak = accelerator.vector.rates.macs * accelerator.vector.clock_hz
    else:
        array = accelerator.array
        peak = array.macs_per_cycle * accelerator.clock_hz
    return max(work.macs / peak, data / accelerator.external_memory.bandwidth_bytes_per_s)


@settings(max_examples=150, deadline=None)
@given(
    accelerator=accelerators(),
    step=st.sampled_from([step for step in STEPS if step != "residual"]),
    channels=st.sampled_from((3, 8, 24, 64, 260)),
    size=st.integers(4, 70),
)
def test_no_layer_is_faster_than_its_own_roofline(
    accelerator: Accelerator, step: str, channels: int, size: int
) -> None:
    network = build_chain((step,), channels=channels, size=size)
    run = simulate_or_skip(network, accelerator)
    for kernel in run.kernels:
        assert kernel.latency_s * TOLERANCE >= floor_s(network, accelerator, kernel.kernel.unit)
        assert kernel.latency_s > 0
        assert 0 <= kernel.utilisation_fraction <= 1
        assert kernel.bound in ("compute", "memory", "overhead", "host")


def test_both_operands_of_a_product_of_activations_have_their_precision() -> None:
    base = load_accelerator("zcu102-dpu")
    rules = replace(base.compiler, placement=(PlacementRule(unit="array", layers=("MatMul",)),))
    precision = replace(base.precision, activation_bytes=2.0, weight_bytes=0.25)
    build = NetworkBuilder("product")
    left, right = build.input("a", (4, 64, 96)), build.input("b", (4, 96, 80))
    network = build.finish(build.add("MatMul", left, right))
    run = simulate(network, replace(base, compiler=rules, precision=precision))
    assert run.kernels[0].moved_bytes == 2 * 4 * (64 * 96 + 96 * 80 + 64 * 80)


@pytest.mark.parametrize("unit", ["vector", "host"])
def test_nothing_reaches_the_host_faster_than_it_leaves_the_memory(unit: str) -> None:
    base = load_accelerator("zcu102-dpu")
    host = replace(base.host, bandwidth_bytes_per_s=1e15, clock_hz=1e12)
    rules = replace(base.compiler, placement=(PlacementRule(unit=unit, layers=("*",)),))
    network = build_chain(("relu",), channels=64, size=64)
    run = simulate(network, replace(base, host=host, compiler=rules))
    assert run.latency_s >= floor_s(network, base, "vector")


@settings(max_examples=120, deadline=None)
@given(
    accelerator=accelerators(),
    steps=chains(),
    channels=st.sampled_from((3, 24, 130)),
    factor=st.floats(1.0, 4.0),
    what=st.sampled_from(("bandwidth", "clock", "memory", "latency", "everything")),
)
def test_a_better_machine_is_never_slower(
    accelerator: Accelerator, steps: tuple[str, ...], channels: int, factor: float, what: str
) -> None:
    network = build_chain(steps, channels=channels)
    before = simulate_or_skip(network, accelerator)
    after = simulate(network, improved(accelerator, what, factor))
    assert [item.kernel for item in after.kernels] == [item.kernel for item in before.kernels]
    for fast, slow in zip(after.kernels, before.kernels, strict=True):
        assert fast.latency_s <= slow.latency_s * TOLERANCE


def improved(accelerator: Accelerator, what: str, factor: float) -> Accelerator:
    """The accelerator with more of something."""
    every = what == "everything"
    external, vector, host = accelerator.external_memory, accelerator.vector, accelerator.host
    if every or what == "bandwidth":
        external = replace(external, bandwidth_bytes_per_s=external.bandwidth_bytes_per_s * factor)
        host = host and replace(host, bandwidth_bytes_per_s=host.bandwidth_bytes_per_s * factor)
    if every or what == "latency":
        external = replace(external, latency_s=external.latency_s / factor)
    if every or what == "clock":
        accelerator = replace(accelerator, clock_hz=accelerator.clock_hz * factor)
        vector = vector and replace(vector, clock_hz=vector.clock_hz * factor)
        host = host and replace(host, clock_hz=host.clock_hz * factor)
    if every or what == "memory":
        memories = tuple(
            replace(item, size_bytes=math.ceil(item.size_bytes * factor)) for item in accelerator.memories
        )
        accelerator = replace(accelerator, memories=memories)
        vector = vector and replace(vector, buffer_bytes=math.ceil(vector.buffer_bytes * factor))
    return replace(accelerator, external_memory=external, vector=vector, host=host)


@settings(max_examples=80, deadline=None)
@given(steps=chains(longest=10), name=st.sampled_from(("zcu102-dpu", "ncs2")))
def test_the_compiler_keeps_every_layer_once_and_all_macs(steps: tuple[str, ...], name: str) -> None:
    network = build_chain(steps)
    mapping = compile_network(network, load_accelerator(name))
    require_complete(network, mapping)
    mapped = sum(
        layer_work(network, network.layer(layer)).macs
        for kernel in mapping.kernels
        for layer in kernel.layers
    )
    assert mapped == network_work(network).macs


@settings(max_examples=120, deadline=None)
@given(
    accelerator=accelerators(), steps=chains(), more=st.sampled_from(STEPS), channels=st.sampled_from((3, 40))
)
def test_an_added_layer_never_makes_a_chain_faster(
    accelerator: Accelerator, steps: tuple[str, ...], more: str, channels: int
) -> None:
    chain, longer_chain = (
        build_chain(steps, channels=channels),
        build_chain((*steps, more), channels=channels),
    )
    kept = [layer.op_type for layer in chain.layers]
    assume([layer.op_type for layer in longer_chain.layers][: len(kept)] == kept)
    shorter = simulate_or_skip(chain, accelerator)
    longer = simulate_or_skip(longer_chain, accelerator)
    assert longer.latency_s * TOLERANCE >= shorter.latency_s


@settings(max_examples=120, deadline=None)
@given(
    accelerator=accelerators(),
    first=st.sampled_from(("conv1", "conv3", "conv5s2", "depthwise", "batch_norm", "residual", "transposed")),
    rest=st.lists(
        st.sampled_from(("batch_norm", "bias_add", "relu", "relu6", "max_pool2", "residual")), max_size=4
    ),
    channels=st.sampled_from((3, 24, 130)),
)
def test_a_fused_kernel_lies_between_its_primary_layer_and_the_sum_of_its_layers(
    accelerator: Accelerator, first: str, rest: list[str], channels: int
) -> None:
    network = build_chain((first, *rest), channels=channels)
    for item in simulate_or_skip(network, accelerator).kernels:
        alone = {
            name: sum(k.latency_s for k in simulate_or_skip(_alone(network, name), accelerator).kernels)
            for name in item.kernel.layers
        }
        assert item.latency_s * TOLERANCE >= alone[item.kernel.primary]
        assert item.latency_s <= sum(alone.values()) * TOLERANCE


def _alone(network: Network, name: str) -> Network:
    """A network of one layer of ``network``."""
    layer = network.layer(name)
    inputs = tuple(dict.fromkeys(item.name for item in network.activation_inputs(layer)))
    return Network(
        name=name, inputs=inputs, outputs=layer.outputs, layers=(layer,),
        tensors={key: network.tensors[key] for key in (*layer.inputs, *layer.outputs) if key},
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(accelerator=accelerators(), steps=chains())
def test_the_same_network_takes_the_same_time_whatever_ran_before(
    accelerator: Accelerator, steps: tuple[str, ...]
) -> None:
    network = build_chain(steps)
    first = simulate_or_skip(network, accelerator)
    for cache in (known_times, known_vector_times, time_host):
        cache.cache_clear()
    assert simulate(network, accelerator) == first
    assert first.latency_s == pytest.approx(sum(item.latency_s for item in first.kernels))


@settings(max_examples=60, deadline=None)
@given(accelerator=accelerators(), steps=chains(longest=4))
def test_a_network_is_the_sum_of_its_kernels_wherever_they_stand(
    accelerator: Accelerator, steps: tuple[str, ...]
) -> None:
    """A kernel takes the same time in a network as in one of its own: neighbours do not matter."""
    network = build_chain(steps)
    for item in simulate_or_skip(network, accelerator).kernels:
        if len(item.kernel.layers) == 1:
            own = simulate(_alone(network, item.kernel.primary), accelerator)
            assert own.latency_s == pytest.approx(item.latency_s, rel=1e-12)


@pytest.mark.parametrize(
    "unroll",
    [
        Unroll(out_channels=12, in_channels=14),
        Unroll(out_channels=32, in_channels=32),
        Unroll(out_h=8, in_channels=8, out_channels=24),
        Unroll(out_w=5, out_h=3, out_channels=7),
    ],
    ids=str,
)
@pytest.mark.parametrize("dimension", ["out_h", "out_w", "in_channels", "out_channels"])
def test_a_compute_bound_sweep_shows_the_unroll_exactly(unroll: Unroll, dimension: str) -> None:
    base = load_accelerator("zcu102-dpu")
    accelerator = replace(
        base,
        array=replace(base.array, unroll=unroll),
        external_memory=replace(base.external_memory, bandwidth_bytes_per_s=1e15, latency_s=0.0),
        memories=(Memory(name="all", holds=("input", "weight", "output"), size_bytes=1 << 34),),
    )
    step = getattr(unroll, dimension)
    sizes = dict.fromkeys(("out_h", "out_w", "in_channels", "out_channels"), 48)
    times = []
    for value in range(1, 4 * max(step, 4) + 1):
        sizes[dimension] = value
        build = NetworkBuilder("sweep")
        x = build.input("x", (1, sizes["in_channels"], sizes["out_h"], sizes["out_w"]))
        y = build.conv(x, sizes["out_channels"], kernel=3, padding=1)
        times.append(simulate(build.finish(y), accelerator).latency_s)
    blocks = [math.ceil(value / step) for value in range(1, len(times) + 1)]
    slope = (times[-1] - times[0]) / (blocks[-1] - blocks[0])
    for time, count in zip(times, blocks, strict=True):
        assert time == pytest.approx(times[0] + slope * (count - 1), rel=1e-3)
