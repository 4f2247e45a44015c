"""The rules of a mapping model made ready to be asked: trees by operators, with what they end in worked out.

A model is asked for every layer of every network. Which tree decides depends on operators mostly, so it is
looked up once for each combination; what a layer alone says to a condition is kept with the layer's kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from annette.graph.layer_kinds import LayerKind
from annette.models.mapping_features import (
    FEATURES,
    FEEDER_FEATURES,
    LAYER_FEATURES,
    PRIMARY_FEATURES,
    Feature,
)
from annette.models.mapping_rules import MERGED, VANISHES, Key, merge_keys, own_keys
from annette.models.mapping_walk import Candidate, Site, Walk
from annette.models.rule_tree import Leaf, Tree, Value

__all__ = ["Decision", "MergeDecisions", "OwnDecisions", "decide_at", "ready", "staying_operators"]

Condition = tuple[Callable[[Site], Value], str | None, float, "Decision", "Decision"]
Decision = Condition | str | float
"""What a tree comes to: conditions with what follows where they hold and where they fail; at last the label,
or the chance of being merged."""


def decide_at(decision: Decision, site: Site) -> str | float:
    """What a decision comes to at a site; as `annette.models.rule_tree.decide`."""
    while isinstance(decision, tuple):
        look, word, threshold, holds, fails = decision
        value = look(site)
        if isinstance(value, frozenset):
            decision = holds if word in value else fails
        else:
            decision = holds if word is None and value <= threshold else fails
    return decision


def ready(tree: Tree, outcome: Callable[[Leaf], str | float]) -> Decision:
    """The tree with the functions of its features, and ``outcome`` of its leaves."""
    if isinstance(tree, Leaf):
        return outcome(tree)
    return (
        _LOOKS[tree.feature],
        tree.word,
        tree.threshold,
        ready(tree.holds, outcome),
        ready(tree.fails, outcome),
    )


def _label(leaf: Leaf) -> str:
    return leaf.label


def _merge_chance(leaf: Leaf) -> float:
    """How likely a merge is after what was observed, in (0, 1): few observations say less."""
    return (leaf.fraction(MERGED) * leaf.total + 0.5) / (leaf.total + 1)


def _remembered(name: str, feature: Feature, kind_of: Callable[[Site], LayerKind]) -> Feature:
    """The feature, asked once for each kind of layer; it must depend on that layer alone."""

    def look(site: Site) -> Value:
        memo = kind_of(site).memo
        found: Value | None = memo.get(name)
        if found is None:
            found = memo[name] = feature(site)
        return found

    return look


def _layer_kind(site: Site) -> LayerKind:
    return site.walk.view.kinds[site.layer]


def _feeder_kind(site: Site) -> LayerKind:
    return site.walk.view.kinds[site.feeder]


def _primary_kind(site: Site) -> LayerKind:
    return site.walk.view.kinds[site.walk.kernels[site.kernel].primary]


_LOOKS: dict[str, Feature] = {
    **FEATURES,
    **{name: _remembered(name, item, _layer_kind) for name, item in LAYER_FEATURES.items()},
    **{name: _remembered(name, item, _feeder_kind) for name, item in FEEDER_FEATURES.items()},
    **{name: _remembered(name, item, _primary_kind) for name, item in PRIMARY_FEATURES.items()},
}


class OwnDecisions:
    """Decisions about a layer by itself: whether it vanishes, or where its kernel runs."""

    def __init__(self, rules: Mapping[Key, Tree]) -> None:
        """``rules`` by operator or family."""
        self._by_key = {key: ready(tree, _label) for key, tree in rules.items()}
        self.fixed = {
            key[0]: decision
            for key, decision in self._by_key.items()
            if isinstance(decision, str) and not key[0].startswith("family:")
        }
        """By operator: the label, where no condition is asked for."""

    def label(self, site: Site) -> str | None:
        """The label at a site; ``None`` where nothing of its like was observed."""
        op_type = site.walk.view.op_types[site.layer]
        decision = self._by_key.get((op_type,))
        if decision is None:
            decision = next((self._by_key[key] for key in own_keys(site) if key in self._by_key), None)
        return None if decision is None else str(decide_at(decision, site))


class MergeDecisions:
    """Decisions whether a layer joins a kernel."""

    def __init__(self, rules: Mapping[Key, Tree], producers: Mapping[Key, frozenset[str]]) -> None:
        """``rules`` by operators or families, ``producers`` as in the model."""
        self._by_key = {key: ready(tree, _merge_chance) for key, tree in rules.items()}
        self._producers = producers
        self._by_operators: dict[tuple[str, str, str], Decision | None] = {}
        never = {key: isinstance(tree, Leaf) and tree.fraction(MERGED) <= 0.5 for key, tree in rules.items()}
        self._never = frozenset(key for key, is_never in never.items() if is_never)

    def homes(self, walk: Walk, number: int) -> Sequence[tuple[float, int, int]]:
        """The kernels that a layer probably joins: (chance, the layer that feeds it, kernel) each."""
        op_types = walk.view.op_types
        op_type = op_types[number]
        found = []
        for candidate in walk.candidates(number):
            kernel, feeder, _ = candidate
            primary_op = walk.kernels[kernel].primary_op
            if (primary_op, op_type) in self._never:
                continue
            operators = primary_op, op_type, op_types[feeder]
            try:
                decision = self._by_operators[operators]
            except KeyError:
                decision = self._by_operators[operators] = self._of_operators(*operators)
            if decision is None:
                decision = self._of_families(walk, number, candidate)
            if isinstance(decision, tuple):
                chance = float(decide_at(decision, Site(walk, number, *candidate)))
            else:
                chance = float(decision)
            if chance > 0.5:
                found.append((chance, feeder, kernel))
        return found

    def _anchors(self, primary_op: str, op_type: str, feeder_op: str) -> bool:
        """Whether the operator that feeds the layer was never seen in that place of such a kernel."""
        seen = self._producers.get((primary_op, op_type))
        return seen is not None and feeder_op not in seen

    def _of_operators(self, primary_op: str, op_type: str, feeder_op: str) -> Decision | None:
        """The decision where operators alone tell it; ``None`` where families have to be asked.

        Where the layer reads from an operator of the kernel that was never seen in that place, the rules that
        hold for this operator alone decide instead.
        """
        anchor = feeder_op if self._anchors(primary_op, op_type, feeder_op) else primary_op
        return self._by_key.get((anchor, op_type))

    def _of_families(self, walk: Walk, number: int, candidate: Candidate) -> Decision:
        site = Site(walk, number, *candidate)
        op_types = walk.view.op_types
        primary_op = walk.kernels[site.kernel].primary_op
        anchored = self._anchors(primary_op, op_types[number], op_types[site.feeder])
        keys = merge_keys(site, site.feeder if anchored else None)
        return next((self._by_key[key] for key in keys if key in self._by_key), 0.0)


def staying_operators(decisions: OwnDecisions) -> frozenset[str]:
    """The operators that never vanish, whatever is around them."""
    return frozenset(op_type for op_type, label in decisions.fixed.items() if label != VANISHES)
