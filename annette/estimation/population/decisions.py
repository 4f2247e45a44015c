"""Maps a population: which layers form which kernels, decided by a platform's mapping model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.layers import PopulationLayers, Slot
from annette.estimation.population.signatures import Signatures
from annette.estimation.population.sites import Sites, decide_all
from annette.estimation.population.walk import PopulationWalk, Sources
from annette.models.mapping_model import MappingModel
from annette.models.mapping_rules import MERGED, VANISHES
from annette.models.rule_tree import Leaf, Tree
from annette.zoo.spaces.built_pieces import distinct_places, distinct_values

__all__ = ["PopulationMapper"]

Ints = NDArray[np.int64]
Key = tuple[str, ...]


class PopulationMapper:
    """Takes every decision of a walk by a mapping model, slot by slot."""

    def __init__(self, layers: PopulationLayers, signatures: Signatures, model: MappingModel) -> None:
        """Ready for the first slot.

        Raises
        ------
        NotVectorisedError
            If the mapping model needs what arrays do not carry.
        """
        self.walk = PopulationWalk(layers, signatures, model.transparent)
        self.model = model
        _check(model, self.walk.words)
        self._kinds = signatures.kind_names
        operators = [operator for operator, _ in self._kinds]
        self._only_kind = {name: operators.index(name) for name in operators if operators.count(name) == 1}
        self.unit_names: list[str] = []
        self._may_join: dict[str, NDArray[np.bool_]] = {}

    def units(self, kernels: Ints) -> Ints:
        """Where kernels run, as positions in `unit_names`, shape (m,)."""
        walk = self.walk
        kinds = walk.primary_kind[kernels]
        unit_of = np.zeros(len(self._kinds), dtype=np.int64)
        asked: dict[int, Tree] = {}
        for kind in np.flatnonzero(np.bincount(kinds)).tolist():
            tree = _first(self.model.placement, _own_keys(self._kinds[kind]))
            if tree is None or isinstance(tree, Leaf):
                unit_of[kind] = self._unit(self.model.default_unit if tree is None else tree.label)
            else:
                asked[kind] = tree
        units: Ints = unit_of[kinds]
        for kind, tree in asked.items():
            part = np.flatnonzero(kinds == kind)
            found = np.zeros(len(part))
            sites = Sites(walk=walk, layer=walk.primary[kernels[part]], kernel=kernels[part])
            decide_all(tree, sites, np.arange(len(part)), lambda leaf: self._unit(leaf.label), found)
            units[part] = found.astype(np.int64)
        return units

    def _unit(self, name: str) -> int:
        if name not in self.unit_names:
            self.unit_names.append(name)
        return self.unit_names.index(name)

    def runs_on(self, kernels: Ints, unit: str) -> NDArray[np.bool_]:
        """Whether kernels run on a unit, shape (m,)."""
        return np.asarray(self.units(kernels) == self._unit(unit))

    def decide(self, number: int, slot: Slot) -> tuple[Ints, Ints]:
        """Decide about the layers of the next slot.

        Returns
        -------
        opened, joined : ndarray of shape (m,)
            Places in the slot of the layers that opened a kernel, and of those that joined one.
        """
        walk, own, operands = self.walk, slot.layers, list(slot.operands)
        walk.enter(number)
        sources = [walk.sources(made) for made in operands]
        gone = self._vanishing(slot, sources)
        at = np.arange(len(own))
        if gone is not None and gone.any():
            at = np.flatnonzero(gone)
            walk.vanish(number, own[at], [made[at] for made in operands], [x.take(at) for x in sources])
            at = np.flatnonzero(~gone)
            own, operands = own[at], [made[at] for made in operands]
            sources = [item.take(at) for item in sources]
            slot = Slot(slot.operator, slot.rows[at], own, slot.signatures[at], tuple(operands))
        homes = self._homes(slot, sources) if len(at) else None
        if homes is None:
            walk.open(number, own, sources)
            return at, at[:0]
        joins, opens = np.flatnonzero(homes >= 0), np.flatnonzero(homes < 0)
        if not len(opens):
            walk.join(slot, own, homes, sources)
        elif not len(joins):
            walk.open(number, own, sources)
        else:
            walk.join(slot, own[joins], homes[joins], [item.take(joins) for item in sources])
            walk.open(number, own[opens], [item.take(opens) for item in sources])
        return at[opens], at[joins]

    def _vanishing(self, slot: Slot, sources: list[Sources]) -> NDArray[np.bool_] | None:
        """Which layers of a slot vanish; ``None``: none."""
        tree = self.model.vanish.get((slot.operator,))
        if isinstance(tree, Leaf) and tree.label != VANISHES:
            return None
        sites = Sites(
            walk=self.walk,
            layer=slot.layers,
            sources=tuple(sources),
            made=slot.operands,
            runs_on=self.runs_on,
        )
        gone = np.zeros(len(slot.layers))
        kinds = self.walk.kind[slot.layers]
        for kind in distinct_values(kinds):
            tree = _first(self.model.vanish, _own_keys(self._kinds[kind]))
            if tree is not None:
                at = np.flatnonzero(kinds == kind)
                decide_all(tree, sites, at, lambda leaf: float(leaf.label == VANISHES), gone)
        return gone > 0

    def _homes(self, slot: Slot, sources: list[Sources]) -> Ints | None:
        """The kernel that each layer of a slot joins, shape (m,), -1 where it opens one; ``None``: all do."""
        walk = self.walk
        allowed = self._joinable(slot.operator)
        if not allowed.any():
            return None
        best: NDArray[np.float64] | None = None
        for place, item in enumerate(sources):
            feeder = item.columns[0]
            single = feeder >= 0
            for column in item.columns[1:]:
                single &= column < 0
            kernel = walk.kernels_of(feeder)
            primary = walk.primary_kind[kernel]
            at = np.flatnonzero(single & allowed[primary])
            if not len(at):
                continue
            if len(sources) > 1:
                others = [walk.kernels_of(column[at]) for other in sources for column in other.columns]
                at = at[~walk.must_wait(kernel[at], others)]
            sites = Sites(
                walk=walk, layer=slot.layers, sources=tuple(sources), made=slot.operands, operand=place,
                feeder=feeder, kernel=kernel, runs_on=self.runs_on,
            )  # fmt: skip
            chance = self._chances(slot, sites, primary, at)
            if best is None:
                best, feeder_of = chance, feeder
                home = np.where(chance > 0.5, kernel, -1)
            else:
                better = (chance > best) | ((chance == best) & (feeder > feeder_of))
                best, feeder_of = np.where(better, chance, best), np.where(better, feeder, feeder_of)
                home = np.where(better & (chance > 0.5), kernel, home)
        return None if best is None else home

    def _joinable(self, operator: str) -> NDArray[np.bool_]:
        """By kind of the primary layer, whether a layer of this operator was ever seen to join a kernel."""
        found = self._may_join.get(operator)
        if found is None:
            trees = (self.model.merge.get((kind[0], operator)) for kind in self._kinds)
            never = [isinstance(tree, Leaf) and tree.fraction(MERGED) <= 0.5 for tree in trees]
            found = self._may_join[operator] = ~np.array(never)
        return found

    def _chances(self, slot: Slot, sites: Sites, primary: Ints, at: Ints) -> NDArray[np.float64]:
        """How probably each layer joins the kernel at hand, shape (m,); 0 where nothing speaks for it."""
        chance = np.zeros(len(sites.layer))
        if not len(at) or sites.feeder is None:
            return chance
        keys = [primary[at], self.walk.kind[sites.feeder[at]]]
        only = self._only_kind.get(slot.operator)
        if only is None:
            keys.append(self.walk.kind[slot.layers[at]])
        first, group_of = distinct_places(keys)
        for group, place in enumerate(first.tolist()):
            main, feeder = int(keys[0][place]), int(keys[1][place])
            layer = self._kinds[only if only is not None else int(keys[2][place])]
            found = _merge_keys(self._kinds[main], layer)
            seen = self.model.producers.get(found[0])
            if seen is not None and self._kinds[feeder][0] not in seen:
                found = _merge_keys(self._kinds[feeder], layer)
            tree = _first(self.model.merge, found)
            if tree is not None:
                part = at if len(first) == 1 else at[group_of == group]
                decide_all(tree, sites, part, _chance, chance)
        return chance


def _check(model: MappingModel, words: tuple[str, ...]) -> None:
    """Refuse models of which the walk over arrays does not know a part."""
    known = frozenset(words)
    if model.moves:
        raise NotVectorisedError("the device moves tensors between its units")
    if model.siblings & known:
        raise NotVectorisedError("the device joins cuts of one tensor")
    if model.joins & known or any(frozenset(key) <= known for key in model.unites):
        raise NotVectorisedError("the device unites kernels")
    if any(ops <= known for ops in model.primaries):
        raise NotVectorisedError("the device chooses other primary layers")


def _chance(leaf: Leaf) -> float:
    return (leaf.fraction(MERGED) * leaf.total + 0.5) / (leaf.total + 1)


def _own_keys(kind: tuple[str, str]) -> Iterator[Key]:
    yield (kind[0],)
    yield (f"family:{kind[1]}",)


def _merge_keys(kernel: tuple[str, str], layer: tuple[str, str]) -> tuple[Key, ...]:
    operator, family = layer[0], f"family:{layer[1]}"
    main, main_family = kernel[0], f"family:{kernel[1]}"
    return (main, operator), (main, family), (main_family, operator), (main_family, family)


def _first(table: Mapping[Key, Tree], keys: Iterator[Key] | tuple[Key, ...]) -> Tree | None:
    return next((table[key] for key in keys if key in table), None)
