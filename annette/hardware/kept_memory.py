"""A memory on the chip that keeps tensors from one kernel to the next, beside the external memory."""

from __future__ import annotations

from dataclasses import dataclass

from annette.hardware.checks import check_fields, quantity

__all__ = ["KeptMemory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMemory:
    """Where whole tensors stay: a unified buffer, an SRAM of the system, a cache of parameters."""

    size_bytes: int = quantity(above=0, at_most=2**60)
    """Bytes of tensors that it can keep."""
    bandwidth_bytes_per_s: float = quantity(at_least=1, at_most=1e18)
    """Reads and writes together."""
    latency_s: float = quantity(at_least=0, at_most=1e3)
    """Seconds from the request of a tile to its first byte."""
    burst_bytes: int = quantity(at_least=1, at_most=2**60, default=1)
    """Every contiguous run is moved in multiples of this."""
    read_j_per_byte: float | None = quantity(at_least=0, at_most=1e-6, is_optional=True)
    """Joules to read a byte; known where the accelerator has a table of energies. 0 where it is the memory of
    the tiles at work, and what is read is read by the array."""
    write_j_per_byte: float | None = quantity(at_least=0, at_most=1e-6, is_optional=True)
    """Joules to write a byte; likewise."""
    area_mm2: float | None = quantity(at_least=0, at_most=1e4, is_optional=True)
    """Square millimetres; known where the accelerator has a table of areas. 0 where they are another
    memory's."""

    def __post_init__(self) -> None:
        check_fields(self)
