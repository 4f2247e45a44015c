"""Names that survive OpenVINO: a network whose layers and tensors are called by their numbers, and back."""

from __future__ import annotations

import re
from dataclasses import replace

from annette.graph.network import Layer, Network

__all__ = ["layer_of", "number_names", "restore_names", "tensor_of"]

_LAYER, _TENSOR = "annette_layer_", "annette_tensor_"
_LAYER_NAME = re.compile(rf"{_LAYER}(\d+)(?!\d)")
_TENSOR_NAME = re.compile(rf"{_TENSOR}(\d+)(?!\d)")


def number_names(network: Network) -> Network:
    """The same network with numbers for names.

    The runtime joins names by commas, appends to them what it makes of a layer, and calls some operators
    after tensors: so names must hold no comma, be no beginning of another, and tell layers from tensors.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.relu(build.input("x", (1, 3))))
    >>> number_names(network).layers[0].name
    'annette_layer_0'
    """
    names = {name: f"{_TENSOR}{number}" for number, name in enumerate(network.tensors)}
    names[""] = ""
    layers = tuple(
        replace(
            layer,
            name=f"{_LAYER}{number}",
            inputs=tuple(names[name] for name in layer.inputs),
            outputs=tuple(names[name] for name in layer.outputs),
        )
        for number, layer in enumerate(network.layers)
    )
    return Network(
        name=network.name,
        inputs=tuple(names[name] for name in network.inputs),
        outputs=tuple(names[name] for name in network.outputs),
        layers=layers,
        tensors={names[name]: replace(item, name=names[name]) for name, item in network.tensors.items()},
    )


def restore_names(network: Network, text: str) -> str:
    """What the runtime says of a network with numbers for names, with the names of ``network``.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.relu(build.input("x", (1, 3)), name="act"))
    >>> restore_names(network, "node annette_layer_0 reads annette_tensor_0")
    'node act reads x'
    """
    tensors = tuple(network.tensors)
    layers = tuple(layer.name for layer in network.layers)

    def restored(found: re.Match[str], names: tuple[str, ...]) -> str:
        return names[int(found[1])] if int(found[1]) < len(names) else found[0]

    text = _LAYER_NAME.sub(lambda found: restored(found, layers), text)
    return _TENSOR_NAME.sub(lambda found: restored(found, tensors), text)


def tensor_of(network: Network, name: str) -> str | None:
    """The tensor of ``network`` that a name of the runtime begins with; ``None`` for the runtime's own."""
    found = _TENSOR_NAME.match(name)
    tensors = tuple(network.tensors)
    return tensors[int(found[1])] if found and int(found[1]) < len(tensors) else None


def layer_of(network: Network, name: str) -> Layer | None:
    """The layer of ``network`` that a name of the runtime begins with, or whose output it names.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.relu(build.input("x", (1, 3)), name="act"))
    >>> layer_of(network, "annette_layer_0/WithoutBiases").name
    'act'
    >>> layer_of(network, "Multiply_12") is None
    True
    """
    found = _LAYER_NAME.match(name)
    if found:
        return network.layers[int(found[1])] if int(found[1]) < len(network.layers) else None
    tensor = tensor_of(network, name)
    return network.producer(tensor) if tensor is not None else None
