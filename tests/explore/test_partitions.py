"""Partitions of a budget: all of them, once each, in order, of powers of two or of any size."""

from __future__ import annotations

import itertools

import pytest

from annette.errors import UsageError
from annette.explore.partitions import Partition, list_partitions


@pytest.mark.parametrize("macs", [64, 100, 1024, 5000, 16384])
def test_all_partitions_of_a_budget_are_tried_once(macs: int) -> None:
    found = list_partitions(macs)
    assert len(set(found)) == len(found)
    powers = [1 << power for power in range(macs.bit_length())]
    assert {(p.rows, p.columns, p.partition_rows, p.partition_columns) for p in found} == {
        (rows, columns, down, across)
        for rows in powers
        for columns in powers
        for down in powers
        for across in powers
        if rows >= 8 and columns >= 8 and rows * columns * down * across <= macs
    }
    assert list(found) == sorted(found, key=lambda item: (item.arrays, item))


@pytest.mark.parametrize(
    ("macs", "side"), [(63, 8), (0, 8), (2**25, 8), (64, 0), (-1, 8), (9, 3), (100, 9), (64, 2**30)]
)
def test_impossible_budgets_are_refused(macs: int, side: int) -> None:
    with pytest.raises(UsageError, match="expected"):
        list_partitions(macs, least_side=side)


@pytest.mark.parametrize(("macs", "side"), [(64, 8), (30, 3), (70, 6), (12, 1)])
def test_all_sizes_are_tried_once(macs: int, side: int) -> None:
    found = list_partitions(macs, least_side=side, sides="all")
    expected = {
        sizes
        for sizes in itertools.product(range(side, macs // side + 1), repeat=2)
        for sizes in itertools.product((sizes[0],), (sizes[1],), range(1, macs + 1), range(1, macs + 1))
        if sizes[0] * sizes[1] * sizes[2] * sizes[3] <= macs
    }
    assert len(found) == len(expected)
    assert {(p.rows, p.columns, p.partition_rows, p.partition_columns) for p in found} == expected
    assert list(found) == sorted(found, key=lambda item: (item.arrays, item))


def test_too_many_partitions_and_unknown_sides_are_refused() -> None:
    with pytest.raises(UsageError, match="more than 1048576 partitions, expected a smaller budget"):
        list_partitions(1 << 16, sides="all")
    with pytest.raises(UsageError, match="more than 1048576 partitions"):
        list_partitions(1 << 20, least_side=1, sides="all")
    with pytest.raises(UsageError, match="sides 'odd', expected one of powers, all"):
        list_partitions(64, sides="odd")


def test_a_part_of_them_is_of_their_kind() -> None:
    found = list_partitions(1024)
    assert list(found[2:5]) == list(found)[2:5]
    assert found[3:4].arrays.tolist() == [found[3].arrays]


def test_partitions_have_names_that_people_read() -> None:
    many = Partition(rows=32, columns=16, partition_rows=2, partition_columns=4)
    assert many.name == "2x4 of 32x16"
    assert (many.arrays, many.macs_per_cycle) == (8, 4096)
