"""Mosaics and synthetic networks: the same for the same seed, within limits, valid, run by a runtime."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import numpy
import pytest

from annette.benchmark.adaptation import is_whole_network
from annette.benchmark.growing import GrowingBuilder, kernels_about
from annette.benchmark.mosaics import (
    Limits,
    NetworkSizes,
    Piece,
    draw_pieces,
    lay_mosaic,
    mosaic_tasks,
    pack_pieces,
)
from annette.benchmark.networks import THEMES, VARIANTS, Frame, network_tasks, synthetic_network
from annette.benchmark.plan import PIECES, load_plan, plan_campaign
from annette.benchmark.sampling import draws
from annette.benchmark.supply import Supply
from annette.graph.codec import network_from_json, network_to_json
from annette.graph.families import layer_family
from annette.graph.network import Network
from annette.graph.onnx_writer import to_onnx_model
from annette.graph.shapes import infer_outputs
from annette.graph.work import network_work
from annette.store.records import Task
from annette.zoo.suites import suite_networks

LIMITS = Limits(macs=400_000_000, activation_elements=2_000_000, weight_elements=8_000_000)
SIZES = NetworkSizes(kernels=30, least_macs=20_000_000, least_weight_elements=100_000)
FRAME = Frame(batch=1, macs=5e7, weight_elements=1e6, kernels=25)


@pytest.fixture(scope="module")
def cpu() -> tuple[Task, ...]:
    return plan_campaign(load_plan("cpu"))


def _weights(network: Network) -> int:
    return sum(tensor.size for tensor in network.tensors.values() if tensor.is_constant)


def _require_valid(network: Network) -> None:
    """Every shape follows from the inputs, every layer is read or an output."""
    tensors = network.tensors
    for layer in network.layers:
        found = infer_outputs(layer, tensors)
        known = [tensors[name] for name in layer.outputs if name]
        assert [(item.shape, item.dtype) for item in found] == [(item.shape, item.dtype) for item in known]
        assert any(network.consumers(name) or name in network.outputs for name in layer.outputs)
    assert all(size > 0 for tensor in tensors.values() for size in tensor.shape)
    assert all(network.consumers(name) for name in network.inputs)


def _run(network: Network) -> list[str]:
    """Run the network once with ONNX Runtime; the operators of the graph that it executes."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    data = to_onnx_model(network, weights="random").SerializeToString()
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    tensors = (network.tensors[name] for name in network.inputs)
    feeds = {tensor.name: numpy.zeros(tensor.shape, dtype=tensor.dtype) for tensor in tensors}
    results = session.run(None, feeds)
    assert [item.shape for item in results] == [network.tensors[name].shape for name in network.outputs]
    return [layer.op_type for layer in network.layers]


# Mosaics -----------------------------------------------------------------------------------------------


def test_mosaics_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    counts = [("conv", 12), ("pool", 6), ("residual", 3)]

    def ids(seed: int, stream: str = "mosaic") -> set[str]:
        tasks = mosaic_tasks(counts, PIECES, SIZES, LIMITS, seed=seed, stream=stream)
        return {task.network.id for task in tasks}

    assert ids(1) == ids(1)
    assert ids(1).isdisjoint(ids(2) | ids(1, "mosaic-1"))


def test_every_piece_is_in_one_mosaic_and_mosaics_keep_the_limits() -> None:
    counts = [("conv", 30), ("gemm", 10), ("softmax", 10), ("residual", 6), ("embedding", 4)]
    tasks = list(mosaic_tasks(counts, PIECES, SIZES, LIMITS, seed=5))
    kinds = Counter(kind for task in tasks for kind in (task.tag("pieces") or "").split(","))
    assert kinds == Counter(dict(counts))
    assert len({task.group for task in tasks}) == len({task.network.id for task in tasks}) == len(tasks)
    for task in tasks:
        assert task.category == "block"
        assert network_work(task.network).macs <= 1.3 * LIMITS.macs
        assert _weights(task.network) <= 1.3 * LIMITS.weight_elements
        _require_valid(task.network)


