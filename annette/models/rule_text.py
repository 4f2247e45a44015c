"""Decision trees as JSON and as sentences."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator

from annette.errors import ModelError
from annette.models.rule_tree import MAX_DEPTH, Leaf, Node, Tree
from annette.store.strict_json import shorten

__all__ = ["tree_from_json", "tree_rules", "tree_to_json"]


def tree_to_json(tree: Tree) -> object:
    """The tree as lists and dicts."""
    if isinstance(tree, Leaf):
        return {"counts": dict(tree.counts)}
    condition: dict[str, object] = {"feature": tree.feature}
    condition.update({"at_most": tree.threshold} if tree.word is None else {"has": tree.word})
    return {**condition, "holds": tree_to_json(tree.holds), "fails": tree_to_json(tree.fails)}


def tree_from_json(data: object, where: str, features: Container[str], depth: int = 0) -> Tree:
    """The tree that `tree_to_json` wrote, on these features.

    Raises
    ------
    ModelError
        Naming ``where``, if it is not one.
    """
    if not isinstance(data, dict) or depth > 2 * MAX_DEPTH:
        raise ModelError(f"{where}: expected a decision tree; train the platform again")
    counts = data.get("counts")
    if isinstance(counts, dict):
        pairs = [
            (str(label), count) for label, count in counts.items() if isinstance(count, int) and count > 0
        ]
        if not pairs or len(pairs) != len(counts):
            raise ModelError(f"{where}: counts {shorten(counts)}, expected numbers of observations > 0")
        return Leaf(tuple(sorted(pairs, key=lambda item: (-item[1], item[0]))))
    feature, threshold, word = data.get("feature"), data.get("at_most", 0.0), data.get("has")
    if not isinstance(feature, str) or feature not in features or not isinstance(threshold, int | float):
        raise ModelError(
            f"{where}: node on {shorten(repr(feature))}, expected a known feature; train the platform again"
        )
    if word is not None and not isinstance(word, str):
        raise ModelError(f"{where}: word {shorten(repr(word))}, expected text")
    holds, fails = (tree_from_json(data.get(key), where, features, depth + 1) for key in ("holds", "fails"))
    return Node(feature, float(threshold), word, holds, fails)


def tree_rules(tree: Tree, label: str) -> tuple[tuple[str, Leaf], ...]:
    """The paths to the leaves that answer ``label``: conditions joined by ``and``, and the leaf."""
    return tuple(
        (" and ".join(path) or "always", leaf) for path, leaf in _paths(tree, ()) if leaf.label == label
    )


def _paths(tree: Tree, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Leaf]]:
    if isinstance(tree, Leaf):
        yield path, tree
        return
    yield from _paths(tree.holds, (*path, _condition(tree, True)))
    yield from _paths(tree.fails, (*path, _condition(tree, False)))


def _condition(node: Node, holds: bool) -> str:
    if node.word is not None:
        return f"{node.feature} {'has' if holds else 'lacks'} {node.word}"
    if node.threshold == 0.5:
        return f"not {node.feature}" if holds else node.feature
    limit = math.floor(node.threshold) if node.threshold >= 1 else node.threshold
    return f"{node.feature} {'<=' if holds else '>'} {limit:.9g}"
