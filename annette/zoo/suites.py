"""Suites: named sets of networks on which predictions are judged, never part of a campaign."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from annette.errors import UsageError
from annette.graph.network import Network
from annette.zoo.nasbench101 import nasbench101_network
from annette.zoo.nasbench101_sampling import iterate_cells
from annette.zoo.registry import zoo_network

__all__ = ["NASBENCH101_SEEDS", "iterate_suite", "list_suites", "suite_networks"]

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
    }
)

NASBENCH101_SEEDS: Mapping[int, int] = MappingProxyType({34: 34, 500: 500})
"""Recorded seed of each named sample by its size; any other size takes `_DEFAULT_SEED`."""

_DEFAULT_SEED = 101
_NASBENCH101 = re.compile(r"nasbench101-([1-9][0-9]{0,8})")
_LARGEST_SAMPLE = 10_000


def list_suites() -> tuple[tuple[str, str], ...]:
    """Name and description of each suite; ``nasbench101-N`` with any N up to 10,000 is one too."""
    return tuple(_DESCRIPTIONS.items())


def suite_networks(name: str, *, seed: int | None = None) -> tuple[Network, ...]:
    """All networks of a suite; see `iterate_suite`.

    Examples
    --------
    >>> [network.name for network in suite_networks("classic12")][:2]
    ['inception_v1', 'inception_v3']
    """
    return tuple(iterate_suite(name, seed=seed))


def iterate_suite(name: str, *, seed: int | None = None) -> Iterator[Network]:
    """The networks of a suite one by one, each built when it is asked for.

    Parameters
    ----------
    name : str
        ``classic12``, ``modern12`` or ``nasbench101-N`` with N from 1 to 10,000.
    seed : int or None
        Draws other cells for ``nasbench101-N``; None takes the recorded seed. Networks of one sample are
        named after the suite and their position: ``nasbench101-34-07``.

    Raises
    ------
    UsageError
        If there is no such suite, the sample is too large, or a seed is given for a fixed suite.
    """
    members = _ZOO_SUITES.get(name)
    if members is not None:
        if seed is not None:
            raise UsageError(f"suite {name}: its networks are fixed; a seed is for nasbench101-N only")
        return map(zoo_network, members)
    match = _NASBENCH101.fullmatch(name)
    if match is None:
        found = difflib.get_close_matches(name, _DESCRIPTIONS, n=1)
        hint = f"; did you mean {found[0]!r}?" if found else ""
        raise UsageError(
            f"suite {name!r}: no such suite{hint}; expected {', '.join(_DESCRIPTIONS)} or nasbench101-N"
        )
    count = int(match[1])
    if count > _LARGEST_SAMPLE:
        raise UsageError(f"suite {name}: {count} cells, expected at most {_LARGEST_SAMPLE}")
    return _nasbench101(name, count, NASBENCH101_SEEDS.get(count, _DEFAULT_SEED) if seed is None else seed)


def _nasbench101(name: str, count: int, seed: int) -> Iterator[Network]:
    digits = len(str(count - 1))
    for index, cell in zip(range(count), iterate_cells(seed=seed), strict=False):
        yield nasbench101_network(cell, name=f"{name}-{index:0{digits}d}")
