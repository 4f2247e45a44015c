"""Small decision trees over named features: fitted without chance, kept as JSON, readable as rules.

Why not a library's tree: the decisions of a compiler are deterministic, so several features often split the
observations equally well, and the one that comes first in the caller's order (the simplest, the most causal)
must win, not the one that a random permutation visits first. Conditions on sets ("the kernel holds a
MaxPool") stay readable, and nothing but this file is needed to evaluate a tree (importing scikit-learn takes
a second). A test holds its answers on new observations against scikit-learn's.

References
----------
Breiman, Friedman, Olshen, Stone: Classification and Regression Trees (1984): Gini impurity, best split.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError

__all__ = [
    "MAX_DEPTH",
    "Leaf",
    "Node",
    "Sample",
    "Tree",
    "Value",
    "decide",
    "decide_sample",
    "features_of",
    "fit_tree",
    "leaf_of",
    "leaves",
]

Value = float | frozenset[str]
Sample = Mapping[str, Value]
"""One observation: a number, or a set of words, by feature name."""

MAX_DEPTH = 8
"""Deeper trees are not read by anybody; the compilers seen so far need five conditions at most."""
MAX_BINS = 64
"""Distinct thresholds looked at per feature; the one chosen is then placed exactly."""
MIN_SAMPLES = 6
"""Fewer observations than this give a majority, not a tree."""
LEAF_SIZES = (4, 2, 1)
"""Least observations in a leaf, tried by cross-validation; the largest of the equally good ones wins."""
FOLDS = 5
BEAM_WIDTH = 4
"""First conditions that are followed to their end; one less a level."""
MAX_BEAM_ROWS = 500
"""With more observations the best condition is clear, and following others costs time."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What was observed there: how often each label, most frequent first."""

    counts: tuple[tuple[str, int], ...]

    @property
    def label(self) -> str:
        """The most frequent label."""
        return self.counts[0][0]

    @property
    def total(self) -> int:
        """Number of observations."""
        return sum(count for _, count in self.counts)

    def fraction(self, label: str) -> float:
        """Share of ``label`` among the observations, in [0, 1]."""
        return dict(self.counts).get(label, 0) / self.total


@dataclass(frozen=True, slots=True)
class Node:
    """A condition: ``feature <= threshold``, or ``word in feature`` where a word is given."""

    feature: str
    threshold: float
    word: str | None
    holds: Leaf | Node
    fails: Leaf | Node


Tree = Leaf | Node


def leaf_of(labels: Sequence[str]) -> Leaf:
    """The leaf that holds these observations; ties are broken by name."""
    return Leaf(tuple(sorted(Counter(labels).items(), key=lambda item: (-item[1], item[0]))))


def leaves(tree: Tree) -> Iterator[Leaf]:
    """All leaves, those where the condition holds first."""
    if isinstance(tree, Leaf):
        yield tree
    else:
        yield from leaves(tree.holds)
        yield from leaves(tree.fails)


def features_of(tree: Tree) -> frozenset[str]:
    """The features that the conditions of a tree look at."""
    if isinstance(tree, Leaf):
        return frozenset()
    return features_of(tree.holds) | features_of(tree.fails) | {tree.feature}


def decide(tree: Tree, look: Callable[[str], Value]) -> Leaf:
    """The leaf that a tree ends in when ``look`` tells the features' values."""
    while isinstance(tree, Node):
        value = look(tree.feature)
        if isinstance(value, frozenset):
            holds = tree.word in value
        else:
            holds = tree.word is None and value <= tree.threshold
        tree = tree.holds if holds else tree.fails
    return tree


def decide_sample(tree: Tree, sample: Sample) -> Leaf:
    """The leaf of one sample; a feature that the sample lacks counts as 0."""
    return decide(tree, lambda name: sample.get(name, 0.0))


# Fitting -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Columns:
    """Samples as small integers: the bin of each value, column by column in order of preference."""

    bins: NDArray[np.int64]
    """Shape (n_samples, n_columns)."""
    edges: tuple[NDArray[np.float64], ...]
    """The distinct values of each column, ascending; bin b holds ``edges[b]`` and what follows."""
    names: tuple[tuple[str, str | None], ...]
    """Feature and word of each column."""
    values: Mapping[tuple[str, str | None], NDArray[np.float64]]
    """The values of each column, shape (n_samples,)."""


