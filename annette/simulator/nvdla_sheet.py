"""NVDLA by the rules of its public performance sheet: data sizes, cycles of each unit, the long pole.

The sheet's kilobytes are 1024 bytes in its data sizes and 1000 in its bandwidths. That is kept: only so its
cells come out.

References
----------
NVIDIA: NVDLA_OpenSource_Performance.xlsx, published with NVDLA's hardware, and the table of configurations in
NVDLA's primer. The rules were read off the cells. The sheet is optimistic: it knows no latency, and units
never wait for each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from annette.errors import HardwareError
from annette.simulator.ceilings import Ceilings, stack_ceilings
from annette.simulator.nvdla_description import Nvdla, Placement, SheetLayer, SheetTable, stack_layers

__all__ = ["SheetResult", "evaluate_sheet", "place_layers", "shared_batches"]

_Floats = NDArray[np.float64]
_CHANNEL_GRANULE = 16
_MIN_KERNELS = 32
"""Kernels whose weights the buffer holds at least: those that work at the same time."""
_WINOGRAD_SPEED_UP = 2.25
_WINOGRAD_GROWTH = 16 / 9
"""A transformed 3x3 kernel has 16 weights."""
_KILOBYTE = 1024.0
_BANDWIDTH_KILOBYTE = 1000.0
_ROUNDING = 1 - 1e-12
"""So that a whole number of cycles is not rounded up for the last bit of a float."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SheetResult:
    """The sheet's columns; arrays of shape (n_layers,)."""

    npu: Nvdla
    """What the layers run on."""
    macs: _Floats
    """Multiply-accumulates without padding of channels ("Calculation")."""
    input_bytes: _Floats
    """Input, its channels padded; once, however often it is read."""
    min_input_bytes: _Floats
    """Smallest part of the input that the buffer holds while weights pass."""
    output_bytes: _Floats
    """Output behind the pipeline, its channels padded."""
    weight_bytes: _Floats
    """Weights, in Winograd's form where that is used; once, however often they are read."""
    min_weight_bytes: _Floats
    """Smallest part of the weights that the buffer holds while features pass."""
    dram_bytes: _Floats
    """Over the DRAM port, in both directions, for one image."""
    read_bytes: _Floats
    """From the second memory; 0 without one."""
    write_bytes: _Floats
    """To the second memory; 0 without one."""
    ceilings: Ceilings
    """Cycles of ``MAC`` and ``DRAM``, with a second memory also of ``CVSRAM-R`` and ``CVSRAM-W``."""

    def __post_init__(self) -> None:
        for item in fields(self):
            column = getattr(self, item.name)
            if isinstance(column, np.ndarray):
                column.setflags(write=False)

    @property
    def weights_are_smaller(self) -> NDArray[np.bool_]:
        """Whether a layer's weights, all of them, are smaller than its input ("Smaller sized")."""
        return self.weight_bytes < self.input_bytes

    @property
    def total_cycles(self) -> float:
        """Cycles of the network."""
        return self.ceilings.total_cycles

    @property
    def frames_per_s(self) -> float:
        """Images a second."""
        return self.npu.clock_hz / self.total_cycles

    @property
    def hardware_efficiency(self) -> float:
        """Share of the time in which the multipliers work, on padding or not ("HW MAC Effi")."""
        return float(self.ceilings.cycles[:, 0].sum()) / self.total_cycles

    @property
    def network_efficiency(self) -> float:
        """Multiply-accumulates of the network over what the multipliers could have done in its time
        ("Network MAC Effi"); Winograd's form may raise it above 1."""
        return float(self.macs.sum()) / (self.total_cycles * self.npu.macs_per_cycle)

    def columns(self) -> dict[str, list[float] | list[str]]:
        """The columns under the sheet's titles, data sizes in its kilobytes of 1024 bytes."""
        sizes = {
            "Input data size": self.input_bytes,
            "Min input data size": self.min_input_bytes,
            "Output data size": self.output_bytes,
            "Weight data size": self.weight_bytes,
            "Min weight data size": self.min_weight_bytes,
            "DRAM Traffic": self.dram_bytes,
            "CVSRAM Read Traffic": self.read_bytes,
            "CVSRAM Write Traffic": self.write_bytes,
        }
        found: dict[str, list[float] | list[str]] = {"Layer": list(self.ceilings.layers)}
        found["Calculation"] = self.macs.tolist()
        found |= {title: (column / _KILOBYTE).tolist() for title, column in sizes.items()}
        titles = {"DRAM": "DRAM Cycles", "CVSRAM-R": "CVSRAM Read Cycles", "CVSRAM-W": "CVSRAM Write Cycles"}
        for name, cycles in zip(self.ceilings.names, self.ceilings.cycles.T, strict=True):
            found[titles.get(name, f"{name} cycles")] = cycles.tolist()
        found["Smaller sized"] = [
            "weight" if is_weight else "feature" for is_weight in self.weights_are_smaller
        ]
        found["MAX Cycles"] = self.ceilings.layer_cycles.tolist()
        found["Long Pole"] = list(self.ceilings.long_poles)
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sizes:
    """Bytes of the operands of each layer."""

    input: _Floats
    min_input: _Floats
    output: _Floats
    weight: _Floats
    min_weight: _Floats


