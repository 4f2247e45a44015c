"""What NVDLA's performance sheet knows of an accelerator's description."""

from __future__ import annotations

from types import MappingProxyType

from annette.errors import UsageError
from annette.hardware.accelerator import Accelerator, MacArray, Unroll
from annette.simulator.nvdla_description import Nvdla

__all__ = ["SHEETS", "sheet_description"]

SHEETS = MappingProxyType({"alexnet": ("once", 16), "resnet50": ("refetch", 128)})
"""By the name of the network whose public sheet has them: the rule of the traffic, and how many kernels are
worked on at a time; see `annette.simulator.nvdla_description.Nvdla`."""


def sheet_description(accelerator: Accelerator, sheet: str) -> Nvdla:
    """The NVDLA of the sheet with the array, the convolution buffer and the bus of ``accelerator``.

    Latencies, launches and units behind the array are left out: the sheet knows none.

    Raises
    ------
    UsageError
        For a sheet that is none of `SHEETS`, or an accelerator whose array is not as NVDLA's: input by output
        channels a cycle, strides folded into channels.

    Examples
    --------
    >>> from annette.hardware.codec import load_accelerator
    >>> sheet_description(load_accelerator("nvdla-full"), "alexnet").macs_per_cycle
    2048
    """
    if sheet not in SHEETS:
        raise UsageError(f"sheet {sheet!r}: expected one of {', '.join(SHEETS)}, whose rules are public")
    if not _has_core(accelerator.array):
        raise UsageError(
            f"sheet {sheet!r} with device {accelerator.name!r}: its rules are NVDLA's; expected an array "
            "that unrolls in_channels and out_channels only and has stride_folding: channels"
        )
    traffic, granule = SHEETS[sheet]
    return Nvdla(
        macs_per_cycle=accelerator.array.macs_per_cycle,
        buffer_bytes=accelerator.memories[accelerator.memory_index("weight")].size_bytes,
        clock_hz=accelerator.clock_hz,
        dram_bytes_per_s=accelerator.external_memory.bandwidth_bytes_per_s,
        kernel_granule=granule,
        element_bytes=max(int(accelerator.precision.activation_bytes), 1),
        traffic=traffic,
    )


def _has_core(array: MacArray) -> bool:
    """Whether it does products of input by output channels only, and folds strides, as NVDLA's core does."""
    unroll = array.unroll
    if unroll is None or array.stride_folding != "channels" or array.alternative_unrolls:
        return False
    return unroll == Unroll(in_channels=unroll.in_channels, out_channels=unroll.out_channels)