@pytest.mark.parametrize("kind", sorted(PIECES))
def test_every_kind_of_piece_fits_into_a_mosaic(kind: str) -> None:
    pieces = list(draw_pieces(3, "test", kind, PIECES[kind], 4, LIMITS, ()))
    first = list(draw_pieces(3, "test", "conv", PIECES["conv"], 2, LIMITS, ()))
    network = lay_mosaic("mosaic", [*first, *pieces], next(draws(4, kind)))
    _require_valid(network)
    layers = Counter(layer.op_type for layer in network.layers)
    for piece in pieces:
        layers.subtract(layer.op_type for layer in piece.network.layers)
    assert min(layers.values()) >= 0, "a piece's layer is lost"


def test_mosaics_read_few_inputs_and_mostly_what_was_just_written(cpu: tuple[Task, ...]) -> None:
    pieces = read = 0
    for task in cpu:
        if task.tag("kind") == "mosaic":
            network = task.network
            large = [name for name in network.inputs if network.tensors[name].size > 100_000]
            pieces += len((task.tag("pieces") or "").split(","))
            read += len(large)
    assert read < 0.35 * pieces


def test_quantised_mosaics_compute_in_eight_bits_whatever_can() -> None:
    counts = [("conv", 8), ("grouped_conv", 8), ("pool", 4), ("global_pool", 2), ("softmax", 2)]
    tasks = list(mosaic_tasks(counts, PIECES, SIZES, LIMITS, seed=6, quantised=True))
    kinds = Counter(kind for task in tasks for kind in (task.tag("pieces") or "").split(","))
    assert kinds == Counter(dict(counts))
    assert {task.tag("kind") for task in tasks} == {"mosaic-int8"}
    convolutions = 0
    for task in tasks:
        _require_valid(task.network)
        for layer in task.network.layers:
            if layer.op_type == "Conv":
                producer = task.network.producer(layer.inputs[0])
                assert producer is not None
                assert producer.op_type == "DequantizeLinear"
                assert task.network.tensors[layer.inputs[1]].stored_dtype == "int8"
                convolutions += 1
    assert convolutions >= 16


def test_pieces_are_packed_by_weight_and_work() -> None:
    pieces = [
        Piece(
            kind=str(index), network=next(iter(_some_pieces())).network, macs=10**6 * (index % 7 + 1),
            weight_elements=2000 * (index + 1), kernels=2.0,
        )
        for index in range(200)
    ]  # fmt: skip
    mosaics = pack_pieces(pieces, SIZES, LIMITS, seed=1)
    assert sorted(piece.kind for items in mosaics for piece in items) == sorted(str(i) for i in range(200))
    weights = sorted(sum(piece.weight_elements for piece in items) for items in mosaics)
    assert weights[-1] > 4 * weights[0]
    assert all(sum(piece.kernels for piece in items) <= 1.15 * SIZES.kernels for items in mosaics)
    assert mosaics == pack_pieces(pieces, SIZES, LIMITS, seed=1)
    assert pack_pieces([], SIZES, LIMITS, seed=1) == ()


def _some_pieces() -> Sequence[Piece]:
    return list(draw_pieces(3, "test", "pow", PIECES["pow"], 1, LIMITS, ()))


def test_supply_prefers_a_tensor_of_the_wanted_shape_that_nobody_has_read() -> None:
    build = GrowingBuilder("supply")
    supply = Supply(next(draws(1, "supply")), build)
    x = build.relu(build.input("x", (1, 8, 6, 6)))
    supply.put((x,))
    assert supply.take((1, 8, 6, 6), "float32") == x
    assert supply.unread == ()


