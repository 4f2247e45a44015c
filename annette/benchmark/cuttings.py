"""Micro-kernels cut out of networks: the layers of one kernel by themselves, as they are or resized."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from annette.benchmark.growing import GrowingBuilder
from annette.graph.network import Layer, Network, Tensor

__all__ = ["cut_layers", "vary_sizes"]

_LEAST_VALUE = 4
"""Sizes among the contents of constants (targets of a Reshape, ends of a Slice) are replaced from here on:
smaller numbers are mostly axes and steps."""
_WEIGHT_AXES = 2
"""Of a weight the first two axes are channels; the others are its window, which stays as it is."""
_MOST_SIZE = 1 << 20
_LEAST_CHANGE, _MOST_CHANGE = 1.08, 1.6  # by so much a size grows or shrinks
_SHARE = 0.6  # of the sizes are changed
_ATTEMPTS = 8


def cut_layers(network: Network, names: Collection[str], *, name: str) -> Network | None:
    """The layers of these names as a network of their own; ``None`` where they cannot stand alone.

    What they read of other layers becomes an input, what others read of them an output. Constants come along.

    Parameters
    ----------
    network : Network
        Whose layers they are.
    names : collection of str
        Names of some of its layers.
    name : str
        Of the new network.

    Examples
    --------
    >>> from annette.zoo.registry import zoo_network
    >>> network = zoo_network("lenet5")
    >>> cut_layers(network, [network.layers[0].name], name="first").layers[0].op_type
    'Conv'
    """
    wanted = set(names)
    return _rebuilt(network, [layer for layer in network.layers if layer.name in wanted], name, {})


def vary_sizes(network: Network, rng: np.random.Generator, *, name: str) -> Network | None:
    """The network with some of its sizes changed by up to a factor of 1.6; ``None`` where that cannot be.

    Equal sizes change together, so that layers still fit each other: channels with the weights that read
    them, rows of a batch with none. Windows, strides and the batch stay as they are, and multiples of eight
    stay multiples of eight.

    Parameters
    ----------
    network : Network
        What `cut_layers` cut out.
    rng : numpy.random.Generator
        Draws the sizes.
    name : str
        Of the new network.

    Examples
    --------
    >>> from annette.zoo.registry import zoo_network
    >>> cut = cut_layers(zoo_network("alexnet"), ["conv_2"], name="conv")
    >>> varied = vary_sizes(cut, np.random.default_rng(1), name="near")
    >>> varied.layers[0].op_type, varied.id != cut.id
    ('Conv', True)
    """
    sizes = _sizes_of(network)
    for _ in range(_ATTEMPTS):
        chosen = [size for size in sizes if rng.random() < _SHARE]
        changes = {size: _changed(size, rng) for size in chosen}
        if not any(old != new for old, new in changes.items()):
            continue
        found = _rebuilt(network, network.layers, name, changes)
        if found is not None:
            return found
    return None


def _sizes_of(network: Network) -> list[int]:
    """Sizes that may change: of inputs but for the batch, and of the channels of weights."""
    found = {size for item in network.inputs for size in network.tensors[item].shape[1:]}
    for tensor in network.tensors.values():
        if tensor.is_constant and tensor.value is None and len(tensor.shape) >= _WEIGHT_AXES:
            found.update(tensor.shape[:_WEIGHT_AXES])
    return sorted(size for size in found if size > 1)


def _changed(size: int, rng: np.random.Generator) -> int:
    factor = float(np.exp(rng.uniform(np.log(_LEAST_CHANGE), np.log(_MOST_CHANGE))))
    near = size * factor if rng.random() < 0.5 else size / factor
    if size % 8 == 0 and near >= 8:
        return min(8 * round(near / 8), _MOST_SIZE)
    return min(max(round(near), 1), _MOST_SIZE)


def _rebuilt(
    network: Network, layers: Sequence[Layer], name: str, changes: Mapping[int, int]
) -> Network | None:
    """A network of these layers, their shapes inferred anew; ``None`` where they no longer fit."""
    if not layers:
        return None
    made = {item for layer in layers for item in layer.outputs if item}
    build, names = GrowingBuilder(name), dict[str, str]()
    try:
        for item in _read(layers):
            if item not in made:
                names[item] = _declare(build, network.tensors[item], changes, len(names))
        for layer in layers:
            outputs = build.repeat(
                _with_groups(layer, changes), [names.get(item, "") for item in layer.inputs]
            )
            names.update(zip(layer.outputs, outputs, strict=True))
        ends = [names[item] for layer in layers for item in layer.outputs if _is_end(network, layers, item)]
        found = build.finish(*ends)
    except (ArithmeticError, LookupError, TypeError, ValueError):  # GraphError is a ValueError
        return None
    if not found.inputs or any(tensor.size == 0 for tensor in found.tensors.values()):
        return None  # nothing is computed when it runs
    return found


def _read(layers: Iterable[Layer]) -> Iterable[str]:
    """What the layers read, each once, in order."""
    return dict.fromkeys(item for layer in layers for item in layer.inputs if item)


def _declare(build: GrowingBuilder, tensor: Tensor, changes: Mapping[int, int], number: int) -> str:
    """An input or a constant like this one, its sizes changed."""
    if not tensor.is_constant:
        shape = (*tensor.shape[:1], *(changes.get(size, size) for size in tensor.shape[1:]))
        return build.input(f"input_{number}", shape, dtype=tensor.dtype)
    if tensor.value is not None:
        value = [
            changes.get(item, item) if isinstance(item, int) and item >= _LEAST_VALUE else item
            for item in tensor.value
        ]
        return build.constant(tensor.shape, dtype=tensor.dtype, value=value)
    kept = _WEIGHT_AXES if len(tensor.shape) > _WEIGHT_AXES else len(tensor.shape)
    shape = (*(changes.get(size, size) for size in tensor.shape[:kept]), *tensor.shape[kept:])
    return build.constant(shape, dtype=tensor.dtype, stored_dtype=tensor.stored_dtype)


def _with_groups(layer: Layer, changes: Mapping[int, int]) -> Layer:
    """The layer with as many groups as there are channels now, where it had as many."""
    attributes = tuple(
        (key, changes.get(value, value) if key == "group" and isinstance(value, int) else value)
        for key, value in layer.attributes
    )
    return Layer(
        name=layer.name, op_type=layer.op_type, domain=layer.domain, inputs=layer.inputs,
        outputs=layer.outputs, attributes=attributes,
    )  # fmt: skip


def _is_end(network: Network, layers: Sequence[Layer], item: str) -> bool:
    """Whether a tensor is read outside of the layers, or by nobody."""
    if not item:
        return False
    names = {layer.name for layer in layers}
    readers = network.consumers(item)
    return item in network.outputs or not readers or any(reader.name not in names for reader in readers)
