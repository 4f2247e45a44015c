"""FBNet's search space against its published network and the rules of HW-NAS-Bench's code."""

from __future__ import annotations

from itertools import pairwise
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
from annette.zoo.spaces.fbnet import FBNet
from annette.zoo.spaces.space import ABSENT, Encoding

PUBLIC = Path(__file__).resolve().parents[4] / "shared" / "data" / "real" / "fbnet_latency_s.parquet"
CIFAR, IMAGENET = FBNet(), FBNet(dataset="imagenet")
K3_E1, K3_E1_G2, K3_E3, K3_E6, K5_E1, K5_E1_G2, K5_E3, K5_E6, SKIP = range(9)
LAYERS = 22
STRIDED = (5, 9, 17)
"""Layers with a stride on CIFAR."""
WIDENING = (1, 5, 9, 13, 17, 21)
"""Layers with more channels than the one before."""
ENCODINGS = st.tuples(*[st.integers(0, 8)] * LAYERS)
SPACES = st.sampled_from([CIFAR, IMAGENET])
FBNET_C = (
    K3_E1, K3_E6, K3_E1, K3_E1, SKIP, K5_E6, K5_E3, K5_E6, K3_E6, K5_E6, K5_E3, K5_E6, K5_E6,
    K5_E6, K5_E3, K5_E6, K5_E6, K5_E6, K5_E6, K5_E6, K5_E6, K3_E6,
)  # fmt: skip
"""FBNet-C as timm (fbnetc_100) and imgclsmob (fbnet_cb) have it."""


def with_gene(encoding: Encoding, gene: int, value: int) -> Encoding:
    return (*encoding[:gene], value, *encoding[gene + 1 :])


def convolutions(network: Network) -> list[tuple[int, int, int, int]]:
    """Input channels, output channels, kernel and groups of each."""
    return [
        (shapes[0][1], shapes[1][0], shapes[1][2], layer.int_attribute("group", 1))
        for layer in network.layers if layer.op_type == "Conv"
        for shapes in [[network.tensors[name].shape for name in layer.inputs]]
    ]  # fmt: skip


# Published figures ----------------------------------------------------------------------------------


def test_fbnet_c_has_its_published_parameters_and_macs() -> None:
    """Sources: timm fbnetc_100 and imgclsmob fbnet_cb: 5,572,200; Wu et al., table 3: 375M FLOPs, 5.5M."""
    work = network_work(IMAGENET.network(FBNET_C))
    assert work.params == 5_572_200
    assert work.macs == pytest.approx(375e6, rel=0.03)  # the paper's last convolution has fewer channels


def test_stages_have_the_sizes_of_the_cifar_skeleton() -> None:
    network = CIFAR.network((K3_E1,) * LAYERS)
    sizes = [network.tensors[layer.outputs[0]].shape for layer in network.layers if layer.op_type == "Conv"]
    stages = [sizes[0], *(sizes[3 * count] for count in (1, 5, 9, 13, 17, 21, 22)), sizes[-1]]
    assert [shape[1:3] for shape in stages] == [
        (16, 32), (16, 32), (24, 32), (32, 16), (64, 8), (112, 8), (184, 4), (352, 4), (1504, 4)
    ]  # fmt: skip
    assert network.tensors[network.outputs[0]].shape == (1, 100)


def test_stages_have_the_sizes_of_the_imagenet_skeleton() -> None:
    network = IMAGENET.network((K3_E1,) * LAYERS)
    sizes = [network.tensors[layer.outputs[0]].shape for layer in network.layers if layer.op_type == "Conv"]
    stages = [sizes[0], *(sizes[3 * count] for count in (1, 5, 9, 13, 17, 21, 22)), sizes[-1]]
    assert [shape[1:3] for shape in stages] == [
        (16, 112), (16, 112), (24, 56), (32, 28), (64, 14), (112, 14), (184, 7), (352, 7), (1984, 7)
    ]  # fmt: skip
    assert network.tensors[network.outputs[0]].shape == (1, 1000)


# Properties -----------------------------------------------------------------------------------------


@given(encoding=ENCODINGS)
def test_what_is_printed_is_the_benchmarks_list_and_is_parsed_to_the_same(encoding: Encoding) -> None:
    text = CIFAR.format(encoding)
    assert text == str(list(encoding))
    assert CIFAR.parse(text) == encoding
    assert CIFAR.parse(text[1:-1].replace(" ", "")) == encoding


@settings(max_examples=6, deadline=None)
@given(space=SPACES, encoding=ENCODINGS, layer=st.integers(0, LAYERS - 1))
def test_more_expansion_and_larger_kernels_have_more_macs(
    space: FBNet, encoding: Encoding, layer: int
) -> None:
    for order in ((K3_E1_G2, K3_E1, K3_E3, K3_E6, K5_E6), (K5_E1_G2, K5_E1, K5_E3, K5_E6)):
        works = [network_work(space.network(with_gene(encoding, layer, item))) for item in order]
        assert all(less.macs < more.macs and less.params < more.params for less, more in pairwise(works))


