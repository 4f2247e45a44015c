"""The rules of a mapping model made ready to be asked: trees by kinds of layers, pruned to what may differ.

A model is asked for every layer of every network, and of the conditions of a tree most look at layers alone:
at the one under decision, at the kernel's primary, at the one between. For each combination of their kinds
these conditions are answered once; what is left of the tree asks for the graph around only.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TypeVar

from annette.graph.layer_kinds import MAX_KINDS, LayerKind
from annette.models.mapping_features import (
    FEATURES,
    FEEDER_FEATURES,
    LAYER_FEATURES,
    PRIMARY_FEATURES,
)
from annette.models.mapping_rules import MERGED, VANISHES, Key, merge_keys, own_keys
from annette.models.mapping_walk import Candidate, Site, Walk
from annette.models.rule_tree import Leaf, Tree, Value

__all__ = ["Decision", "MergeDecisions", "OwnDecisions", "decide_at", "prune", "ready", "staying_operators"]

Condition = tuple[str, Callable[[Site], Value], str | None, float, "Decision", "Decision"]
Decision = Condition | str | float
"""What a tree comes to: conditions, each with what follows where it holds and where it fails; at last the
label, or the chance of being merged."""

_OF_KINDS = frozenset((*LAYER_FEATURES, *FEEDER_FEATURES, *PRIMARY_FEATURES))
_OF_OPERATORS = frozenset({"layer", "producer"})
"""Those of them that the operators of the kinds answer."""
_OF_FAMILIES = "family:"
"""Begins the names of families among operators."""


def _next(condition: Condition, site: Site) -> Decision:
    """The side of a condition that a site is on."""
    _, look, word, threshold, holds, fails = condition
    value = look(site)
    if isinstance(value, frozenset):
        return holds if word in value else fails
    return holds if word is None and value <= threshold else fails


def decide_at(decision: Decision, site: Site) -> str | float:
    """What a decision comes to at a site; as `annette.models.rule_tree.decide`."""
    while isinstance(decision, tuple):
        _, look, word, threshold, holds, fails = decision  # as `_next`, without a call
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
    holds, fails = ready(tree.holds, outcome), ready(tree.fails, outcome)
    return tree.feature, FEATURES[tree.feature], tree.word, tree.threshold, holds, fails


def prune(decision: Decision, site: Site, answered: Container[str] = _OF_KINDS) -> Decision:
    """What is left of a decision where ``answered`` features are what they are at ``site``.

    By default those of layers by themselves: the rest holds at all sites of layers of the same kinds.
    """
    if not isinstance(decision, tuple):
        return decision
    name, look, word, threshold, holds, fails = decision
    if name in answered:
        return prune(_next(decision, site), site, answered)
    holds, fails = prune(holds, site, answered), prune(fails, site, answered)
    return holds if holds == fails else (name, look, word, threshold, holds, fails)


def _asks_kinds(decision: Decision) -> bool:
    """Whether a condition looks at more of a layer by itself than its operator."""
    if not isinstance(decision, tuple):
        return False
    return decision[0] in _OF_KINDS or _asks_kinds(decision[4]) or _asks_kinds(decision[5])


def _label(leaf: Leaf) -> str:
    return leaf.label


def _merge_chance(leaf: Leaf) -> float:
    """How likely a merge is after what was observed, in (0, 1): few observations say less."""
    return (leaf.fraction(MERGED) * leaf.total + 0.5) / (leaf.total + 1)


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _bounded(known: dict[_Key, _Value]) -> dict[_Key, _Value]:
    """The dictionary with room for one more."""
    if len(known) >= MAX_KINDS:
        known.clear()
    return known


class OwnDecisions:
    """Decisions about a layer by itself: whether it vanishes, or where its kernel runs."""

    def __init__(self, rules: Mapping[Key, Tree], default: str) -> None:
        """``rules`` by operator or family; ``default`` is the label where nothing of its like was seen."""
        self._by_key = {key: ready(tree, _label) for key, tree in rules.items()}
        self._by_kind: dict[LayerKind, Decision] = {}
        self._by_operator: dict[str, Decision] = {}
        self._default = default
        self.fixed = {
            key[0]: decision
            for key, decision in self._by_key.items()
            if isinstance(decision, str) and not key[0].startswith(_OF_FAMILIES)
        }
        """By operator: the label, where no condition is asked for."""

    def label(self, walk: Walk, number: int, kernel: int = -1) -> str:
        """The label of a layer, as primary of a kernel where one is given."""
        kind = walk.view.kinds[number]
        decision = self._by_kind.get(kind)
        if decision is None:
            decision = _bounded(self._by_kind)[kind] = self._decision(kind, Site(walk, number, kernel))
        if isinstance(decision, tuple):
            decision = decide_at(decision, Site(walk, number, kernel))
        return str(decision)

    def _decision(self, kind: LayerKind, site: Site) -> Decision:
        operator = kind.operator
        decision = self._by_operator.get(operator)
        if decision is not None:
            return decision
        own = self._by_key.get((operator,))
        if own is not None:
            own = prune(own, site, _OF_OPERATORS)
            if not _asks_kinds(own):
                self._by_operator[operator] = own
            return prune(own, site)
        found = (self._by_key[key] for key in own_keys(site) if key in self._by_key)
        return prune(next(found, self._default), site)


class MergeDecisions:
    """Decisions whether a layer joins a kernel."""

    def __init__(self, rules: Mapping[Key, Tree], producers: Mapping[Key, frozenset[str]]) -> None:
        """``rules`` by operators or families, ``producers`` as in the model."""
        self._by_key = {key: ready(tree, _merge_chance) for key, tree in rules.items()}
        self._producers = producers
        self._by_kinds: dict[tuple[LayerKind, LayerKind, LayerKind], Decision] = {}
        self._by_operators: dict[tuple[str, str, str], tuple[Decision | None, bool]] = {}
        never = {key: isinstance(tree, Leaf) and tree.fraction(MERGED) <= 0.5 for key, tree in rules.items()}
        self._never = frozenset(key for key, is_never in never.items() if is_never)

    def chance(self, walk: Walk, number: int, kernel: int, feeder: int, place: int) -> float:
        """How likely a layer joins a kernel, in [0, 1); up to 0.5 it stays apart.

        ``feeder`` is the layer in the kernel that feeds it, ``place`` that of the operand.
        """
        kinds = walk.view.kinds
        key = kinds[walk.kernels[kernel].primary], kinds[number], kinds[feeder]
        decision = self._by_kinds.get(key)
        if decision is None:
            site = Site(walk, number, kernel, feeder, place)
            decision = _bounded(self._by_kinds)[key] = self._decision(key, site)
        if isinstance(decision, tuple):
            decision = decide_at(decision, Site(walk, number, kernel, feeder, place))
        return float(decision)

    def homes(self, walk: Walk, number: int, candidates: Sequence[Candidate]) -> list[tuple[float, int, int]]:
        """Those that a layer probably joins: (chance, the layer that feeds it, kernel) each."""
        found = [(self.chance(walk, number, *candidate), candidate) for candidate in candidates]
        return [(chance, feeder, kernel) for chance, (kernel, feeder, _) in found if chance > 0.5]

    def _decision(self, kinds: tuple[LayerKind, LayerKind, LayerKind], site: Site) -> Decision:
        """The decision for these kinds: of a kernel's primary, of the layer, and of what feeds it."""
        operators = kinds[0].operator, kinds[1].operator, kinds[2].operator
        found = self._by_operators.get(operators)
        if found is None:
            decision = self._of_operators(*operators)
            decision = None if decision is None else prune(decision, site, _OF_OPERATORS)
            found = self._by_operators[operators] = decision, decision is None or _asks_kinds(decision)
        decision, asks_kinds = found
        if not asks_kinds and decision is not None:
            return decision
        if decision is None:
            keys = merge_keys(site, site.feeder if self._is_new_place(*operators) else None)
            decision = next((self._by_key[key] for key in keys if key in self._by_key), 0.0)
        return prune(decision, site)

    def _of_operators(self, primary_op: str, op_type: str, feeder_op: str) -> Decision | None:
        """The decision where operators alone say which tree decides; ``None`` where families have to."""
        if (primary_op, op_type) in self._never:
            return 0.0
        anchor = feeder_op if self._is_new_place(primary_op, op_type, feeder_op) else primary_op
        return self._by_key.get((anchor, op_type))

    def _is_new_place(self, primary_op: str, op_type: str, feeder_op: str) -> bool:
        """Whether such a layer was never seen to read from this operator of such a kernel.

        The rules that hold for this operator alone decide then.
        """
        seen = self._producers.get((primary_op, op_type))
        return seen is not None and feeder_op not in seen


def staying_operators(decisions: OwnDecisions) -> frozenset[str]:
    """The operators that never vanish, whatever is around them."""
    return frozenset(op_type for op_type, label in decisions.fixed.items() if label != VANISHES)
