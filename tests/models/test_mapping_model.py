"""Rules of made-up compilers are recovered from observed mappings, and hold on networks never seen."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import GraphError, ModelError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Layer, Network, Tensor
from annette.models.mapping_features import FEATURES
from annette.models.mapping_glossary import MEANINGS, meaning_of
from annette.models.mapping_model import MappingModel, exact_kernels, fit_mapping_model
from annette.models.mapping_moves import MOVE_FEATURES
from annette.zoo.registry import zoo_network

VIEWS = ("Reshape", "Flatten", "Dropout", "Identity", "Squeeze", "Unsqueeze")
ACTIVATIONS = ("Relu", "Clip", "LeakyRelu")


# A compiler written without any of the code under test -------------------------------------------


class _Kernel:
    def __init__(self, layer: Layer) -> None:
        self.layers = [layer]

    def has(self, *ops: str) -> bool:
        return any(layer.op_type in ops for layer in self.layers)


def compile_made_up(network: Network, *, pool_limit: int = 3) -> Mapping:
    """Conv takes BN, ReLU, a small pool, and an Add of the operand computed last; concats of convs vanish."""
    order = {layer.name: number for number, layer in enumerate(network.layers)}
    home: dict[str, _Kernel] = {}
    gone: list[str] = []
    kernels: list[_Kernel] = []

    def source(tensor: str) -> Layer | None:
        layer = network.producer(tensor)
        while layer is not None and layer.name in gone and layer.op_type != "Concat":
            layer = network.producer(layer.inputs[0])
        return layer

    def readers(layer: Layer) -> list[Layer]:
        found: list[Layer] = []
        for item in network.successors(layer):
            found.extend(readers(item) if item.op_type in VIEWS else [item])
        return found

    def is_alone(layer: Layer) -> bool:
        return len({item.name for item in readers(layer)}) == 1

    for layer in network.layers:
        if layer.op_type in VIEWS:
            gone.append(layer.name)
            continue
        feeds = [source(tensor.name) for tensor in network.activation_inputs(layer)]
        known = [item for item in feeds if item is not None and item.name in home]
        target: _Kernel | None = None
        if layer.op_type == "Concat":
            if len(known) == len(feeds) and all(home[item.name].has("Conv") for item in known):
                gone.append(layer.name)
                continue
        elif layer.op_type == "Add" and known:
            last = max(known, key=lambda item: order[item.name])
            kernel = home[last.name]
            same = all(
                t.shape == network.output_tensors(layer)[0].shape for t in network.activation_inputs(layer)
            )
            if (
                kernel.has("Conv")
                and not kernel.has("Add", "MaxPool")
                and same
                and is_alone(last)
                and len(feeds) == 2
            ):
                target = kernel
        elif known:
            kernel = home[known[0].name]
            is_conv = kernel.layers[0].op_type == "Conv"
            if is_conv and layer.op_type in ("BatchNormalization", *ACTIVATIONS) and is_alone(known[0]):
                target = None if kernel.has("MaxPool") else kernel
            elif is_conv and layer.op_type == "MaxPool" and is_alone(known[0]):
                window = layer.ints_attribute("kernel_shape") or ()
                depthwise = kernel.layers[0].int_attribute("group", 1) > 1
                if max(window) <= pool_limit and not depthwise and not kernel.has("Add", "MaxPool"):
                    target = kernel
        if target is None:
            target = _Kernel(layer)
            kernels.append(target)
        else:
            target.layers.append(layer)
        home[layer.name] = target
    return Mapping(
        kernels=tuple(
            Kernel(
                layers=tuple(item.name for item in kernel.layers),
                primary=kernel.layers[0].name,
                unit=_unit(kernel.layers[0]),
            )
            for kernel in kernels
        ),
        eliminated_layers=tuple(gone),
    )


def _unit(layer: Layer) -> str:
    if layer.op_type in ("Conv", "Gemm"):
        return "array"
    if layer.op_type == "Resize":
        return "vector" if layer.attribute("mode") == "nearest" else "host"
    return "host" if layer.op_type == "Softmax" else "vector"


# Benchmark networks ------------------------------------------------------------------------------


def _block(number: int) -> Network:
    rng = np.random.default_rng(number)
    build = NetworkBuilder(f"block_{number}")
    size, channels = int(rng.choice([14, 16, 28, 33, 56])), int(rng.choice([8, 16, 24, 64]))
    x = build.input("x", (1, channels, size, size))
    parts: tuple[Callable[..., str], ...] = (
        _chain,
        _residual,
        _join,
        _pooled,
        _tail,
        _shared,
        _dense,
        _skip,
        _head,
    )
    for part in rng.choice(len(parts), size=2):
        x = parts[part](build, x, rng)
    return build.finish(x)


def _conv(build: NetworkBuilder, x: str, rng: np.random.Generator, *, channels: int | None = None) -> str:
    kind = rng.integers(4)
    if kind == 0 and channels is None:
        x = build.depthwise_conv(x, kernel=3)
    else:
        wide = channels or int(rng.choice([8, 16, 32]))
        x = build.conv(x, wide, kernel=int(rng.choice([1, 3])), padding="same")
    return build.batch_norm(x) if rng.random() < 0.5 else x


def _dense(build: NetworkBuilder, x: str, rng: np.random.Generator) -> str:
    for _ in range(int(rng.integers(1, 4))):
        y = build.relu(build.batch_norm(x)) if rng.random() < 0.7 else x
        x = build.concat(x, build.conv(y, 16, kernel=3, padding=1))
    return build.batch_norm(x) if rng.random() < 0.5 else x


def _act(build: NetworkBuilder, x: str, rng: np.random.Generator) -> str:
    kinds = (None, "Relu", "Relu6", "LeakyRelu", "Sigmoid", "Swish", "HardSwish")
    return build.activation(x, kinds[rng.integers(len(kinds))])


def _chain(build: NetworkBuilder, x: str, rng: np.random.Generator) -> str:
    for _ in range(int(rng.integers(1, 4))):
        x = _act(build, _conv(build, x, rng), rng)
        if rng.random() < 0.2:
            x = build.add("Dropout", x)
    return x


def _residual(build: NetworkBuilder, x: str, rng: np.random.Generator) -> str:
    width = build.channels(x)
    first = x if rng.random() < 0.5 else _conv(build, x, rng, channels=width)
    branch = _conv(build, _act(build, _conv(build, x, rng, channels=width), rng), rng, channels=width)
    if rng.random() < 0.3:
        branch = build.add("LeakyRelu", branch)
    if rng.random() < 0.3:
        first = _conv(build, x, rng, channels=width)
    if rng.random() < 0.2:
        branch = build.max_pool(branch, kernel=3, padding=1)
    pair = (first, branch) if rng.random() < 0.5 else (branch, first)
    x = build.add("Add", *pair)
    return build.relu(x) if rng.random() < 0.7 else x


def _join(build: NetworkBuilder, x: str, rng: np.random.Generator) -> str:
    branches = [_act(build, _conv(build, x, rng), rng) for _ in range(int(rng.integers(2, 4)))]
    if rng.random() < 0.4:
        branches.append(build.max_pool(x, kernel=3, padding=1))
    if rng.random() < 0.2:
        branches.append(x)
    x = build.concat(*branches)
    if rng.random() < 0.3:
        x = build.max_pool(x, kernel=int(rng.choice([2, 3])), stride=2)
    return _act(build, _conv(build, x, rng), rng) if rng.random() < 0.6 else x


def _pooled(build: NetworkBuilder, x: str, rng: np.random.Generator) -> str:
    x = _act(build, _conv(build, x, rng), rng)
    kernel = int(rng.choice([2, 3, 4, 5]))
    pool = build.max_pool if rng.random() < 0.8 else build.avg_pool
    x = pool(x, kernel=kernel, stride=int(rng.choice([1, 2])), padding="same" if rng.random() < 0.5 else 0)
    return build.relu(x) if rng.random() < 0.3 else x


def _tail(build: NetworkBuilder, x: str, rng: np.random.Generator) -> str:
    mode = ("nearest", "linear")[rng.integers(2)]
    x = build.resize(x, tuple(2 * item for item in build.shape(x)[2:]), mode=mode)
    return build.softmax(x, axis=1) if rng.random() < 0.3 else x


def _shared(build: NetworkBuilder, x: str, rng: np.random.Generator) -> str:
    y = _conv(build, x, rng)
    gate = build.add(
        ("Sigmoid", "HardSigmoid")[rng.integers(2)], build.conv(build.global_avg_pool(y), build.channels(y))
    )
    return build.add("Mul", y, gate)


def _skip(build: NetworkBuilder, x: str, rng: np.random.Generator) -> str:
    x = _act(build, _conv(build, x, rng), rng)
    size = build.shape(x)[2:]
    y = build.max_pool(x, kernel=2, stride=2) if rng.random() < 0.5 else build.conv(x, 16, kernel=3, stride=2)
    y = build.resize(_conv(build, y, rng), size)
    return build.concat(x, y)


def _head(build: NetworkBuilder, x: str, rng: np.random.Generator) -> str:
    y = build.linear(build.flatten(build.global_avg_pool(x)), 10)
    y = build.relu(y) if rng.random() < 0.5 else y
    y = build.linear(y, int(np.prod(build.shape(x)[1:])))
    return build.reshape(y, build.shape(x))


@lru_cache(maxsize=1)
def _observations() -> tuple[tuple[Network, Mapping], ...]:
    networks = (_block(number) for number in range(400))
    return tuple((network, compile_made_up(network)) for network in networks)


@lru_cache(maxsize=1)
def _model() -> MappingModel:
    return fit_mapping_model(_observations())


def _share(model: MappingModel, pairs: tuple[tuple[Network, Mapping], ...]) -> float:
    flags = [flag for network, seen in pairs for flag in exact_kernels(seen, model.predict(network))]
    return sum(flags) / len(flags)


# Tests -------------------------------------------------------------------------------------------


def test_training_networks_are_reproduced() -> None:
    assert _share(_model(), _observations()) >= 0.999


def test_unseen_blocks_are_predicted() -> None:
    fresh = tuple(_block(number) for number in range(10_000, 10_150))
    assert _share(_model(), tuple((network, compile_made_up(network)) for network in fresh)) >= 0.99


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50",
        "vgg16",
        "mobilenet_v2",
        "densenet121",
        "squeezenet1_1",
        "inception_v1",
        "inception_v3",
        "yolov3",
        "unet",
        "mobilenet_v3_large",
        "efficientnet_b0",
        "shufflenet_v2",
        "fpn_resnet18",
        "openpose",
        "regnety_400mf",
    ],
)
def test_networks_people_know_are_predicted_exactly(name: str) -> None:
    network = zoo_network(name)
    assert _share(_model(), ((network, compile_made_up(network)),)) == 1.0


def test_no_two_kernels_wait_for_each_other() -> None:
    network = zoo_network("inception_v1")
    position = {}
    mapping = _model().predict(network)
    for number, kernel in enumerate(mapping.kernels):
        position.update(dict.fromkeys(kernel.layers, number))
    for layer in network.layers:
        for before in network.predecessors(layer):
            if layer.name in position and before.name in position:
                assert position[before.name] <= position[layer.name]


@settings(max_examples=25, deadline=None)
@given(number=st.integers(20_000, 10**6))
def test_predictions_are_complete(number: int) -> None:
    network = _block(number)
    require_complete(network, _model().predict(network))


def _renamed(network: Network, op_types: dict[str, str]) -> Network:
    layers = tuple(
        dataclasses.replace(layer, op_type=op_types.get(layer.op_type, layer.op_type))
        for layer in network.layers
    )
    return Network(
        name=network.name,
        inputs=network.inputs,
        outputs=network.outputs,
        layers=layers,
        tensors=network.tensors,
    )


def test_unknown_operators_get_a_kernel_of_their_own() -> None:
    network = _renamed(zoo_network("resnet18"), {"Relu": "Wavelet"})
    mapping = _model().predict(network)
    require_complete(network, mapping)
    alone = {kernel.layers[0] for kernel in mapping.kernels if len(kernel.layers) == 1}
    assert {layer.name for layer in network.layers if layer.op_type == "Wavelet"} <= alone


def test_an_unseen_member_of_a_divided_family_stays_apart() -> None:
    network = _renamed(zoo_network("vgg16"), {"Relu": "Tanh"})
    mapping = _model().predict(network)
    assert all("tanh" not in kernel.name or len(kernel.layers) == 1 for kernel in mapping.kernels)


def test_an_unseen_view_vanishes_like_the_others() -> None:
    build = NetworkBuilder("view")
    x = build.conv(build.input("x", (1, 8, 4, 4)), 8)
    network = build.finish(build.add("Unsqueeze", build.add("Identity", x), build.int_constant((0,))))
    assert "Unsqueeze" not in {layer.op_type for seen, _ in _observations() for layer in seen.layers}
    assert len(_model().predict(network).eliminated_layers) == 2


def test_swish_is_one_kernel_where_the_device_makes_it_one() -> None:
    def network(size: int, *, swish: bool) -> Network:
        build = NetworkBuilder("swish")
        x = build.conv(build.input("x", (1, 8, size, size)), 8)
        gate = build.add("Sigmoid", x)
        return build.finish(build.add("Mul", x, gate) if swish else build.conv(gate, 8))

    def mapping(item: Network) -> Mapping:
        names = [layer.name for layer in item.layers]
        if item.layers[-1].op_type == "Mul":
            return Mapping(kernels=(Kernel(layers=tuple(names), primary=names[0], unit="array"),))
        return Mapping(kernels=tuple(Kernel(layers=(name,), primary=name, unit="array") for name in names))

    seen = [network(size, swish=swish) for size in range(4, 20) for swish in (True, False)]
    model = fit_mapping_model([(item, mapping(item)) for item in seen])
    assert all(
        model.predict(item) == mapping(item) for item in (network(50, swish=True), network(50, swish=False))
    )


def test_the_primary_layer_follows_the_device() -> None:
    build = NetworkBuilder("norm")
    x = build.add("Add", build.input("x", (1, 4, 8)), build.input("y", (1, 4, 8)))
    network = build.finish(build.layer_norm(x))
    add, norm = (layer.name for layer in network.layers)
    mapping = Mapping(kernels=(Kernel(layers=(add, norm), primary=norm, unit="vector"),))
    assert fit_mapping_model([(network, mapping)] * 3).predict(network) == mapping


def test_a_part_of_an_operand_attracts_no_layer() -> None:
    build = NetworkBuilder("join")
    x = build.input("x", (1, 16, 32, 32))
    joined = build.concat(build.conv(x, 16), build.conv(x, 16))
    network = build.finish(build.relu(joined))
    relu = network.layers[-1].name
    kernel = next(item for item in _model().predict(network).kernels if relu in item.layers)
    assert kernel.layers == (relu,)


def _chain_of(size: int, *ops: str) -> Network:
    build = NetworkBuilder("chain")
    x = build.input("x", (1, 8, size, size))
    for op in ops:
        x = {"Conv": lambda x: build.conv(x, 8), "Pool": lambda x: build.max_pool(x, kernel=2, stride=2)}.get(
            op, build.batch_norm
        )(x)
    return build.finish(x)


def _in_kernels(network: Network, *sizes: int) -> Mapping:
    names = [layer.name for layer in network.layers]
    ends = np.cumsum(sizes).tolist()
    parts = [tuple(names[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    return Mapping(kernels=tuple(Kernel(layers=part, primary=part[0], unit="array") for part in parts))


def test_a_layer_in_a_place_never_seen_is_judged_by_what_feeds_it() -> None:
    """A normalisation joins a convolution, not a pool; behind a pool that was merged it was never seen."""
    chains = (("Conv", "Norm"), ("Conv", "Pool"), ("Pool", "Norm"))
    seen = [_chain_of(size, *ops) for size in range(4, 12) for ops in chains]
    answers = [_in_kernels(item, *((1, 1) if item.layers[0].op_type == "MaxPool" else (2,))) for item in seen]
    model = fit_mapping_model(list(zip(seen, answers, strict=True)))
    network = _chain_of(32, "Conv", "Pool", "Norm")
    assert model.predict(network) == _in_kernels(network, 2, 1)


def test_rules_read_like_sentences() -> None:
    rules = _model().describe()
    assert any(rule.startswith("Conv + Clip -> always merged (") for rule in rules)
    assert any(rule.startswith("Conv + MaxPool -> merged if ") and "kernel_h <= 3" in rule for rule in rules)
    assert any(rule.startswith("Resize -> on host if options has mode=linear") for rule in rules)
    assert any(rule.startswith("Reshape -> always vanishes (") for rule in rules)
    assert any(rule.startswith("Sigmoid + ") and rule.endswith("never merged") for rule in rules)


def test_every_word_of_a_rule_is_explained() -> None:
    names = {name.removeprefix("primary.") for name in FEATURES}
    assert names | {name.removeprefix("reader.") for name in MOVE_FEATURES} == set(MEANINGS)
    words = dict(_model().glossary())
    rules = " ".join(_model().describe())
    assert words
    assert all(name in rules and meaning == meaning_of(name) for name, meaning in words.items())


def test_json_keeps_every_rule() -> None:
    model = _model()
    text = model.to_json()
    again = MappingModel.from_json(text)
    assert again == model
    assert again.to_json() == text
    assert (
        fit_mapping_model(_observations()[:60]).to_json() == fit_mapping_model(_observations()[:60]).to_json()
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema_version": 99}',
        '{"schema_version": 1}',
        '{"schema_version": 1, "default_unit": "a", "transparent": [], "joins": [], "primaries": {}, '
        '"producers": {}, '
        '"vanish": {"Relu": {"feature": "__class__", "holds": {}}}, "merge": {}, "placement": {}}',
        '{"schema_version": 1, "default_unit": "a", "transparent": [], "joins": [], "primaries": {}, '
        '"producers": {}, '
        '"vanish": {"Relu": {"counts": {"stays": -1}}}, "merge": {}, "placement": {}}',
        "[" * 100_000,
    ],
)
def test_damaged_json_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="mapping model"):
        MappingModel.from_json(text)


def test_nothing_observed_is_an_error() -> None:
    with pytest.raises(ModelError, match="no observed mapping"):
        fit_mapping_model([])


def test_a_mapping_of_another_network_is_an_error() -> None:
    (network, _), (_, other) = _observations()[:2]
    with pytest.raises(GraphError):
        fit_mapping_model([(network, other)])


def test_a_network_without_layers_has_no_kernels() -> None:
    tensor = Tensor(name="x", shape=(1,))
    network = Network(name="empty", inputs=("x",), outputs=("x",), layers=(), tensors={"x": tensor})
    assert _model().predict(network) == Mapping(kernels=())


def test_resnet50_is_mapped_in_milliseconds() -> None:
    network = zoo_network("resnet50")
    times = []
    for _ in range(10):
        start = time.perf_counter()
        _model().predict(network)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.02  # 2.5 ms on a quiet machine


def _normalised_sum(size: int, *, same: bool) -> tuple[Network, Mapping]:
    """A sum before a layer normalisation: of equal shapes, which the device merges, or a row added to all."""
    build = NetworkBuilder("sum")
    x = build.linear(build.input("x", (1, size, 16)), 16)
    y = build.linear(build.input("y", (1, size, 16)), 16) if same else build.constant((16,))
    network = build.finish(build.layer_norm(build.add("Add", x, y)))
    names = [layer.name for layer in network.layers]
    parts = [
        *((name,) for name in names[:-2]),
        *([tuple(names[-2:])] if same else [(n,) for n in names[-2:]]),
    ]
    return network, Mapping(kernels=tuple(Kernel(layers=p, primary=p[0], unit="plain") for p in parts))


def test_a_merge_may_depend_on_the_shapes_that_the_producer_reads() -> None:
    seen = [_normalised_sum(size, same=same) for size in range(4, 24) for same in (True, False)]
    model = fit_mapping_model(seen)
    for size in (2, 100):
        for same in (True, False):
            network, mapping = _normalised_sum(size, same=same)
            assert model.predict(network).kernels == mapping.kernels


def _dequantised_product(size: int, dtype: str) -> tuple[Network, Mapping]:
    """A product of two dequantised tensors, which the device computes on bytes if these are unsigned."""
    build = NetworkBuilder("product")
    pairs = []
    for name in ("x", "y"):
        scale, zero = build.constant(()), build.constant((), dtype=dtype)
        quantised = build.add("QuantizeLinear", build.input(name, (1, 4, size, size)), scale, zero)
        pairs.append(build.add("DequantizeLinear", quantised, scale, zero))
    network = build.finish(build.add("Mul", *pairs))
    by_op: dict[str, list[str]] = {}
    for layer in network.layers:
        by_op.setdefault(layer.op_type, []).append(layer.name)
    joined = dtype == "uint8"
    kernels = [Kernel(layers=(name,), primary=name, unit="plain") for name in by_op["QuantizeLinear"]]
    rest = [*by_op["DequantizeLinear"], *by_op["Mul"]]
    parts = [tuple(rest)] if joined else [(name,) for name in rest]
    kernels += [Kernel(layers=part, primary=part[-1], unit="plain") for part in parts]
    return network, Mapping(kernels=tuple(kernels))


def test_a_merge_may_depend_on_the_type_that_the_producer_reads() -> None:
    seen = [_dequantised_product(size, dtype) for size in range(4, 20) for dtype in ("int8", "uint8")]
    model = fit_mapping_model(seen)
    for dtype in ("int8", "uint8"):
        network, mapping = _dequantised_product(50, dtype)
        assert all(exact_kernels(mapping, model.predict(network)))


def test_what_one_pair_of_operators_does_is_no_rule_for_their_families() -> None:
    def network(size: int, reduction: str, activation: str) -> Network:
        build = NetworkBuilder("reduce")
        x = build.add(reduction, build.input("x", (1, 8, size)), build.int_constant((2,)))
        return build.finish(build.add(activation, x))

    seen = [network(size, "ReduceMean", "Sqrt") for size in range(4, 14)]
    model = fit_mapping_model([(item, _in_kernels(item, 2)) for item in seen])
    assert model.predict(network(40, "ReduceMean", "Sqrt")) == _in_kernels(
        network(40, "ReduceMean", "Sqrt"), 2
    )
    other = network(40, "ReduceL2", "Relu")
    assert [len(kernel.layers) for kernel in model.predict(other).kernels] == [1, 1]
