"""NAS-Bench-201: notation, order, duplicates and networks against what the benchmark publishes."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.graph.work import network_work
from annette.zoo.spaces.nasbench201 import EDGES, OPERATIONS, Nasbench201
from annette.zoo.spaces.space import ABSENT, Encoding

PUBLIC = Path(__file__).resolve().parents[4] / "shared" / "data" / "real" / "nasbench201_latency_s.parquet"
SPACE = Nasbench201()
TRAINED = Nasbench201(dead_code=True)
ALL = np.array(list(SPACE.enumerate()))
NONE, SKIP, CONV1X1, CONV3X3, POOL = range(5)
ENCODINGS = st.tuples(*[st.integers(0, 4)] * 6)


def reference_network(encoding: Encoding, *, is_trained: bool = False) -> Network:
    """The CIFAR-10 network as a plain program: each cell node by node, then what is dead taken away."""
    build = NetworkBuilder("reference")
    x = build.batch_norm(
        build.conv(build.input("image", (1, 3, 32, 32)), 16, kernel=3, padding=1, bias=False)
    )
    kept = set(EDGES) if is_trained else edges_on_paths(encoding)
    for channels in (16, 32, 64):
        if channels > 16:
            y = conv(build, x, channels, kernel=3, stride=2)
            y = conv(build, y, channels, kernel=3)
            short = build.avg_pool(x, kernel=2, stride=2)
            x = build.add("Add", build.conv(short, channels, bias=False), y)
        for _ in range(5):
            x = reference_cell(build, x, encoding, kept)
    x = build.relu(build.batch_norm(x))
    return build.finish(build.linear(build.flatten(build.global_avg_pool(x)), 10))


def reference_cell(build: NetworkBuilder, x: str, encoding: Encoding, kept: set[tuple[int, int]]) -> str:
    if not kept:
        return build.add("Mul", x, build.constant((), value=(0.0,)))
    values = {0: x}
    for (source, node), gene in zip(EDGES, encoding, strict=True):
        if (source, node) in kept:
            term = operation(build, values[source], gene)
            values[node] = build.add("Add", values[node], term) if node in values else term
    return values[3]


def edges_on_paths(encoding: Encoding) -> set[tuple[int, int]]:
    carrying = {edge for edge, gene in zip(EDGES, encoding, strict=True) if gene != NONE}
    paths = ((0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3))
    steps = [set(pairwise(path)) for path in paths]
    return set().union(*(path for path in steps if path <= carrying))


def operation(build: NetworkBuilder, x: str, gene: int) -> str:
    if gene == NONE:
        return build.add("Mul", x, build.constant((), value=(0.0,)))
    if gene == SKIP:
        return x
    if gene == POOL:
        return build.avg_pool(x, kernel=3, stride=1, padding=1)
    return conv(build, x, build.channels(x), kernel=1 if gene == CONV1X1 else 3)


def conv(build: NetworkBuilder, x: str, channels: int, *, kernel: int, stride: int = 1) -> str:
    y = build.conv(build.relu(x), channels, kernel=kernel, stride=stride, padding=kernel // 2, bias=False)
    return build.batch_norm(y)


# Against the benchmark -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "text"),
    [
        # The assertions of D-X-Y/AutoDL-Projects, exps/NAS-Bench-201/main.py, generate_meta_info.
        (
            0,
            "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
        ),
        (9, "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"),
        (123, "|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|"),
    ],
)
def test_indices_are_those_of_the_benchmark(index: int, text: str) -> None:
    encoding = SPACE.parse(text)
    assert SPACE.parse(str(index)) == encoding
    assert SPACE.at_indices([index]).tolist() == [list(encoding)]
    assert SPACE.indices([encoding]).tolist() == [index]
    assert SPACE.format(encoding) == text


@pytest.mark.skipif(not PUBLIC.exists(), reason="the public latencies of HELP are not beside the checkout")
def test_every_index_is_the_one_of_the_public_latencies() -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pandas.read_parquet(PUBLIC, columns=["index", "arch"])
    np.testing.assert_array_equal(
        SPACE.at_indices(table["index"].to_numpy()), SPACE.parse_many(table["arch"])
    )


def test_macs_and_parameters_are_the_published_ones() -> None:
    """The benchmark counts convolutions, the linear layer and its bias; neither pools nor norms."""
    none, skip, conv1x1, conv3x3, pool = (network_work(TRAINED.network((gene,) * 6)) for gene in range(5))
    bias = 10
    macs = [(work.macs + bias) / 1e6 for work in (none, skip, conv1x1, conv3x3, pool)]
    assert macs[0] == macs[1] == macs[4] == pytest.approx(7.78305, abs=1e-8)
    assert macs[3] == pytest.approx(220.11969, abs=1e-8)
    assert none.params == skip.params == pool.params == 73_306
    assert conv3x3.params == 1_531_546
    # Both are sums over edges, so that those of all 15,625 lie between the extremes.
    mixed = network_work(TRAINED.network((CONV1X1, CONV3X3, NONE, POOL, CONV3X3, SKIP)))
    assert mixed.macs - none.macs == (conv1x1.macs - none.macs + 2 * (conv3x3.macs - none.macs)) / 6
    assert mixed.params - none.params == (conv1x1.params + 2 * conv3x3.params - 3 * none.params) / 6


def test_as_many_architectures_differ_as_the_benchmark_counts() -> None:
    assert len(ALL) == SPACE.size == 15_625
    assert len({SPACE.fingerprint(row) for row in ALL.tolist()}) == 6_466
    assert (SPACE.canonical(ALL) == NONE).all(axis=1).sum() == 341


# Properties ------------------------------------------------------------------------------------------


def test_all_strings_are_read_and_written_as_the_benchmark_writes_them() -> None:
    texts = [SPACE.format(row) for row in ALL.tolist()]
    assert len(set(texts)) == len(texts)
    np.testing.assert_array_equal(SPACE.parse_many(texts), ALL)
    for text, row in zip(texts[::101], ALL[::101].tolist(), strict=True):
        names = [OPERATIONS[gene] for gene in row]
        first, second, third = (names[:1], names[1:3], names[3:])
        groups = [
            "".join(f"{name}~{at}|" for at, name in enumerate(group)) for group in (first, second, third)
        ]
        assert text == "+".join(f"|{group}" for group in groups)


def test_indices_are_a_permutation_of_all_architectures() -> None:
    indices = SPACE.indices(ALL)
    np.testing.assert_array_equal(np.sort(indices), np.arange(15_625))
    np.testing.assert_array_equal(SPACE.at_indices(indices), ALL)
    mixed = ["9", SPACE.format(ALL[7].tolist()), " 123 "]
    np.testing.assert_array_equal(SPACE.indices(SPACE.parse_many(mixed))[[0, 2]], [9, 123])


@settings(max_examples=25, deadline=None)
@given(encoding=ENCODINGS)
def test_a_network_is_that_of_a_plain_program(encoding: Encoding) -> None:
    assert SPACE.network(encoding).id == reference_network(encoding).id
    assert TRAINED.network(encoding).id == reference_network(encoding, is_trained=True).id


@pytest.mark.parametrize(
    "encoding",
    [
        (NONE,) * 6,
        (CONV3X3, NONE, NONE, NONE, NONE, CONV3X3),  # nothing meets
        (NONE, NONE, NONE, SKIP, NONE, NONE),  # cells that are no layer
        (SKIP, SKIP, SKIP, SKIP, SKIP, SKIP),
        (NONE, CONV1X1, POOL, NONE, CONV3X3, SKIP),
    ],
)
def test_extreme_cells_are_those_of_a_plain_program(encoding: Encoding) -> None:
    assert SPACE.network(encoding).id == reference_network(encoding).id


@settings(max_examples=20, deadline=None)
@given(encoding=ENCODINGS)
def test_no_layer_is_in_vain(encoding: Encoding) -> None:
    network = SPACE.network(encoding)
    read = {name for layer in network.layers for name in layer.inputs}
    assert all(layer.outputs[0] in read | set(network.outputs) for layer in network.layers)
    has_path = bool((SPACE.canonical(np.array([encoding])) != NONE).any())
    products = Counter(layer.op_type for layer in network.layers)["Mul"]
    assert products == (0 if has_path else 15)


@given(encoding=ENCODINGS)
def test_the_canonical_cell_has_exactly_the_edges_on_paths(encoding: Encoding) -> None:
    canonical = SPACE.canonical(np.array([encoding]))[0].tolist()
    kept = edges_on_paths(encoding)
    assert canonical == [gene if edge in kept else NONE for edge, gene in zip(EDGES, encoding, strict=True)]
    np.testing.assert_array_equal(TRAINED.canonical(np.array([encoding])), [encoding])


@given(encoding=ENCODINGS)
def test_where_node_1_is_the_input_its_edges_and_those_of_the_input_may_be_swapped(
    encoding: Encoding,
) -> None:
    _, e02, e12, e03, e13, e23 = encoding
    assert SPACE.fingerprint((SKIP, e02, e12, e03, e13, e23)) == SPACE.fingerprint(
        (SKIP, e12, e02, e13, e03, e23)
    )


# Examples --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "resolution", "classes"),
    [("cifar10", 32, 10), ("cifar100", 32, 100), ("imagenet16-120", 16, 120)],
)
def test_each_data_set_has_its_resolution_and_classes(dataset: str, resolution: int, classes: int) -> None:
    network = Nasbench201(dataset=dataset).network((CONV3X3,) * 6)
    assert network.tensors[network.inputs[0]].shape == (1, 3, resolution, resolution)
    assert network.tensors[network.outputs[0]].shape == (1, classes)
    last = next(layer for layer in reversed(network.layers) if layer.op_type == "Conv")
    assert network.output_tensors(last)[0].shape == (1, 64, resolution // 4, resolution // 4)


def test_a_skip_is_no_layer_and_a_dead_edge_none() -> None:
    plain = Counter(layer.op_type for layer in SPACE.network((NONE, NONE, NONE, SKIP, NONE, NONE)).layers)
    dead = SPACE.network((CONV3X3, CONV3X3, NONE, SKIP, NONE, NONE))
    assert Counter(layer.op_type for layer in dead.layers) == plain
    assert plain["Conv"] == 1 + 2 * 3
    assert plain["Add"] == 2


def test_pieces_are_few_and_alike() -> None:
    pieces = SPACE.pieces(ALL)
    assert set(pieces.kinds) == {"stem", "edge", "add", "reduction", "head"}
    edges = pieces.codes[:, [kind == "edge" for kind in pieces.kinds]]
    assert sorted(np.unique(edges)) == [ABSENT, NONE, SKIP, CONV1X1, CONV3X3, POOL]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("15625", "expected 0 to 15624"),
        ("-1", "an index from 0 to 15624"),
        (
            "|nor_conv_5x5~0|+|none~0|none~1|+|none~0|none~1|none~2|",
            "'nor_conv_5x5'; did you mean 'nor_conv_",
        ),
        ("|none~0|+|none~0|none~1|", "expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2|"),
        ("|none~1|+|none~0|none~1|+|none~0|none~1|none~2|", "expected |op~0|"),
    ],
)
def test_a_wrong_string_says_what_is_wrong(text: str, fragment: str) -> None:
    with pytest.raises(UsageError) as caught:
        SPACE.parse(text)
    assert fragment in str(caught.value)
    with pytest.raises(UsageError):
        SPACE.parse_many(["0", text])


@pytest.mark.parametrize("indices", [[-1], [15_625], [0.5], [[1, 2]]])
def test_wrong_indices_are_refused(indices: list[object]) -> None:
    with pytest.raises(UsageError, match="nasbench201"):
        SPACE.at_indices(indices)  # type: ignore[arg-type]
