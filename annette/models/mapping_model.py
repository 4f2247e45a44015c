"""The mapping model: predicts what a device makes of a network it has never seen, from observed mappings.

Layers are visited in topological order. Each one vanishes, joins a kernel that computes one of its operands,
or opens a kernel of its own, as the rules learned for its operator say; what no observation covers is decided
by the rules of its family, and else stays apart. The primary layer of a kernel is the first that multiplies
and accumulates, else the first, unless the device was seen to choose another. The unit follows from it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from types import MappingProxyType

from annette.errors import ModelError
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Network
from annette.models.mapping_features import FEATURES
from annette.models.mapping_glossary import meaning_of
from annette.models.mapping_rules import (
    MERGED,
    RULE_FEATURES,
    VANISHES,
    Key,
    Observation,
    fit_rules,
    joining_operators,
    majority,
    merge_keys,
    own_keys,
    seen_producers,
    transparent_operators,
)
from annette.models.mapping_walk import GraphView, Site, Walk, operator_key, usual_primary
from annette.models.rule_text import tree_from_json, tree_rules, tree_to_json
from annette.models.rule_tree import Leaf, Tree, decide, features_of, leaves
from annette.store.strict_json import parse_strict_json, shorten

__all__ = ["MappingModel", "exact_kernels", "fit_mapping_model"]

SCHEMA_VERSION = 1
_JOIN = " + "
_ANY_OTHER = "any other "
"""Begins the title of a family, whose rules hold for operators that have none of their own."""
_MAX_TEXT = 64 << 20


@dataclass(frozen=True, kw_only=True)
class MappingModel:
    """Rules for vanishing layers, merges and placement."""

    vanish: MappingType[Key, Tree]
    """By operator or family."""
    merge: MappingType[Key, Tree]
    """By the kernel's primary operator and the layer's operator, or their families."""
    placement: MappingType[Key, Tree]
    """By the primary layer's operator or family; the labels are units."""
    primaries: MappingType[frozenset[str], str]
    """The primary operator of kernels that hold these operators, where it is not the usual one."""
    producers: MappingType[Key, frozenset[str]]
    """By operators as in `merge`: which operators of the kernel were seen to feed the layer."""
    transparent: frozenset[str]
    """Operators that are looked through when asking who reads a layer."""
    joins: frozenset[str]
    """Operators that may join a kernel which computes a part of their operand only."""
    default_unit: str
    """Where a primary of unknown family runs."""

    def __post_init__(self) -> None:
        for name in ("vanish", "merge", "placement", "primaries", "producers"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @cached_property
    def _never_vanish(self) -> frozenset[str]:
        return frozenset(
            key[0]
            for key, tree in self.vanish.items()
            if isinstance(tree, Leaf) and tree.label != VANISHES and not key[0].startswith("family:")
        )

    @cached_property
    def _never_merged(self) -> frozenset[Key]:
        return frozenset(
            key for key, tree in self.merge.items() if isinstance(tree, Leaf) and tree.fraction(MERGED) <= 0.5
        )

    def predict(self, network: Network) -> Mapping:
        """The mapping expected for ``network``: complete, and free of kernels that wait for each other."""
        view = GraphView(network, self.transparent)
        walk = Walk(view, self.joins, self._unit)
        for number, op_type in enumerate(view.op_types):
            if op_type not in self._never_vanish and self._vanishes(walk, number):
                walk.vanish(number)
                continue
            kernel = self._home(walk, number)
            if kernel is None:
                walk.open(number)
            else:
                walk.join(number, kernel)
        kernels = tuple(self._kernel(walk, number) for number in walk.order())
        names = tuple(view.layers[number].name for number in walk.vanished)
        return Mapping(kernels=kernels, eliminated_layers=names)

    def _vanishes(self, walk: Walk, number: int) -> bool:
        site = Site(walk, number)
        leaf = _lookup(self.vanish, own_keys(site), site)
        return leaf is not None and leaf.label == VANISHES

    def _home(self, walk: Walk, number: int) -> int | None:
        """The kernel to join: the most probable one, the one computed last among equals."""
        best: tuple[float, int, int] | None = None
        op_type = walk.view.op_types[number]
        for site in walk.sites(number):
            if (walk.kernels[site.kernel].primary_op, op_type) in self._never_merged:
                continue
            leaf = self._merge_leaf(walk, site)
            chance = 0.0 if leaf is None else (leaf.fraction(MERGED) * leaf.total + 0.5) / (leaf.total + 1)
            found = (chance, site.feeder, site.kernel)
            if chance > 0.5 and (best is None or found > best):
                best = found
        return None if best is None else best[2]

    def _merge_leaf(self, walk: Walk, site: Site) -> Leaf | None:
        """What was observed of this kernel and layer.

        Where the layer reads from an operator of the kernel that was never seen in that place, the rules that
        hold for this operator alone decide instead.
        """
        keys = merge_keys(site)
        producer, seen = walk.view.op_types[site.feeder], self.producers.get(keys[0])
        if seen is not None and producer not in seen:
            keys = merge_keys(site, site.feeder)
        return _lookup(self.merge, keys, site)

    def _primary(self, walk: Walk, number: int) -> int:
        state, view = walk.kernels[number], walk.view
        if not self.primaries or len(state.layers) == 1:
            return state.primary
        ops = [view.op_types[item] for item in state.layers]
        wanted = self.primaries.get(frozenset(ops))
        return state.layers[ops.index(wanted)] if wanted in ops else state.primary

    def _unit(self, walk: Walk, number: int) -> str:
        primary = self._primary(walk, number)
        tree = self.placement.get((walk.view.op_types[primary],))
        if isinstance(tree, Leaf):
            return tree.label
        site = Site(walk, primary, number)
        leaf = _lookup(self.placement, own_keys(site), site)
        return self.default_unit if leaf is None else leaf.label

    def _kernel(self, walk: Walk, number: int) -> Kernel:
        layers = walk.view.layers
        names = tuple(layers[item].name for item in walk.kernels[number].layers)
        primary = layers[self._primary(walk, number)].name
        return Kernel(layers=names, primary=primary, unit=self._unit(walk, number))

    def describe(self) -> tuple[str, ...]:
        """The rules as text, one a line, with the observations behind them."""
        lines = []
        for (name,), tree in self.vanish.items():
            if any(leaf.fraction(VANISHES) > 0 for leaf in leaves(tree)):
                lines.append(f"{_title(name)} -> {_describe(tree, VANISHES)}")
        apart: dict[str, list[str]] = {}
        for (kernel, layer), tree in self.merge.items():
            if any(leaf.label == MERGED for leaf in leaves(tree)):
                lines.append(f"{_title(kernel)}{_JOIN}{_title(layer)} -> {_describe(tree, MERGED)}")
            elif not kernel.startswith("family:") and not layer.startswith("family:"):
                apart.setdefault(kernel, []).append(layer)
        lines.extend(
            f"{kernel}{_JOIN}{', '.join(layers)} -> never merged" for kernel, layers in apart.items()
        )
        placed: dict[str, list[str]] = {}
        for (name,), tree in self.placement.items():
            if isinstance(tree, Leaf):
                placed.setdefault(tree.label, []).append(_title(name))
            else:
                units = sorted({leaf.label for leaf in leaves(tree)})
                lines.extend(f"{_title(name)} -> {_describe(tree, unit, f'on {unit}')}" for unit in units)
        for unit, names in sorted(placed.items()):
            for is_family in (False, True):
                titles = [name for name in names if name.startswith(_ANY_OTHER) == is_family]
                lines.extend([f"{', '.join(titles)} -> on {unit}"] if titles else [])
        for ops, primary in self.primaries.items():
            lines.append(f"{_JOIN.join(sorted(ops))} -> primary layer: {primary}")
        return tuple(lines)

    def glossary(self) -> tuple[tuple[str, str], ...]:
        """The features that the rules look at, sorted, each with its meaning in words."""
        trees = (tree for table in (self.vanish, self.merge, self.placement) for tree in table.values())
        return tuple(
            (name, meaning_of(name)) for name in sorted(set(chain.from_iterable(map(features_of, trees))))
        )

    def to_json(self) -> str:
        """The model as JSON text: readable, sorted, the same for equal models."""
        data: dict[str, object] = {"schema_version": SCHEMA_VERSION, "default_unit": self.default_unit}
        data["transparent"] = sorted(self.transparent)
        data["joins"] = sorted(self.joins)
        data["producers"] = {_JOIN.join(key): sorted(ops) for key, ops in self.producers.items()}
        data["primaries"] = {",".join(sorted(ops)): op for ops, op in self.primaries.items()}
        for kind in ("vanish", "merge", "placement"):
            table: MappingType[Key, Tree] = getattr(self, kind)
            data[kind] = {_JOIN.join(key): tree_to_json(tree) for key, tree in table.items()}
        return json.dumps(data, sort_keys=True, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> MappingModel:
        """The model that `to_json` wrote.

        Raises
        ------
        ModelError
            If the text is something else, or of another schema version.
        """
        data = _parse(text)
        tables = {}
        for kind, parts in (("vanish", 1), ("merge", 2), ("placement", 1)):
            entries = {tuple(name.split(_JOIN)): item for name, item in _object(data, kind).items()}
            tables[kind] = {
                key: tree_from_json(
                    item, f"mapping model: {kind} rule {_JOIN.join(key)!r}", RULE_FEATURES[kind]
                )
                for key, item in sorted(entries.items())
            }
            if any(len(key) != parts for key in entries):
                raise ModelError(f"mapping model: {kind} rules for {parts} layers each expected")
        primaries = {frozenset(ops.split(",")): str(op) for ops, op in _object(data, "primaries").items()}
        seen = _object(data, "producers")
        producers = {tuple(name.split(_JOIN)): _words(seen, name) for name in sorted(seen)}
        default_unit = data.get("default_unit")
        if not isinstance(default_unit, str):
            raise ModelError("mapping model: 'default_unit' is missing; train the platform again")
        return cls(
            primaries=dict(sorted(primaries.items(), key=lambda item: sorted(item[0]))),
            producers=producers,
            transparent=_words(data, "transparent"),
            joins=_words(data, "joins"),
            default_unit=default_unit,
            **tables,
        )


def fit_mapping_model(
    observations: Sequence[tuple[Network, Mapping]], *, groups: Sequence[str] | None = None
) -> MappingModel:
    """The mapping model that explains what was observed.

    Parameters
    ----------
    observations : sequence of (Network, Mapping)
        What a device reported.
    groups : sequence of str, optional
        Observations of one group stay together when conditions are cross-validated; each network is a group
        of its own by default.

    Raises
    ------
    ModelError
        Without observations.
    GraphError
        If a mapping does not fit its network.
    """
    if not observations:
        raise ModelError("mapping model: no observed mapping, expected at least one; run a campaign first")
    names = groups if groups is not None else [network.id for network, _ in observations]
    items = []
    for (network, mapping), group in zip(observations, names, strict=True):
        require_complete(network, mapping)
        items.append(Observation(network=network, mapping=mapping, group=group))
    transparent = transparent_operators(items)
    joins = joining_operators(items, transparent)
    rules = fit_rules(items, transparent, joins)
    return MappingModel(
        vanish=rules["vanish"],
        merge=rules["merge"],
        placement=rules["placement"],
        primaries=_learn_primaries(items),
        producers=seen_producers(items, transparent, joins),
        transparent=transparent,
        joins=joins,
        default_unit=majority(rules["placement"].values(), "device"),
    )


def exact_kernels(observed: Mapping, predicted: Mapping) -> tuple[bool, ...]:
    """For each observed kernel, whether it was predicted with the same layers on the same unit."""
    found = {kernel.key for kernel in predicted.kernels}
    return tuple(kernel.key in found for kernel in observed.kernels)


def _lookup(table: MappingType[Key, Tree], keys: Sequence[Key], site: Site) -> Leaf | None:
    tree = next((table[key] for key in keys if key in table), None)
    return None if tree is None else decide(tree, lambda name: FEATURES[name](site))


def _learn_primaries(observations: Sequence[Observation]) -> dict[frozenset[str], str]:
    """Per set of operators the primary operator, where it differs from the usual rule's."""
    votes: dict[frozenset[str], Counter[str]] = {}
    usual: dict[frozenset[str], Counter[str]] = {}
    for observation in observations:
        network = observation.network
        for kernel in observation.mapping.kernels:
            if len(kernel.layers) == 1:
                continue
            ops = [operator_key(network.layer(name)) for name in kernel.layers]
            seen = frozenset(ops)
            votes.setdefault(seen, Counter())[operator_key(network.layer(kernel.primary))] += 1
            usual.setdefault(seen, Counter())[usual_primary(ops)] += 1
    chosen = {}
    for seen in sorted(votes, key=sorted):
        best = min(votes[seen], key=lambda op: (-votes[seen][op], op))
        if votes[seen][best] > votes[seen][min(usual[seen], key=lambda op: (-usual[seen][op], op))]:
            chosen[seen] = best
    return chosen


# Text --------------------------------------------------------------------------------------------


def _title(part: str) -> str:
    return f"{_ANY_OTHER}{part.removeprefix('family:')}" if part.startswith("family:") else part


def _describe(tree: Tree, label: str, verb: str | None = None) -> str:
    """``always merged (512 of 512)``, ``merged if kernel_h <= 3 (203 of 210)``, ``never merged (9 of 9)``."""
    verb = verb or label
    if isinstance(tree, Leaf):
        counts = dict(tree.counts)
        answer = verb if tree.label == label else f"never {verb}"
        agree = counts.get(label, 0) if tree.label == label else tree.total - counts.get(label, 0)
        sure = "always " if answer == verb and agree == tree.total else ""
        return f"{sure}{answer} ({agree} of {tree.total})"
    paths = [
        f"{path} ({dict(leaf.counts).get(label, 0)} of {leaf.total})"
        for path, leaf in tree_rules(tree, label)
    ]
    return f"{verb} if {'; or '.join(paths)}" if paths else f"never {verb}"


def _parse(text: str) -> dict[str, object]:
    if len(text) > _MAX_TEXT:
        raise ModelError(f"mapping model: {len(text)} characters, expected at most {_MAX_TEXT}")
    try:
        data = parse_strict_json(text)
    except ValueError as err:
        raise ModelError(f"mapping model: {err}; train the platform again") from err
    if not isinstance(data, dict):
        raise ModelError(
            f"mapping model: {type(data).__name__}, expected an object; train the platform again"
        )
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ModelError(
            f"mapping model: schema_version {shorten(repr(version))}, expected {SCHEMA_VERSION}; "
            "train the platform with this version of annette"
        )
    return data


def _words(data: MappingType[str, object], name: str) -> frozenset[str]:
    value = data.get(name)
    if not isinstance(value, list):
        raise ModelError(
            f"mapping model: {name!r} is {type(value).__name__}, expected a list; train it again"
        )
    return frozenset(map(str, value))


def _object(data: MappingType[str, object], name: str) -> dict[str, object]:
    value = data.get(name)
    if not isinstance(value, dict):
        raise ModelError(f"mapping model: {name!r} is {type(value).__name__}, expected an object")
    return value
