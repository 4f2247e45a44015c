"""How a vector unit takes whole maps: a block of channels at an instruction."""

from __future__ import annotations

from dataclasses import dataclass

from annette.hardware.checks import check_fields, quantity

__all__ = ["ChannelBlocks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelBlocks:
    """Of layers that treat each channel's map as one: global pools, products with one factor a channel.

    A global pool needs whole maps in the buffer. Where those of all channels do not fit, it loads some blocks
    of channels after others; with channels last in memory, each pixel of such a load is a contiguous run of
    its own.
    """

    channels: int = quantity(at_least=1, at_most=2**16)
    """Channels of one instruction."""
    start_cycles: float = quantity(at_least=0, at_most=1e9)
    """Cycles to start an instruction."""
    run_cycles: float = quantity(at_least=0, at_most=1e9)
    """Cycles to address a contiguous run of a load that takes some of the channels."""

    def __post_init__(self) -> None:
        check_fields(self)