def evaluate_sheet(
    layers: Sequence[SheetLayer] | SheetTable, npu: Nvdla, placement: Placement | None = None
) -> SheetResult:
    """The sheet's columns for ``layers``, which run one after another.

    Parameters
    ----------
    layers : sequence of SheetLayer, or SheetTable
        The rows, at least one; as a table where the same are evaluated often.
    npu : Nvdla
        The description.
    placement : Placement, optional
        With a second memory only: where tensors lie; by default what `place_layers` says.

    Raises
    ------
    HardwareError
        For no layers, a placement that does not belong to them, or a convolution buffer that has no room for
        weights beside the smallest part of a layer's input.

    Examples
    --------
    >>> npu = Nvdla(macs_per_cycle=2048, buffer_bytes=2**19, clock_hz=1e9, dram_bytes_per_s=10e9)
    >>> fc = SheetLayer(name="fc", kind="fc", in_channels=4096, in_h=1, in_w=1, out_channels=4096, kernel_h=1,
    ...                 kernel_w=1, out_h=1, out_w=1, stored_h=1, stored_w=1)
    >>> result = evaluate_sheet([fc], npu)
    >>> result.ceilings.cycles.tolist(), result.ceilings.long_poles
    ([[8192.0, 103200.0]], ('DRAM',))
    """
    table, memory = _table(layers), npu.second_memory
    if not table.names:
        raise HardwareError("nvdla: found no layers, expected at least one")
    if placement is not None and (memory is None or len(placement.weight_batch) != len(table.names)):
        raise HardwareError(
            f"nvdla: placement: found one of {len(placement.weight_batch)} layers, expected one of "
            f"{len(table.names)} and an NVDLA with a second memory"
        )
    sizes = _data_sizes(table, npu)
    columns = {"MAC": _mac_cycles(table, npu)}
    read = write = np.zeros(len(table.names))
    if memory is None:
        dram = _dram_bytes(table, sizes, npu)
    else:
        dram, read, write = _placed_bytes(table, sizes, placement or place_layers(table, npu))
    columns["DRAM"] = _port_cycles(dram, npu.dram_bytes_per_s, npu)
    if memory is not None:
        columns["CVSRAM-R"] = _port_cycles(read, memory.read_bytes_per_s, npu)
        columns["CVSRAM-W"] = _port_cycles(write, memory.write_bytes_per_s, npu)
    taps = table.kernel_h * table.kernel_w * table.in_channels
    return SheetResult(
        npu=npu,
        macs=table.out_h * table.out_w * taps * table.out_channels,
        input_bytes=sizes.input,
        min_input_bytes=sizes.min_input,
        output_bytes=sizes.output,
        weight_bytes=sizes.weight,
        min_weight_bytes=sizes.min_weight,
        dram_bytes=dram,
        read_bytes=read,
        write_bytes=write,
        ceilings=stack_ceilings(table.names, columns),
    )