@pytest.mark.parametrize(
    "shape", [(1, 8), (1, 30, 40), (1, 5, 9, 11), (2, 3, 4, 5, 6), (1, 64, 50, 20), (1, 1), (7,)]
)
@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "int64", "bool"])
def test_supply_gives_any_shape_and_dtype(shape: tuple[int, ...], dtype: str) -> None:
    for draw, _ in zip(draws(2, f"{shape}"), range(25), strict=False):
        build = GrowingBuilder("supply")
        supply = Supply(draw, build)
        source = draw.pick(((1, 8, 20, 30), (1, 40, 16), (1, 12), (2, 9, 7, 7)))
        supply.put((build.relu(build.input("x", source)),))
        name = supply.take(shape, dtype)
        assert build.shape(name) == shape
        assert build.dtype(name) == dtype


# Synthetic networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("theme", sorted(THEMES))
def test_every_theme_gives_valid_networks_in_every_variant(theme: str, variant: str) -> None:
    for draw, _ in zip(draws(11, f"{variant}/{theme}"), range(5), strict=False):
        network = synthetic_network(theme, draw, FRAME, variant=variant)
        _require_valid(network)
        assert len(network.layers) > 3
        assert network_work(network).macs > 0
        assert network_from_json(network_to_json(network)).id == network.id


@pytest.mark.parametrize("theme", sorted(THEMES))
def test_a_larger_frame_gives_more_work(theme: str) -> None:
    def work(macs: float) -> float:
        frame = Frame(batch=1, macs=macs, weight_elements=1e9, kernels=60)
        pairs = zip(draws(12, theme), range(12), strict=False)
        networks = [synthetic_network(theme, draw, frame) for draw, _ in pairs]
        return float(numpy.median([network_work(network).macs for network in networks]))

    assert work(1e9) > 1.3 * work(2e7)


def test_batched_networks_have_several_inputs_at_once() -> None:
    for theme in ("mobile", "text_encoder", "sequence", "windowed"):
        network = synthetic_network(theme, next(draws(3, theme)), FRAME, variant="batched")
        assert all(network.tensors[name].shape[0] in (2, 4, 8, 16) for name in network.inputs)


def test_synthetic_networks_repeat_with_their_seed_and_no_two_are_alike() -> None:
    counts = [("float32", "residual", 5), ("float32", "cells", 5), ("int8", "residual", 3)]

    def ids(seed: int) -> list[str]:
        return [task.network.id for task in network_tasks(counts, SIZES, LIMITS, seed=seed)]

    assert ids(1) == ids(1)
    assert len(set(ids(1))) == 13
    assert set(ids(1)).isdisjoint(ids(2))


# The plan ----------------------------------------------------------------------------------------------


def test_planning_the_campaign_for_processors_is_quick() -> None:
    start = time.process_time()
    plan_campaign(load_plan("cpu"))
    assert time.process_time() - start < 5.0


def test_the_campaign_for_processors_has_enough_kernels_of_every_family(cpu: tuple[Task, ...]) -> None:
    families = Counter(layer_family(task.network, layer) for task in cpu for layer in task.network.layers)
    assert min(count for family, count in families.items() if family != "attention") >= 40
    assert set(families) >= {
        "conv_transpose",
        "grouped_conv",
        "gather",
        "softmax",
        "resize",
        "matmul",
        "pool",
    }
    rare = Counter(layer.op_type for task in cpu for layer in task.network.layers)
    for op_type in ("Slice", "Split", "Concat", "Pad", "Transpose", "LayerNormalization", "Resize"):
        assert rare[op_type] >= 40, op_type
    assert rare["LSTM"] + rare["GRU"] >= 30
    kernels = sum(kernels_about(task.network) for task in cpu)
    assert 5_000 <= kernels <= 20_000


