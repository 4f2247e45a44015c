"""The mapping model: predicts what a device makes of a network it has never seen, from observed mappings.

Layers are visited in topological order. Each one vanishes, joins a kernel that computes one of its operands,
or opens a kernel of its own, as the rules learned for its operator say; what no observation covers is decided
by the rules of its family, and else stays apart. The primary layer of a kernel is the first that multiplies
and accumulates, else the first, unless the device was seen to choose another. The unit follows from it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from types import MappingProxyType

from annette.errors import ModelError
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Network
from annette.graph.operators import operator_key
from annette.models.mapping_decisions import MergeDecisions, OwnDecisions, staying_operators
from annette.models.mapping_glossary import meaning_of
from annette.models.mapping_moves import MOVE_FEATURES, MoveKey, plan_moves
from annette.models.mapping_rules import (
    RULE_FEATURES,
    STAYS,
    VANISHES,
    Key,
    Observation,
    fit_rules,
    joining_operators,
    learn_moves,
    majority,
    seen_producers,
    transparent_operators,
    uniting_pairs,
)
from annette.models.mapping_siblings import learn_siblings, unite_siblings
from annette.models.mapping_text import (
    SCHEMA_VERSION,
    describe_merges,
    describe_moves,
    describe_placement,
    describe_siblings,
    describe_vanishing,
    object_of,
    parse_document,
    table_from_json,
    words_of,
)
from annette.models.mapping_walk import GraphView, Source, Walk, usual_primary
from annette.models.rule_text import tree_to_json
from annette.models.rule_tree import Tree, features_of

__all__ = ["MappingModel", "exact_kernels", "fit_mapping_model"]

_JOIN = " + "


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
    unites: frozenset[Key] = frozenset()
    """By operators as in `merge`: several such kernels may become one with the layer."""
    siblings: frozenset[str] = frozenset()
    """Operators whose layers become one kernel where together they take all of one tensor."""
    moves: MappingType[MoveKey, Tree] = field(default_factory=dict)
    """By the move and the units that make and read a tensor; empty where none was seen."""

    def __post_init__(self) -> None:
        for name in ("vanish", "merge", "placement", "primaries", "producers", "moves"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @cached_property
    def _vanishing(self) -> OwnDecisions:
        return OwnDecisions(self.vanish, STAYS)

    @cached_property
    def _staying(self) -> frozenset[str]:
        return staying_operators(self._vanishing)

    @cached_property
    def _merging(self) -> MergeDecisions:
        return MergeDecisions(self.merge, self.producers)

    @cached_property
    def _placing(self) -> OwnDecisions:
        return OwnDecisions(self.placement, self.default_unit)

    def predict(self, network: Network) -> Mapping:
        """The mapping expected for ``network``: complete, and free of kernels that wait for each other."""
        walk = self.walk(network)
        return self.mapping_of(walk, self.execution(walk))

    def mapping_of(self, walk: Walk, execution: Iterable[int | Kernel]) -> Mapping:
        """The mapping that a walk has led to, given its kernels in order of `execution`."""
        layers = walk.view.layers
        return Mapping(
            kernels=tuple(self.kernel_of(walk, number) for number in execution),
            eliminated_layers=tuple(layers[item].name for item in walk.vanished),
        )

    def walk(self, network: Network) -> Walk:
        """The walk through ``network`` after its last layer: its kernels are those of the mapping."""
        view = GraphView(network, self.transparent)
        by_units, staying, vanishing = self._places_by_units, self._staying, self._vanishing
        walk = Walk(view, self.joins, self._unit, keeps_units=by_units)
        reads, known, chance = view.reads, walk.known, self._merging.chance
        for number, op_type in enumerate(view.op_types):
            names = reads[number]
            is_simple = len(names) == 1
            sources = known.get(names[0], ()) if is_simple else walk.layer_sources(number)
            if op_type not in staying and vanishing.label(walk, number) == VANISHES:
                walk.vanish(number, sources)
                continue
            if is_simple and len(sources) == 1:  # most layers by far
                kernel, feeder = sources[0]
                if chance(walk, number, kernel, feeder, 0) > 0.5:
                    walk.extend(number, kernel)
                else:
                    kernel = walk.open(number, sources)
            else:
                homes = self._homes(walk, number, sources) if sources else ()
                kernel = walk.join_all(number, homes, sources) if homes else walk.open(number, sources)
            if by_units:  # from the front, so that no question has to reach back far
                walk.unit(kernel)
        unite_siblings(walk, self.siblings)
        walk.settle_units()
        return walk

    def execution(self, walk: Walk) -> Iterator[int | Kernel]:
        """A walk's kernels by number in order of execution, each behind the moves that it first needs."""
        moves: dict[int, list[Kernel]] = {}
        for reader, move in plan_moves(self.moves, walk) if self.moves else ():
            moves.setdefault(reader, []).append(move)
        for number in walk.order():
            yield from moves.get(number, ())
            yield number
        yield from moves.get(-1, ())

    def _homes(self, walk: Walk, number: int, sources: Sequence[Source]) -> Sequence[int]:
        """The kernels to join, most probable first, the one computed last among equals.

        Several only of kernels that were seen to be united by such a layer.
        """
        found = self._merging.homes(walk, number, walk.candidates(number, sources))
        if len(found) < 2:
            return [kernel for _, _, kernel in found]
        op_type = walk.view.op_types[number]
        uniting = {
            kernel for _, _, kernel in found if (walk.kernels[kernel].primary_op, op_type) in self.unites
        }
        best = max(found)[2]
        return sorted(uniting) if best in uniting else [best]

    @cached_property
    def _places_by_units(self) -> bool:
        """Whether the unit of a kernel may depend on those of the kernels before it."""
        return bool(self.moves) or any("input_units" in features_of(tree) for tree in self.placement.values())

    def primary(self, walk: Walk, number: int) -> int:
        """The primary layer of a walk's kernel."""
        state, view = walk.kernels[number], walk.view
        if not self.primaries or len(state.layers) == 1:
            return state.primary
        ops = [view.op_types[item] for item in state.layers]
        wanted = self.primaries.get(frozenset(ops))
        return state.layers[ops.index(wanted)] if wanted in ops else state.primary

    def _unit(self, walk: Walk, number: int) -> str:
        return self._placing.label(walk, self.primary(walk, number), number)

    def kernel_of(self, walk: Walk, number: int | Kernel) -> Kernel:
        """One of a walk's kernels with the names of its layers."""
        if isinstance(number, Kernel):
            return number
        layers = walk.view.layers
        names = tuple(layers[item].name for item in walk.kernels[number].layers)
        primary = layers[self.primary(walk, number)].name
        return Kernel(layers=names, primary=primary, unit=walk.unit(number))

    def describe(self) -> tuple[str, ...]:
        """The rules as text, one a line, with the observations behind them."""
        return (
            *describe_vanishing(self.vanish),
            *describe_merges(self.merge),
            *describe_siblings(self.siblings),
            *describe_placement(self.placement),
            *(
                f"{_JOIN.join(sorted(ops))} -> primary layer: {primary}"
                for ops, primary in self.primaries.items()
            ),
            *describe_moves(self.moves),
        )

    def glossary(self) -> tuple[tuple[str, str], ...]:
        """The features that the rules look at, sorted, each with its meaning in words."""
        tables = (self.vanish, self.merge, self.placement, self.moves)
        trees = chain.from_iterable(table.values() for table in tables)
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
        if self.unites:
            data["unites"] = sorted(_JOIN.join(key) for key in self.unites)
        if self.siblings:
            data["siblings"] = sorted(self.siblings)
        if self.moves:
            data["moves"] = {_JOIN.join(key): tree_to_json(tree) for key, tree in self.moves.items()}
        return json.dumps(data, sort_keys=True, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> MappingModel:
        """The model that `to_json` wrote.

        Raises
        ------
        ModelError
            If the text is something else, or of another schema version.
        """
        data = parse_document(text)
        tables = {
            kind: table_from_json(data, kind, parts, RULE_FEATURES[kind])
            for kind, parts in (("vanish", 1), ("merge", 2), ("placement", 1))
        }
        moves = table_from_json(data, "moves", 3, MOVE_FEATURES) if "moves" in data else {}
        primaries = {frozenset(ops.split(",")): str(op) for ops, op in object_of(data, "primaries").items()}
        seen = object_of(data, "producers")
        producers = {tuple(name.split(_JOIN)): words_of(seen, name) for name in sorted(seen)}
        default_unit = data.get("default_unit")
        if not isinstance(default_unit, str):
            raise ModelError("mapping model: 'default_unit' is missing; train the platform again")
        return cls(
            primaries=dict(sorted(primaries.items(), key=lambda item: sorted(item[0]))),
            producers=producers,
            transparent=words_of(data, "transparent"),
            joins=words_of(data, "joins"),
            default_unit=default_unit,
            unites=frozenset(
                tuple(name.split(_JOIN)) for name in (words_of(data, "unites") if "unites" in data else ())
            ),
            siblings=words_of(data, "siblings") if "siblings" in data else frozenset(),
            moves={(key[0], key[1], key[2]): tree for key, tree in moves.items()},
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
    unites = uniting_pairs(items, transparent, joins)
    rules = fit_rules(items, transparent, joins, unites)
    return MappingModel(
        vanish=rules["vanish"],
        merge=rules["merge"],
        placement=rules["placement"],
        primaries=_learn_primaries(items),
        producers=seen_producers(items, transparent, joins, unites),
        transparent=transparent,
        joins=joins,
        default_unit=majority(rules["placement"].values(), "device"),
        unites=unites,
        siblings=learn_siblings(observations),
        moves=learn_moves(items, transparent, joins, unites),
    )


def exact_kernels(observed: Mapping, predicted: Mapping) -> tuple[bool, ...]:
    """For each observed kernel, whether it was predicted with the same layers on the same unit."""
    found = {kernel.key for kernel in predicted.kernels}
    return tuple(kernel.key in found for kernel in observed.kernels)


def _learn_primaries(observations: Sequence[Observation]) -> dict[frozenset[str], str]:
    """Per set of operators the primary operator, where it differs from the usual rule's."""
    votes: dict[frozenset[str], Counter[str]] = {}
    usual: dict[frozenset[str], Counter[str]] = {}
    for observation in observations:
        network = observation.network
        for kernel in observation.mapping.kernels:
            if len(kernel.layers) <= 1:
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
