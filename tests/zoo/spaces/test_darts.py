"""The DARTS space against its published networks and the rules of its cells."""

from __future__ import annotations

from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.graph.network import Network
from annette.graph.onnx_reader import read_onnx
from annette.graph.onnx_writer import write_onnx
from annette.graph.work import network_work
from annette.zoo.spaces.darts import Darts
from annette.zoo.spaces.space import UNUSED, Encoding

CIFAR = Darts()
SMALL = Darts(channels=4, layers=3)
GENES = 24
MAX_POOL, AVG_POOL, SKIP, SEP_3, SEP_5, DIL_3, DIL_5 = range(7)
OPERATIONS = (
    "max_pool_3x3", "avg_pool_3x3", "skip_connect",
    "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip
PAIRS = [sorted((a, b) for b in range(node + 2) for a in range(b)) for node in range(4)]
"""Inputs that each node of a cell can have."""
ENCODINGS = st.tuples(*[st.integers(0, values - 1) for values in CIFAR.choices])

V1 = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 0), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), "
    "('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])"
)
V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), "
    "('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
PC_DARTS = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), ('dil_conv_3x3', 1), "
    "('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), ('dil_conv_3x3', 1)], "
    "normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 1), "
    "('sep_conv_5x5', 2), ('sep_conv_3x3', 0), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 2)], reduce_concat=range(2, 6))"
)


def cell_shapes(network: Network) -> list[tuple[int, ...]]:
    """Channels and height of what each cell hands on."""
    concats = [layer for layer in network.layers if layer.op_type == "Concat" and len(layer.inputs) == 4]
    return [network.tensors[layer.outputs[0]].shape[1:3] for layer in concats]


def genotype(normal: list[tuple[str, int]], reduce: list[tuple[str, int]]) -> str:
    return f"Genotype(normal={normal}, normal_concat=range(2, 6), reduce={reduce}, reduce_concat=range(2, 6))"


# Published figures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "params", "tolerance"), [(V1, 3.3e6, 0.15e6), (V2, 3_349_342, 0)])
def test_networks_on_cifar10_have_their_published_parameters(
    text: str, params: float, tolerance: float
) -> None:
    """Source: DARTS, table 1: 3.3M each; exact: the reference's code on DARTS_V2 without auxiliary head."""
    work = network_work(CIFAR.network(CIFAR.parse(text)))
    assert work.params == pytest.approx(params, abs=tolerance)


def test_pc_darts_has_its_published_parameters_and_macs() -> None:
    """Source: sbl1996/hanser, configs/pc_darts.py: 558M and 3.63M on CIFAR-10; the paper says 3.6M."""
    work = network_work(CIFAR.network(CIFAR.parse(PC_DARTS)))
    assert work.params == pytest.approx(3.63e6, abs=0.005e6)
    assert work.macs == pytest.approx(558e6, rel=0.005)


def test_the_network_on_imagenet_has_its_published_parameters_and_macs() -> None:
    """Source: osmr/imgclsmob, darts: 4,718,752 parameters, 539.86M FLOPs, with its normalisations."""
    space = Darts(dataset="imagenet", channels=48, layers=14)
    work = network_work(space.network(space.parse(V2)))
    assert work.params == 4_718_752
    assert work.macs == pytest.approx(539.86e6, rel=0.02)


def test_there_are_as_many_cells_as_the_paper_says() -> None:
    """Source: DARTS, appendix A.3: about 10^9 of each kind (two inputs of k + 1, seven operations)."""
    assert CIFAR.size == (1 * 3 * 6 * 10 * 7**8) ** 2


# Properties -----------------------------------------------------------------------------------------


@given(encoding=ENCODINGS)
def test_what_is_printed_is_parsed_to_the_same(encoding: Encoding) -> None:
    assert CIFAR.parse(CIFAR.format(encoding)) == encoding


@given(encoding=ENCODINGS)
def test_the_two_edges_of_a_node_may_stand_in_either_order(encoding: Encoding) -> None:
    edges = [
        (OPERATIONS[encoding[3 * node + 1 + edge]], PAIRS[node % 4][encoding[3 * node]][edge])
        for node in range(8)
        for edge in (1, 0)
    ]
    assert CIFAR.parse(genotype(edges[:8], edges[8:])) == encoding


