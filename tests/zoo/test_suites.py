"""The suites: who is in them, and that a recorded seed keeps meaning the same cells."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import time

import pytest

from annette.errors import UsageError
from annette.zoo.nasbench101_sampling import sample_cells
from annette.zoo.registry import list_networks
from annette.zoo.spaces.registry import open_space
from annette.zoo.suites import (
    NASBENCH101_SEEDS,
    is_sampled,
    iterate_members,
    iterate_suite,
    list_suites,
    sample_distinct,
    suite_networks,
)

CLASSIC12 = {
    "inception_v1", "inception_v3", "inception_v4", "resnet18", "resnet50", "mobilenet_v1", "mobilenet_v2",
    "squeezenet1_1", "densenet121", "yolov3", "openpose", "fpn_resnet18",
}  # fmt: skip


def test_classic12_has_the_twelve_networks_of_the_published_evaluation() -> None:
    assert {network.name for network in suite_networks("classic12")} == CLASSIC12


def test_modern12_shares_no_network_with_classic12() -> None:
    names = {network.name for network in suite_networks("modern12")}
    assert len(names) == 12
    assert not names & CLASSIC12
    assert names < {entry.name for entry in list_networks()}


@pytest.mark.parametrize("name", ["classic12", "modern12", "nasbench101-34"])
def test_networks_of_a_suite_differ_in_name_and_content(name: str) -> None:
    networks = suite_networks(name)
    assert len({network.name for network in networks}) == len(networks)
    assert len({network.id for network in networks}) == len(networks)


@pytest.mark.parametrize(
    ("count", "digest"),
    [(34, "a632576358e07a4c21beb51ced308cd8"), (500, "71e05b0c1d234f548c17aa50ffe03457")],
)
def test_a_recorded_seed_means_the_recorded_cells(count: int, digest: str) -> None:
    # MD5 over the cells' fingerprints; recorded with the first version of the sampling.
    cells = sample_cells(count, seed=NASBENCH101_SEEDS[count])
    joined = "".join(cell.fingerprint for cell in cells)
    assert hashlib.md5(joined.encode(), usedforsecurity=False).hexdigest() == digest


def test_the_two_recorded_samples_share_hardly_a_cell() -> None:
    small, large = (
        {cell.fingerprint for cell in sample_cells(count, seed=seed)}
        for count, seed in NASBENCH101_SEEDS.items()
    )
    assert len(small & large) <= 1


def test_any_sample_size_is_a_suite_and_the_seed_chooses_the_cells() -> None:
    assert len(suite_networks("nasbench101-7")) == 7
    ids = [[network.id for network in suite_networks("nasbench101-5", seed=seed)] for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


def test_five_hundred_cells_take_seconds() -> None:
    start = time.process_time()
    networks = suite_networks("nasbench101-500")
    assert time.process_time() - start < 20
    assert len(networks) == 500
    assert networks[499].name == "nasbench101-500-499"


def test_a_large_suite_can_be_read_one_network_at_a_time() -> None:
    first = list(itertools.islice(iterate_suite("nasbench101-10000"), 2))
    assert [network.name for network in first] == ["nasbench101-10000-0000", "nasbench101-10000-0001"]


@pytest.mark.parametrize(
    ("name", "seed", "message"),
    [
        ("classic13", None, "did you mean 'classic12'"),
        ("nasbench101-100001", None, "found 100001 networks, expected 1 to 100,000"),
        ("nasbench101-0", None, "found 0 networks, expected 1 to 100,000"),
        ("nasbench201", None, "; nasbench201-100 is one"),
        ("ofa,width=1.2", None, "; ofa,width=1.2-100 is one"),
        ("nasbench102-7", None, "no such suite"),
        ("nasbench201-all", 3, "fixed"),
        ("ofa-all", None, "as ofa-1000"),
        ("nasbench201,dataset=cifar11-5", None, "cifar100"),
        ("nasbench101-", None, "no such suite"),
        ("", None, "no such suite"),
        ("classic12", 3, "fixed"),
    ],
)
def test_an_unknown_suite_or_a_seed_for_a_fixed_one_is_refused(
    name: str, seed: int | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        suite_networks(name, seed=seed)
    assert "\n" not in str(caught.value)


def test_every_listed_suite_has_a_description_and_yields_networks() -> None:
    for name, description in list_suites():
        assert description
        assert next(iter(iterate_suite(name))).layers


def test_a_whole_space_has_each_architecture_once() -> None:
    members = list(iterate_members("nasbench201-all"))
    assert len({member.architecture for member in members}) == len(members) == 15_625
    assert (members[0].name, members[-1].name) == ("nasbench201-all-00000", "nasbench201-all-15624")


@pytest.mark.parametrize(
    "name", ["nasbench101-3", "nasbench201-3", "ofa-3", "nasbench201,dataset=cifar100-3"]
)
def test_members_survive_the_way_to_another_process(name: str) -> None:
    for member in pickle.loads(pickle.dumps(tuple(iterate_members(name)))):  # noqa: S301
        network = member.build()
        assert (network.name, member.suite) == (member.name, name)
        if member.architecture is not None:
            space = open_space(name.rpartition("-")[0])
            assert space.network(space.parse(member.architecture)).id == network.id


@pytest.mark.parametrize("name", ["nasbench101-5", "nasbench201-5", "ofa-3", "fbnet-3", "transformer-3"])
def test_members_of_a_space_are_told_in_its_notation(name: str) -> None:
    space = open_space(name.rpartition("-")[0])
    for member in iterate_members(name):
        assert member.architecture is not None
        assert space.network(space.parse(member.architecture)).id == member.build().id


def test_a_sample_has_no_network_twice_and_its_seed_chooses_it() -> None:
    space = open_space("nasbench201")
    rows = sample_distinct(space, 4000, seed=1)
    assert len({tuple(row) for row in space.canonical(rows).tolist()}) == len(rows) == 4000
    assert (rows == sample_distinct(space, 4000, seed=1)).all()
    assert (rows != sample_distinct(space, 4000, seed=2)).any()


def test_more_than_the_space_has_is_refused() -> None:
    with pytest.raises(UsageError, match="ask for fewer, or for nasbench201-all"):
        suite_networks("nasbench201-15000")


def test_only_samples_are_drawn_anew() -> None:
    names = ("nasbench101-34", "ofa-5", "nasbench201-all", "classic12", "nothing")
    assert [is_sampled(name) for name in names] == [True, True, False, False, False]
