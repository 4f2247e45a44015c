"""The zoo's image classifiers against what their authors and torchvision publish."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.graph.onnx_reader import read_onnx
from annette.graph.onnx_writer import write_onnx
from annette.graph.work import layer_work, network_work
from annette.zoo.alexnet import alexnet
from annette.zoo.blocks import avg_pool_to, make_divisible, scale_channels
from annette.zoo.densenet import densenet121
from annette.zoo.efficientnet import efficientnet_b0
from annette.zoo.inception import inception_v1, inception_v3, inception_v4
from annette.zoo.lenet import lenet5
from annette.zoo.mnasnet import mnasnet
from annette.zoo.mobilenet import (
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v2_features,
    mobilenet_v3_large,
    mobilenet_v3_small,
)
from annette.zoo.regnet import regnety_400mf
from annette.zoo.resnet import resnet18, resnet34, resnet50, resnet101, resnet_features
from annette.zoo.shufflenet import shufflenet_v2
from annette.zoo.squeezenet import squeezenet1_0, squeezenet1_1
from annette.zoo.vgg import vgg16, vgg19

TORCHVISION = "torchvision, meta of the weights enum: num_params and _ops (GMAC in spite of its name)"
MOBILENET = (
    "arXiv 1704.04861, table 8: 569 M, 4.2 M; keras counts 4,253,864 with 2 x 10,944 moving statistics"
)
TIMM = "timm, model card of inception_v4.tf_in1k: 42.7 M, 12.3 GMAC; the digits beyond are our own count"
LENET = "sum over its layers by hand: 117600 + 240000 + 48000 + 10080 + 840 MACs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What is published of a network at its default resolution, batch 1 and its default classes."""

    make: Callable[..., Network]
    params: int
    """Learned ones, as `Work.params` counts them: no running mean and variance of batch normalisations."""
    gmacs: float
    digits: int = 3
    """Decimals to which ``gmacs`` is published."""
    source: str = TORCHVISION


PUBLISHED = (
    Published(make=lenet5, params=61_706, gmacs=0.000_416_52, digits=8, source=LENET),
    Published(make=alexnet, params=61_100_840, gmacs=0.714),
    Published(make=vgg16, params=138_357_544, gmacs=15.47),
    Published(make=vgg19, params=143_667_240, gmacs=19.632),
    Published(make=inception_v1, params=6_624_904, gmacs=1.498),
    # torchvision lists 27,161,264 with the auxiliary classifier, which has 3,326,696.
    Published(make=inception_v3, params=27_161_264 - 3_326_696, gmacs=5.713),
    Published(make=inception_v4, params=42_679_816, gmacs=12.3, digits=1, source=TIMM),
    Published(make=resnet18, params=11_689_512, gmacs=1.814),
    Published(make=resnet34, params=21_797_672, gmacs=3.664),
    Published(make=resnet50, params=25_557_032, gmacs=4.089),
    Published(make=resnet101, params=44_549_160, gmacs=7.801),
    Published(make=densenet121, params=7_978_856, gmacs=2.834),
    Published(make=squeezenet1_0, params=1_248_424, gmacs=0.819),
    Published(make=squeezenet1_1, params=1_235_496, gmacs=0.349),
    Published(make=mobilenet_v1, params=4_253_864 - 2 * 10_944, gmacs=0.569, source=MOBILENET),
    Published(make=mobilenet_v2, params=3_504_872, gmacs=0.301),
    Published(make=mobilenet_v3_large, params=5_483_032, gmacs=0.217),
    Published(make=mobilenet_v3_small, params=2_542_856, gmacs=0.057),
    Published(make=mnasnet, params=4_383_312, gmacs=0.314),
    Published(make=shufflenet_v2, params=2_278_604, gmacs=0.145),
    Published(make=efficientnet_b0, params=5_288_548, gmacs=0.386),
    Published(make=regnety_400mf, params=4_344_144, gmacs=0.402),
)
MAKERS = tuple(item.make for item in PUBLISHED)

