"""What a kernel does, counted: the actions whose energies add up, as the tiling it is timed with has them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Accesses", "MemoryAccesses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAccesses:
    """Bytes through the ports of one on-chip memory; each >= 0."""

    read_bytes: float = 0.0
    """Read by the array."""
    write_bytes: float = 0.0
    """Written by the array: results, partial sums not."""
    fill_bytes: float = 0.0
    """Written with what comes from the external memory."""
    drain_bytes: float = 0.0
    """Read to be stored in the external memory."""

    @property
    def parts(self) -> tuple[float, float, float, float]:
        """Read, written, filled, drained."""
        return (self.read_bytes, self.write_bytes, self.fill_bytes, self.drain_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accesses:
    """What one kernel does on its way; each >= 0."""

    macs: float = 0.0
    """Multiply-accumulates of the array; those of other units are their work."""
    register_bytes: float = 0.0
    """Read from and written to the registers of the array's cells."""
    memories: tuple[MemoryAccesses, ...] = ()
    """On-chip memories in the order of the description; none for kernels that the array does not run."""
    partial_sum_read_bytes: float = 0.0
    """Partial sums read back to be added to."""
    partial_sum_write_bytes: float = 0.0
    """Partial sums written, results not."""
    external_read_bytes: float = 0.0
    """Loaded from the external memory, paddings not counted."""
    external_weight_bytes: float = 0.0
    """Weights among them."""
    external_write_bytes: float = 0.0
    """Stored in the external memory, paddings not counted."""
    vector_ops: float = 0.0
    """Work of the vector unit, or of the post-processor behind the array."""
    vector_buffer_bytes: float = 0.0
    """Read from and written to the buffer of the vector unit."""
    host_s: float = 0.0
    """Seconds that the host is busy."""

    @property
    def external_bytes(self) -> float:
        """Over the bus of the external memory, both ways."""
        return self.external_read_bytes + self.external_write_bytes
