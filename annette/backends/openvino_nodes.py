"""Nodes of the graph that OpenVINO's CPU plug-in runs: what they are, their layout, their unit."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "INPUT",
    "MATRIX_KINDS",
    "OUTPUT",
    "VIEW_KINDS",
    "ExecutedNode",
    "is_blocked",
    "is_relayout",
    "kernel_unit",
    "move_unit",
]

INPUT, OUTPUT = "Input", "Output"
"""Kinds of the nodes that stand for the network's inputs and outputs."""

MATRIX_KINDS = frozenset(
    {"Convolution", "Deconvolution", "DeformableConvolution", "FullyConnected", "MatMul"}
)
"""Kinds that multiply and accumulate."""

VIEW_KINDS = frozenset(
    {"Broadcast", "Concatenation", "Gather", "Reorder", "Reshape", "Split", "StridedSlice", "Transpose"}
)
"""Kinds that the plug-in does not run at all where their output can lie in their input's memory."""

_INTEGER = "_I8"
_NO_IMPLEMENTATION = frozenset({"", "unknown", "reorder"})
"""Primitives, without their precision, of nodes that may be run or not; all others are run."""
_BY_CONDITION = frozenset({"Select"})
"""Kinds whose first input is a condition in bytes, which says nothing of what they compute with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedNode:
    """One node of the graph that the plug-in runs, in its own words."""

    name: str
    """Its name there; unique."""
    kind: str
    """The plug-in's type: ``Convolution``, ``FullyConnected``, ``Subgraph``, ``Reorder``, ``Input``, ..."""
    originals: tuple[str, ...] = ()
    """Names of the operators that it stands for, in the words of the model that was read, as far as known."""
    primitive: str = ""
    """Its implementation, with the precision it computes in behind the last underscore."""
    layout: str = ""
    """Order of its first output's dimensions in memory: ``abcd``, ``acdb``, ``aBcd16b``, ..."""
    precision: str = ""
    """Element type of its first output."""
    shape: tuple[int, ...] = ()
    """Shape of its first output; empty if not known."""
    inputs: tuple[tuple[str, int], ...] = ()
    """Name and output number of the nodes that it reads, but for those that depend on constants alone."""
    run_s: float = 0.0
    """Seconds of a run; 0 where it never showed on the counter, which means that it is not run."""

    @property
    def is_idle(self) -> bool:
        """Whether it is a mere view of its input: it never showed, and has no implementation."""
        is_unimplemented = self.primitive.rpartition("_")[0] in _NO_IMPLEMENTATION
        return self.run_s == 0 and self.kind in VIEW_KINDS and is_unimplemented


def is_blocked(layout: str) -> bool:
    """Whether channels are the innermost dimension, all of them or in blocks, so that vectors hold channels.

    The second dimension, ``b``, is that of the channels; a digit is the size of a block.

    Examples
    --------
    >>> [is_blocked(layout) for layout in ("abcd", "acdb", "aBcd16b", "ab", "abc", "acb", "undef")]
    [False, True, True, False, False, True, False]
    """
    if any(letter.isdigit() for letter in layout):
        return True
    return len(layout) > 2 and layout.endswith("b") and set(layout) == set("abcdefghij"[: len(layout)])


def is_relayout(source: ExecutedNode, node: ExecutedNode) -> bool:
    """Whether ``node`` moves elements of ``source``: same shape, dimensions in another order in memory.

    Examples
    --------
    >>> image = ExecutedNode(name="x", kind="Input", layout="abcd", shape=(1, 8, 4, 4))
    >>> is_relayout(image, ExecutedNode(name="y", kind="Reorder", layout="acdb", shape=(1, 8, 4, 4)))
    True
    >>> pooled = ExecutedNode(name="x", kind="Pooling", layout="acdb", shape=(1, 8, 1, 1))
    >>> is_relayout(pooled, ExecutedNode(name="y", kind="Reorder", layout="abcd", shape=(1, 8, 1, 1)))
    False
    """
    if node.kind != "Reorder" or not node.shape or source.shape != node.shape:
        return False
    orders = (_order(source.layout, node.shape), _order(node.layout, node.shape))
    return None not in orders and orders[0] != orders[1]


def _order(layout: str, shape: tuple[int, ...]) -> tuple[str, ...] | None:
    """The dimensions of more than one element in their order in memory; ``None`` for blocks or unknown."""
    letters = "abcdefghij"[: len(shape)]
    if sorted(layout) != list(letters):
        return None
    return tuple(letter for letter in layout if shape[letters.index(letter)] > 1)


def kernel_unit(node: ExecutedNode) -> str:
    """``integer`` for 8-bit arithmetic, ``blocked`` if its output's channels are innermost, else ``plain``.

    Examples
    --------
    >>> kernel_unit(ExecutedNode(name="a", kind="Pooling", primitive="jit_avx512_I8", layout="acdb"))
    'integer'
    """
    if node.primitive.endswith(_INTEGER) and node.kind not in _BY_CONDITION:
        return "integer"
    return "blocked" if is_blocked(node.layout) else "plain"


def move_unit(source: ExecutedNode, node: ExecutedNode) -> str:
    """What a node does that only moves what ``source`` computes.

    Examples
    --------
    >>> image = ExecutedNode(name="x", kind="Input", layout="abcd", precision="f32")
    >>> move_unit(image, ExecutedNode(name="y", kind="Reorder", layout="acdb", precision="f32"))
    'to_blocked'
    """
    before, after = is_blocked(source.layout), is_blocked(node.layout)
    if before != after:
        return "to_blocked" if after else "to_plain"
    return "cast" if source.precision != node.precision or node.kind == "Convert" else "copy"
