"""Suites: named sets of networks on which predictions are judged, never part of a campaign."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np

from annette.errors import UsageError
from annette.graph.network import Network
from annette.zoo.nasbench101 import nasbench101_network
from annette.zoo.nasbench101_sampling import iterate_cells
from annette.zoo.registry import zoo_network
from annette.zoo.spaces.nasbench101 import Nasbench101
from annette.zoo.spaces.registry import list_spaces, open_space
from annette.zoo.spaces.space import Encodings, SearchSpace

__all__ = [
    "NASBENCH101_SEEDS",
    "SuiteMember",
    "is_sampled",
    "iterate_members",
    "iterate_suite",
    "list_suites",
    "sample_distinct",
    "suite_networks",
]

_ZOO_SUITES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "classic12": (
            "inception_v1", "inception_v3", "inception_v4", "resnet18", "resnet50", "mobilenet_v1",
            "mobilenet_v2", "squeezenet1_1", "densenet121", "yolov3", "openpose", "fpn_resnet18",
        ),
        "modern12": (
            "efficientnet_b0", "mobilenet_v3_large", "mnasnet", "shufflenet_v2", "regnety_400mf",
            "ssd_mobilenet_v2", "yolov3_tiny", "deeplabv3_mobilenet_v2", "unet", "vit_tiny",
            "convnext_tiny", "bert_mini",
        ),
    }
)  # fmt: skip

_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "classic12": "twelve networks of 2014 to 2018: classification, detection, pose, segmentation",
        "modern12": "twelve others: mobile networks, detection, segmentation, transformers",
        "nasbench101-34": "34 random cells of NAS-Bench-101",
        "nasbench101-500": "500 random cells of NAS-Bench-101",
        "nasbench201-all": "all 15,625 networks of NAS-Bench-201",
        "nasbench201-1000": "1,000 random networks of NAS-Bench-201",
        "ofa-1000": "1,000 random sub-networks of Once-for-All MobileNetV3",
    }
)

NASBENCH101_SEEDS: Mapping[int, int] = MappingProxyType({34: 34, 500: 500})
"""Recorded seed of each named sample by its size; any other size takes `_DEFAULT_SEED`."""

_DEFAULT_SEED = 101
_NASBENCH101 = "nasbench101"
_OF_A_SPACE = re.compile(r"(?P<space>[a-z].*)-(?P<count>all|0|[1-9][0-9]{0,17})")
_LARGEST_SAMPLE = 100_000
_LARGEST_SPACE = 1_000_000
_MOST_DRAWS = 16
"""Times the sample's size that are drawn to find as many different networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteMember:
    """One network of a suite, before it is built."""

    suite: str
    """The suite's name."""
    name: str
    """What the network is called."""
    build: Callable[[], Network]
    """Builds it; survives the way to another process."""
    architecture: str | None = None
    """Its encoding in the notation of its search space; ``None`` for a network of none."""


def list_suites() -> tuple[tuple[str, str], ...]:
    """Name and description of each suite; ``SPACE-N`` with any N up to 100,000 is one too."""
    return tuple(_DESCRIPTIONS.items())


def is_sampled(name: str) -> bool:
    """Whether the suite of this name is a random sample, of which a seed draws another.

    Examples
    --------
    >>> is_sampled("nasbench101-34"), is_sampled("nasbench201-all"), is_sampled("classic12")
    (True, False, False)
    """
    match = None if name in _ZOO_SUITES else _OF_A_SPACE.fullmatch(name)
    return match is not None and match["count"] != "all"


def suite_networks(name: str, *, seed: int | None = None) -> tuple[Network, ...]:
    """All networks of a suite; see `iterate_suite`.

    Examples
    --------
    >>> [network.name for network in suite_networks("classic12")][:2]
    ['inception_v1', 'inception_v3']
    """
    return tuple(iterate_suite(name, seed=seed))


def iterate_suite(name: str, *, seed: int | None = None) -> Iterator[Network]:
    """The networks of a suite one by one, each built when it is asked for; see `iterate_members`.

    Raises
    ------
    UsageError
        If there is no such suite, the sample is too large, or a seed is given for a fixed suite.
    """
    return (member.build() for member in iterate_members(name, seed=seed))