def place_layers(layers: Sequence[SheetLayer] | SheetTable, npu: Nvdla) -> Placement:
    """Where the tensors lie beside a second memory, by the rule behind AlexNet's sheet.

    The network's input comes from the DRAM; what passes between convolutions stays in the second memory.
    Fully connected layers are fed from the DRAM, so the convolutions in front of the first of them write
    there, too. Convolutions share their weights among as many images as the second memory has room for in the
    worst of them, fully connected layers among those of their batch.

    The sheets depart from it by hand. AlexNet's takes 16 images instead of 18 in the first group of its
    second convolution. ResNet-50's writes the output of every convolution from ``Res2b_branch2b`` on to the
    DRAM as well; no rule is known for that. Hand such choices over as a `Placement`. No sheet counts the
    second tensor of a sum here.

    Raises
    ------
    HardwareError
        Without a second memory.
    """
    table = _table(layers)
    rows = list(zip(table.names, table.is_fc.tolist(), strict=True))
    batches = shared_batches(table, npu)[~table.is_fc]
    batch = int(batches.min()) if len(batches) else 1
    ends = {name for (name, is_fc), (_, follows) in itertools.pairwise(rows) if follows and not is_fc}
    return Placement(
        input_in_dram=tuple(is_fc or name == table.names[0] for name, is_fc in rows),
        output_in_dram=tuple(name in ends for name in table.names),
        weight_batch=tuple(npu.fully_connected_batch if is_fc else batch for _, is_fc in rows),
    )


def shared_batches(layers: Sequence[SheetLayer] | SheetTable, npu: Nvdla) -> NDArray[np.int64]:
    """Images whose input and output the second memory holds beside the weights of a layer; at least 1
    ("SRAM Batching size").

    Raises
    ------
    HardwareError
        Without a second memory.
    """
    memory = npu.second_memory
    if memory is None:
        raise HardwareError("nvdla: second_memory: found none, expected one to place tensors in")
    sizes = _data_sizes(_table(layers), npu)
    images = np.floor((memory.size_bytes - sizes.weight) / (sizes.input + sizes.output))
    return np.maximum(images, 1).astype(np.int64)


def _table(layers: Sequence[SheetLayer] | SheetTable) -> SheetTable:
    return layers if isinstance(layers, SheetTable) else stack_layers(layers)


def _round_up(values: _Floats, granule: int) -> _Floats:
    rounded: _Floats = np.ceil(values / granule) * granule
    return rounded


def _data_sizes(table: SheetTable, npu: Nvdla) -> _Sizes:
    """Sizes with channels in granules; positions within a stride count as channels.

    The sheets differ in the smallest parts. AlexNet's: R + 1 rows of the input, and the weights of 32
    kernels. ResNet-50's: R rows, folded along h alone, and those weights but no more than half of the buffer
    (a bound that shows in the frames per second of the two smallest configurations only; with R + 1 rows
    these would be 7.21 and 3.61 instead of 7.30 and 3.65, published as 7.3 and 3.6). Both leave out that
    Winograd's weights are larger.
    """
    folded = _round_up(table.in_channels * table.stride_h * table.stride_w, _CHANNEL_GRANULE)
    rows, columns = np.ceil(table.in_h / table.stride_h), np.ceil(table.in_w / table.stride_w)
    taps_h = np.ceil(table.kernel_h / table.stride_h)
    kernel = folded * taps_h * np.ceil(table.kernel_w / table.stride_w)
    growth = np.where(table.is_winograd & npu.uses_winograd, _WINOGRAD_GROWTH, 1.0)
    min_weight = kernel * np.minimum(table.out_channels, _MIN_KERNELS) * npu.element_bytes
    if npu.traffic == "once":
        min_input = folded * np.minimum(table.kernel_h + 1, rows) * columns
    else:
        channels = _round_up(table.in_channels * table.stride_h, _CHANNEL_GRANULE)
        min_input = channels * np.minimum(taps_h, rows) * table.in_w
        min_weight = np.minimum(min_weight, npu.buffer_bytes / 2)
    stored = table.stored_h * table.stored_w * _round_up(table.out_channels, _CHANNEL_GRANULE)
    return _Sizes(
        input=folded * rows * columns * npu.element_bytes,
        min_input=min_input * npu.element_bytes,
        output=stored * npu.element_bytes,
        weight=np.rint(kernel * table.out_channels * growth) * npu.element_bytes,
        min_weight=min_weight,
    )