def fit_tree(
    samples: Sequence[Sample],
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    features: Sequence[str],
    cross_validate: bool = True,
) -> Tree:
    """The tree for these observations; a single leaf where conditions do not pay in cross-validation.

    Parameters
    ----------
    samples, labels, groups : sequences of equal length
        Observations of one group stay together in cross-validation.
    features : sequence of str
        Names in order of preference: of two equally good conditions the earlier one wins.
    cross_validate : bool
        Without it the tree is grown quickly, with `LEAF_SIZES[0]` observations a leaf at least.

    Raises
    ------
    ModelError
        Without any observation.
    """
    if not samples:
        raise ModelError("decision tree: no observations, expected at least one")
    majority = leaf_of(labels)
    if len(majority.counts) == 1 or len(samples) < MIN_SAMPLES:
        return majority
    columns = _columns(samples, features)
    classes = sorted(set(labels))
    targets = np.array([classes.index(label) for label in labels])
    rows = np.arange(len(samples))
    folds = _folds(groups) if cross_validate else None
    if folds is None:
        width = BEAM_WIDTH if cross_validate else 1
        grown = _grow(columns, targets, classes, rows, LEAF_SIZES[0], width=width)
        return _settle(grown, columns, targets, classes, rows)
    best_size, best_right = None, int(np.sum(targets == classes.index(majority.label)))
    for size in LEAF_SIZES:
        right = 0
        for fold in range(FOLDS):
            tree = _grow(columns, targets, classes, rows[folds != fold], size, width=1)
            right += sum(
                decide_sample(tree, samples[row]).label == labels[row] for row in rows[folds == fold]
            )
        if right > best_right:
            best_size, best_right = size, right
    if best_size is None:
        return majority
    grown = _grow(columns, targets, classes, rows, best_size)
    return _settle(grown, columns, targets, classes, rows)


def _folds(groups: Sequence[str]) -> NDArray[np.int64] | None:
    """The fold of each sample: whole groups, largest first, to the fold with the fewest samples."""
    sizes = Counter(groups)
    if len(sizes) < FOLDS:
        return None
    filled = [0] * FOLDS
    fold_of = {}
    for group, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        fold_of[group] = filled.index(min(filled))
        filled[fold_of[group]] += size
    return np.array([fold_of[group] for group in groups])


def _columns(samples: Sequence[Sample], features: Sequence[str]) -> _Columns:
    bins, edges, values = [], [], {}
    for feature in features:
        found = [sample.get(feature, 0.0) for sample in samples]
        words = sorted({word for value in found if isinstance(value, frozenset) for word in value})
        for word in (*words,) or (None,):
            if word is None:
                column = np.array([0.0 if isinstance(value, frozenset) else value for value in found])
            else:
                column = np.array([float(isinstance(v, frozenset) and word in v) for v in found])
            distinct = np.unique(column)
            if len(distinct) < 2:
                continue
            if len(distinct) > MAX_BINS:
                distinct = np.unique(np.quantile(column, np.linspace(0, 1, MAX_BINS), method="lower"))
            bins.append(np.searchsorted(distinct, column, side="right") - 1)
            edges.append(distinct)
            values[feature, word] = column
    stacked = np.stack(bins, axis=1) if bins else np.zeros((len(samples), 0), dtype=np.int64)
    return _Columns(stacked, tuple(edges), tuple(values), values)


def _grow(
    columns: _Columns,
    targets: NDArray[np.int64],
    classes: Sequence[str],
    rows: NDArray[np.int64],
    leaf_size: int,
    depth: int = MAX_DEPTH,
    width: int = BEAM_WIDTH,
) -> Tree:
    """The tree over these rows: of the ``width`` best first conditions the one that leads to the least cost.

    The condition that separates best at once often only looks like the rule; the rule itself may need two
    conditions, of which the first gains less.
    """
    found = targets[rows]
    leaf = leaf_of([classes[target] for target in found.tolist()])
    if depth == 0 or len(leaf.counts) == 1 or not columns.names:
        return leaf
    is_large = len(rows) > MAX_BEAM_ROWS
    splits = _best_splits(columns.bins[rows], found, len(classes), leaf_size, 1 if is_large else width)
    best: Tree = leaf
    best_cost = _cost(leaf) + 1
    for column, bin_below, bin_above in splits:
        feature, word = columns.names[column]
        below = columns.bins[rows, column] <= bin_below
        holds = below if word is None else ~below
        narrower = width if is_large else max(1, width - 1)
        children = [
            _grow(columns, targets, classes, rows[side], leaf_size, depth - 1, narrower)
            for side in (holds, ~holds)
        ]
        edges = columns.edges[column]
        threshold = _middle(float(edges[bin_below]), float(edges[bin_above])) if word is None else 0.0
        tree = Node(feature, threshold, word, children[0], children[1])
        cost = _cost(tree)
        if len({item.label for item in leaves(tree)}) > 1 and cost < best_cost:
            best, best_cost = tree, cost
    return best


def _cost(tree: Tree) -> int:
    """Twice the observations that the tree gets wrong, and its leaves."""
    found = list(leaves(tree))
    return 2 * sum(leaf.total - leaf.counts[0][1] for leaf in found) + len(found)


