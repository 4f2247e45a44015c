"""Times streams: element-wise passes on the vector unit, and whatever falls back to the host."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from annette.errors import HardwareError
from annette.hardware.accelerator import ExternalMemory, Host, VectorUnit
from annette.hardware.rates import Rates
from annette.simulator.accesses import Accesses
from annette.simulator.nests import KernelTime, Stream

__all__ = ["StreamTiling", "choose_stream_tiling", "time_host", "time_vector"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTiling:
    """How a stream runs on the vector unit."""

    tiles: int
    """Equal tiles it is cut into; >= 1."""
    overlaps: bool
    """Whether two tiles fit, so that loads, work and stores overlap."""
    load_s: float
    """Seconds on the bus to load all tiles."""
    store_s: float
    """Seconds on the bus to store all tiles."""
    work_cycles: float
    """Cycles of the unit for all tiles, their starts not counted."""


@lru_cache(maxsize=65536)
def time_vector(
    stream: Stream,
    unit: VectorUnit,
    external: ExternalMemory,
    activation_bytes: float,
    weight_bytes: float,
) -> KernelTime:
    """The time of ``stream`` on the vector unit with its fastest tiling, launch included.

    The stream is cut into equal tiles that are loaded, worked on and stored; the three overlap where two
    tiles fit the unit's buffer, and follow each other where only one fits.

    Raises
    ------
    HardwareError
        If not even one element fits the buffer.
    """
    tiling, pipeline_s = _fastest(stream, unit, external, activation_bytes, weight_bytes)
    parts = {
        "compute": tiling.work_cycles / unit.clock_hz,
        "memory": tiling.load_s + tiling.store_s,
        "overhead": unit.launch_s + float(tiling.tiles) * unit.tile_cycles / unit.clock_hz,
    }
    return KernelTime(
        latency_s=unit.launch_s + pipeline_s,
        bound=max(parts, key=lambda name: parts[name]),
        compute_s=parts["compute"],
        memory_s=parts["memory"],
        overhead_s=parts["overhead"],
        moved_bytes=_moved_bytes(stream, activation_bytes, weight_bytes),
        macs=stream.macs,
        accesses=_vector_accesses(stream, activation_bytes, weight_bytes),
    )


def choose_stream_tiling(
    stream: Stream,
    unit: VectorUnit,
    external: ExternalMemory,
    activation_bytes: float,
    weight_bytes: float,
) -> StreamTiling:
    """The tiling that `time_vector` takes for ``stream``.

    Raises
    ------
    HardwareError
        If not even one element fits the buffer.
    """
    return _fastest(stream, unit, external, activation_bytes, weight_bytes)[0]


def _moved_bytes(stream: Stream, activation_bytes: float, weight_bytes: float) -> float:
    load, constants = stream.load_elements * activation_bytes, stream.weight_elements * weight_bytes
    return load + constants + stream.store_elements * activation_bytes


def _fastest(
    stream: Stream,
    unit: VectorUnit,
    external: ExternalMemory,
    activation_bytes: float,
    weight_bytes: float,
) -> tuple[StreamTiling, float]:
    """The fastest tiling and the seconds of its pipeline."""
    load = stream.load_elements * activation_bytes
    constants = stream.weight_elements * weight_bytes
    store = stream.store_elements * activation_bytes
    factor = stream.padding * _burst_factor(stream.run_elements * activation_bytes, external.burst_bytes)
    bandwidth = external.bandwidth_bytes_per_s
    load_s, store_s = (load * factor + constants) / bandwidth, store * factor / bandwidth
    work_cycles = _cycles(stream, unit.rates)
    tiles = _tile_counts(max(stream.load_elements + stream.weight_elements, stream.store_elements, 1))
    tile_bytes = (load + constants + store) / tiles
    overlapped = tile_bytes * np.where(tiles > 1, 2, 1) <= unit.buffer_bytes
    possible = tile_bytes <= unit.buffer_bytes
    if not possible.any():
        raise HardwareError(
            f"vector.buffer_bytes: found {unit.buffer_bytes}, expected room for the smallest tile; "
            f"give it {tile_bytes[-1]:.0f} bytes at least"
        )
    compute_s = work_cycles / (unit.clock_hz * tiles) + unit.tile_cycles / unit.clock_hz
    fetch_s = load_s / tiles + external.latency_s
    put_s = store_s / tiles
    overlap_s = fetch_s + (tiles - 1) * np.maximum(compute_s, fetch_s + put_s) + compute_s + put_s
    serial_s = tiles * (fetch_s + compute_s + put_s)
    total_s = np.where(possible, np.where(overlapped, overlap_s, serial_s), np.inf) + external.latency_s
    index = int(np.argmin(total_s))
    tiling = StreamTiling(
        tiles=int(tiles[index]),
        overlaps=bool(overlapped[index]),
        load_s=load_s,
        store_s=store_s,
        work_cycles=work_cycles,
    )
    return tiling, float(total_s[index])


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


def _vector_accesses(stream: Stream, activation_bytes: float, weight_bytes: float) -> Accesses:
    """All that is loaded passes the buffer on its way in, and all that is stored on its way out."""
    constants = stream.weight_elements * weight_bytes
    loaded = stream.load_elements * activation_bytes + constants
    stored = stream.store_elements * activation_bytes
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


@lru_cache(maxsize=4096)
def _tile_counts(elements: int) -> npt.NDArray[np.float64]:
    """Candidate numbers of tiles, from one to one an element."""
    fewer = _COUNTS[: int(np.searchsorted(_COUNTS, elements))]
    return np.append(fewer, np.float64(elements))