every_network = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)


def weight_shapes(network: Network) -> list[tuple[int, ...]]:
    """Shapes of the weights of all convolutions and fully connected layers, in order."""
    return [
        network.tensors[layer.inputs[1]].shape
        for layer in network.layers
        if layer.op_type in {"Conv", "Gemm"}
    ]


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.make.__name__)
def test_parameters_and_macs_are_the_published_ones(published: Published) -> None:
    network = published.make()
    assert network_work(network).params == published.params, published.source
    assert round(network_work(network).macs / 1e9, published.digits) == published.gmacs, published.source


def test_alexnet_of_2012_is_caffes() -> None:
    """60,965,224 parameters: bvlc_alexnet; its MACs are those of its ONNX export but for the larger crop."""
    network = alexnet(two_towers=True, resolution=227)
    shapes = {item.name: network.tensors[item.outputs[0]].shape for item in network.layers}
    assert network_work(network).params == 60_965_224
    assert round(network_work(network).macs / 1e9, 3) == 0.724
    assert [shapes[f"conv_{index}"][1:] for index in range(1, 6)] == [
        (96, 55, 55), (256, 27, 27), (384, 13, 13), (384, 13, 13), (256, 13, 13),
    ]  # fmt: skip
    assert shapes["maxpool_3"] == (1, 256, 6, 6)


def test_resnet50_of_the_paper_has_its_macs() -> None:
    """3.8e9 multiply-adds in table 1; v1.5 has as many parameters and 4.1e9."""
    work = network_work(resnet50(v1=True))
    assert (work.params, round(work.macs / 1e9, 2)) == (25_557_032, 3.86)


@pytest.mark.parametrize(
    ("make", "width", "params"),
    [
        (mnasnet, 0.5, 2_218_512),
        (mnasnet, 1.3, 6_282_256),
        (shufflenet_v2, 0.5, 1_366_792),
        (shufflenet_v2, 1.5, 3_503_624),
        (shufflenet_v2, 2.0, 7_393_996),
    ],
)
def test_other_published_widths_have_torchvisions_parameters(
    make: Callable[..., Network], width: float, params: int
) -> None:
    assert network_work(make(width=width)).params == params


@pytest.mark.parametrize(("width", "resolution", "macs"), [(1.0, 224, 567_716_352), (0.75, 128, 106_002_432)])
def test_mobilenet_v1_has_the_macs_of_its_authors_at_any_width(
    width: float, resolution: int, macs: int
) -> None:
    # Published without the classifier: tensorflow/models, research/slim/nets/mobilenet_v1.py
    network = mobilenet_v1(width=width, resolution=resolution)
    assert sum(layer_work(network, layer).macs for layer in network.layers if layer.op_type == "Conv") == macs


@every_network
def test_batch_scales_work_and_leaves_parameters(make: Callable[..., Network]) -> None:
    one, four = network_work(make()), network_work(make(batch=4))
    assert four.macs == 4 * one.macs
    assert four.params == one.params
    assert make(batch=4).tensors["image"].shape[0] == 4


@every_network
def test_classes_change_the_last_weights_alone(make: Callable[..., Network]) -> None:
    default, other = weight_shapes(make()), weight_shapes(make(classes=17))
    assert default[:-1] == other[:-1]
    assert other[-1] == (17, *default[-1][1:])
    network = make(classes=17, batch=3)
    assert [network.tensors[name].shape for name in network.outputs] == [(3, 17)]


@every_network
def test_width_scales_every_weight_but_not_image_and_classes(make: Callable[..., Network]) -> None:
    default, wide = weight_shapes(make()), weight_shapes(make(width=2.0))
    assert len(default) == len(wide)
    assert wide[0][1] == default[0][1]
    assert wide[-1][0] == default[-1][0]
    assert all(
        more >= fewer for a, b in zip(default, wide, strict=True) for fewer, more in zip(a, b, strict=True)
    )
    assert network_work(make(width=0.5)).macs < network_work(make()).macs < network_work(make(width=2.0)).macs