def test_networks_of_the_campaign_keep_its_limits_and_spread_over_sizes(cpu: tuple[Task, ...]) -> None:
    limits = load_plan("cpu").limits
    weights = sorted(4 * _weights(task.network) for task in cpu)
    assert weights[len(weights) // 10] < 1e6
    assert weights[-len(weights) // 20] > 2e7
    for task in cpu:
        assert network_work(task.network).macs <= 1.3 * limits.macs
        assert _weights(task.network) <= 1.3 * limits.weight_elements
    assert len({task.group for task in cpu}) == len({task.id for task in cpu}) == len(cpu)


def test_some_networks_of_the_campaign_are_small(cpu: tuple[Task, ...]) -> None:
    sizes = load_plan("cpu").sizes
    assert sizes is not None
    macs = [network_work(task.network).macs for task in cpu if is_whole_network(task)]
    small = sum(item < 0.2 * sizes.least_macs for item in macs) / len(macs)
    assert 0.08 < small < 0.3
    assert min(macs) < 0.03 * sizes.least_macs


def test_networks_of_the_campaign_are_written_in_several_manners(cpu: tuple[Task, ...]) -> None:
    whole = [task.network for task in cpu if is_whole_network(task)]

    def having(*chain: str) -> int:
        """Networks in which layers of these operators follow each other."""
        found = 0
        for network in whole:
            layers = [layer for layer in network.layers if layer.op_type == chain[0]]
            for op_type in chain[1:]:
                layers = [
                    item for layer in layers for item in network.successors(layer) if item.op_type == op_type
                ]
            found += bool(layers)
        return found

    assert having("Conv", "BatchNormalization", "Mul", "Add") >= 5
    assert having("Conv", "BatchNormalization", "Mul", "Add", "Sum") >= 2
    assert having("BatchNormalization", "Mul", "Add", "Relu", "Conv") >= 1
    assert having("Transpose", "Reshape", "Mul", "MatMul", "Softmax") >= 5
    assert having("Softmax", "IsNaN", "Where", "MatMul") >= 2
    assert having("Split", "Squeeze", "MatMul") >= 2
    assert having("MatMul", "Mul") >= 5
    assert having("MatMul", "Div") >= 5
    assert having("ReduceMean", "Conv") >= 3
    assert having("GlobalAveragePool", "Conv") >= 3


def test_quantised_and_batched_networks_are_a_part_of_the_campaign(cpu: tuple[Task, ...]) -> None:
    variants = Counter((task.tag("kind") or "").split("/")[0] for task in cpu)
    for variant in ("int8", "batched"):
        assert 0.05 * len(cpu) < variants[variant] < 0.2 * len(cpu)
    assert variants["float16"] >= 1


@pytest.mark.parametrize("suite", ["classic12", "modern12", "nasbench101-34"])
def test_no_network_of_a_suite_is_in_the_campaign_for_processors(cpu: tuple[Task, ...], suite: str) -> None:
    planned = {task.network.id for task in cpu}
    assert planned.isdisjoint(network.id for network in suite_networks(suite))


def test_the_campaign_has_enough_quantised_kernels_for_models_of_their_own(cpu: tuple[Task, ...]) -> None:
    quantised = [task.network for task in cpu if "int8" in (task.tag("kind") or "")]
    families = Counter(layer_family(network, layer) for network in quantised for layer in network.layers)
    for family in ("conv", "grouped_conv", "depthwise_conv", "gemm", "pool", "global_pool", "concat"):
        assert families[family] >= 40, family


def test_the_quick_campaign_is_a_quarter_of_the_full_one(cpu: tuple[Task, ...]) -> None:
    quick = plan_campaign(load_plan("cpu-quick"))
    assert 0.15 * len(cpu) < len(quick) < 0.4 * len(cpu)
    pieces = {kind for task in quick for kind in (task.tag("pieces") or "").split(",")}
    assert pieces == {kind for task in cpu for kind in (task.tag("pieces") or "").split(",")}


@pytest.mark.parametrize(
    ("theme", "variant"),
    [("mobile", "float32"), ("cells", "float16"), ("vision_transformer", "batched"), ("sequence", "float32")],
)
def test_onnx_runtime_runs_synthetic_networks(theme: str, variant: str) -> None:
    _run(synthetic_network(theme, next(draws(21, theme)), FRAME, variant=variant))


def test_onnx_runtime_runs_a_mosaic() -> None:
    counts = [("conv", 4), ("transpose", 3), ("softmax", 2), ("resize", 2), ("gather", 2), ("quantize", 2)]
    task = next(mosaic_tasks(counts, PIECES, SIZES, LIMITS, seed=8))
    _run(task.network)
