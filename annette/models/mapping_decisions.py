"""The rules of a mapping model made ready to be asked: trees by operators, with what they end in worked out.

A model is asked for every layer of every network. Which tree decides depends on operators mostly, so it is
looked up once for each combination; what a layer alone says to a condition is kept with the layer's kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from annette.graph.layer_kinds import MAX_KINDS, LayerKind
from annette.models.mapping_features import (
    FEATURES,
    FEEDER_FEATURES,
    LAYER_FEATURES,
    PRIMARY_FEATURES,
    Feature,
)
from annette.models.mapping_rules import MERGED, VANISHES, Key, merge_keys, own_keys
from annette.models.mapping_walk import Candidate, Site, Walk
from annette.models.rule_tree import Leaf, Tree, Value, features_of

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
        self._alone = frozenset(
            key for key, tree in rules.items() if features_of(tree) <= set(LAYER_FEATURES)
        )
        self._by_kind: dict[LayerKind, str | None] = {}
        self.fixed = {
            key[0]: decision
            for key, decision in self._by_key.items()
            if isinstance(decision, str) and not key[0].startswith("family:")
        }
        """By operator: the label, where no condition is asked for."""

    def label(self, walk: Walk, number: int, kernel: int = -1) -> str | None:
        """The label of a layer (as primary of a kernel); ``None`` where nothing of its like was observed."""
        view = walk.view
        found = self.fixed.get(view.op_types[number])
        if found is not None:
            return found
        kind = view.kinds[number]
        if kind in self._by_kind:
            return self._by_kind[kind]
        site = Site(walk, number, kernel)
        key = next((key for key in own_keys(site) if key in self._by_key), None)
        label = None if key is None else str(decide_at(self._by_key[key], site))
        if key is None or key in self._alone:  # nothing but the layer decides
            _bounded(self._by_kind)[kind] = label
        return label


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _bounded(known: dict[_Key, _Value]) -> dict[_Key, _Value]:
    """The dictionary with room for one more."""
    if len(known) >= MAX_KINDS:
        known.clear()
    return known


class MergeDecisions:
    """Decisions whether a layer joins a kernel."""

    def __init__(self, rules: Mapping[Key, Tree], producers: Mapping[Key, frozenset[str]]) -> None:
        """``rules`` by operators or families, ``producers`` as in the model."""
        self._by_key = {key: ready(tree, _merge_chance) for key, tree in rules.items()}
        self._producers = producers
        self._by_operators: dict[tuple[str, str, str], Decision | None] = {}
        self._by_kinds: dict[tuple[LayerKind, LayerKind, LayerKind], Decision] = {}
        never = {key: isinstance(tree, Leaf) and tree.fraction(MERGED) <= 0.5 for key, tree in rules.items()}
        self._never = frozenset(key for key, is_never in never.items() if is_never)

    def chance(self, walk: Walk, number: int, candidate: Candidate) -> float:
        """How likely a layer joins a kernel, in [0, 1); up to 0.5 it stays apart."""
        op_types = walk.view.op_types
        kernel, feeder, _ = candidate
        operators = walk.kernels[kernel].primary_op, op_types[number], op_types[feeder]
        try:
            decision = self._by_operators[operators]
        except KeyError:
            decision = self._by_operators[operators] = self._of_operators(*operators)
        if decision is None:
            decision = self._of_families(walk, number, candidate)
        if isinstance(decision, tuple):
            decision = decide_at(decision, Site(walk, number, *candidate))
        return float(decision)

    def homes(self, walk: Walk, number: int, candidates: Sequence[Candidate]) -> list[tuple[float, int, int]]:
        """Those that a layer probably joins: (chance, the layer that feeds it, kernel) each."""
        found = [(self.chance(walk, number, candidate), candidate) for candidate in candidates]
        return [(chance, feeder, kernel) for chance, (kernel, feeder, _) in found if chance > 0.5]

    def _anchors(self, primary_op: str, op_type: str, feeder_op: str) -> bool:
        """Whether the operator that feeds the layer was never seen in that place of such a kernel."""
        seen = self._producers.get((primary_op, op_type))
        return seen is not None and feeder_op not in seen

    def _of_operators(self, primary_op: str, op_type: str, feeder_op: str) -> Decision | None:
        """The decision where operators alone tell it; ``None`` where families have to be asked.

        Where the layer reads from an operator of the kernel that was never seen in that place, the rules that
        hold for this operator alone decide instead.
        """
        if (primary_op, op_type) in self._never:
            return 0.0
        anchor = feeder_op if self._anchors(primary_op, op_type, feeder_op) else primary_op
        return self._by_key.get((anchor, op_type))

    def _of_families(self, walk: Walk, number: int, candidate: Candidate) -> Decision:
        site = Site(walk, number, *candidate)
        kinds, primary = walk.view.kinds, walk.kernels[site.kernel].primary
        key = kinds[primary], kinds[number], kinds[site.feeder]
        found = self._by_kinds.get(key)
        if found is None:
            anchored = self._anchors(*(kind.operator for kind in key))
            keys = merge_keys(site, site.feeder if anchored else None)
            found = next((self._by_key[item] for item in keys if item in self._by_key), 0.0)
            _bounded(self._by_kinds)[key] = found
        return found


def staying_operators(decisions: OwnDecisions) -> frozenset[str]:
    """The operators that never vanish, whatever is around them."""
    return frozenset(op_type for op_type, label in decisions.fixed.items() if label != VANISHES)
