"""The accelerator: what a data sheet and a compiler manual say about a device, as frozen values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from annette.errors import HardwareError
from annette.hardware.channel_blocks import ChannelBlocks
from annette.hardware.checks import FieldFault, check_fields, quantity
from annette.hardware.energy import AreaTable, EnergyTable, require_whole_tables
from annette.hardware.kept_memory import KeptMemory
from annette.hardware.rates import Rates
from annette.hardware.rules import CompilerRules
from annette.hardware.systolic_array import SystolicArray

__all__ = [
    "OPERANDS",
    "Accelerator",
    "ExternalMemory",
    "Host",
    "MacArray",
    "Memory",
    "Noise",
    "Precision",
    "Provenance",
    "Unroll",
    "VectorUnit",
]

_MAX_HZ, _MAX_RATE, _MAX_BYTES_PER_S, _MAX_BYTES = 1e12, 1e12, 1e18, 2**60
_MAX_S, _MAX_CYCLES, _MAX_UNROLL = 1e3, 1e9, 2**16
_MAX_J, _MAX_MM2 = 1e-6, 1e4
"""Far beyond any device, and tight enough that no time over- or underflows."""

OPERANDS = ("input", "weight", "output")
"""What an on-chip memory may hold."""
_BESIDE_UNROLL = (
    "depthwise_unroll", "alternative_unrolls", "stride_folding", "window_reuse", "weight_load_cycles",
    "cycle_efficiency", "kernel_rows",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Bytes of one element in memory and in the accumulators."""

    activation_bytes: float = quantity(at_least=0.125, at_most=16)
    """Bytes of one activation element."""
    weight_bytes: float = quantity(at_least=0.125, at_most=16)
    """Bytes of one weight element."""
    accumulator_bytes: float = quantity(at_least=0.125, at_most=16)
    """Bytes of one partial sum."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unroll:
    """How many iterations of each loop of a convolution the array does in one cycle."""

    batch: int = quantity(at_least=1, at_most=_MAX_UNROLL, default=1)
    groups: int = quantity(at_least=1, at_most=_MAX_UNROLL, default=1)
    out_h: int = quantity(at_least=1, at_most=_MAX_UNROLL, default=1)
    out_w: int = quantity(at_least=1, at_most=_MAX_UNROLL, default=1)
    out_channels: int = quantity(at_least=1, at_most=_MAX_UNROLL, default=1)
    """Within one group."""
    in_channels: int = quantity(at_least=1, at_most=_MAX_UNROLL, default=1)
    """Within one group."""
    kernel_h: int = quantity(at_least=1, at_most=_MAX_UNROLL, default=1)
    kernel_w: int = quantity(at_least=1, at_most=_MAX_UNROLL, default=1)

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates per cycle when every loop fills its share."""
        loops = (self.batch, self.groups, self.out_h, self.out_w, self.out_channels, self.in_channels)
        return math.prod((*loops, self.kernel_h, self.kernel_w))


