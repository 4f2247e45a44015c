"""Energy of kernels from what they do, where the description says what that costs."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from annette.hardware.accelerator import Accelerator
from annette.simulator.accesses import Accesses

__all__ = ["KernelEnergy", "kernel_energy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelEnergy:
    """Joules of a kernel by part; each >= 0."""

    mac_j: float
    """Multiply-accumulates of the array."""
    register_j: float
    """Registers of its cells."""
    buffer_j: float
    """On-chip memories: what the array reads and writes, partial sums, fills, drains; the vector unit's."""
    external_j: float
    """The external memory and its bus, or the memories that keep tensors between kernels."""
    vector_j: float
    """Work of the vector unit and of the post-processor."""
    leakage_j: float
    """What the accelerator draws whatever it does, for as long as the kernel takes."""
    host_j: float
    """The host, while it works."""

    @property
    def total_j(self) -> float:
        """All parts."""
        return float(sum(astuple(self)))


def kernel_energy(
    accesses: Accesses,
    latency_s: float,
    accelerator: Accelerator,
    *,
    keeps_activations: bool = False,
    keeps_weights: bool = False,
) -> KernelEnergy | None:
    """The energy of a kernel that does ``accesses`` in ``latency_s``; ``None`` without a table of energies.

    Every action has its price, and time has one: joules = sum of counts x joules each + leakage x seconds.
    Partial sums cost what the array's accumulators do, or what the memory of the outputs does where it has
    none of its own. What lies in the activation or weight memory (``keeps_...``) costs what that
    memory does, in place of the external one.

    Examples
    --------
    >>> from annette.hardware.codec import load_accelerator
    >>> device = load_accelerator("systolic-32x32-ws")
    >>> kernel_energy(Accesses(macs=1e9), 0.0, device).total_j == 1e9 * device.energy.mac_j
    True

    References
    ----------
    Chen et al., Eyeriss: A spatial architecture for energy-efficient dataflow, ISCA 2016: energy as accesses
    of each level of the hierarchy times what one costs there.
    """
    table = accelerator.energy
    if table is None:
        return None
    # Accelerators with a table know the energies of all their memories: checked when they are made.
    reads_j = [memory.read_j_per_byte or 0.0 for memory in accelerator.memories]
    writes_j = [memory.write_j_per_byte or 0.0 for memory in accelerator.memories]
    buffer_j = accesses.vector_buffer_bytes * (table.vector_buffer_j_per_byte or 0.0)
    for item, read_j, write_j in zip(accesses.memories, reads_j, writes_j, strict=False):
        buffer_j += (item.read_bytes + item.drain_bytes) * read_j
        buffer_j += (item.write_bytes + item.fill_bytes) * write_j
    outputs = accelerator.memory_index("output")
    sum_read_j = sum_write_j = table.accumulator_j_per_byte
    if sum_read_j is None or sum_write_j is None:
        sum_read_j, sum_write_j = reads_j[outputs], writes_j[outputs]
    buffer_j += accesses.partial_sum_read_bytes * sum_read_j + accesses.partial_sum_write_bytes * sum_write_j
    return KernelEnergy(
        mac_j=accesses.macs * table.mac_j,
        register_j=accesses.register_bytes * table.register_j_per_byte,
        buffer_j=buffer_j,
        external_j=_external_j(
            accesses, accelerator, table.external_j_per_byte, keeps_activations, keeps_weights
        ),
        vector_j=accesses.vector_ops * table.vector_op_j,
        leakage_j=latency_s * table.leakage_w,
        host_j=accesses.host_s * (table.host_w or 0.0),
    )


def _external_j(
    accesses: Accesses,
    accelerator: Accelerator,
    j_per_byte: float,
    keeps_activations: bool,
    keeps_weights: bool,
) -> float:
    """Joules of what is loaded and stored, each at the price of the memory that it lies in."""
    read_j = write_j = weight_j = j_per_byte
    activations, weights = accelerator.activation_memory, accelerator.weight_memory
    if keeps_activations and activations is not None:
        read_j, write_j = activations.read_j_per_byte or 0.0, activations.write_j_per_byte or 0.0
    if keeps_weights and weights is not None:
        weight_j = weights.read_j_per_byte or 0.0
    return (
        (accesses.external_read_bytes - accesses.external_weight_bytes) * read_j
        + accesses.external_weight_bytes * weight_j
        + accesses.external_write_bytes * write_j
    )
