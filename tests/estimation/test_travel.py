"""Platforms survive the way to another process, where they are one object."""

from __future__ import annotations

import pickle

from annette.estimation.platform import Platform
from annette.estimation.travel import pack, unpack
from annette.zoo.registry import zoo_network


def test_a_platform_arrives_as_one_object_however_often_it_is_sent(small_platform: Platform) -> None:
    again = pickle.loads(pickle.dumps(small_platform))  # noqa: S301
    assert again is not small_platform
    assert again is pickle.loads(pickle.dumps(small_platform))  # noqa: S301
    network = zoo_network("mobilenet_v2")
    assert again.estimate(network) == small_platform.estimate(network)
    assert again.describe() == small_platform.describe()
    assert (again.device, dict(again.provenance)) == (small_platform.device, dict(small_platform.provenance))


def test_energy_travels_too(energy_platform: Platform) -> None:
    again = pickle.loads(pickle.dumps(energy_platform))  # noqa: S301
    network = zoo_network("lenet5")
    assert again.estimate(network) == energy_platform.estimate(network)


def test_other_files_are_another_platform(small_platform: Platform) -> None:
    manifest, files = small_platform.to_files()
    first, second = (unpack(*pack({**manifest, "name": name}, files)) for name in ("one", "two"))
    assert (first.name, second.name) == ("one", "two")
    for name in "abcdef":  # only the last few are kept
        unpack(*pack({**manifest, "name": name}, files))
    assert unpack(*pack({**manifest, "name": "one"}, files)) is not first


def test_what_a_platform_remembers_does_not_travel(small_platform: Platform) -> None:
    size = len(pickle.dumps(small_platform))
    small_platform.estimate(zoo_network("resnet18"))
    assert len(pickle.dumps(small_platform)) == size