def _mac_cycles(table: SheetTable, npu: Nvdla) -> _Floats:
    """Cycles of the multipliers; not rounded to whole ones, as on the sheet."""
    batch = np.where(table.is_fc, npu.fully_connected_batch, 1.0)
    rows = np.ceil((table.in_h - ~table.is_padded * (table.kernel_h - 1)) / table.stride_h)
    columns = np.ceil((table.in_w - ~table.is_padded * (table.kernel_w - 1)) / table.stride_w)
    folded = _round_up(table.in_channels * table.stride_h * table.stride_w, _CHANNEL_GRANULE)
    kernels = _round_up(table.out_channels * batch, npu.kernel_granule)
    speed_up = np.where(table.is_winograd & npu.uses_winograd, _WINOGRAD_SPEED_UP, 1.0)
    products = folded * rows * columns * kernels * table.kernel_h * table.kernel_w
    cycles: _Floats = products / (table.stride_h * table.stride_w * npu.macs_per_cycle * batch * speed_up)
    return cycles


def _dram_bytes(table: SheetTable, sizes: _Sizes, npu: Nvdla) -> _Floats:
    """Traffic without a second memory. ``refetch`` loads all weights of a fully connected layer for each
    image, although the multipliers work on a batch: so does the sheet."""
    second = table.has_eltwise * sizes.output
    if npu.traffic == "once":
        batch = np.where(table.is_fc, npu.fully_connected_batch, 1.0)
        once: _Floats = sizes.input + sizes.output + second + sizes.weight / batch
        return once
    for_weights, for_input = npu.buffer_bytes - sizes.min_input, npu.buffer_bytes - sizes.min_weight
    holds_input = sizes.weight < sizes.input  # the whole operands are compared, not their smallest parts
    lacking = np.flatnonzero(holds_input & (for_weights <= 0))
    if len(lacking):
        name, needed = table.names[lacking[0]], sizes.min_input[lacking[0]]
        raise HardwareError(
            f"nvdla: buffer_bytes: found {npu.buffer_bytes}, expected more than the {needed:.0f} bytes of "
            f"input that stay there in layer {name!r}; take a larger buffer"
        )
    input_turns = np.where(holds_input, np.ceil(sizes.weight / np.where(holds_input, for_weights, 1)), 1)
    weight_turns = np.where(holds_input, 1, np.ceil(sizes.input / for_input))
    traffic: _Floats = input_turns * sizes.input + weight_turns * sizes.weight + sizes.output + second
    return traffic


def _placed_bytes(table: SheetTable, sizes: _Sizes, placement: Placement) -> tuple[_Floats, _Floats, _Floats]:
    """Traffic with a second memory: of the DRAM, read from the memory, written to it.

    All but the input of a convolution that comes from the DRAM passes through the second memory, and so does
    what fully connected layers read from the DRAM.
    """
    from_dram, to_dram = np.array(placement.input_in_dram), np.array(placement.output_in_dram)
    dram = from_dram * sizes.input + sizes.weight / np.array(placement.weight_batch) + to_dram * sizes.output
    return dram, np.where(from_dram & ~table.is_fc, 0.0, sizes.input), sizes.output


def _port_cycles(moved: _Floats, bandwidth_bytes_per_s: float, npu: Nvdla) -> _Floats:
    """Whole cycles in which a port moves so many bytes."""
    kilobytes = moved / _KILOBYTE
    cycles = kilobytes * _BANDWIDTH_KILOBYTE * npu.clock_hz / bandwidth_bytes_per_s
    whole: _Floats = np.ceil(cycles * _ROUNDING)
    return whole
