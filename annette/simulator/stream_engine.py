"""Times streams: element-wise passes on the vector unit, and whatever falls back to the host."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from annette.errors import HardwareError
from annette.hardware.accelerator import ExternalMemory, Host, VectorUnit
from annette.hardware.rates import Rates
from annette.simulator.accesses import Accesses
from annette.simulator.nests import KernelTime, Stream

__all__ = [
    "StreamTiling",
    "VectorMachine",
    "choose_stream_tiling",
    "known_vector_times",
    "time_host",
    "time_streams_ahead",
    "time_vector",
]

Floats = NDArray[np.float64]

_MOST_KNOWN = 16384
"""Streams of one unit whose times are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTiling:
    """How a stream runs on the vector unit."""

    tiles: int
    """Equal tiles it is cut into; >= 1."""
    overlaps: bool
    """Whether two tiles fit, so that loads, work and stores overlap."""
    load_s: float
    """Seconds on the bus to load all tiles, contiguous runs addressed one by one where they must be."""
    store_s: float
    """Seconds on the bus to store all tiles."""
    work_cycles: float
    """Cycles of the unit for all tiles, their starts not counted."""
    block_cycles: float
    """Cycles to start the instructions for all blocks of channels; 0 where it does not work in these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorMachine:
    """What the stream engine needs of an accelerator with a vector unit."""

    unit: VectorUnit
    external: ExternalMemory
    activation_bytes: float
    weight_bytes: float


def time_vector(stream: Stream, machine: VectorMachine) -> KernelTime:
    """The time of ``stream`` on the vector unit with its fastest tiling, launch included.

    The stream is cut into equal tiles that are loaded, worked on and stored; the three overlap where two
    tiles fit the unit's buffer, and follow each other where only one fits. A unit that takes whole maps in
    blocks of channels cuts a global pool between blocks, and inside one only where it alone does not fit.

    Raises
    ------
    HardwareError
        If not even one element fits the buffer.
    """
    known = known_vector_times(machine)
    if stream not in known:
        time_streams_ahead([stream], machine)
    time = known[stream]
    if time is None:
        raise _too_large(stream, machine)
    return time


def time_streams_ahead(streams: Iterable[Stream], machine: VectorMachine) -> None:
    """Time these streams together, so that `time_vector` knows them: far faster than one by one."""
    known = known_vector_times(machine)
    new = [stream for stream in dict.fromkeys(streams) if stream not in known]
    if len(known) + len(new) > _MOST_KNOWN:
        known.clear()
    for stream, found in zip(new, _fastest(new, machine), strict=True):
        known[stream] = None if found is None else _kernel_time(stream, machine, *found)


@lru_cache(maxsize=256)
def known_vector_times(machine: VectorMachine) -> dict[Stream, KernelTime | None]:
    """What `time_vector` has found out for ``machine``; ``None`` where not even one element fits."""
    return {}


def choose_stream_tiling(stream: Stream, machine: VectorMachine) -> StreamTiling:
    """The tiling that `time_vector` takes for ``stream``.

    Raises
    ------
    HardwareError
        If not even one element fits the buffer.
    """
    (found,) = _fastest([stream], machine)
    if found is None:
        raise _too_large(stream, machine)
    return found[0]


def _kernel_time(
    stream: Stream, machine: VectorMachine, tiling: StreamTiling, pipeline_s: float
) -> KernelTime:
    unit = machine.unit
    parts = {
        "compute": tiling.work_cycles / unit.clock_hz,
        "memory": tiling.load_s + tiling.store_s,
        "overhead": unit.launch_s
        + (float(tiling.tiles) * unit.tile_cycles + tiling.block_cycles) / unit.clock_hz,
    }
    return KernelTime(
        latency_s=unit.launch_s + pipeline_s,
        bound=max(parts, key=lambda name: parts[name]),
        compute_s=parts["compute"],
        memory_s=parts["memory"],
        overhead_s=parts["overhead"],
        moved_bytes=sum(_stream_bytes(stream, machine)),
        macs=stream.macs,
        accesses=_vector_accesses(stream, machine),
    )


def _too_large(stream: Stream, machine: VectorMachine) -> HardwareError:
    smallest = sum(_stream_bytes(stream, machine)) / _most_tiles(stream)
    return HardwareError(
        f"vector.buffer_bytes: found {machine.unit.buffer_bytes}, expected room for the smallest tile; "
        f"give it {smallest:.0f} bytes at least"
    )


def _stream_bytes(stream: Stream, machine: VectorMachine) -> tuple[float, float, float]:
    """Bytes of activations loaded, of constants loaded, and of activations stored."""
    return (
        stream.load_elements * machine.activation_bytes,
        stream.weight_elements * machine.weight_bytes,
        stream.store_elements * machine.activation_bytes,
    )


def _most_tiles(stream: Stream) -> int:
    """Tiles of one element."""
    return max(stream.load_elements + stream.weight_elements, stream.store_elements, 1)


def _fastest(streams: Sequence[Stream], machine: VectorMachine) -> list[tuple[StreamTiling, float] | None]:
    """The fastest tiling of each stream and the seconds of its pipeline; ``None`` where none fits."""
    if not streams:
        return []
    unit, external = machine.unit, machine.external
    table = np.array([_stream_row(stream, machine) for stream in streams], dtype=np.float64)
    most, all_bytes, contiguous_s, store_s, work_cycles, block_cycles, *maps = table.T[:, :, None]
    # A row a stream: the counts below one tile an element, and then that.
    tiles = np.minimum(np.append(_COUNTS[: int(np.searchsorted(_COUNTS, most.max()))], np.inf), most)
    tile_bytes = all_bytes / _tiles_of_bytes(tiles, maps[0])
    load_s = contiguous_s + _run_seconds(tiles, *maps)
    overlapped = tile_bytes * np.where(tiles > 1, 2, 1) <= unit.buffer_bytes
    possible = tile_bytes <= unit.buffer_bytes
    compute_s = (work_cycles + block_cycles) / (unit.clock_hz * tiles) + unit.tile_cycles / unit.clock_hz
    fetch_s = load_s / tiles + external.latency_s
    put_s = store_s / tiles
    overlap_s = fetch_s + (tiles - 1) * np.maximum(compute_s, fetch_s + put_s) + compute_s + put_s
    serial_s = tiles * (fetch_s + compute_s + put_s)
    total_s = np.where(possible, np.where(overlapped, overlap_s, serial_s), np.inf) + external.latency_s
    found: list[tuple[StreamTiling, float] | None] = []
    for row, best in enumerate(np.argmin(total_s, axis=1).tolist()):
        if not possible[row, best]:
            found.append(None)
            continue
        tiling = StreamTiling(
            tiles=int(tiles[row, best]),
            overlaps=bool(overlapped[row, best]),
            load_s=float(load_s[row, best]),
            store_s=float(store_s[row, 0]),
            work_cycles=float(work_cycles[row, 0]),
            block_cycles=float(block_cycles[row, 0]),
        )
        found.append((tiling, float(total_s[row, best])))
    return found


def _tiles_of_bytes(tiles: Floats, blocks: Floats) -> Floats:
    """Tiles that the largest holds one part in: whole maps are shared out in whole blocks of channels."""
    whole = np.maximum(blocks, 1.0)
    return np.where(tiles < whole, whole / np.ceil(whole / np.minimum(tiles, whole)), tiles)


def _run_seconds(tiles: Floats, blocks: Floats, images: Floats, map_s: Floats) -> Floats:
    """Seconds to address the runs of tiles that hold some channels of an image.

    Each pixel is a run in every tile that has some of its channels; a tile of rows has those of one block.
    """
    return np.where(tiles > images, np.minimum(tiles, blocks), 0.0) * map_s


def _stream_row(stream: Stream, machine: VectorMachine) -> tuple[float, ...]:
    """What `_fastest` needs of a stream.

    Most tiles, bytes of all operands, seconds to load and to store them, cycles of work and of starts of
    blocks of channels; blocks that tiles hold whole, images, and seconds to address the pixels of a map.
    """
    load, constants, store = _stream_bytes(stream, machine)
    external = machine.external
    factor = stream.padding * _burst_factor(
        stream.run_elements * machine.activation_bytes, external.burst_bytes
    )
    bandwidth = external.bandwidth_bytes_per_s
    return (
        _most_tiles(stream),
        load + constants + store,
        (load * factor + constants) / bandwidth,
        store * factor / bandwidth,
        _cycles(stream, machine.unit.rates),
        *_block_row(stream, machine),
    )


def _block_row(stream: Stream, machine: VectorMachine) -> tuple[float, float, float, float]:
    """The last four entries of `_stream_row`; all 0 where the unit cuts the stream anywhere."""
    maps, per_block = stream.maps, machine.unit.channel_blocks
    if maps is None or per_block is None:
        return 0.0, 0.0, 0.0, 0.0
    blocks = maps.images * math.ceil(maps.channels / per_block.channels)
    start_cycles = blocks * per_block.start_cycles
    if not maps.are_whole:
        return start_cycles, 0.0, 0.0, 0.0
    is_strided = machine.external.layout == "channels_last"
    map_cycles = maps.elements * per_block.run_cycles if is_strided else 0.0
    return start_cycles, float(blocks), float(maps.images), map_cycles / machine.unit.clock_hz


@lru_cache(maxsize=65536)
def time_host(stream: Stream, host: Host, external: ExternalMemory, weight_bytes: float) -> KernelTime:
    """The time of ``stream`` on the host: hand over, convert and copy, compute, and back.

    What crosses to the host comes out of the external memory, so the slower of the two decides.
    """
    moved = (stream.load_elements + stream.store_elements) * host.activation_bytes
    constants = stream.weight_elements * weight_bytes
    bandwidth = min(host.bandwidth_bytes_per_s, external.bandwidth_bytes_per_s)
    memory_s = (moved + constants) / bandwidth
    compute_s = _cycles(stream, host.rates) / host.clock_hz
    return KernelTime(
        latency_s=host.round_trip_s + memory_s + compute_s,
        bound="host",
        compute_s=compute_s,
        memory_s=memory_s,
        overhead_s=host.round_trip_s,
        moved_bytes=moved + constants,
        macs=stream.macs,
        accesses=Accesses(
            external_read_bytes=stream.load_elements * host.activation_bytes + constants,
            external_weight_bytes=constants,
            external_write_bytes=stream.store_elements * host.activation_bytes,
            host_s=host.round_trip_s + memory_s + compute_s,
        ),
    )


def _vector_accesses(stream: Stream, machine: VectorMachine) -> Accesses:
    """All that is loaded passes the buffer on its way in, and all that is stored on its way out."""
    load, constants, stored = _stream_bytes(stream, machine)
    loaded = load + constants
    return Accesses(
        external_read_bytes=loaded,
        external_weight_bytes=constants,
        external_write_bytes=stored,
        vector_ops=float(sum(amount for _, amount in stream.work)),
        vector_buffer_bytes=2.0 * (loaded + stored),
    )


def _cycles(stream: Stream, rates: Rates) -> float:
    return float(sum(amount / getattr(rates, kind) for kind, amount in stream.work))


def _burst_factor(run_bytes: float, burst_bytes: int) -> float:
    """Bytes on the bus per payload byte where every contiguous run fills whole bursts."""
    return math.ceil(run_bytes / burst_bytes) * burst_bytes / run_bytes if run_bytes > 0 else 1.0


_COUNTS = np.array(sorted({n for k in range(41) for n in (2**k, 3 * 2**k // 2)}), dtype=np.float64)
"""Numbers of tiles that are tried."""
