"""Micro-kernels of recurrent layers; only mosaics use them, since accelerators seldom run any."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from annette.benchmark.micro_matrix import Sampler
from annette.benchmark.sampling import Draw
from annette.graph.builder import NetworkBuilder

__all__ = ["SEQUENCE_KERNELS", "recurrent"]

_GATES: Mapping[str, int] = MappingProxyType({"LSTM": 4, "GRU": 3})


def recurrent(build: NetworkBuilder, x: str, hidden: int, kind: str, *, both: bool) -> str:
    """LSTM or GRU over (steps, batch, features), forwards or in both directions."""
    gates, directions = _GATES[kind], 2 if both else 1
    features = build.shape(x)[2]
    weights = (
        build.constant((directions, gates * hidden, features)),
        build.constant((directions, gates * hidden, hidden)),
        build.constant((directions, 2 * gates * hidden)),
    )
    return build.add(kind, x, *weights, hidden_size=hidden, direction="bidirectional" if both else "forward")


def _recurrent(draw: Draw, build: NetworkBuilder) -> tuple[str, ...]:
    steps, features = draw.log_int(4, 256), draw.channels(8, 768)
    x = build.input("x", (steps, 1 if draw.chance(0.85) else draw.pick((2, 4, 8)), features))
    hidden = draw.pick((16, 32, 64, 100, 128, 128, 192, 256, 384, 512))
    return (recurrent(build, x, hidden, draw.pick(("LSTM", "LSTM", "GRU")), both=draw.chance(0.4)),)


SEQUENCE_KERNELS: Mapping[str, Sampler] = MappingProxyType({"recurrent": _recurrent})
"""Samplers by the name that plans use."""
