"""Probe networks: the same few layers again and again, so that their cost is a difference of two networks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from annette.errors import GraphError
from annette.graph.builder import NetworkBuilder
from annette.graph.families import layer_family
from annette.graph.network import Layer, Network, Tensor

__all__ = [
    "MAC_FAMILIES",
    "PairProbe",
    "cut_out",
    "layer_signature",
    "pair_probe",
    "probe_shapes",
    "repeated",
]

MAC_FAMILIES = frozenset({"conv", "depthwise_conv", "grouped_conv", "conv_transpose", "gemm", "matmul"})
"""Layers that multiply and accumulate: they give a kernel its name, and never join another."""

_WINDOWS = frozenset({"conv", "depthwise_conv", "grouped_conv", "conv_transpose", "pool"})
_BY_CHANNEL = frozenset(
    {
        "BatchNormalization",
        "InstanceNormalization",
        "GroupNormalization",
        "DequantizeLinear",
        "QuantizeLinear",
    }
)
"""Operators with a constant for each channel, which is axis 1 whatever the rank."""
_SHAPES = {
    5: ((1, 32, 4, 14, 14), (1, 16, 8, 28, 28), (1, 8, 8, 56, 56)),
    4: ((1, 64, 14, 14), (1, 32, 56, 56), (1, 8, 224, 224)),
    3: ((1, 64, 64), (1, 196, 192), (1, 384, 384)),
    2: ((1, 256), (1, 1024), (8, 1024)),
}
"""Shapes of activations to probe with, by rank: wide and narrow ones, small enough for any board."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairProbe:
    """A pair of parts in doubt: does the device merge ``second`` into the kernel that computes ``first``?"""

    network: Network
    """Where the layers come from; gives the shapes of their constants."""
    first: tuple[str, ...]
    """Names of layers in a row."""
    second: str
    """Name of the layer that reads the last of `first`."""

    @property
    def key(self) -> tuple[str, str]:
        """What the pair is, whatever its sizes: two pairs with one key are merged alike, sizes permitting.

        A kernel is its primary layer and its last one; windows count where both parts have one.
        """
        layers = [self.network.layer(name) for name in self.first]
        primary, last = _primary(self.network, layers), layers[-1]
        second = self.network.layer(self.second)
        windows = layer_family(self.network, second) in _WINDOWS
        name = layer_signature(self.network, primary, windows=windows)
        if last is not primary:
            name = f"{name} .. {last.op_type}"
        return name, layer_signature(self.network, second)


def pair_probe(network: Network, first: Sequence[str], second: str) -> PairProbe:
    """The probe of the layers ``first`` of ``network``, which must be in a row, and their reader ``second``.

    Raises
    ------
    GraphError
        If there is no such layer, or they are not in a row.
    """
    names = (*first, second)
    for before, after in itertools.pairwise(names):
        if network.layer(after) not in network.successors(network.layer(before)):
            raise GraphError(f"probe: layer {after!r} does not read {before!r}, expected layers in a row")
    return PairProbe(network=network, first=tuple(first), second=second)


