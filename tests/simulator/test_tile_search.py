"""Nests timed together: as each alone, and nothing is lost by leaving tilings out that cannot win."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import HardwareError
from annette.hardware.accelerator import Unroll
from annette.hardware.codec import load_accelerator
from annette.simulator import tile_search
from annette.simulator.array_engine import (
    ArrayMachine,
    ArrayTiling,
    array_machine,
    choose_tiling,
    known_times,
    time_ahead,
    time_array,
)
from annette.simulator.nests import ArrayNest, KernelTime, Stream
from annette.simulator.stream_engine import (
    VectorMachine,
    known_vector_times,
    time_streams_ahead,
    time_vector,
)
from annette.simulator.tile_bounds import least_any_split_s, least_split_s, least_whole_s
from annette.simulator.tile_columns import TileColumns, tile_columns
from annette.simulator.tile_pipeline import evaluate, fits
from annette.simulator.tiling import (
    Floats,
    TilingRows,
    Way,
    split_rows,
    tile_table,
    unrolled_steps,
    way_tiles,
    whole_rows,
)


@st.composite
def nests(draw: st.DrawFn) -> ArrayNest:
    size, step = st.integers(1, 60), draw(st.sampled_from((1, 2)))
    kernel = draw(st.sampled_from((1, 3, 5)))
    groups, out_channels, in_channels = draw(st.sampled_from((1, 1, 8))), draw(size), draw(size)
    positions_h, positions_w, batch = draw(size), draw(size), draw(st.integers(1, 3))
    results = batch * groups * out_channels * positions_h * positions_w
    return ArrayNest(
        batch=batch, groups=groups, out_channels=out_channels, in_channels=in_channels,
        positions_h=positions_h, positions_w=positions_w, kernel_h=kernel, kernel_w=kernel,
        in_h=positions_h * step, in_w=positions_w * step, halo_h=max(kernel - step, 0),
        halo_w=max(kernel - step, 0), step_h=step, step_w=step, store_h=positions_h, store_w=positions_w,
        weight_elements=groups * out_channels * in_channels * kernel**2,
        has_computed_weights=draw(st.booleans()), extra_elements=draw(st.sampled_from((0, results))),
        store_elements=results, is_transposed=False, post_elements=draw(st.sampled_from((0, results))),
    )  # fmt: skip


@st.composite
def machines(draw: st.DrawFn) -> ArrayMachine:
    base = load_accelerator(draw(st.sampled_from(("zcu102-dpu", "nvdla-small", "ethos-u55-128"))))
    sizes = st.sampled_from((1, 2, 8, 16))
    unrolls = [Unroll(out_w=draw(sizes), in_channels=draw(sizes), out_channels=draw(sizes)) for _ in range(3)]
    memories = tuple(
        replace(
            item,
            size_bytes=draw(st.sampled_from((1 << 9, 1 << 13, 1 << 20))),
            read_bytes_per_cycle=draw(st.sampled_from((None, 4.0))),
        )
        for item in base.memories
    )
    array = replace(base.array, unroll=unrolls[0], alternative_unrolls=tuple(unrolls[1:]))
    slack = draw(st.sampled_from((None, 0.05)))
    accelerator = replace(
        base, array=array, memories=memories, compiler=replace(base.compiler, tiling_slack_fraction=slack)
    )
    return array_machine(accelerator, draw(st.sampled_from((1.0, 0.5))), has_weight_port=draw(st.booleans()))


def time_of(nest: ArrayNest, machine: ArrayMachine) -> KernelTime | None:
    known_times.cache_clear()
    try:
        return time_array(nest, machine)
    except HardwareError:
        return None


def tiling_of(nest: ArrayNest, machine: ArrayMachine) -> ArrayTiling | None:
    choose_tiling.cache_clear()
    try:
        return choose_tiling(nest, machine)
    except HardwareError:
        return None


@settings(deadline=None, max_examples=40)
@given(some=st.lists(nests(), min_size=1, max_size=5), machine=machines())
def test_nests_timed_together_take_what_each_takes_alone(
    some: list[ArrayNest], machine: ArrayMachine
) -> None:
    alone = [time_of(nest, machine) for nest in some]
    known_times.cache_clear()
    time_ahead(some, machine)
    assert [known_times(machine)[nest] for nest in some] == alone


@settings(deadline=None, max_examples=60)
@given(nest=nests(), machine=machines())
def test_leaving_tilings_out_that_cannot_win_changes_nothing(nest: ArrayNest, machine: ArrayMachine) -> None:
    def no_bound_of_pairs(columns: TileColumns) -> Floats:
        return np.zeros(len(columns.table.pair_way))

    def no_bound(rows: TilingRows, columns: TileColumns) -> Floats:
        return np.zeros(len(rows.pair))

    found, tiling = time_of(nest, machine), tiling_of(nest, machine)
    with mock.patch.multiple(
        tile_search,
        least_whole_s=no_bound_of_pairs, least_any_split_s=no_bound_of_pairs, least_split_s=no_bound,
    ):  # fmt: skip
        assert time_of(nest, machine) == found
        assert tiling_of(nest, machine) == tiling
    choose_tiling.cache_clear()


@settings(deadline=None, max_examples=100)
@given(some=st.lists(nests(), min_size=1, max_size=3), machine=machines())
def test_no_tiling_is_faster_than_its_bounds(some: list[ArrayNest], machine: ArrayMachine) -> None:
    ways = [Way(nest, unroll, unrolled_steps(nest, unroll)) for nest in some for unroll in machine.unrolls]
    columns = tile_columns(ways, machine)
    for rows, bound_s in (
        (whole := whole_rows(columns.table), least_whole_s(columns)[whole.pair]),
        (
            split := split_rows(columns.table, np.ones(len(columns.table.pair_way), dtype=bool)),
            least_split_s(split, columns),
        ),
        (split, least_any_split_s(columns)[split.pair]),
    ):
        does_fit = fits(rows, columns)
        found = evaluate(rows.only(does_fit), columns)
        assert (bound_s[does_fit] <= found.total_s).all()


@settings(deadline=None, max_examples=60)
@given(nest=nests(), sizes=st.tuples(*[st.sampled_from((1, 3, 8))] * 5))
def test_tiles_are_whole_blocks_from_the_whole_loop_down_to_one(
    nest: ArrayNest, sizes: tuple[int, ...]
) -> None:
    groups, out_h, out_w, out_channels, in_channels = sizes
    unroll = Unroll(
        groups=groups, out_h=out_h, out_w=out_w, out_channels=out_channels, in_channels=in_channels
    )
    way = Way(nest, unroll, unrolled_steps(nest, unroll))
    table = tile_table([way_tiles(way)] * 2)
    rows = split_rows(table, np.ones(len(table.pair_way), dtype=bool)).joined(whole_rows(table))
    tiles = [rows.tile(row, weights_outside=True, overlaps=True) for row in range(len(rows.pair))]
    half = len(tiles) // 2
    assert tiles[:half] == tiles[half:]
    assert len(set(tiles[:half])) == half
    for name, step in (
        ("positions_h", out_h), ("positions_w", out_w), ("groups", groups), ("out_channels", out_channels),
        ("in_channels", in_channels),
    ):  # fmt: skip
        whole, found = getattr(nest, name), {getattr(tile, name) for tile in tiles}
        assert max(found) == whole
        assert min(found) == min(whole, step)
        assert all(size == whole or size % step == 0 for size in found)
    whole = [tile.in_channels == nest.in_channels for tile in tiles]
    assert rows.only(np.array(whole)).pair.tolist() == list(range(len(table.pair_way)))


@settings(deadline=None, max_examples=40)
@given(
    elements=st.lists(st.integers(0, 10**6), min_size=1, max_size=6),
    buffer_bytes=st.sampled_from((1, 64, 1 << 14)),
)
def test_streams_timed_together_take_what_each_takes_alone(elements: list[int], buffer_bytes: int) -> None:
    device = load_accelerator("ethos-u55-128")
    assert device.vector is not None
    machine = VectorMachine(
        unit=replace(device.vector, buffer_bytes=buffer_bytes), external=device.external_memory,
        activation_bytes=1.0, weight_bytes=1.0,
    )  # fmt: skip
    streams = [
        Stream(
            load_elements=count, weight_elements=0, store_elements=count // 2, run_elements=8, padding=1.0,
            work=(("elementwise", float(count)),),
        )
        for count in elements
    ]  # fmt: skip
    alone: list[KernelTime | None] = []
    for stream in streams:
        known_vector_times.cache_clear()
        try:
            alone.append(time_vector(stream, machine))
        except HardwareError:
            alone.append(None)
    known_vector_times.cache_clear()
    time_streams_ahead(streams, machine)
    assert [known_vector_times(machine)[stream] for stream in streams] == alone
