"""A boosted forest read from XGBoost's file, evaluated by NumPy.

XGBoost trains the forests; to evaluate them it would have to be imported, which takes a second: twice as long
as a whole ``annette estimate``. Its reader also trusts the file, while a platform may come from anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.models.ubjson import read_ubjson
from annette.store.strict_json import shorten

__all__ = ["Forest", "read_forest"]

_MAX_TREES = 20_000
_MAX_DEPTH = 10
_CHUNK = 1 << 18
"""Rows times trees evaluated at once: the scratch arrays stay within the cache of one core."""
_FEW_ROWS = 96


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forest:
    """Regression trees laid out as perfect binary trees of one depth.

    Node ``k`` of a tree has the children ``2 k + 1`` (value < threshold) and ``2 k + 2``. Below a leaf the
    layout goes on with nodes that always send to the left, down to the leaf's value.
    """

    feature_names: tuple[str, ...]
    """What the columns of the matrix are."""
    base: np.float32
    """Added to every prediction."""
    depth: int
    """Levels of inner nodes."""
    features: NDArray[np.int32]
    """Shape (n_trees, 2**depth - 1): the column a node looks at."""
    thresholds: NDArray[np.float32]
    """Shape (n_trees, 2**depth - 1); infinite where the node always sends to the left."""
    leaves: NDArray[np.float32]
    """Shape (n_trees, 2**depth)."""

    def __post_init__(self) -> None:
        for array in (self.features, self.thresholds, self.leaves):
            array.setflags(write=False)

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sum of the trees, shape (n_rows,), equal to XGBoost's own to the last bit.

        Parameters
        ----------
        matrix : ndarray of shape (n_rows, n_features)
            Finite numbers; the columns are `feature_names`.

        Raises
        ------
        ModelError
            If the number of columns is not that of the forest.
        """
        if matrix.ndim != 2 or matrix.shape[1] != len(self.feature_names):
            raise ModelError(f"forest: matrix {matrix.shape}, expected {len(self.feature_names)} columns")
        n_trees = len(self.features)
        step = max(_CHUNK // max(n_trees, 1), 1)
        result = np.empty(len(matrix), dtype=np.float32)
        for start in range(0, len(matrix), step):
            result[start : start + step] = self._predict(matrix[start : start + step])
        return result

    def _predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        n_trees, n_nodes = self.features.shape
        features, thresholds = self.features.ravel().astype(np.intp), self.thresholds.ravel()
        flat = np.ascontiguousarray(matrix, dtype=np.float32).ravel()
        row_start = np.arange(len(matrix)) * matrix.shape[1]
        tree_start = (np.arange(n_trees) * n_nodes)[:, None]
        position = np.repeat(tree_start, len(matrix), axis=1)  # of the node among those of all trees
        step = 1 - tree_start
        for _ in range(self.depth):
            place = np.take(features, position)
            place += row_start
            right = np.take(flat, place) >= np.take(thresholds, position)
            position *= 2
            position += step
            position += right
        position += np.arange(n_trees)[:, None] - n_nodes  # a tree has one leaf more than inner nodes
        return self._sum(np.take(self.leaves.ravel(), position))

    def _sum(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The base and the values of all trees, added in XGBoost's order: sums of float32 depend on it."""
        if values.shape[1] < _FEW_ROWS:  # what takes time is calls, not numbers
            summands = np.vstack([np.full(values.shape[1], self.base, dtype=np.float32), values])
            total: NDArray[np.float32] = np.add.accumulate(summands, axis=0)[-1]
            return total.copy()
        total = np.full(values.shape[1], self.base, dtype=np.float32)
        for tree in values:
            total += tree
        return total


def read_forest(content: bytes, feature_names: tuple[str, ...]) -> Forest:
    """The forest in an XGBoost model file (UBJSON).

    Raises
    ------
    ModelError
        If the file is damaged, is not a regression forest with numerical splits, or was trained on other
        features.
    """
    document = read_ubjson(content)
    try:
        learner = document["learner"]
        names = tuple(str(name) for name in learner["feature_names"])
        base = np.float32(str(learner["learner_model_param"]["base_score"]).strip("[]"))
        trees = learner["gradient_booster"]["model"]["trees"]
        if names != feature_names:
            raise ModelError(
                f"forest: trained on {len(names)} features ({shorten(', '.join(names[:4]))}, ...), expected "
                f"{len(feature_names)} ({', '.join(feature_names[:4])}, ...); train the platform again"
            )
        if not isinstance(trees, list) or len(trees) > _MAX_TREES:
            raise ModelError(f"forest: expected a list of at most {_MAX_TREES} trees")
        return _layout(_Nodes(trees, len(names)), names, base)
    except (KeyError, TypeError, ValueError, IndexError) as err:
        if isinstance(err, ModelError):
            raise
        text = shorten(repr(err))
        raise ModelError(f"forest: not a model file of XGBoost: {text}; train the platform again") from err


class _Nodes:
    """The nodes of all trees in a row, checked: children within their tree, numerical splits only."""

    def __init__(self, trees: list[dict[str, Any]], n_features: int) -> None:
        sizes = np.array([len(tree["left_children"]) for tree in trees], dtype=np.int64)
        self.roots = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)[:-1]])[: len(trees)]
        starts, ends = np.repeat(self.roots, sizes), np.repeat(self.roots + sizes, sizes)
        left, right = _joined(trees, "left_children"), _joined(trees, "right_children")
        self.features = _joined(trees, "split_indices")
        self.values = _joined(trees, "split_conditions").astype(np.float32)
        if (sizes == 0).any() or any(
            len(part) != len(starts) for part in (left, right, self.features, self.values)
        ):
            raise ModelError("forest: a tree is empty or its arrays differ in length")
        self.is_inner = left >= 0
        nodes = np.arange(len(left))
        self.left = np.where(self.is_inner, left + starts, nodes)
        self.right = np.where(self.is_inner, right + starts, nodes)
        inside = (self.left >= starts) & (self.left < ends) & (self.right >= starts) & (self.right < ends)
        if not inside.all():
            raise ModelError("forest: a tree points to a node that it does not have")
        if len(nodes) and not 0 <= int(self.features.min()) <= int(self.features.max()) < n_features:
            raise ModelError("forest: a tree splits on a feature that it does not have")
        if any(np.any(tree["split_type"]) for tree in trees):
            raise ModelError("forest: a tree has categorical splits, expected numerical ones")