def probe_shapes(rank: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of activations of that rank to probe with; none for other ranks than 2 to 5."""
    return _SHAPES.get(rank, ())


def layer_signature(network: Network, layer: Layer, *, windows: bool = True) -> str:
    """What a layer is, without sizes: its operator, its window and how it treats groups and operands.

    Examples
    --------
    >>> build = NetworkBuilder("one")
    >>> x = build.conv(build.input("x", (1, 8, 6, 6)), 4, kernel=3)
    >>> network = build.finish(build.max_pool(x, kernel=2, stride=2))
    >>> [layer_signature(network, layer) for layer in network.layers]
    ['Conv(3x3)', 'MaxPool(2x2/2x2)']
    """
    family = layer_family(network, layer)
    name = f"{layer.domain}::{layer.op_type}" if layer.domain else layer.op_type
    details = []
    if family in _WINDOWS and windows:
        window = "x".join(map(str, layer.ints_attribute("kernel_shape", ()) or ()))
        strides = layer.ints_attribute("strides", ()) or ()
        details.append(window + ("/" + "x".join(map(str, strides)) if any(s != 1 for s in strides) else ""))
    if family in ("depthwise_conv", "grouped_conv"):
        details.append(family.partition("_")[0])
    if family == "elementwise":
        details.append(_operands(network, layer))
    return f"{name}({', '.join(filter(None, details))})" if any(details) else name


def _operands(network: Network, layer: Layer) -> str:
    """How the operands of an element-wise layer differ: constants, broadcasts or two alike."""
    tensors = [network.tensors[name] for name in layer.inputs if name]
    largest = max((tensor.size for tensor in tensors), default=1)
    if any(tensor.is_constant for tensor in tensors):
        return "scalar" if any(tensor.is_constant and tensor.size == 1 for tensor in tensors) else "constant"
    return "alike" if all(tensor.size == largest for tensor in tensors) else "broadcast"


def repeated(
    network: Network, names: Sequence[str], shape: Sequence[int], times: int
) -> tuple[Network, tuple[int, ...]]:
    """A network of the named layers in a row, ``times`` over, fed with ``shape``, and its output's shape.

    Channels are as ``shape`` says: convolutions and matrix products keep their number. Further activations
    that a layer reads come from outside.

    Raises
    ------
    GraphError
        If these layers cannot be put together like this.
    """
    build = NetworkBuilder("probe")
    layers = [network.layer(name) for name in names]
    x = build.input("x", shape)
    outside: dict[tuple[tuple[int, ...], str], str] = {}
    for _ in range(times):
        feed = _feed(network, layers[0])
        for layer in layers:
            x = _copy(build, network, layer, feed, x, outside)
            feed = layer.outputs[0]
    return build.finish(x), build.shape(x)


def _feed(network: Network, layer: Layer) -> str:
    """The first activation that a layer reads."""
    found = network.activation_inputs(layer)
    if not found:
        raise GraphError(f"probe: layer {layer.name!r} reads no activation")
    return found[0].name


def _copy(
    build: NetworkBuilder,
    network: Network,
    layer: Layer,
    feed: str,
    x: str,
    outside: dict[tuple[tuple[int, ...], str], str],
) -> str:
    if feed not in layer.inputs:
        raise GraphError(f"probe: layer {layer.name!r} does not read {feed!r}")
    if len(build.shape(x)) != len(network.tensors[feed].shape):
        raise GraphError(
            f"probe: layer {layer.name!r} fed with shape {build.shape(x)}, expected another rank"
        )
    old, new = network.tensors[feed].shape, build.shape(x)
    inputs = []
    for position, name in enumerate(layer.inputs):
        tensor = network.tensors.get(name)
        if tensor is None:
            inputs.append("")
        elif name == feed:
            inputs.append(x)
        elif tensor.is_constant:
            inputs.append(_constant(build, network, layer, tensor, position, old, new))
        else:
            inputs.append(_outside(build, network.tensors[feed], tensor, x, outside))
    attributes = dict(layer.attributes)
    if layer_family(network, layer) == "depthwise_conv":
        attributes["group"] = new[1]
    copied = build.add_many(
        layer.op_type,
        *inputs,
        outputs=len(layer.outputs),
        domain=layer.domain,
        **attributes,  # type: ignore[arg-type]  # no operator has an attribute called name
    )
    return copied[0]


def _constant(
    build: NetworkBuilder,
    network: Network,
    layer: Layer,
    tensor: Tensor,
    position: int,
    old: tuple[int, ...],
    new: tuple[int, ...],
) -> str:
    """A constant for an activation of shape ``new`` instead of ``old``."""
    family, shape = layer_family(network, layer), tensor.shape
    if family in ("gemm", "matmul"):
        channels = new[-1]
        shape = (*shape[:-2], channels, channels) if position == 1 else (*shape[:-1], channels)
    elif family in MAC_FAMILIES:
        groups = new[1] if family == "depthwise_conv" else layer.int_attribute("group", 1)
        if new[1] % groups:
            raise GraphError(f"probe: {new[1]} channels in {groups} groups")
        shape = (new[1], new[1] // groups, *shape[2:]) if position == 1 else (new[1],)
    elif layer.op_type in _BY_CHANNEL:
        shape = tuple(new[1] if size == old[1] else size for size in shape)
    else:  # constants are aligned with the activation at the last axis
        aligned = zip(shape[::-1], old[::-1], new[::-1], strict=False)
        sizes = [now if size == before else size for size, before, now in aligned]
        shape = (*shape[: len(shape) - len(sizes)], *sizes[::-1])
    if tensor.value is not None and shape == tensor.shape:
        return build.constant(shape, dtype=tensor.dtype, value=tensor.value)
    return build.constant(shape, dtype=tensor.dtype)


def _outside(
    build: NetworkBuilder,
    feed: Tensor,
    tensor: Tensor,
    x: str,
    outside: dict[tuple[tuple[int, ...], str], str],
) -> str:
    """A second activation: an input of the network, of the same relation to ``x`` as in the original."""
    if not len(tensor.shape) == len(feed.shape) == len(build.shape(x)):
        raise GraphError(f"probe: operands of shapes {feed.shape} and {tensor.shape}")
    if any(size not in (fed, 1) for size, fed in zip(tensor.shape, feed.shape, strict=True)):
        raise GraphError(f"probe: {feed.shape} is spread over {tensor.shape}, which has no like in a row")
    shape = tuple(
        have if size == fed else size
        for have, size, fed in zip(build.shape(x), tensor.shape, feed.shape, strict=True)
    )
    if (shape, tensor.dtype) not in outside:
        outside[shape, tensor.dtype] = build.input(f"r{len(outside)}", shape, dtype=tensor.dtype)
    return outside[shape, tensor.dtype]


def cut_out(network: Network, names: Sequence[str]) -> Network:
    """The named layers of ``network`` as a network of their own.

    Examples
    --------
    >>> build = NetworkBuilder("two")
    >>> network = build.finish(build.relu(build.conv(build.input("x", (1, 3, 8, 8)), 4)))
    >>> cut_out(network, ["relu_1"]).inputs
    ('conv_1:out',)
    """
    wanted = set(names)
    layers = tuple(layer for layer in network.layers if layer.name in wanted)
    produced = {name for layer in layers for name in layer.outputs if name}
    used = {name for layer in layers for name in (*layer.inputs, *layer.outputs) if name}
    fed = [name for layer in layers for name in layer.inputs if name and name not in produced]
    inputs = tuple(name for name in dict.fromkeys(fed) if not network.tensors[name].is_constant)

    def leaves(name: str) -> bool:
        readers = network.consumers(name)
        return name in network.outputs or not readers or any(item.name not in wanted for item in readers)

    outputs = tuple(name for layer in layers for name in layer.outputs if name and leaves(name))
    return Network(
        name=f"{network.name}: {'+'.join(names)}"[:200],
        inputs=inputs,
        outputs=outputs,
        layers=layers,
        tensors={name: tensor for name, tensor in network.tensors.items() if name in used},
    )


def _primary(network: Network, layers: Sequence[Layer]) -> Layer:
    return next((item for item in layers if layer_family(network, item) in MAC_FAMILIES), layers[0])
