"""Kernels laid side by side: by names within a network, by order and shapes between unlike ones."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

import annette
from annette.estimation.platform import Platform
from annette.evaluation.alignment import Alignment, align
from annette.evaluation.sides import Side, SideKernel, Word, side_of_estimate
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.zoo.registry import zoo_network


def kernel(*layers: str, family: str = "conv", unit: str = "array", latency_s: float = 1e-3) -> SideKernel:
    """Layers are written ``NAME:OPERATOR:SHAPE``; the first is the primary one."""
    parts = [item.split(":") for item in layers]
    return SideKernel(
        name="+".join(name for name, *_ in parts),
        family=family,
        unit=unit,
        latency_s=latency_s,
        bound=None,
        layers=tuple(name for name, *_ in parts),
        words=tuple(Word(operator, shape) for _, operator, shape in parts),
    )


def side(*kernels: SideKernel, gone: tuple[str, ...] = (), knows_layers: bool = True) -> Side:
    return Side(
        kind="estimate",
        network="net",
        place="here",
        latency_s=sum(item.latency_s for item in kernels),
        kernels=kernels,
        eliminated_layers=gone,
        knows_layers=knows_layers,
    )


def kinds(alignment: Alignment) -> list[str]:
    return [group.kind for group in alignment.groups]


CONV, RELU, ADD = "conv:Conv:1x8x4x4", "relu:Relu:1x8x4x4", "add:Add:1x8x4x4"


def test_a_kernel_that_another_device_splits_stands_beside_its_parts() -> None:
    one = side(kernel(CONV, RELU), kernel(ADD, family="elementwise"))
    other = side(kernel(CONV), kernel(RELU, family="activation"), kernel(ADD, family="elementwise"))
    found = align(one, other)
    assert found.way == "names"
    assert [(group.a, group.b) for group in found.groups] == [((0,), (0, 1)), ((1,), (2,))]
    assert kinds(found) == ["split", "same"]
    assert kinds(align(other, one)) == ["merged", "same"]


def test_layers_that_move_from_one_kernel_to_another_make_a_regrouped_row() -> None:
    one = side(kernel(CONV, RELU), kernel(ADD, family="elementwise"))
    other = side(kernel(CONV), kernel(ADD, RELU, family="elementwise"))
    assert kinds(align(one, other)) == ["regrouped"]


def test_what_vanishes_on_one_side_is_on_the_other_alone_and_stands_in_its_place() -> None:
    one = side(kernel(CONV), kernel(ADD, family="elementwise"), gone=("relu",))
    other = side(kernel(CONV), kernel(RELU, family="activation"), kernel(ADD, family="elementwise"))
    assert kinds(align(one, other)) == ["same", "only_b", "same"]
    assert kinds(align(other, one)) == ["same", "only_a", "same"]


def test_moves_of_the_same_tensor_to_the_same_place_belong_together() -> None:
    move = SideKernel(
        name="x to_plain", family="move", unit="to_plain", latency_s=1e-6, bound=None, layers=(),
        words=(Word("move to_plain"),),
    )  # fmt: skip
    other = replace(move, name="y to_plain")
    found = align(side(kernel(CONV), move), side(move, kernel(CONV), other))
    assert Counter(kinds(found)) == {"same": 2, "only_b": 1}


def chain(widths: list[int], first: int = 1) -> Side:
    """Convolutions named by number, as exporters do."""
    return side(*(kernel(f"Conv_{first + at}:Conv:1x{width}x8x8") for at, width in enumerate(widths)))


def test_numbered_names_do_not_mislead_once_a_layer_was_put_in() -> None:
    found = align(chain([8, 16, 24, 32]), chain([8, 12, 16, 24, 32]))
    assert found.way == "shapes"
    assert [(group.a, group.b) for group in found.groups] == [
        ((0,), (0,)), ((), (1,)), ((1,), (2,)), ((2,), (3,)), ((3,), (4,)),
    ]  # fmt: skip


def test_names_lead_where_every_width_has_changed() -> None:
    found = align(chain([8, 16, 24, 32]), chain([4, 8, 12, 16]))
    assert found.way == "names"
    assert kinds(found) == ["same"] * 4


def test_networks_that_share_nothing_have_no_common_kernels() -> None:
    found = align(side(kernel(CONV)), side(kernel("x:Softmax:1x10", family="softmax")))
    assert Counter(kinds(found)) == {"only_a": 1, "only_b": 1}


def test_an_activation_alone_does_not_tie_two_convolutions() -> None:
    one = side(kernel("a:Conv:1x8", "r:Relu:1x8"), kernel("b:Conv:1x9", "s:Relu:1x9"))
    other = side(kernel("c:Conv:1x9", "t:Relu:1x8"), kernel("d:Conv:1x9", "u:Relu:1x9"))
    found = align(one, other)
    assert ((1,), (1,)) in [(group.a, group.b) for group in found.groups]
    assert set(kinds(found)) <= {"same", "only_a", "only_b"}


def test_documents_without_layers_are_aligned_by_family_and_size() -> None:
    def plain(name: str, family: str, size: str) -> SideKernel:
        return SideKernel(
            name=name, family=family, unit="u", latency_s=1.0, bound=None, layers=(name,),
            words=(Word(family, size),),
        )  # fmt: skip

    one = side(plain("a", "conv", "1"), plain("b", "pool", "2"), knows_layers=False)
    other = side(
        plain("x", "gemm", "7"), plain("y", "conv", "1"), plain("z", "pool", "3"), knows_layers=False
    )
    found = align(one, other)
    assert [(group.a, group.b) for group in found.groups] == [((), (0,)), ((0,), (1,)), ((1,), (2,))]


@pytest.fixture(scope="module")
def platform() -> Platform:
    return annette.load("zcu102-dpu")


def estimated(platform: Platform, network: Network) -> Side:
    return side_of_estimate(platform.estimate(network), network)


def test_a_side_is_the_same_as_itself(platform: Platform) -> None:
    one = estimated(platform, zoo_network("squeezenet1_1"))
    found = align(one, one)
    assert [(group.a, group.b) for group in found.groups] == [
        ((place,), (place,)) for place in range(len(one.kernels or ()))
    ]


@pytest.mark.parametrize(
    ("first", "second"), [("resnet18", "resnet34"), ("squeezenet1_1", "lenet5"), ("alexnet", "vgg16")]
)
def test_every_kernel_is_in_exactly_one_row_whichever_side_comes_first(
    platform: Platform, first: str, second: str
) -> None:
    one, other = (estimated(platform, zoo_network(name)) for name in (first, second))
    for a, b in ((one, other), (other, one)):
        found = align(a, b)
        assert sorted(place for group in found.groups for place in group.a) == list(
            range(len(a.kernels or ()))
        )
        assert sorted(place for group in found.groups for place in group.b) == list(
            range(len(b.kernels or ()))
        )


def test_a_deeper_network_of_the_same_kind_has_all_that_the_shallow_one_has(platform: Platform) -> None:
    found = align(*(estimated(platform, zoo_network(name)) for name in ("resnet18", "resnet34")))
    assert set(kinds(found)) == {"same", "only_b"}


def test_one_layer_of_a_network_may_be_renamed(platform: Platform) -> None:
    networks = []
    for name in ("old", "new"):
        build = NetworkBuilder("net")
        x = build.input("x", (1, 3, 16, 16))
        for place in range(12):
            x = build.conv(x, 8 + place, kernel=3, padding=1, name=name if place == 5 else f"conv{place}")
        networks.append(build.finish(x))
    found = align(*(estimated(platform, network) for network in networks))
    assert (found.way, set(kinds(found)), len(found.groups)) == ("names", {"same"}, 12)


def test_long_sequences_of_equal_kernels_are_aligned_in_a_moment() -> None:
    rng = random.Random(1)
    words = [f"{rng.choice('abc')}:Conv:{rng.randrange(3)}" for _ in range(3000)]
    one = side(*(kernel(f"a{at}{word}") for at, word in enumerate(words)))
    other = side(*(kernel(f"b{at}{word}") for at, word in enumerate(words[100:])))
    assert sum(group.kind == "same" for group in align(one, other).groups) >= 2000
