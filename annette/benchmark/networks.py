"""Synthetic networks: random networks of a theme, whole and in one piece, as benchmarks for real devices."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from annette.benchmark.growing import GrowingBuilder
from annette.benchmark.network_cells import CELL_THEMES
from annette.benchmark.network_images import IMAGE_THEMES, Frame, Theme
from annette.benchmark.network_tokens import TOKEN_THEMES
from annette.benchmark.quantised import Activations, halve, quantise
from annette.benchmark.sampling import Draw
from annette.graph.network import Network

__all__ = ["THEMES", "VARIANTS", "Frame", "synthetic_network"]

THEMES: Mapping[str, Theme] = MappingProxyType({**IMAGE_THEMES, **CELL_THEMES, **TOKEN_THEMES})
"""Random networks by the name that plans use."""

VARIANTS = ("float32", "batched", "int8", "float16")
"""What becomes of a synthetic network: nothing, several inputs at once, quantised, in half precision."""

_BATCHES: Mapping[int, float] = MappingProxyType({2: 0.35, 4: 0.3, 8: 0.25, 16: 0.1})


def synthetic_network(theme: str, draw: Draw, frame: Frame, *, variant: str = "float32") -> Network:
    """A random network of one theme, of about the frame's size.

    Networks are drawn, not copied: every width, depth, resolution, window and step is random.

    Examples
    --------
    >>> from annette.benchmark.sampling import draws
    >>> frame = Frame(batch=1, macs=5e7, weight_elements=1e6, kernels=30)
    >>> network = synthetic_network("residual", next(draws(1, "residual")), frame)
    >>> network.layers[0].op_type
    'Conv'
    """
    if variant == "batched":
        batch = draw.weighted(_BATCHES)
        frame = Frame(
            batch=batch, macs=frame.macs, weight_elements=frame.weight_elements, kernels=frame.kernels
        )
    build = GrowingBuilder(f"{variant}/{theme}")
    network = build.finish(*THEMES[theme](draw, build, frame))
    if variant == "int8":
        activations: Activations = "uint8" if draw.chance(0.7) else "int8"
        return quantise(network, activations=activations, prepared=draw.chance(0.6))
    return halve(network) if variant == "float16" else network
