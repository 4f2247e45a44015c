"""Conditions of mapping rules, asked of many networks at one slot at once.

What a condition means is said in `annette.models.mapping_features`; here are those features that look at the
graph around a layer, as arrays. Features of a layer by itself are asked of its signature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.walk import PopulationWalk, Sources
from annette.models.mapping_features import LAYER_FEATURES
from annette.models.rule_tree import Leaf, Node, Tree

__all__ = ["Sites", "decide_all"]

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_NETWORK_INPUT = "network input"
_PRIMARY = "primary."
_OWN = frozenset(LAYER_FEATURES) | {
    "keeps_shape", "keeps_order", "edge_keeps_shape", "edge_elements", "edge_line", "edge_window",
}  # fmt: skip
"""Features of the layer, or of the layer and the tensor at hand, and of nothing around them."""
_OF_FEEDER = frozenset({"producer", "producer_agrees", "producer_dtype"})
"""Features of the layer that feeds this one, by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """A decision in each of some networks: about one layer, and for merges one of its operands."""

    walk: PopulationWalk
    layer: Ints
    """Address of the layer in each network, shape (m,)."""
    sources: tuple[Sources, ...] | None = None
    """Who computes each operand; ``None`` where no rule that arrays carry may ask."""
    made: tuple[Ints, ...] = ()
    """Address of the layer that hands out each operand, shape (m,) each."""
    operand: int = -1
    """The operand that a merge is about; -1 for other decisions."""
    feeder: Ints | None = None
    """For merges the layer that computes the operand, shape (m,)."""
    kernel: Ints | None = None
    """The kernel that the layer may join, or that it stands for, shape (m,)."""
    runs_on: Callable[[Ints, str], Mask] | None = None
    """Tells whether kernels run on a unit."""

    def holds(self, node: Node, at: Ints) -> Mask:
        """Whether a condition holds at these of the sites, shape of ``at``."""
        name = node.feature
        if name in _OWN:
            return self._of_signature(node, self.layer, at, max(self.operand, 0))
        if name in _OF_FEEDER and self.feeder is not None:
            return self._of_signature(node, self.feeder, at, 0)
        if name.startswith(_PRIMARY) and self.kernel is not None:
            numbers = self.walk.signature[self.walk.primary[self.kernel[at]]]
            found: Mask = self.walk.signatures.holds(node, 0)[numbers]
            return found
        number = _NUMBERS.get(name)
        if number is not None:
            if node.word is not None:
                return np.zeros(len(at), dtype=bool)
            return np.asarray(number(self, at) <= node.threshold)
        words = _WORDS.get(name)
        if words is None:  # input_units among them: few networks come to a condition that asks for them
            raise NotVectorisedError(f"a rule looks at {name}")
        if node.word is None:
            return np.zeros(len(at), dtype=bool)
        return words(self, at, node.word)

    def _of_signature(self, node: Node, layers: Ints, at: Ints, operand: int) -> Mask:
        found: Mask = self.walk.signatures.holds(node, operand)[self.walk.signature[layers[at]]]
        return found

    def operands(self) -> tuple[Sources, ...]:
        """Who computes each operand."""
        if self.sources is None:
            raise NotVectorisedError("the unit of a kernel depends on the kernels before it")
        return self.sources

    def kernels(self, at: Ints) -> list[tuple[int, Ints, Ints]]:
        """Operand, feeders and kernels of every source at these sites, a column each; -1 where none is."""
        found = []
        for place, item in enumerate(self.operands()):
            for column in item.columns:
                feeders = column[at]
                found.append((place, feeders, self.walk.kernels_of(feeders)))
        return found


def decide_all(
    tree: Tree, sites: Sites, at: Ints, value: Callable[[Leaf], float], out: NDArray[np.float64]
) -> None:
    """Put ``value`` of the leaf in which a tree ends at these sites into ``out`` at these places."""
    if not len(at):
        return
    if isinstance(tree, Leaf):
        out[at] = value(tree)
        return
    mask = sites.holds(tree, at)
    decide_all(tree.holds, sites, at[mask], value, out)
    decide_all(tree.fails, sites, at[~mask], value, out)


# Numbers -------------------------------------------------------------------------------------------


def _at_feeder(sites: Sites, table: NDArray[np.generic], at: Ints) -> NDArray[np.float64]:
    if sites.feeder is None:
        raise NotVectorisedError("a rule asks for the producer where there is none")
    return np.asarray(table[sites.feeder[at]], dtype=np.float64)


def _at_layer(sites: Sites, table: NDArray[np.generic], at: Ints) -> NDArray[np.float64]:
    return np.asarray(table[sites.layer[at]], dtype=np.float64)


def _is_latest(sites: Sites, at: Ints) -> NDArray[np.float64]:
    feeders = np.stack([found for _, found, _ in sites.kernels(at)])
    assert sites.feeder is not None  # a feature of merges
    return np.asarray(sites.feeder[at] == feeders.max(axis=0), dtype=np.float64)


