"""Synthetic networks: random networks of a theme, from image to answer, as benchmarks for real devices."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from annette.benchmark.growing import GrowingBuilder
from annette.benchmark.mosaics import Limits, NetworkSizes
from annette.benchmark.network_cells import CELL_THEMES
from annette.benchmark.network_images import IMAGE_THEMES, Frame, Theme
from annette.benchmark.network_tokens import TOKEN_THEMES
from annette.benchmark.quantised import draw_quantised, halve
from annette.benchmark.sampling import Draw, draws
from annette.errors import UsageError
from annette.graph.network import Network
from annette.graph.work import network_work
from annette.store.records import Task

__all__ = ["THEMES", "VARIANTS", "Frame", "network_tasks", "synthetic_network"]

THEMES: Mapping[str, Theme] = MappingProxyType({**IMAGE_THEMES, **CELL_THEMES, **TOKEN_THEMES})
"""Random networks by the name that plans use."""

VARIANTS = ("float32", "batched", "int8", "float16")
"""What becomes of a synthetic network: nothing, several inputs at once, quantised, in half precision."""

_BATCHES: Mapping[int, float] = MappingProxyType({2: 0.35, 4: 0.3, 8: 0.25, 16: 0.1})


_MAX_ATTEMPTS = 50
_SMALL_SHARE = 0.2
"""Share of the networks with less work than the plan's least: small networks run from the caches alone, and a
platform that had seen none of them priced one of 70 us 70 % too high."""
_SMALLER = 60.0
"""The smallest of them are about so much smaller than the plan's least."""
_LEAST_SHARE = 0.2
"""Of the least work wanted; networks with less are drawn again: they would only show overheads."""


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
        frame = replace(frame, batch=batch)
    build = GrowingBuilder(f"{variant}/{theme}")
    network = build.finish(*THEMES[theme](draw, build, frame))
    if variant == "int8":
        return draw_quantised(draw, network)
    return halve(network) if variant == "float16" else network


def network_tasks(
    counts: Sequence[tuple[str, str, int]],
    sizes: NetworkSizes,
    limits: Limits,
    *,
    seed: int,
    stream: str = "network",
    taken: Collection[str] = (),
) -> Iterator[Task]:
    """So many networks of each variant and theme; another ``stream`` draws others.

    Raises
    ------
    UsageError
        If the limits leave too few networks of a theme.
    """
    seen = set(taken)
    for variant, theme, count in counts:
        points, found = draws(seed, f"{stream}/{variant}/{theme}"), 0
        for _ in range(count * _MAX_ATTEMPTS):
            if found == count:
                break
            draw = next(points)
            frame = _frame(draw, sizes, limits)
            network = synthetic_network(theme, draw, frame, variant=variant)
            if network.id in seen or not limits.admit(network):
                continue
            if network_work(network).macs < _LEAST_SHARE * min(sizes.least_macs, frame.macs):
                continue
            seen.add(network.id)
            identity = f"{stream}/{variant}/{theme}/{found}"
            found += 1
            yield Task(
                network=replace(network, name=identity),
                category="block",
                group=f"block/{identity}",
                tags=(("kind", f"{variant}/{theme}"),),
            )
        if found < count:
            raise UsageError(
                f"networks: only {found} of {count} {variant} {theme!r} networks fit the limits; raise the "
                "limits or ask for fewer"
            )


def _frame(draw: Draw, sizes: NetworkSizes, limits: Limits) -> Frame:
    """A frame whose weights and work are spread evenly over the orders of magnitude that are allowed.

    Some frames are smaller still: what runs from the caches alone is in no larger network.
    """
    macs = float(sizes.least_macs), 0.7 * limits.macs
    weights = float(sizes.least_weight_elements), 0.7 * limits.weight_elements
    if draw.chance(_SMALL_SHARE):
        macs = sizes.least_macs / _SMALLER, sizes.least_macs
        weights = sizes.least_weight_elements / _SMALLER, 3 * sizes.least_weight_elements
    return Frame(
        batch=1,
        macs=draw.log_float(*macs),
        weight_elements=draw.log_float(*weights),
        kernels=draw.integer(sizes.kernels // 2, sizes.kernels * 3 // 2),
    )