@every_network
def test_resolution_changes_the_image_and_no_convolution(make: Callable[..., Network]) -> None:
    default = inspect.signature(make).parameters["resolution"].default
    small, large = make(resolution=default), make(resolution=2 * default)
    assert large.tensors["image"].shape[2:] == (2 * default, 2 * default)
    assert [shape for shape in weight_shapes(small) if len(shape) == 4] == [
        shape for shape in weight_shapes(large) if len(shape) == 4
    ]
    assert network_work(large).macs > network_work(small).macs


@settings(max_examples=30, deadline=None)
@given(
    make=st.sampled_from(MAKERS),
    resolution=st.integers(96, 330),
    batch=st.integers(1, 8),
    classes=st.integers(1, 50),
    width=st.floats(0.25, 1.5),
)
def test_any_resolution_batch_classes_and_width_give_one_row_of_logits_an_image(
    make: Callable[..., Network], resolution: int, batch: int, classes: int, width: float
) -> None:
    network = make(resolution=resolution, batch=batch, classes=classes, width=width)
    assert network.tensors["image"].shape[0] == batch
    assert [network.tensors[name].shape for name in network.outputs] == [(batch, classes)]


@every_network
def test_building_takes_less_than_a_tenth_of_a_second(make: Callable[..., Network]) -> None:
    def build_time_s() -> float:
        start = time.process_time()
        make()
        return time.process_time() - start

    assert min(build_time_s() for _ in range(3)) < 0.1


def test_ids_are_reproducible_and_all_different() -> None:
    ids = [make().id for make in MAKERS]
    assert ids == [make().id for make in MAKERS]
    assert len(set(ids)) == len(MAKERS)


@every_network
def test_a_network_is_called_like_its_function_which_is_described_in_one_line(
    make: Callable[..., Network],
) -> None:
    assert make().name == make.__name__
    lines = inspect.getdoc(make).splitlines()
    assert lines[0].endswith(".")
    assert len(lines) == 1 or lines[1] == ""
    parameters = tuple(inspect.signature(make).parameters.values())
    assert [parameter.name for parameter in parameters[:4]] == ["resolution", "batch", "classes", "width"]
    assert all(parameter.default is False for parameter in parameters[4:]), "variants are asked for"
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)
    assert all(isinstance(parameter.default, int | float) for parameter in parameters)


@every_network
def test_an_onnx_file_gives_back_the_same_network(make: Callable[..., Network], tmp_path) -> None:
    network = make(width=0.25)  # the graph is the same, and the file has a sixteenth of the weights
    write_onnx(network, tmp_path / "network.onnx")
    assert read_onnx(tmp_path / "network.onnx").id == network.id


# How the layers are written ----------------------------------------------------------------------------


@every_network
def test_normalisation_follows_a_convolution_without_bias(make: Callable[..., Network]) -> None:
    network = make()
    for layer in network.layers:
        if layer.op_type != "BatchNormalization":
            continue
        producer = network.producer(layer.inputs[0])
        if producer is not None and producer.op_type == "Conv":
            assert len(producer.inputs) == 2, layer.name


def operators(network: Network) -> set[str]:
    """All operator types of a network."""
    return {layer.op_type for layer in network.layers}


def test_activations_are_written_as_exporters_write_them() -> None:
    assert "Clip" in operators(mobilenet_v2())
    assert {"HardSwish", "HardSigmoid", "Relu"} <= operators(mobilenet_v3_large())
    assert "Tanh" in operators(lenet5())
    network = efficientnet_b0()
    swishes = [
        layer
        for layer in network.layers
        if layer.op_type == "Sigmoid"
        and any(
            consumer.op_type == "Mul" and layer.inputs[0] in consumer.inputs
            for consumer in network.successors(layer)
        )
    ]
    assert len(swishes) == 49  # 33 after normalisations, 16 inside the gates