def _settle(
    tree: Tree, columns: _Columns, targets: NDArray[np.int64], classes: Sequence[str], rows: NDArray[np.int64]
) -> Tree:
    """The same tree with each threshold half-way between the observations that need it, and fresh counts.

    A threshold is chosen among all observations at its node, also those whose answer does not depend on it;
    those that do may leave a wider gap, whose middle is the better guess.
    """
    if isinstance(tree, Leaf):
        return leaf_of([classes[target] for target in targets[rows].tolist()]) if len(rows) else tree
    values = columns.values[tree.feature, tree.word][rows]
    threshold = tree.threshold
    if tree.word is None:
        right = targets[rows]
        held = _answers(tree.holds, columns, classes, rows) == right
        failed = _answers(tree.fails, columns, classes, rows) == right
        threshold = _best_cut(values[held & ~failed], values[failed & ~held], threshold)
    below = values <= threshold
    holds = below if tree.word is None else values > 0
    children = [
        _settle(child, columns, targets, classes, rows[side])
        for child, side in ((tree.holds, holds), (tree.fails, ~holds))
    ]
    return Node(tree.feature, threshold, tree.word, children[0], children[1])


def _best_cut(below: NDArray[np.float64], above: NDArray[np.float64], threshold: float) -> float:
    """The cut, nearest to ``threshold``, that leaves the fewest values on the wrong side."""
    distinct = np.unique(np.concatenate([below, above]))
    if len(distinct) < 2 or not len(below) or not len(above):
        return threshold
    lows, highs = distinct[:-1], distinct[1:]
    wrong = len(below) - np.searchsorted(np.sort(below), lows, side="right")
    wrong = wrong + np.searchsorted(np.sort(above), lows, side="right")
    best = np.flatnonzero(wrong == wrong.min())
    distance = np.maximum(np.maximum(lows[best] - threshold, threshold - highs[best]), 0.0)
    chosen = best[int(np.argmin(distance))]
    return _middle(float(lows[chosen]), float(highs[chosen]))


def _answers(
    tree: Tree, columns: _Columns, classes: Sequence[str], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The class that the tree answers for each row."""
    if isinstance(tree, Leaf):
        return np.full(len(rows), classes.index(tree.label))
    values = columns.values[tree.feature, tree.word][rows]
    holds = values <= tree.threshold if tree.word is None else values > 0
    answers = np.empty(len(rows), dtype=np.int64)
    answers[holds] = _answers(tree.holds, columns, classes, rows[holds])
    answers[~holds] = _answers(tree.fails, columns, classes, rows[~holds])
    return answers


def _middle(low: float, high: float) -> float:
    """Between two neighbours: half-way for small numbers, the geometric mean where sizes span decades."""
    return math.sqrt(low * high) if low >= 64 else (low + high) / 2


def _best_splits(
    bins: NDArray[np.int64], targets: NDArray[np.int64], n_classes: int, leaf_size: int, limit: int
) -> list[tuple[int, int, int]]:
    """Columns, each with the two neighbouring bins between which a cut lowers the Gini impurity most.

    Best first; of columns that separate equally well only the preferred one.
    """
    n_rows, n_columns = bins.shape
    width = int(bins.max()) + 1
    cells = (np.arange(n_columns) * width + bins).ravel()
    counts = np.empty((n_classes, n_columns, width))
    for label in range(n_classes):
        weights = np.repeat((targets == label).astype(np.float64), n_columns)
        counts[label] = np.bincount(cells, weights, n_columns * width).reshape(n_columns, width)
    below = np.cumsum(counts, axis=2)
    above = below[:, :, -1:] - below
    n_below, n_above = below.sum(axis=0), above.sum(axis=0)
    allowed = (n_below >= leaf_size) & (n_above >= leaf_size)
    purity = (below**2).sum(axis=0) / np.maximum(n_below, 1) + (above**2).sum(axis=0) / np.maximum(n_above, 1)
    purity = np.where(allowed, purity, -1.0)
    per_column = purity.max(axis=1)
    start = float((np.bincount(targets) ** 2.0).sum()) / n_rows
    found: list[tuple[int, int, int]] = []
    last = math.inf
    for column in np.argsort(-np.round(per_column, 9), kind="stable").tolist():
        best = float(per_column[column])
        if len(found) == limit or best <= start * (1 + 1e-9):
            break
        if best < last - 1e-9:
            last = best
            bin_below = int(np.argmax(purity[column] >= best * (1 - 1e-9)))
            occupied = np.flatnonzero(counts[:, column, :].sum(axis=0))
            found.append((column, bin_below, int(occupied[occupied > bin_below][0])))
    return found