def iterate_members(name: str, *, seed: int | None = None) -> Iterator[SuiteMember]:
    """What a suite consists of, one by one, no network built yet.

    Parameters
    ----------
    name : str
        ``classic12``, ``modern12``, or ``SPACE-N`` and ``SPACE-all`` of a search space: N random
        architectures, no encoding twice, or all of them. Spaces are named as `open_space` takes them.
    seed : int or None
        Draws another sample for ``SPACE-N``; None takes the recorded seed. Networks of a space are named
        after the suite and their position: ``nasbench101-34-07``.

    Raises
    ------
    UsageError
        If there is no such suite, the sample is too large, or a seed is given for a fixed suite.

    Examples
    --------
    >>> [member.name for member in iterate_members("nasbench101-34")][:2]
    ['nasbench101-34-00', 'nasbench101-34-01']
    """
    if seed is not None and (name in _ZOO_SUITES or name.endswith("-all")):
        raise UsageError(f"suite {name}: its networks are fixed; a seed is for samples, as nasbench101-34")
    if name in _ZOO_SUITES:
        return _zoo_members(name)
    match = _OF_A_SPACE.fullmatch(name)
    spaces = [entry.name for entry in list_spaces()]
    if match is None or match["space"].partition(",")[0] not in spaces:
        found = difflib.get_close_matches(name, _DESCRIPTIONS, n=1)
        hint = f"; did you mean {found[0]!r}?" if found else ""
        if name.partition(",")[0] in spaces:
            hint = f"; {name}-100 is one, a hundred networks of the space"
        raise UsageError(
            f"suite {name!r}: no such suite{hint}; expected {', '.join(_DESCRIPTIONS)}, or SPACE-N of one of "
            f"the spaces {', '.join(spaces)}"
        )
    if match["count"] == "all":
        return _members(name, *_whole_space(name, match["space"]))
    count = int(match["count"])
    if not 1 <= count <= _LARGEST_SAMPLE:
        raise UsageError(f"suite {name}: found {count} networks, expected 1 to {_LARGEST_SAMPLE:,}")
    if match["space"] == _NASBENCH101:
        return _cells(name, count, NASBENCH101_SEEDS.get(count, _DEFAULT_SEED) if seed is None else seed)
    space = open_space(match["space"])
    return _members(name, space, sample_distinct(space, count, seed=_DEFAULT_SEED if seed is None else seed))


def sample_distinct(space: SearchSpace, count: int, *, seed: int) -> Encodings:
    """Random architectures, no two alike but for genes without effect, shape (count, n_genes).

    Isomorphic ones may be among them: they are as likely in the space as in the sample.

    Raises
    ------
    UsageError
        If so many are not found.
    """
    found = np.empty((0, len(space.choices)), dtype=np.int64)
    drawn = 0
    while len(found) < count and drawn <= count * _MOST_DRAWS:
        # Each round has its own seed, since a longer sample need not begin with the shorter one.
        rows = space.sample(2 * count, seed=seed + drawn)
        drawn += len(rows)
        found = np.concatenate([found, rows])
        _, first = np.unique(space.canonical(found), axis=0, return_index=True)
        found = found[np.sort(first)]
    if len(found) < count:
        raise UsageError(
            f"suite {space.name}-{count}: found {len(found)} different networks among {drawn} random ones; "
            f"ask for fewer, or for {space.name}-all"
        )
    return found[:count]


def _whole_space(name: str, spec: str) -> tuple[SearchSpace, Encodings]:
    space = open_space(spec)
    if space.size > _LARGEST_SPACE:
        raise UsageError(
            f"suite {name}: up to {space.size:,} networks, expected at most {_LARGEST_SPACE:,}; take "
            f"a sample, as {spec}-1000"
        )
    return space, np.array(list(space.enumerate()), dtype=np.int64)


def _zoo_members(name: str) -> Iterator[SuiteMember]:
    for item in _ZOO_SUITES[name]:
        yield SuiteMember(suite=name, name=item, build=partial(zoo_network, item))


def _members(name: str, space: SearchSpace, encodings: Encodings) -> Iterator[SuiteMember]:
    for label, encoding in zip(_labels(name, len(encodings)), encodings.tolist(), strict=True):
        yield SuiteMember(
            suite=name,
            name=label,
            build=partial(space.network, tuple(encoding), name=label),
            architecture=space.format(encoding),
        )


def _cells(name: str, count: int, seed: int) -> Iterator[SuiteMember]:
    space = Nasbench101()
    for label, cell in zip(_labels(name, count), iterate_cells(seed=seed), strict=False):
        yield SuiteMember(
            suite=name,
            name=label,
            build=partial(nasbench101_network, cell, name=label),
            architecture=space.format(space.from_cell(cell)),
        )


def _labels(name: str, count: int) -> Iterator[str]:
    digits = len(str(count - 1))
    return (f"{name}-{index:0{digits}d}" for index in range(count))