@settings(max_examples=6, deadline=None)
@given(encoding=ENCODINGS)
def test_networks_differ_where_encodings_do(encoding: Encoding) -> None:
    other = with_gene(encoding, 3, (encoding[3] + 1) % 9)
    assert CIFAR.network(other, name="n") != CIFAR.network(encoding, name="n")


@settings(max_examples=6, deadline=None)
@given(encoding=ENCODINGS)
def test_channels_are_shuffled_once_for_each_block_in_groups(encoding: Encoding) -> None:
    types = [layer.op_type for layer in CIFAR.network(encoding).layers]
    in_groups = sum(item in {K3_E1_G2, K5_E1_G2} for item in encoding)
    assert types.count("Transpose") == in_groups
    assert types.count("Reshape") == 2 * in_groups


@settings(max_examples=6, deadline=None)
@given(encoding=ENCODINGS)
def test_sums_stand_where_shapes_stay(encoding: Encoding) -> None:
    types = [layer.op_type for layer in CIFAR.network(encoding).layers]
    expected = sum(item != SKIP and layer not in WIDENING for layer, item in enumerate(encoding))
    assert types.count("Add") == expected


@given(encoding=ENCODINGS)
def test_a_skip_is_left_out_unless_the_shape_changes(encoding: Encoding) -> None:
    codes = CIFAR.pieces(np.array([encoding])).codes[0, 2:-1]
    expected = [item == SKIP and layer not in WIDENING for layer, item in enumerate(encoding)]
    assert (codes == ABSENT).tolist() == expected


# Examples -------------------------------------------------------------------------------------------


def test_skips_alone_leave_a_1x1_convolution_for_each_change_of_shape() -> None:
    network = CIFAR.network((SKIP,) * LAYERS)
    assert convolutions(network)[1:-1] == [
        (16, 24, 1, 1), (24, 32, 1, 1), (32, 64, 1, 1), (64, 112, 1, 1), (112, 184, 1, 1), (184, 352, 1, 1)
    ]  # fmt: skip
    strides = [layer.ints_attribute("strides") for layer in network.layers if layer.op_type == "Conv"]
    assert strides[1:-1] == [(1, 1), (2, 2), (2, 2), (1, 1), (2, 2), (1, 1)]
    assert [layer.op_type for layer in network.layers].count("Relu") == 8


def test_a_block_in_groups_is_as_the_reference_has_it() -> None:
    network = CIFAR.network(with_gene((SKIP,) * LAYERS, 2, K5_E1_G2))
    start = 6  # after the stem and the first change of shape
    assert [layer.op_type for layer in network.layers[start : start + 12]] == [
        "Conv", "BatchNormalization", "Relu", "Reshape", "Transpose", "Reshape",
        "Conv", "BatchNormalization", "Relu", "Conv", "BatchNormalization", "Add",
    ]  # fmt: skip
    assert convolutions(network)[2:5] == [(24, 24, 1, 2), (24, 24, 5, 24), (24, 24, 1, 2)]


def test_the_name_says_the_parameters_that_are_not_defaults() -> None:
    assert CIFAR.name == "fbnet"
    assert FBNet(dataset="imagenet", batch=2).name == "fbnet,dataset=imagenet,batch=2"
    assert FBNet(batch=2).network((SKIP,) * LAYERS).tensors["image"].shape == (2, 3, 32, 32)


def test_a_network_survives_onnx(tmp_path: Path) -> None:
    network = CIFAR.network([1, 8, 5, 0, 8, *range(9), *range(8)])
    write_onnx(network, tmp_path / "fbnet.onnx")
    found = read_onnx(tmp_path / "fbnet.onnx")
    assert [layer.op_type for layer in found.layers] == [layer.op_type for layer in network.layers]
    assert network_work(found) == network_work(network)


def test_every_network_of_the_public_latencies_is_of_the_space() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    if not PUBLIC.exists():
        pytest.skip(f"{PUBLIC} is not there")
    texts = parquet.read_table(PUBLIC, columns=["op_idx_list"])["op_idx_list"].to_pylist()
    assert len(texts) == 5000
    assert [CIFAR.format(CIFAR.parse(text)) for text in texts] == texts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "k3_e1",
        "[7, 8, 1]",
        str([0] * 23),
        str([9] + [0] * 21),
        str([-1] + [0] * 21),
        str([0.0] + [0] * 21),
        str([0] * 22)[1:],
        "[" + "1" * 100_000 + "]",
    ],
)
def test_text_that_is_no_architecture_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="fbnet") as caught:
        CIFAR.parse(text)
    assert len(str(caught.value)) < 400


def test_parameters_that_make_no_network_are_refused() -> None:
    with pytest.raises(UsageError, match=r"dataset=cifar10, expected one of cifar100, imagenet"):
        FBNet(dataset="cifar10")
    with pytest.raises(UsageError, match="batch=0, expected a number above 0"):
        FBNet(batch=0)
