"""Suites in YAML files: named groups of networks from files, the zoo, suites and the onnx package."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from annette.errors import HardwareError, UsageError
from annette.graph.network import Network
from annette.hardware.yaml_text import read_text, read_yaml
from annette.zoo.registry import open_network
from annette.zoo.suites import suite_networks

__all__ = ["SUITE_SCHEMA_VERSION", "SuiteEntry", "SuiteFile", "read_suite_file"]

SUITE_SCHEMA_VERSION = 1
"""Version of the files' format."""

_KEYS = frozenset(("schema_version", "name", "description", "groups"))
_ENTRY_KEYS = frozenset(("network", "name", "batch", "shapes"))
_LIGHT = "onnx-light:"
_SUITE = "suite:"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteEntry:
    """What one line of a suite file names: a network, or all networks of a suite."""

    network: str
    """The path of an ONNX file, ``zoo:NAME``, ``suite:NAME``, or ``onnx-light:NAME`` for a graph that the
    onnx package ships for its own tests."""
    name: str | None = None
    """What the network is called; ``None``: as it calls itself."""
    batch: int | None = None
    """Bound as by `open_network`."""
    shapes: Mapping[str, tuple[int, ...]] | None = None
    """Bound as by `open_network`."""

    def open(self) -> tuple[Network, ...]:
        """The networks: one, or those of the suite.

        Raises
        ------
        UsageError
            If there is no such file, network or suite.
        GraphError
            If a file is not a network that annette can read.
        """
        if self.network.startswith(_SUITE):
            return suite_networks(self.network[len(_SUITE) :])
        spec = _light_path(self.network) if self.network.startswith(_LIGHT) else self.network
        network = open_network(spec, shapes=self.shapes, batch=self.batch)
        return (network if self.name is None else _renamed(network, self.name),)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteFile:
    """Groups of networks by name, in the file's order."""

    name: str
    description: str
    groups: Mapping[str, tuple[SuiteEntry, ...]]

    def networks(self, group: str) -> Iterator[Network]:
        """The networks of one group, each opened when it is asked for.

        Raises
        ------
        UsageError
            If there is no such group, or as `SuiteEntry.open`.
        GraphError
            As `SuiteEntry.open`.
        """
        if group not in self.groups:
            raise UsageError(
                f"suite {self.name}: no group {group!r}, expected one of {', '.join(self.groups)}"
            )
        return (network for entry in self.groups[group] for network in entry.open())


def read_suite_file(path: str | os.PathLike[str]) -> SuiteFile:
    """The suite in a YAML file; paths in it are relative to the file.

    Raises
    ------
    UsageError
        With the place of the first fault, what was found and what was expected.
    """
    source = Path(path)
    where = source.name
    try:
        data = read_yaml(read_text(source, where), where)
    except HardwareError as err:
        raise UsageError(str(err)) from err
    if not isinstance(data, dict) or data.keys() != _KEYS:
        found = sorted(map(str, data)) if isinstance(data, dict) else type(data).__name__
        raise UsageError(f"{where}: found {found}, expected the keys {', '.join(sorted(_KEYS))}")
    if data["schema_version"] != SUITE_SCHEMA_VERSION or isinstance(data["schema_version"], bool):
        raise UsageError(
            f"{where}: schema_version {data['schema_version']!r}, expected {SUITE_SCHEMA_VERSION}; "
            "use the version of annette that the file was written for"
        )
    groups = data["groups"]
    if not isinstance(groups, dict) or not all(isinstance(items, list) for items in groups.values()):
        raise UsageError(f"{where}: groups: expected lists of networks by the group's name")
    return SuiteFile(
        name=str(data["name"]),
        description=str(data["description"]),
        groups=MappingProxyType(
            {
                str(group): tuple(
                    _entry(item, source.parent, f"{where}: groups.{group}[{index}]")
                    for index, item in enumerate(items)
                )
                for group, items in groups.items()
            }
        ),
    )


def _entry(item: Any, folder: Path, where: str) -> SuiteEntry:
    fields = {"network": item} if isinstance(item, str) else item
    if not isinstance(fields, dict) or not fields.keys() <= _ENTRY_KEYS or "network" not in fields:
        raise UsageError(
            f"{where}: found {item!r:.100}, expected a network, or 'network' with any of 'name', 'batch' "
            "and 'shapes'"
        )
    network, name, batch = str(fields["network"]), fields.get("name"), fields.get("batch")
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        raise UsageError(f"{where}: batch {batch!r}, expected a whole number >= 1")
    if ":" not in network:
        network = os.path.normpath(folder / network)
    return SuiteEntry(
        network=network,
        name=None if name is None else str(name),
        batch=batch,
        shapes=_shapes(fields.get("shapes"), where),
    )


def _shapes(value: Any, where: str) -> Mapping[str, tuple[int, ...]] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(
        isinstance(sizes, list) and all(type(size) is int for size in sizes) for sizes in value.values()
    ):
        raise UsageError(f"{where}: shapes {value!r:.100}, expected lists of sizes by the input's name")
    return MappingProxyType({str(name): tuple(sizes) for name, sizes in value.items()})


def _light_path(spec: str) -> Path:
    from importlib.util import find_spec

    found = find_spec("onnx")
    folder = Path(found.origin).parent if found is not None and found.origin else Path()
    path = folder / "backend" / "test" / "data" / "light" / f"{spec[len(_LIGHT) :]}.onnx"
    if not path.is_file():
        raise UsageError(f"{spec}: the installed onnx package has no such graph; its 1.16 to 1.23 have it")
    return path


def _renamed(network: Network, name: str) -> Network:
    return Network(
        name=name,
        inputs=network.inputs,
        outputs=network.outputs,
        layers=network.layers,
        tensors=network.tensors,
    )
