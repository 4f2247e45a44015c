"""Opens what a person names to compare: networks, platforms, stores, and what other commands printed."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from annette.errors import UsageError
from annette.estimation.catalogue import list_platforms, load_platform
from annette.estimation.platform import is_platform_name
from annette.evaluation.sides import (
    Side,
    is_answer,
    side_from_document,
    side_of_estimate,
    side_of_measurement,
)
from annette.graph.network import Network
from annette.store.campaign import CampaignStore
from annette.store.documents import file_kind, read_document
from annette.store.records import Record
from annette.store.strict_json import shorten
from annette.zoo.registry import open_network

__all__ = ["SideOptions", "open_side"]

_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SideOptions:
    """What a side may need beside its name."""

    platform: str | None = None
    """Estimates networks: a name or a folder."""
    network: str | None = None
    """What a platform estimates, or which network of a store is meant: zoo:NAME, a file, or in a store also
    the name that it has there."""
    model: str = "mixed"
    """The layer model of estimates."""
    shapes: Mapping[str, tuple[int, ...]] | None = None
    """Dimensions of an ONNX file's inputs by name."""
    batch: int | None = None
    """Size of dynamic first dimensions of an ONNX file's inputs, or the batch of a zoo network."""


def open_side(spec: str, options: SideOptions) -> Side:
    """The side that a name means.

    Parameters
    ----------
    spec : str
        A network (``zoo:NAME``, an ONNX file), which ``options.platform`` estimates; a platform (its name or
        folder), which estimates ``options.network``; a campaign's store (or its Parquet file), whose
        measurement of ``options.network`` is taken; or a JSON file with what ``annette measure`` or ``annette
        estimate`` printed.
    options : SideOptions
        What else there is to know.

    Raises
    ------
    UsageError
        If there is nothing of that name, or what it needs is missing.
    GraphError, StoreError, ModelError
        If a file is damaged.

    Examples
    --------
    >>> side = open_side("zoo:lenet5", SideOptions(platform="zcu102-dpu"))
    >>> side == open_side("zcu102-dpu", SideOptions(network="zoo:lenet5"))
    True
    """
    kind = _kind(spec)
    if kind == "platform":
        if options.network is None:
            raise UsageError(
                f"{spec}: is a platform; say of which network by --network, as in --network zoo:resnet50"
            )
        return _estimate(_network(options.network, options), spec, options)
    if kind == "campaign":
        return _recorded(spec, options)
    if kind == "json":
        document = read_document(spec, "what annette measure or annette estimate prints with --format json")
        if is_answer(document):
            return side_from_document(document, spec)
    if options.platform is None:
        raise UsageError(
            f"{spec}: is a network; say on which platform by --platform (annette platforms lists them)"
            if kind == "network"
            else f"{spec}: neither what annette measure or annette estimate prints with --format json, nor "
            "with --platform a network"
        )
    return _estimate(_network(spec, options), options.platform, options)


def _kind(spec: str) -> str:
    """``network``, ``platform``, ``campaign`` or ``json``: by the name, else by how the file begins."""
    if spec.startswith("zoo:"):
        return "network"
    if os.path.isfile(spec):
        kind = file_kind(spec)
        return "network" if kind == "other" else kind
    names = [name for name, _ in list_platforms()]
    if os.path.isdir(spec) or spec in names:
        return "platform"
    near = difflib.get_close_matches(spec, names, n=1, cutoff=0.6) if is_platform_name(spec) else ()
    hint = f"did you mean {near[0]}? Otherwise " if near else ""
    raise UsageError(
        f"{shorten(spec)}: no such file or platform; {hint}expected a network (zoo:NAME, an ONNX file), a "
        "platform, a campaign's store, or a file with what annette measure or annette estimate printed with "
        "--format json"
    )


def _network(spec: str, options: SideOptions) -> Network:
    network = open_network(spec, shapes=options.shapes, batch=options.batch)
    if network.name.isprintable():
        return network
    return replace(network, name="".join(letter if letter.isprintable() else "?" for letter in network.name))


def _estimate(network: Network, platform: str, options: SideOptions) -> Side:
    return side_of_estimate(load_platform(platform).estimate(network, model=options.model), network)


def _recorded(spec: str, options: SideOptions) -> Side:
    """The measurement of a network in a store: the only one, or the one that is named."""
    with CampaignStore.open(spec) as store:
        names = {task.id: (task.network.name, task.network.id) for task in store.tasks()}
        chosen = _chosen(spec, names, options)
        record: Record | None = next(iter(store.records([chosen])), None)
    if record is None:
        raise UsageError(
            f"{spec}: {names[chosen][0]!r} was not measured yet; annette benchmark goes on from there"
        )
    return side_of_measurement(record.measurement, record.task.network)


def _chosen(spec: str, names: Mapping[str, tuple[str, str]], options: SideOptions) -> str:
    if options.network is None:
        if len(names) == 1:
            return next(iter(names))
        raise UsageError(f"{spec}: holds {len(names)} networks; say which by --network{_some(names)}")
    for task_id, (name, _) in names.items():
        if name == options.network:
            return task_id
    if options.network.startswith("zoo:") or os.path.isfile(options.network):
        wanted = _network(options.network, options).id
        for task_id, (_, network_id) in names.items():
            if network_id == wanted:
                return task_id
    raise UsageError(f"{spec}: holds no network {options.network!r}{_some(names, options.network)}")


def _some(names: Mapping[str, tuple[str, str]], wanted: str = "") -> str:
    """The nearest of the names in a store, else some of them."""
    known = list(dict.fromkeys(name for name, _ in names.values()))
    near = difflib.get_close_matches(wanted.removeprefix("zoo:"), known[:5000], n=2, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(shorten(name, 60) for name in near)}?"
    shown = ", ".join(shorten(name, 60) for name in known[:_NAMED])
    more = ", ..." if len(known) > _NAMED else ""
    return f"; expected one of {shown}{more}" if shown else ""
