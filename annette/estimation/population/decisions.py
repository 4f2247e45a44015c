"""Maps a population: which layers of each network form which kernels, decided by a platform's mapping model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.layers import PopulationLayers, Slot, distinct_rows
from annette.estimation.population.signatures import Signatures
from annette.estimation.population.sites import Sites, decide_all
from annette.estimation.population.walk import PopulationWalk, Sources
from annette.models.mapping_model import MappingModel
from annette.models.mapping_rules import MERGED, VANISHES
from annette.models.rule_tree import Leaf, Tree, features_of

__all__ = ["MappedPopulation", "map_population"]

Ints = NDArray[np.int64]
Key = tuple[str, ...]


class MappedPopulation:
    """A population under a mapping model."""

    def __init__(self, layers: PopulationLayers, signatures: Signatures, model: MappingModel) -> None:
        self.walk = PopulationWalk(layers, signatures, model.transparent)
        self.model = model
        _check(model, self.walk.words)
        self._never_merged = {
            key for key, tree in model.merge.items() if isinstance(tree, Leaf) and tree.fraction(MERGED) <= 0.5
        }
        for number, slot in enumerate(layers.slots):
            self._decide(number, slot)

    def units(self, rows: Ints, kernels: Ints) -> NDArray[np.object_]:
        """Where kernels of networks run, shape (m,)."""
        walk = self.walk
        units = np.empty(len(rows), dtype=object)
        primary = walk.primary[kernels, rows].astype(np.int64)
        numbers = walk.signature[primary, rows]
        codes = walk.operator[primary]
        for code in np.unique(codes).tolist():
            part = np.flatnonzero(codes == code)
            tree = self.model.placement.get((walk.words[code],))
            if isinstance(tree, Leaf):
                units[part] = tree.label
                continue
            families = walk.signatures.families()
            for number in np.unique(numbers[part]).tolist():
                some = part[numbers[part] == number]
                own = _first(self.model.placement, _own_keys(walk.words[code], families[number]))
                if own is None:
                    units[some] = self.model.default_unit
                    continue
                labels = sorted({leaf.label for leaf in _leaves(own)})
                found = np.zeros(len(some))
                sites = Sites(walk=walk, rows=rows[some], layer=primary[some], kernel=kernels[some])
                decide_all(own, sites, np.arange(len(some)), lambda leaf: labels.index(leaf.label), found)
                units[some] = np.array(labels, dtype=object)[found.astype(np.int64)]
        return units

    # One slot ----------------------------------------------------------------------------------------

    def _decide(self, number: int, slot: Slot) -> None:
        walk = self.walk
        rows, operands = slot.rows, list(slot.operands)
        sources = [walk.sources(rows, made) for made in operands]
        gone = self._vanishing(number, slot, sources)
        if gone is not None and gone.any():
            at = np.flatnonzero(gone)
            walk.vanish(number, rows[at], [made[at] for made in operands], _take(sources, at))
            at = np.flatnonzero(~gone)
            rows, operands, sources = rows[at], [made[at] for made in operands], _take(sources, at)
            slot = Slot(slot.operator, rows, slot.signatures[at], tuple(operands))
        if not len(rows):
            return
        homes = self._homes(number, slot, sources)
        joins = np.flatnonzero(homes >= 0)
        if len(joins):
            walk.join(number, rows[joins], homes[joins], _take(sources, joins))
        opens = np.flatnonzero(homes < 0)
        if len(opens):
            walk.open(number, rows[opens], _take(sources, opens))

    def _vanishing(self, number: int, slot: Slot, sources: list[Sources]) -> NDArray[np.bool_] | None:
        """Which layers of a slot vanish; ``None``: none."""
        tree = self.model.vanish.get((slot.operator,))
        if isinstance(tree, Leaf) and tree.label != VANISHES:
            return None
        families = self.walk.signatures.families()
        sites = Sites(
            walk=self.walk, rows=slot.rows, layer=np.full(len(slot.rows), number), sources=tuple(sources),
            made=slot.operands, unit_of=self.units,
        )  # fmt: skip
        gone = np.zeros(len(slot.rows))
        for family, at in _by_word(slot.signatures, families):
            own = _first(self.model.vanish, _own_keys(slot.operator, family))
            if own is not None:
                decide_all(own, sites, at, lambda leaf: float(leaf.label == VANISHES), gone)
        return gone > 0

    def _homes(self, number: int, slot: Slot, sources: list[Sources]) -> Ints:
        """The kernel that each layer of a slot joins, shape (m,); -1 where it opens one."""
        walk, rows = self.walk, slot.rows
        best = np.full(len(rows), 0.5)
        feeder_of, home = np.full(len(rows), -1), np.full(len(rows), -1)
        is_single = len(sources) == 1
        needed = None
        if not is_single:
            kernels = np.concatenate([walk.kernels_of(rows, item) for item in sources], axis=1)
            needed = walk.needs(rows, kernels)
        for place, item in enumerate(sources):
            at = np.flatnonzero(item.counts == 1)
            if not len(at):
                continue
            feeder = item.slots[:, 0]
            kernel = np.where(feeder >= 0, walk.kernel[feeder, rows], -1).astype(np.int64)
            if needed is not None:
                waits = needed[at, kernel[at] >> 6] >> (kernel[at] & 63).astype(np.uint64) & np.uint64(1)
                at = at[waits == 0]
            sites = Sites(
                walk=walk, rows=rows, layer=np.full(len(rows), number), sources=tuple(sources),
                made=slot.operands, operand=place, feeder=feeder, kernel=kernel, unit_of=self.units,
            )  # fmt: skip
            chance = self._chances(slot, sites, at)
            better = (chance > best) | ((chance == best) & (chance > 0.5) & (feeder > feeder_of))
            best = np.where(better, chance, best)
            feeder_of = np.where(better, feeder, feeder_of)
            home = np.where(better, kernel, home)
        return home

    def _chances(self, slot: Slot, sites: Sites, at: Ints) -> NDArray[np.float64]:
        """How probably each layer joins the kernel at hand, shape (m,); 0 where nothing speaks for it."""
        walk, families = self.walk, self.walk.signatures.families()
        chance = np.zeros(len(sites.rows))
        assert sites.kernel is not None and sites.feeder is not None  # a decision about merges
        primary = walk.primary[sites.kernel[at], sites.rows[at]].astype(np.int64)
        primary_code = walk.operator[primary]
        allowed = np.array([(word, slot.operator) not in self._never_merged for word in walk.words])
        at, primary = at[allowed[primary_code]], primary[allowed[primary_code]]
        if not len(at):
            return chance
        rows, feeder = sites.rows[at], sites.feeder[at]
        keys = np.column_stack(
            [walk.signature[primary, rows], walk.signature[feeder, rows], slot.signatures[at]]
        ).astype(np.int64)
        distinct, inverse = distinct_rows(self._families_of(keys))
        for group, (main, feeding, own) in enumerate(distinct.tolist()):
            operators = self._family_words
            layer = operators[own]
            found = _merge_keys(operators[main], layer)
            seen = self.model.producers.get(found[0])
            if seen is not None and operators[feeding][0] not in seen:
                found = _merge_keys(operators[feeding], layer)
            tree = _first(self.model.merge, found)
            if tree is not None:
                decide_all(tree, sites, at[inverse == group], _chance, chance)
        del families
        return chance

    def _families_of(self, keys: Ints) -> Ints:
        """Signatures as numbers of (operator, family) pairs."""
        signatures = self.walk.signatures
        families = signatures.families()
        numbers: dict[tuple[str, str], int] = {}
        pairs = zip(signatures.operators, families, strict=True)
        table = np.array([numbers.setdefault(pair, len(numbers)) for pair in pairs], dtype=np.int64)
        self._family_words = list(numbers)
        found: Ints = table[keys]
        return found


def map_population(layers: PopulationLayers, signatures: Signatures, model: MappingModel) -> MappedPopulation:
    """The kernels of every network of a population.

    Raises
    ------
    NotVectorisedError
        If the mapping model needs what arrays do not carry.
    """
    return MappedPopulation(layers, signatures, model)


def _check(model: MappingModel, words: tuple[str, ...]) -> None:
    """Refuse models of which the walk over arrays does not know a part."""
    known = frozenset(words)
    if model.moves or any("input_units" in features_of(tree) for tree in model.placement.values()):
        raise NotVectorisedError("the device moves tensors between its units")
    if model.siblings & known:
        raise NotVectorisedError("the device joins cuts of one tensor")
    if model.joins & known or any(frozenset(key) <= known for key in model.unites):
        raise NotVectorisedError("the device unites kernels")
    if any(ops <= known for ops in model.primaries):
        raise NotVectorisedError("the device chooses other primary layers")


def _chance(leaf: Leaf) -> float:
    return (leaf.fraction(MERGED) * leaf.total + 0.5) / (leaf.total + 1)


def _own_keys(operator: str, family: str) -> tuple[Key, ...]:
    return (operator,), (f"family:{family}",)


def _merge_keys(kernel: tuple[str, str], layer: tuple[str, str]) -> tuple[Key, ...]:
    operator, family = layer[0], f"family:{layer[1]}"
    main, main_family = kernel[0], f"family:{kernel[1]}"
    return (main, operator), (main, family), (main_family, operator), (main_family, family)


def _first(table: Mapping[Key, Tree], keys: tuple[Key, ...]) -> Tree | None:
    return next((table[key] for key in keys if key in table), None)


def _leaves(tree: Tree) -> Iterator[Leaf]:
    if isinstance(tree, Leaf):
        yield tree
    else:
        yield from _leaves(tree.holds)
        yield from _leaves(tree.fails)


def _by_word(numbers: Ints, words: list[str]) -> Iterator[tuple[str, Ints]]:
    """The places of each distinct word, where ``words`` says it by number."""
    found = np.array([words[number] for number in numbers.tolist()]) if len(numbers) < 4 else None
    if found is None:
        distinct, inverse = np.unique(numbers, return_inverse=True)
        found = np.array([words[number] for number in distinct.tolist()])[inverse]
    for word in np.unique(found).tolist():
        yield word, np.flatnonzero(found == word)


def _take(sources: list[Sources], at: Ints) -> list[Sources]:
    return [Sources(item.slots[at], item.counts[at]) for item in sources]
