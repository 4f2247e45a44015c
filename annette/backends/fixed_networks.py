"""The fixed networks that backends of real runtimes time beside what they are asked: reference and empty."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.network import Layer, Network, Tensor

__all__ = ["chain_network", "empty_network", "reference_network"]


def reference_network() -> Network:
    """A small convolution network of 0.1 GMAC: its time tells how fast the machine is just then.

    Convolutions compute and move data as real networks do; a mere matrix product or copy drifts otherwise.

    Examples
    --------
    >>> len(reference_network().layers)
    8
    """
    build = NetworkBuilder("reference")
    tensor = build.input("x", (1, 3, 56, 56))
    for channels in (32, 64, 64, 64):
        tensor = build.relu(build.conv(tensor, channels, kernel=3, stride=2 if channels == 32 else 1))
    return build.finish(tensor)


def empty_network() -> Network:
    """One copy of one number: what is left of its time is the cost of calling the runtime.

    Examples
    --------
    >>> [layer.op_type for layer in empty_network().layers]
    ['Identity']
    """
    return Network(
        name="empty",
        inputs=("x",),
        outputs=("y",),
        layers=(Layer(name="copy", op_type="Identity", inputs=("x",), outputs=("y",)),),
        tensors={"x": Tensor(name="x", shape=(1,)), "y": Tensor(name="y", shape=(1,))},
    )


def chain_network() -> Network:
    """48 small layers in a row that take from nothing to a few microseconds: what does a layer cost beside?

    Their times differ evenly, so that a clock of whole microseconds errs in both directions.

    Examples
    --------
    >>> len(chain_network().layers)
    48
    """
    build = NetworkBuilder("chain")
    tensor = build.input("x", (1, 16))
    for index in range(48):
        tensor = build.linear(tensor, 16 + 5 * (37 * index % 48))
    return build.finish(tensor)