@settings(max_examples=5, deadline=None)
@given(encoding=ENCODINGS)
def test_nodes_in_another_order_have_the_same_fingerprint_and_work(encoding: Encoding) -> None:
    nodes = [
        [
            (OPERATIONS[encoding[3 * node + 1 + edge]], PAIRS[node][encoding[3 * node]][edge])
            for edge in (0, 1)
        ]
        for node in range(4)
    ]
    reduce = CIFAR.format(encoding).partition("reduce=")[2].partition(", reduce_concat")[0]
    works = set()
    for order in permutations(range(4)):
        place = [0, 1, *(order.index(node) + 2 for node in range(4))]
        moved = [[(operation, place[source]) for operation, source in nodes[node]] for node in order]
        if all(source < index + 2 for index, node in enumerate(moved) for _, source in node):
            text = genotype([edge for node in moved for edge in node], []).replace("[]", reduce)
            other = SMALL.parse(text)
            assert SMALL.fingerprint(other) == SMALL.fingerprint(encoding)
            works.add(network_work(SMALL.network(other)))
    assert len(works) == 1
    assert SMALL.fingerprint(SMALL.parse(SMALL.fingerprint(encoding))) == SMALL.fingerprint(encoding)


@settings(max_examples=8, deadline=None)
@given(encoding=ENCODINGS, gene=st.sampled_from([1, 2, 4, 11, 13, 17, 22]))
def test_heavier_operations_have_more_macs(encoding: Encoding, gene: int) -> None:
    works = [
        network_work(SMALL.network((*encoding[:gene], operation, *encoding[gene + 1 :]))).macs
        for operation in (AVG_POOL, DIL_3, DIL_5, SEP_5)
    ]
    assert all(less < more for less, more in pairwise(works))


@settings(max_examples=8, deadline=None)
@given(encoding=ENCODINGS, layers=st.integers(3, 9))
def test_more_layers_or_channels_have_more_macs(encoding: Encoding, layers: int) -> None:
    macs, deeper, wider = (
        network_work(space.network(encoding)).macs
        for space in (
            Darts(channels=4, layers=layers),
            Darts(channels=4, layers=layers + 3),
            Darts(channels=6, layers=layers),
        )
    )
    assert macs < deeper
    assert macs < wider