@dataclass(frozen=True, slots=True, kw_only=True)
class MacArray:
    """The unit that does convolutions and matrix products."""

    unroll: Unroll | None = None
    """Loops done in parallel; ``None``: a systolic array, see `systolic`."""
    depthwise_unroll: Unroll | None = None
    """Loops done in parallel where a group has one input channel; ``None``: as `unroll`."""
    alternative_unrolls: tuple[Unroll, ...] | None = None
    """Further ways to spread the loops over the same cells; each kernel takes the fastest of all."""
    kernel_rows: str | None = None
    """``side by side``: each row of a kernel has cells of its own (row-stationary arrays), so that of several
    unrolls only those that hold all its rows take it, if there are any. ``None``: any unroll takes it."""
    stride_folding: str | None = None
    """``channels``: where it is faster, positions within a stride count as input channels, so that layers of
    few channels and a large stride fill the array (NVDLA does so). ``None``: never."""
    window_reuse: str | None = None
    """``registers``: the cells keep the window they work on, so that an element of the input is read from its
    memory once for each block of output channels; ``None``: once for each block of taps as well."""
    systolic: SystolicArray | None = None
    """A systolic array, which runs matrix products fold by fold; in place of `unroll`."""
    pass_cycles: float = quantity(at_least=0, at_most=_MAX_CYCLES, default=0.0)
    """Cycles to fill and drain the pipeline, once per block of output channels of a tile."""
    weight_switch_cycles: float = quantity(at_least=0, at_most=_MAX_CYCLES, default=0.0)
    """Cycles to exchange the array's weights, once per block of weights of a tile."""
    weight_load_cycles: float | None = quantity(at_least=0, at_most=_MAX_CYCLES, is_optional=True)
    """Cycles to bring the next block of weights to the array while it works on this one: each block of
    weights of a tile takes so many at least, however few positions it meets. ``None``: never in the way."""
    cycle_efficiency: float | None = quantity(above=0, at_most=1, is_optional=True)
    """Share of its cycles in which the array multiplies when nothing else keeps it; the rest goes into
    hand-overs between its cells. ``None``: all of them."""
    tile_cycles: float = quantity(at_least=0, at_most=_MAX_CYCLES, default=0.0)
    """Cycles to decode and synchronise, once per tile."""
    post_elements_per_cycle: float = quantity(at_least=1e-9, at_most=_MAX_RATE, default=64.0)
    """Throughput of the post-processor (residual adds, pools) behind the accumulators."""
    launch_s: float = quantity(at_least=0, at_most=_MAX_S)
    """Seconds to start a kernel."""

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.unroll is None) == (self.systolic is None):
            found = "neither" if self.unroll is None else "both"
            raise FieldFault(
                "unroll", f"found {found} of unroll and systolic, expected one; keep the one that fits"
            )
        if self.systolic is not None:
            for name in _BESIDE_UNROLL:
                if getattr(self, name) is not None:
                    raise FieldFault(name, "found beside systolic, expected it beside unroll only; remove it")
        if self.stride_folding not in (None, "channels"):
            raise FieldFault(
                "stride_folding", f"found {self.stride_folding!r}, expected channels; or leave it away"
            )
        if self.kernel_rows not in (None, "side by side"):
            raise FieldFault(
                "kernel_rows", f"found {self.kernel_rows!r}, expected 'side by side'; or leave it away"
            )
        if self.window_reuse not in (None, "registers"):
            raise FieldFault(
                "window_reuse", f"found {self.window_reuse!r}, expected registers; or leave it away"
            )

    @property
    def unrolls(self) -> tuple[Unroll, ...]:
        """All ways to spread the loops of a convolution; empty for a systolic array."""
        return () if self.unroll is None else (self.unroll, *(self.alternative_unrolls or ()))

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates a cycle at most, by whichever of its unrolls does most."""
        if self.systolic is not None:
            return self.systolic.macs_per_cycle
        depthwise = () if self.depthwise_unroll is None else (self.depthwise_unroll,)
        counts: list[int] = [item.macs_per_cycle for item in (*self.unrolls, *depthwise)]
        return max(counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorUnit:
    """The unit for everything element-wise: a fixed-function engine, or vector cores."""

    clock_hz: float = quantity(at_least=1, at_most=_MAX_HZ)
    rates: Rates
    """Work per cycle."""
    buffer_bytes: int = quantity(above=0, at_most=_MAX_BYTES, hint="give the size of its tile buffer")
    """On-chip bytes for the tiles of one kernel."""
    tile_cycles: float = quantity(at_least=0, at_most=_MAX_CYCLES, default=0.0)
    """Cycles to start a tile."""
    launch_s: float = quantity(at_least=0, at_most=_MAX_S)
    """Seconds to start a kernel."""
    channel_blocks: ChannelBlocks | None = None
    """How it takes whole maps; ``None``: as all else, cut anywhere."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The processor that runs what the device cannot."""

    clock_hz: float = quantity(at_least=1, at_most=_MAX_HZ)
    rates: Rates
    """Work per cycle."""
    bandwidth_bytes_per_s: float = quantity(at_least=1, at_most=_MAX_BYTES_PER_S)
    """Between the device's memory and the host, both directions together."""
    round_trip_s: float = quantity(at_least=0, at_most=_MAX_S)
    """Seconds to hand over and back: interrupt, cache maintenance, scheduling."""
    activation_bytes: float = quantity(at_least=0.125, at_most=16, default=4.0)
    """Bytes of one element on the host, to which activations are converted."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One on-chip memory; tiles are double-buffered in it where two of them fit."""

    name: str
    """For people."""
    holds: tuple[str, ...]
    """Some of `OPERANDS`."""
    size_bytes: int = quantity(above=0, at_most=_MAX_BYTES, hint="give the capacity for tiles in bytes")
    keeps_partial_sums: bool | None = None
    """Whether results lie in it at the accumulators' precision until they are stored; ``None``: only those
    that are not complete yet do."""
    read_bytes_per_cycle: float | None = quantity(at_least=1e-9, at_most=_MAX_RATE, is_optional=True)
    """Bytes that its ports give in a cycle of the array's clock, to the array and to the external memory;
    ``None``: never in the way. Partial sums are not counted."""
    write_bytes_per_cycle: float | None = quantity(at_least=1e-9, at_most=_MAX_RATE, is_optional=True)
    """Bytes that its ports take in a cycle; ``None``: never in the way."""
    read_j_per_byte: float | None = quantity(at_least=0, at_most=_MAX_J, is_optional=True)
    """Joules to read a byte; known where the accelerator has a table of energies."""
    write_j_per_byte: float | None = quantity(at_least=0, at_most=_MAX_J, is_optional=True)
    """Joules to write a byte; likewise."""
    area_mm2: float | None = quantity(at_least=0, at_most=_MAX_MM2, is_optional=True)
    """Square millimetres; known where the accelerator has a table of areas."""

    def __post_init__(self) -> None:
        check_fields(self)
        for operand in self.holds:
            if operand not in OPERANDS:
                raise FieldFault("holds", f"found {operand!r}, expected some of {', '.join(OPERANDS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalMemory:
    """The memory that holds all tensors between kernels."""

    bandwidth_bytes_per_s: float = quantity(at_least=1, at_most=_MAX_BYTES_PER_S)
    """Loads and stores together."""
    latency_s: float = quantity(at_least=0, at_most=_MAX_S)
    """Seconds from the request of a tile to its first byte."""
    burst_bytes: int = quantity(at_least=1, at_most=_MAX_BYTES)
    """Every contiguous run is moved in multiples of this."""
    layout: str = "channels_last"
    """``channels_last`` or ``channels_first``: which axis is contiguous."""
    channel_alignment: int = quantity(at_least=1, at_most=_MAX_UNROLL, default=1)
    """Channels are stored in multiples of this many elements (``channels_last`` only)."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.layout not in ("channels_last", "channels_first"):
            raise FieldFault("layout", f"found {self.layout!r}, expected channels_last or channels_first")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How the device's profiler errs."""

    resolution_s: float = quantity(at_least=0, at_most=_MAX_S, default=0.0)
    """Step of the timer."""
    sigma: float = quantity(at_least=0, at_most=1, default=0.0)
    """Standard deviation of the logarithm of a value."""
    run_sigma: float = quantity(at_least=0, at_most=1, default=0.0)
    """The same for the factor common to all kernels of one run."""
    outlier_probability: float = quantity(at_least=0, at_most=0.5, default=0.0)
    """Share of values that are disturbed."""
    outlier_factor: float = quantity(at_least=1, at_most=1e6, default=1.0)
    """How much longer a disturbed value is."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where one number of a description comes from."""

    path: str
    """The field, for example ``memories[1].size_bytes``."""
    source: str
    """Document, study or reason."""
    assumed: bool
    """True where nothing public says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """A device as its documents describe it."""

    name: str
    """Short name, for example ``zcu102-dpu``."""
    description: str
    """One line for people."""
    clock_hz: float = quantity(at_least=1, at_most=_MAX_HZ)
    """Clock of the array."""
    precision: Precision
    array: MacArray
    memories: tuple[Memory, ...]
    """On-chip memories; each of `OPERANDS` is held by exactly one."""
    external_memory: ExternalMemory
    activation_memory: KeptMemory | None = None
    """Keeps the activations of every kernel whose inputs and outputs fit together; ``None``: they lie in the
    external memory."""
    weight_memory: KeptMemory | None = None
    """Keeps the weights of the first kernels of a network, as many as fit, from run to run; ``None``: they
    come from the external memory each time."""
    vector: VectorUnit | None = None
    """``None``: no such unit."""
    host: Host | None = None
    """``None``: nothing to fall back to."""
    compiler: CompilerRules
    noise: Noise = field(default_factory=Noise)
    energy: EnergyTable | None = None
    """Joules of its actions; ``None``: not known."""
    area: AreaTable | None = None
    """Square millimetres of its parts; ``None``: not known."""
    provenance: tuple[Provenance, ...] = field(default=(), compare=False)
    """Of the numbers whose description says so."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.name.isprintable():
            raise FieldFault("name", f"found {self.name!r}, expected one line of printable characters")
        held = [operand for memory in self.memories for operand in memory.holds]
        if sorted(held) != sorted(OPERANDS):
            raise FieldFault(
                "memories",
                f"found memories for {', '.join(held) or 'nothing'}, expected exactly one for each of "
                f"{', '.join(OPERANDS)}; one unified memory lists all three under holds",
            )
        units = {"array", *(["vector"] if self.vector else []), *(["host"] if self.host else [])}
        for index, rule in enumerate(self.compiler.placement):
            if rule.unit not in units:
                raise FieldFault(
                    f"compiler.placement[{index}].unit",
                    f"found {rule.unit!r}, expected a unit the description has ({', '.join(sorted(units))})",
                )
        if self.array.systolic is not None and self.compiler.tiling_slack_fraction is not None:
            raise FieldFault(
                "compiler.tiling_slack_fraction",
                "found beside array.systolic, whose folds are no tiles; expected it beside unroll; remove it",
            )
        require_whole_tables(self)

    @property
    def peak_ops_per_s(self) -> float:
        """Peak of the array (1 MAC = 2 ops)."""
        return 2.0 * self.array.macs_per_cycle * self.clock_hz

    @property
    def peak_bandwidth_bytes_per_s(self) -> float:
        """Of the fastest memory that whole tensors lie in."""
        kept = (self.activation_memory, self.weight_memory)
        found = [item.bandwidth_bytes_per_s for item in (self.external_memory, *kept) if item is not None]
        return max(found)

    @property
    def area_mm2(self) -> float | None:
        """Square millimetres of array, on-chip memories and all else; ``None`` without a table of areas."""
        if self.area is None:
            return None
        kept = [item.area_mm2 for item in (self.activation_memory, self.weight_memory) if item is not None]
        areas = [*(memory.area_mm2 for memory in self.memories), *kept]
        memories = sum(area for area in areas if area is not None)  # each is known beside the table
        return self.array.macs_per_cycle * self.area.mac_mm2 + memories + self.area.other_mm2

    @property
    def assumed_fields(self) -> tuple[str, ...]:
        """Paths of the numbers that are assumed, not published."""
        return tuple(item.path for item in self.provenance if item.assumed)

    def memory_index(self, operand: str) -> int:
        """Position in `memories` of the one that holds ``operand``.

        Raises
        ------
        HardwareError
            If ``operand`` is not one of `OPERANDS`.
        """
        for index, memory in enumerate(self.memories):
            if operand in memory.holds:
                return index
        raise HardwareError(f"accelerator {self.name!r}: no memory holds {operand!r}, expected {OPERANDS}")
