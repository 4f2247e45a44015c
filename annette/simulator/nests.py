"""What a kernel asks of a unit, without names: the loop nest for the array, the stream for the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

from annette.simulator.accesses import Accesses

__all__ = ["ArrayNest", "ChannelMaps", "KernelTime", "Stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayNest:
    """The loops of a convolution (or matrix product) with all that is merged into it.

    A *position* is one iteration of the two spatial loops: an output pixel of a convolution, an input pixel
    of a transposed one. Channels are per group.
    """

    batch: int
    groups: int
    out_channels: int
    in_channels: int
    positions_h: int
    positions_w: int
    kernel_h: int
    kernel_w: int
    in_h: int
    in_w: int
    halo_h: int
    """Input rows that neighbouring tiles share."""
    halo_w: int
    """Input columns that neighbouring tiles share."""
    step_h: int
    """Input rows from one position to the next."""
    step_w: int
    store_h: int
    """Rows of what the kernel writes, after a merged pool."""
    store_w: int
    weight_elements: int
    """Weights and biases, of merged layers too."""
    has_computed_weights: bool
    """Whether the weights are themselves activations (a product of two), of their precision."""
    extra_elements: int
    """Elements read beside the first input: residuals."""
    store_elements: int
    """Elements written."""
    is_transposed: bool
    """Whether a position is an input pixel, which meets every tap of the kernel."""
    post_elements: int
    """Elements that pass the post-processor more than for free: merged adds and pools."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        loops = (self.batch, self.groups, self.out_channels, self.in_channels, self.positions_h)
        return math.prod(loops) * self.positions_w * self.kernel_h * self.kernel_w

    @property
    def input_elements(self) -> int:
        """Elements of the first input."""
        return self.batch * self.groups * self.in_channels * self.in_h * self.in_w

    @property
    def is_depthwise(self) -> bool:
        """Whether each group reads one channel."""
        return self.groups > 1 and self.in_channels == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMaps:
    """The maps of a stream that treats each channel's map as one."""

    images: int
    channels: int
    """Of one image."""
    elements: int
    """Of the map of one channel."""
    are_whole: bool
    """Whether a tile must hold whole maps: a pool over them, not a product with one factor for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A pass over tensors: so much in, so much out, so much to do on the way."""

    load_elements: int
    """Activations read."""
    weight_elements: int
    """Constants read."""
    store_elements: int
    """Activations written."""
    run_elements: int
    """Elements that lie side by side in memory, at the worse end of the transfer."""
    padding: float
    """Stored elements an element of the tensors; >= 1."""
    work: tuple[tuple[str, float], ...]
    """Amount of work by kind; kinds are the fields of `annette.hardware.accelerator.Rates`."""
    maps: ChannelMaps | None = None
    """``None``: it treats all elements alike."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return int(dict(self.work).get("macs", 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTime:
    """How long a kernel takes on its unit, and why."""

    latency_s: float
    bound: str
    """``compute``, ``memory``, ``overhead`` or ``host``: the largest of the parts below."""
    compute_s: float
    """Seconds of useful work at full overlap."""
    memory_s: float
    """Seconds on the bus of the external memory."""
    overhead_s: float
    """Seconds of launches, fills and synchronisation."""
    moved_bytes: float
    """Bytes loaded and stored, repeated loads included, paddings not."""
    macs: int
    """Multiply-accumulates done."""
    accesses: Accesses
    """What is done on the way, counted."""