def _is_latest_kernel(sites: Sites, at: Ints) -> NDArray[np.float64]:
    primary = sites.walk.primary
    latest = np.stack([primary[kernels] for _, _, kernels in sites.kernels(at)]).max(axis=0)
    return np.asarray(primary[_kernel(sites, at)] == latest, dtype=np.float64)


def _source_count(sites: Sites, at: Ints) -> NDArray[np.float64]:
    found = [kernels for _, _, kernels in sites.kernels(at)]
    count = np.zeros(len(at))
    for place, kernels in enumerate(found):
        known = kernels < 0
        for other in found[:place]:
            known |= kernels == other
        count += ~known
    return count


def _has_shared_operand(sites: Sites, at: Ints) -> NDArray[np.float64]:
    found = np.zeros(len(at), dtype=bool)
    for _, feeders, _ in sites.kernels(at):
        found |= (feeders >= 0) & ((sites.walk.readers[feeders] > 1) | sites.walk.is_output[feeders])
    return found.astype(np.float64)


def _reads_twice(sites: Sites, at: Ints) -> NDArray[np.float64]:
    found = np.zeros(len(at), dtype=bool)
    for place, made in enumerate(sites.made):
        for other in sites.made[:place]:
            found |= made[at] == other[at]
    return found.astype(np.float64)


def _only_from_kernel(sites: Sites, at: Ints) -> NDArray[np.float64]:
    kernel = _kernel(sites, at)
    found = np.ones(len(at), dtype=bool)
    for item in sites.operands():
        found &= item.counts[at] > 0
    for _, _, other in sites.kernels(at):
        found &= (other == kernel) | (other < 0)
    return found.astype(np.float64)


def _reads_input(sites: Sites, at: Ints) -> NDArray[np.float64]:
    found = np.zeros(len(at), dtype=bool)
    for item in sites.operands():
        found |= item.counts[at] == 0
    return found.astype(np.float64)


def _other_is_input(sites: Sites, at: Ints) -> NDArray[np.float64]:
    found = np.zeros(len(at), dtype=bool)
    for place, item in enumerate(sites.operands()):
        if place != sites.operand:
            found |= item.counts[at] == 0
    return found.astype(np.float64)


def _is_direct(sites: Sites, at: Ints) -> NDArray[np.float64]:
    assert sites.feeder is not None  # a feature of merges
    return np.asarray(sites.made[sites.operand][at] == sites.feeder[at], dtype=np.float64)


def _joined_sources(sites: Sites, at: Ints) -> NDArray[np.float64]:
    return np.asarray(sites.operands()[sites.operand].counts[at], dtype=np.float64)


def _kernel_layers(sites: Sites, at: Ints) -> NDArray[np.float64]:
    return np.asarray(sites.walk.n_layers[_kernel(sites, at)], dtype=np.float64)


def _kernel(sites: Sites, at: Ints) -> Ints:
    if sites.kernel is None:
        raise NotVectorisedError("a rule asks for the kernel where there is none")
    return sites.kernel[at]


_NUMBERS: Mapping[str, Callable[[Sites, Ints], NDArray[np.float64]]] = MappingProxyType(
    {
        "producer_readers": lambda sites, at: _at_feeder(sites, sites.walk.readers, at),
        "producer_is_output": lambda sites, at: _at_feeder(sites, sites.walk.is_output, at),
        "readers": lambda sites, at: _at_layer(sites, sites.walk.readers, at),
        "is_output": lambda sites, at: _at_layer(sites, sites.walk.is_output, at),
        "is_latest": _is_latest,
        "is_latest_kernel": _is_latest_kernel,
        "source_count": _source_count,
        "shared_operand": _has_shared_operand,
        "reads_twice": _reads_twice,
        "only_from_kernel": _only_from_kernel,
        "reads_input": _reads_input,
        "other_is_input": _other_is_input,
        "is_direct": _is_direct,
        "joined_sources": _joined_sources,
        "kernel_layers": _kernel_layers,
    }
)


# Words ---------------------------------------------------------------------------------------------


def _operator(sites: Sites, layers: Ints) -> Ints:
    found: Ints = sites.walk.operator_of[sites.walk.signature[layers]]
    return found


def _has_bit(sites: Sites, words: NDArray[np.uint64], word: str) -> Mask:
    code = sites.walk.code_of.get(word)
    if code is None:
        return np.zeros(len(words), dtype=bool)
    return np.asarray((words >> np.uint64(code)) & np.uint64(1) == 1)


def _kernel_operators(sites: Sites, at: Ints, word: str) -> Mask:
    return _has_bit(sites, sites.walk.operators[_kernel(sites, at)], word)


def _next_operators(sites: Sites, at: Ints, word: str) -> Mask:
    return _has_bit(sites, sites.walk.next_operators[sites.layer[at]], word)


def _feeders(sites: Sites, at: Ints, word: str, *, others: bool) -> Mask:
    """Whether a layer with this operator computes an operand, or an operand is the network's input."""
    code = sites.walk.code_of.get(word, -2)
    found = np.zeros(len(at), dtype=bool)
    for place, feeders, _ in sites.kernels(at):
        if not others or place != sites.operand:
            found |= (feeders >= 0) & (_operator(sites, feeders) == code)
    if word == _NETWORK_INPUT:
        for place, item in enumerate(sites.operands()):
            if not others or place != sites.operand:
                found |= item.counts[at] == 0
    return found


