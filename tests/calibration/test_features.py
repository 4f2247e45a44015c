"""What networks are made of: arrays against single networks, and what is folded away."""

from __future__ import annotations

import numpy as np
import pytest

from annette.calibration.features import AMOUNTS, COUNTS, count_networks, count_space
from annette.calibration.graphs import graph_views, open_view
from annette.errors import UsageError
from annette.graph.work import network_work
from annette.zoo.spaces.registry import list_spaces, open_space

ALL_NONE = (0,) * 6


@pytest.mark.parametrize("name", [entry.name for entry in list_spaces()])
def test_counts_of_a_space_are_those_of_its_networks(name: str) -> None:
    space = open_space(name)
    rows = space.sample(6, seed=3)
    together = count_space(space, rows).counts
    apart = count_networks([space.network(row) for row in rows.tolist()]).counts
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize("name", ["nasbench201", "ofa", "mnasnet"])
def test_multiply_accumulates_of_all_groups_are_those_of_the_network(name: str) -> None:
    space = open_space(name)
    row = space.sample(1, seed=1)
    counts = count_space(space, row).counts.reshape(-1, len(AMOUNTS))
    assert counts[:, AMOUNTS.index("macs")].sum() == network_work(space.network(row[0].tolist())).macs


def test_order_and_company_of_architectures_do_not_matter() -> None:
    space = open_space("fbnet")
    rows = space.sample(50, seed=0)
    counts = count_space(space, rows).counts
    np.testing.assert_array_equal(count_space(space, rows[::-1]).counts, counts[::-1])
    np.testing.assert_array_equal(count_space(space, rows[7:8]).counts, counts[7:8])


def test_what_is_multiplied_by_zero_is_folded_away() -> None:
    space = open_space("nasbench201")
    kernels = {
        view.name: view.contents([ALL_NONE, (3, 0, 0, 0, 0, 3), (3,) * 6]).times.sum(axis=1)
        for view in graph_views(space)
    }
    assert kernels["folded"][0] < kernels["all"][0] / 10
    assert kernels["folded"][1] < kernels["all"][1] / 10
    assert kernels["needed"][2] == kernels["folded"][2] == kernels["all"][2]


def test_a_space_without_dead_code_has_one_sort_of_graphs() -> None:
    assert [view.name for view in graph_views(open_space("ofa,width=1.2"))] == ["needed"]
    with pytest.raises(UsageError, match="no graphs 'all'"):
        open_view(open_space("ofa"), "all")


def test_the_names_of_counts_are_all_different() -> None:
    assert len(set(COUNTS)) == len(COUNTS)