def test_a_channel_shuffle_is_reshape_transpose_reshape() -> None:
    network = shufflenet_v2()
    transposes = [layer for layer in network.layers if layer.op_type == "Transpose"]
    assert len(transposes) == 16
    for layer in transposes:
        (before,), (after,) = network.predecessors(layer), network.successors(layer)
        assert (before.op_type, after.op_type) == ("Reshape", "Reshape")
        assert network.tensors[before.inputs[0]].shape == network.tensors[after.outputs[0]].shape


# Shared parts --------------------------------------------------------------------------------------------


@given(value=st.floats(1, 4096), divisor=st.integers(1, 64))
def test_make_divisible_is_near_a_multiple_and_never_ten_percent_less(value: float, divisor: int) -> None:
    result = make_divisible(value, divisor)
    assert result % divisor == 0
    assert result >= max(divisor, 0.9 * value)
    assert result <= max(divisor, value + divisor)


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf")])
def test_a_width_that_leaves_no_channels_is_an_error(width: float) -> None:
    with pytest.raises(GraphError, match="check the width"):
        mobilenet_v2(width=width)
    with pytest.raises(GraphError, match="check the width"):
        resnet18(width=width)


def test_a_resolution_too_small_for_a_layer_is_an_error_that_names_it() -> None:
    with pytest.raises(GraphError, match="conv_3"):
        lenet5(resolution=28)


@given(channels=st.integers(1, 4096))
def test_a_width_of_one_keeps_channels_that_no_divisor_fits(channels: int) -> None:
    assert scale_channels(channels, 1.0) == channels


@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 8))
def test_average_pooling_to_a_size_reaches_it_or_keeps_what_is_smaller(
    height: int, width: int, size: int
) -> None:
    build = NetworkBuilder("pool")
    y = avg_pool_to(build, build.input("x", (1, 4, height, width)), size)
    assert build.shape(y) == (1, 4, min(height, size), min(width, size))


@pytest.mark.parametrize(("depth", "expansion"), [(18, 1), (34, 1), (50, 4), (101, 4)])
def test_resnet_features_lie_at_strides_4_to_32(depth: int, expansion: int) -> None:
    build = NetworkBuilder("features")
    features = resnet_features(build, build.input("image", (1, 3, 256, 512)), depth)
    assert [build.shape(feature) for feature in features] == [
        (1, 64 * 2**level * expansion, 64 // 2**level, 128 // 2**level) for level in range(4)
    ]


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_mobilenet_v2_features_dilate_beyond_the_output_stride(output_stride: int) -> None:
    build = NetworkBuilder("features")
    image = build.input("image", (1, 3, 256, 256))
    features = mobilenet_v2_features(build, image, output_stride=output_stride)
    names = ("c1", "c2", "c3", "c4", "c4_expanded", "c5")
    expected = ((16, 2), (24, 4), (32, 8), (96, 16), (576, 16), (320, 32))
    for name, (channels, stride) in zip(names, expected, strict=True):
        size = 256 // min(stride, output_stride)
        assert build.shape(getattr(features, name)) == (1, channels, size, size), name
    network = build.finish(features.c5)
    rates = {layer.ints_attribute("dilations") for layer in network.layers if layer.op_type == "Conv"}
    assert rates == {(rate, rate) for rate in (1, 2, 4) if rate * output_stride <= 32}


def test_dilating_a_backbone_keeps_its_parameters() -> None:
    counts = set()
    for output_stride in (8, 16, 32):
        build = NetworkBuilder("features")
        image = build.input("image", (1, 3, 224, 224))
        network = build.finish(mobilenet_v2_features(build, image, output_stride=output_stride).c5)
        counts.add(network_work(network).params)
    assert len(counts) == 1