def _primaries(sites: Sites, at: Ints, word: str, *, others: bool) -> Mask:
    """Whether a kernel with this primary operator computes an operand."""
    code = sites.walk.code_of.get(word, -2)
    found = np.zeros(len(at), dtype=bool)
    for place, _, kernels in sites.kernels(at):
        if not others or place != sites.operand:
            found |= (kernels >= 0) & (_operator(sites, sites.walk.primary[kernels]) == code)
    return found


def _units(sites: Sites, at: Ints, word: str, *, others: bool) -> Mask:
    """Whether a kernel that computes an operand runs on this unit."""
    assert sites.runs_on is not None  # given wherever a rule may ask
    found = np.zeros(len(at), dtype=bool)
    for place, _, kernels in sites.kernels(at):
        if not others or place != sites.operand:
            known = np.flatnonzero(kernels >= 0)
            found[known] |= sites.runs_on(kernels[known], word)
    return found


def _contents(sites: Sites, at: Ints, word: str) -> Mask:
    """Whether a kernel that computes an operand holds this operator."""
    found = np.zeros(len(at), dtype=bool)
    for _, _, kernels in sites.kernels(at):
        found |= (kernels >= 0) & _has_bit(sites, sites.walk.operators[kernels], word)
    return found


def _families(sites: Sites, at: Ints, word: str) -> Mask:
    """Whether a kernel of this family computes an operand."""
    is_one = sites.walk.signatures.holds(Node("family", 0.0, word, Leaf(()), Leaf(())), 0)
    found = np.zeros(len(at), dtype=bool)
    for _, _, kernels in sites.kernels(at):
        found |= (kernels >= 0) & is_one[sites.walk.signature[sites.walk.primary[kernels]]]
    return found


def _direct_producers(sites: Sites, at: Ints, word: str) -> Mask:
    """Whether a layer of this operator makes an operand, vanished layers included."""
    code = sites.walk.code_of.get(word, -2)
    found = np.zeros(len(at), dtype=bool)
    for made in sites.made:
        is_input = made[at] < sites.walk.n
        found |= is_input if word == _NETWORK_INPUT else ~is_input & (_operator(sites, made[at]) == code)
    return found


def _siblings(sites: Sites, at: Ints, word: str) -> Mask:
    """Whether another layer of this operator reads what the kernel hands to this one."""
    if sites.feeder is None or word == sites.walk.words[int(_operator(sites, sites.layer[at[:1]])[0])]:
        raise NotVectorisedError("a rule counts the readers of one operator")
    return _has_bit(sites, sites.walk.next_operators[sites.feeder[at]], word)


def _earlier_unshared(sites: Sites, at: Ints, word: str) -> Mask:
    """Whether a layer of this operator computes an operand at an earlier place, and nobody else reads it."""
    code = sites.walk.code_of.get(word, -2)
    found = np.zeros(len(at), dtype=bool)
    for place, feeders, _ in sites.kernels(at):
        if place < sites.operand:
            found |= (feeders >= 0) & (sites.walk.readers[feeders] == 1) & (_operator(sites, feeders) == code)
    return found


def _only_next(sites: Sites, at: Ints, word: str) -> Mask:
    code = sites.walk.code_of.get(word)
    if code is None:
        return np.zeros(len(at), dtype=bool)
    return np.asarray(sites.walk.next_operators[sites.layer[at]] == np.uint64(1 << code))


def _only_kernels(sites: Sites, at: Ints, word: str) -> Mask:
    """Whether kernels with this primary operator compute operands, and no others do."""
    code = sites.walk.code_of.get(word, -2)
    found = _primaries(sites, at, word, others=False)
    for _, _, kernels in sites.kernels(at):
        found &= (kernels < 0) | (_operator(sites, sites.walk.primary[kernels]) == code)
    return found


def _own_unit(sites: Sites, at: Ints, word: str) -> Mask:
    assert sites.runs_on is not None  # given wherever a rule may ask
    return sites.runs_on(_kernel(sites, at), word)


_WORDS: Mapping[str, Callable[[Sites, Ints, str], Mask]] = MappingProxyType(
    {
        "kernel": _kernel_operators,
        "next": _next_operators,
        "others": lambda sites, at, word: _feeders(sites, at, word, others=True),
        "producers": lambda sites, at, word: _feeders(sites, at, word, others=False),
        "other_kernels": lambda sites, at, word: _primaries(sites, at, word, others=True),
        "producer_kernels": lambda sites, at, word: _primaries(sites, at, word, others=False),
        "other_units": lambda sites, at, word: _units(sites, at, word, others=True),
        "producer_units": lambda sites, at, word: _units(sites, at, word, others=False),
        "unit": _own_unit,
        "producer_content": _contents,
        "producer_families": _families,
        "direct_producers": _direct_producers,
        "siblings": _siblings,
        "earlier_unshared": _earlier_unshared,
        "only_next": _only_next,
        "only_producer_kernels": _only_kernels,
    }
)