@settings(max_examples=8, deadline=None)
@given(encoding=ENCODINGS, layers=st.integers(3, 9))
def test_cells_reduce_at_one_and_two_thirds(encoding: Encoding, layers: int) -> None:
    shapes = cell_shapes(Darts(channels=4, layers=layers).network(encoding))
    levels = [(layer >= layers // 3) + (layer >= 2 * layers // 3) for layer in range(layers)]
    assert shapes == [(16 << level, 32 >> level) for level in levels]


@given(encoding=ENCODINGS)
def test_every_piece_reads_different_pieces_before_it(encoding: Encoding) -> None:
    pieces = SMALL.pieces(np.array([encoding]))
    for position, ports in enumerate(pieces.sources[0].tolist()):
        used = [source for source in ports if source != UNUSED]
        assert all(source < position for source in used)
        assert (
            len(set(used)) == len(used) == {"input": 0, "node": 2, "concat": 4}.get(pieces.kinds[position], 1)
        )


@settings(max_examples=10, deadline=None)
@given(encoding=ENCODINGS)
def test_a_population_is_decoded_as_each_of_its_rows_is(encoding: Encoding) -> None:
    rows = np.concatenate([SMALL.sample(3, seed=1), np.array([encoding])])
    together, alone = SMALL.pieces(rows), SMALL.pieces(rows[-1:])
    assert (together.codes[-1] == alone.codes[0]).all()
    assert (together.sources[-1] == alone.sources[0]).all()


# Examples -------------------------------------------------------------------------------------------


def test_a_skip_in_a_reduction_cell_is_a_factorized_reduction() -> None:
    skips = tuple(0 if gene % 3 == 0 else SKIP for gene in range(GENES))
    network = Darts(channels=4, layers=3).network(skips)
    types = [layer.op_type for layer in network.layers]
    # two cells of 8 skips from the cell's inputs each, one preprocessing after a reduction
    assert types.count("Slice") == 2 * 8 + 1
    sliced = [layer for layer in network.layers if layer.op_type == "Slice"]
    assert {network.tensors[layer.outputs[0]].shape[2:] for layer in sliced} == {(31, 31), (15, 15)}


def test_convolutions_follow_the_reference() -> None:
    genes = [0, SEP_5, DIL_3, *[0, MAX_POOL, MAX_POOL] * 3]
    layers = Darts(channels=4, layers=3).network(genes * 2).layers
    start = 2 + 2 * 3  # stem and two preprocessings
    types = [layer.op_type for layer in layers[start : start + 13]]
    one = ["Relu", "Conv", "Conv", "BatchNormalization"]
    assert types == [*one, *one, *one, "Add"]
    convs = [layer for layer in layers[start : start + 12] if layer.op_type == "Conv"]
    assert [layer.ints_attribute("kernel_shape") for layer in convs] == [
        (5, 5), (1, 1), (5, 5), (1, 1), (3, 3), (1, 1)
    ]  # fmt: skip
    assert [layer.ints_attribute("dilations") for layer in convs][-2] == (2, 2)
    assert [layer.ints_attribute("pads") for layer in convs][-2] == (2, 2, 2, 2)


def test_the_name_says_the_parameters_that_are_not_defaults() -> None:
    assert CIFAR.name == "darts"
    assert Darts(dataset="imagenet", channels=48, layers=14).name == (
        "darts,dataset=imagenet,channels=48,layers=14"
    )


def test_data_sets_and_batches_have_their_shapes() -> None:
    network = Darts(dataset="cifar100", channels=4, layers=3, batch=2).network([0] * GENES)
    assert network.tensors["image"].shape == (2, 3, 32, 32)
    assert network.tensors[network.outputs[0]].shape == (2, 100)
    network = Darts(dataset="imagenet", channels=4, layers=3).network([0] * GENES)
    assert network.tensors["image"].shape == (1, 3, 224, 224)
    assert cell_shapes(network) == [(16, 28), (32, 14), (64, 7)]


def test_genotypes_may_have_other_spaces_and_quotes() -> None:
    text = V2.replace("'", '"').replace(", ", ",\n ").replace("=", " = ")
    assert CIFAR.parse(text) == CIFAR.parse(V2) == CIFAR.parse(V2.replace(" ", ""))


def test_a_network_survives_onnx(tmp_path: Path) -> None:
    network = SMALL.network(SMALL.parse(PC_DARTS))
    write_onnx(network, tmp_path / "darts.onnx")
    found = read_onnx(tmp_path / "darts.onnx")
    assert [layer.op_type for layer in found.layers] == [layer.op_type for layer in network.layers]
    assert network_work(found) == network_work(network)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DARTS_V2",
        "Genotype()",
        "__import__('os')",
        V2.replace("reduce=", "other="),
        V2.replace("[2, 3, 4, 5]", "[3, 4, 5]"),
        V2.replace("('sep_conv_3x3', 0)", "('sep_conv_7x7', 0)"),
        V2.replace("('sep_conv_3x3', 0)", "('none', 0)"),
        V2.replace("('sep_conv_3x3', 0)", "('sep_conv_3x3', 5)"),
        V2.replace("('sep_conv_3x3', 0)", "('sep_conv_3x3', 1)"),
        V2.replace("('sep_conv_3x3', 0)", "('sep_conv_3x3', -1)"),
        V2.replace("('sep_conv_3x3', 0), ", "", 1),
        V2 + V2,
        "Genotype(normal=[" + "('sep_conv_3x3', 0), " * 10_000,
        V2.replace("sep", "s" * 10_000),
        "(" * 100_000,
    ],
)
def test_text_that_is_no_architecture_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="darts") as caught:
        CIFAR.parse(text)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dataset": "mnist"}, "dataset=mnist, expected one of cifar10, cifar100, imagenet"),
        ({"channels": 0}, "channels=0, expected a number above 0"),
        ({"layers": 2}, "layers=2, expected 3 or more"),
        ({"batch": -1}, "batch=-1, expected a number above 0"),
        ({"dataset": "imagenet", "channels": 5}, "channels=5, expected an even number"),
    ],
)
def test_parameters_that_make_no_network_are_refused(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Darts(**parameters)  # type: ignore[arg-type]
