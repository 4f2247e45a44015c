"""What an accelerator's actions cost: joules and square millimetres, the unit in every key."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annette.errors import HardwareError
from annette.hardware.checks import FieldFault, check_fields, quantity

if TYPE_CHECKING:
    from annette.hardware.accelerator import Accelerator, Memory
    from annette.hardware.kept_memory import KeptMemory

__all__ = ["AreaTable", "EnergyTable", "require_whole_tables", "sram_j_per_byte", "sram_mm2"]

_MAX_J, _MAX_W, _MAX_MAC_MM2, _MAX_MM2 = 1e-6, 1e5, 1.0, 1e4
"""Far beyond any device: a number in picojoules or square micrometres under these keys is refused."""

_SRAM_J_PER_BYTE, _SRAM_BYTES = 10e-12 / 8, 8192
_SRAM_MM2_PER_BYTE = 979_377e-6 / (12_800 * 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyTable:
    """Joules of what a kernel does beside the accesses of the on-chip memories, which have their own."""

    mac_j: float = quantity(at_least=0, at_most=_MAX_J)
    """Of one multiply-accumulate of the array, registers not counted."""
    register_j_per_byte: float = quantity(at_least=0, at_most=_MAX_J)
    """Of a byte read from or written to the registers of a cell."""
    accumulator_j_per_byte: float | None = quantity(at_least=0, at_most=_MAX_J, is_optional=True)
    """Of a byte of partial sums read or written, where the array keeps them in accumulators of its own;
    ``None``: they lie in the memory that holds the outputs, and cost what it costs."""
    external_j_per_byte: float = quantity(at_least=0, at_most=_MAX_J)
    """Of a byte over the bus of the external memory."""
    vector_op_j: float = quantity(at_least=0, at_most=_MAX_J)
    """Of one unit of work of the vector unit or of the post-processor behind the array."""
    vector_buffer_j_per_byte: float | None = quantity(at_least=0, at_most=_MAX_J, is_optional=True)
    """Of a byte read from or written to the vector unit's buffer; must be known where there is one."""
    leakage_w: float = quantity(at_least=0, at_most=_MAX_W)
    """Watts of the accelerator whatever it does: leakage, and clocks that are never stopped."""
    host_w: float | None = quantity(at_least=0, at_most=_MAX_W, is_optional=True)
    """Watts of the host while it works; must be known where there is one."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaTable:
    """Square millimetres of what is no on-chip memory; those have their own."""

    mac_mm2: float = quantity(at_least=0, at_most=_MAX_MAC_MM2)
    """Of one multiply-accumulate cell with its registers."""
    other_mm2: float = quantity(at_least=0, at_most=_MAX_MM2)
    """Of everything else: vector unit and its buffer, control, interfaces."""

    def __post_init__(self) -> None:
        check_fields(self)


def require_whole_tables(accelerator: Accelerator) -> None:
    """Raise unless every part has its cost exactly where the table of energies or of areas is there.

    Raises
    ------
    FieldFault
        Naming the first cost that is missing, or that stands there without its table or its unit.
    """
    for beside, is_there, path, value in _costs(accelerator):
        if is_there and value is None:
            raise FieldFault(path, f"missing beside {beside}, expected a number; add the key")
        if not is_there and value is not None:
            raise FieldFault(path, f"found without {beside}, expected both or none; add it or remove this")


def _costs(accelerator: Accelerator) -> Iterator[tuple[str, bool, str, float | None]]:
    """Costs that are known exactly where something else is: its name, if it is there, path, value."""
    table, has_area = accelerator.energy, accelerator.area is not None
    places: list[tuple[str, Memory | KeptMemory]] = [
        (f"memories[{index}]", memory) for index, memory in enumerate(accelerator.memories)
    ]
    if accelerator.activation_memory is not None:
        places.append(("activation_memory", accelerator.activation_memory))
    if accelerator.weight_memory is not None:
        places.append(("weight_memory", accelerator.weight_memory))
    for path, memory in places:
        yield "energy", table is not None, f"{path}.read_j_per_byte", memory.read_j_per_byte
        yield "energy", table is not None, f"{path}.write_j_per_byte", memory.write_j_per_byte
        yield "area", has_area, f"{path}.area_mm2", memory.area_mm2
    if table is not None:
        buffer_path, has_vector = "energy.vector_buffer_j_per_byte", accelerator.vector is not None
        yield "vector", has_vector, buffer_path, table.vector_buffer_j_per_byte
        yield "host", accelerator.host is not None, "energy.host_w", table.host_w


def sram_j_per_byte(size_bytes: float) -> float:
    """Joules to read or write a byte of a static RAM of that size, 64 bits at a time, in a 45 nm process.

    10 pJ an access of 64 bits at 8 KiB, and with the square root of the size from there, the length of the
    word and bit lines. That is 20 pJ at 32 KiB, as published, and 113 pJ at 1 MiB, where 100 pJ is published.
    The same rule stands for register files: 0.6 pJ for 16 bits out of 512 bytes, about a 16-bit
    multiply-accumulate (0.9 pJ), as Eyeriss reports.

    Parameters
    ----------
    size_bytes : float
        Capacity; > 0.

    Raises
    ------
    HardwareError
        If the size is not a finite number > 0.

    References
    ----------
    Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014, for the three points.
    Chen et al., Eyeriss, ISCA 2016, for the register file.

    Examples
    --------
    >>> [round(8e12 * sram_j_per_byte(kib * 1024), 1) for kib in (8, 32, 1024)]
    [10.0, 20.0, 113.1]
    """
    _require_size(size_bytes)
    return _SRAM_J_PER_BYTE * math.sqrt(size_bytes / _SRAM_BYTES)


def sram_mm2(size_bytes: float) -> float:
    """Square millimetres of a static RAM of that size in a 45 nm process.

    In proportion to the size: a buffer of 12,800 words of 64 bits takes 0.979 mm2, and one of 1,024 words
    0.077 mm2, 1.6 % less a byte.

    Parameters
    ----------
    size_bytes : float
        Capacity; > 0.

    Raises
    ------
    HardwareError
        If the size is not a finite number > 0.

    References
    ----------
    Published 45 nm areas of the components of an Eyeriss-like design.

    Examples
    --------
    >>> round(sram_mm2(8 * 1024), 4)
    0.0784
    """
    _require_size(size_bytes)
    return _SRAM_MM2_PER_BYTE * size_bytes


def _require_size(size_bytes: float) -> None:
    if not 0 < size_bytes < math.inf:
        raise HardwareError(f"static RAM of {size_bytes} bytes, expected a finite size > 0")