def _joined(trees: list[dict[str, Any]], key: str) -> NDArray[Any]:
    """The arrays ``key`` of all trees in a row."""
    return np.concatenate([np.empty(0, dtype=np.int64), *(tree[key] for tree in trees)])


def _layout(nodes: _Nodes, names: tuple[str, ...], base: np.float32) -> Forest:
    n_trees = len(nodes.roots)
    place = nodes.roots[:, None]  # per tree and position of the level: the node that lies there
    features, thresholds = [np.empty((n_trees, 0), np.int32)], [np.empty((n_trees, 0), np.float32)]
    while nodes.is_inner[place].any():
        if len(features) > _MAX_DEPTH:
            raise ModelError(f"forest: a tree is deeper than {_MAX_DEPTH}")
        inner = nodes.is_inner[place]
        features.append(np.where(inner, nodes.features[place], 0).astype(np.int32))
        thresholds.append(np.where(inner, nodes.values[place], np.inf).astype(np.float32))
        place = np.stack([nodes.left[place], nodes.right[place]], axis=2).reshape(n_trees, 2 * place.shape[1])
    return Forest(
        feature_names=names,
        base=base,
        depth=len(features) - 1,
        features=np.concatenate(features, axis=1),
        thresholds=np.concatenate(thresholds, axis=1),
        leaves=nodes.values[place],
    )
