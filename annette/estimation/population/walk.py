"""The walk of `annette.models.mapping_walk` over a whole population at once, one slot of layers after another.

State lives in arrays of shape (n_slots + 1, n_networks); the last row stands for the networks' input. A kernel
is known by the slot of the layer that opened it. Decisions are those of
`annette.models.mapping_model.MappingModel.predict`, taken for all networks that have a layer in the slot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.layers import PopulationLayers
from annette.estimation.population.signatures import Signatures
from annette.graph.operators import primary_rank

__all__ = ["PopulationWalk", "Sources"]

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

MAX_OPERATORS = 63
MAX_KERNEL_LAYERS = 60


@dataclass(frozen=True, slots=True)
class Sources:
    """The layers that compute one operand in each of some networks, vanished layers looked through."""

    slots: Ints
    """Shape (m, width): their slots; -1 where there are fewer."""
    counts: Ints
    """Shape (m,): how many there are; 0 for the network's input."""


class PopulationWalk:
    """The state of one pass over a population."""

    def __init__(
        self, layers: PopulationLayers, signatures: Signatures, transparent: frozenset[str]
    ) -> None:
        """A walk before its first slot; ``transparent`` as for `annette.models.mapping_walk.GraphView`."""
        self.layers = layers
        self.signatures = signatures
        n_slots, n = len(layers.slots), layers.n_networks
        self.n_slots = n_slots
        self.words = tuple(dict.fromkeys(slot.operator for slot in layers.slots))
        if len(self.words) > MAX_OPERATORS:
            raise NotVectorisedError(f"{len(self.words)} operators, at most {MAX_OPERATORS} fit a word")
        self.code_of = {word: code for code, word in enumerate(self.words)}
        self.operator = np.array([self.code_of[slot.operator] for slot in layers.slots] + [-1])
        self.rank_of = np.array([primary_rank(word) for word in self.words])
        shape = (n_slots + 1, n)
        self.signature = np.zeros(shape, dtype=np.int32)
        for number, slot in enumerate(layers.slots):
            self.signature[number, slot.rows] = slot.signatures
        # Tensors: the one layer that computes each (-1: the input, -2: several), and what memory holds of it.
        self.source = np.broadcast_to(np.arange(n_slots + 1, dtype=np.int32)[:, None], shape).copy()
        self.source[n_slots] = -1
        self.several: dict[int, Ints] = {}
        self.origin = np.broadcast_to(np.arange(n_slots + 1, dtype=np.int32)[:, None], shape).copy()
        # Layers.
        self.kernel = np.full(shape, -1, dtype=np.int32)
        self.place = np.zeros(shape, dtype=np.int8)
        self.leaves = self._unread()
        # Kernels.
        self.n_layers = np.zeros(shape, dtype=np.int8)
        self.primary = np.full(shape, -1, dtype=np.int32)
        self.operators = np.zeros(shape, dtype=np.uint64)
        self.ancestors = np.zeros((*shape, n_slots // 64 + 1), dtype=np.uint64)
        self.readers, self.next_operators, self.is_output = self._read(transparent)

    def _read(self, transparent: frozenset[str]) -> tuple[NDArray[np.int32], Words, NDArray[np.bool_]]:
        """Who reads each layer, seen through transparent ones: how many, with which operators, the outside?"""
        shape = self.kernel.shape
        readers = np.zeros(shape, dtype=np.int32)
        operators = np.zeros(shape, dtype=np.uint64)
        is_output = np.zeros(shape, dtype=bool)
        is_output[self.layers.outputs, np.arange(shape[1])] = True
        for number in range(self.n_slots - 1, -1, -1):
            slot = self.layers.slots[number]
            seen: list[Ints] = []
            for made in slot.operands:
                new = np.ones(len(made), dtype=bool)
                for other in seen:
                    new &= made != other
                seen.append(made)
                made, rows = made[new], slot.rows[new]
                if slot.operator in transparent:
                    readers[made, rows] += readers[number, rows]
                    operators[made, rows] |= operators[number, rows]
                    is_output[made, rows] |= is_output[number, rows]
                else:
                    readers[made, rows] += 1
                    operators[made, rows] |= np.uint64(1 << self.code_of[slot.operator])
        return readers, operators, is_output

    def _unread(self) -> NDArray[np.bool_]:
        """The layers that nothing reads at all: their output leaves."""
        unread = np.ones(self.kernel.shape, dtype=bool)
        for slot in self.layers.slots:
            for made in slot.operands:
                unread[made, slot.rows] = False
        return unread

    def leave(self, rows: Ints, sources: Sources) -> None:
        """The outputs of these layers leave their kernels."""
        for column in sources.slots.T:
            self.leaves[column, rows] = True  # row -1 stands for the input, where it means nothing

    # Asking ------------------------------------------------------------------------------------------

    def sources(self, rows: Ints, made: Ints) -> Sources:
        """The layers behind the tensors that slots ``made`` hand out in these networks."""
        single = self.source[made, rows].astype(np.int64)
        if not self.several or not (single == -2).any():
            return Sources(single[:, None], (single >= 0).astype(np.int64))
        width = max(item.shape[1] for item in self.several.values())
        slots = np.full((len(rows), width), -1, dtype=np.int64)
        slots[:, 0] = single
        for number in np.unique(made[single == -2]).tolist():
            part = np.flatnonzero((made == number) & (single == -2))
            known = self.several[number]
            slots[part, : known.shape[1]] = known[rows[part]]
        return Sources(slots, (slots >= 0).sum(axis=1))

    def kernels_of(self, rows: Ints, sources: Sources) -> Ints:
        """The kernels of sources, shape (m, width); -1 where there is none."""
        slots = sources.slots
        found = self.kernel[slots, rows[:, None]].astype(np.int64)
        return np.where(slots >= 0, found, -1)

    def needs(self, rows: Ints, kernels: Ints) -> Words:
        """Bits of the kernels that must have run before any of these, shape (m, n_words)."""
        needed = np.zeros((len(rows), self.ancestors.shape[2]), dtype=np.uint64)
        for column in kernels.T:
            # Row n_slots has no ancestors, so that -1 asks for none.
            needed |= self.ancestors[column, rows]
        return needed

    # Acting ------------------------------------------------------------------------------------------

    def vanish(self, number: int, rows: Ints, operands: list[Ints], sources: list[Sources]) -> None:
        """The layers are no work: who reads them reads their operands."""
        if len(operands) == 1:
            self.source[number, rows] = self.source[operands[0], rows]
            self.origin[number, rows] = self.origin[operands[0], rows]
            if (self.source[number, rows] == -2).any():
                self._keep_several(number, rows, sources[0].slots)
            return
        if not operands:
            self.source[number, rows] = -1
            return
        slots = np.concatenate([item.slots for item in sources], axis=1)
        for column in range(1, slots.shape[1]):
            known = (slots[:, :column] == slots[:, column : column + 1]).any(axis=1)
            slots[known, column] = -1
        order = np.argsort(slots < 0, axis=1, kind="stable")
        slots = np.take_along_axis(slots, order, axis=1)
        counts = (slots >= 0).sum(axis=1)
        self.source[number, rows] = np.where(counts > 1, -2, slots[:, 0])
        self._keep_several(number, rows, slots)

    def _keep_several(self, number: int, rows: Ints, slots: Ints) -> None:
        kept = np.full((self.kernel.shape[1], slots.shape[1]), -1, dtype=np.int64)
        kept[rows] = slots
        self.several[number] = kept

    def open(self, number: int, rows: Ints, sources: list[Sources]) -> None:
        """The layers start kernels of their own."""
        for item in sources:
            kernels = self.kernels_of(rows, item)
            needed = self.needs(rows, kernels)
            _set_bits(needed, kernels)
            self.ancestors[number, rows] |= needed
            self.leave(rows, item)
        self.kernel[number, rows] = number
        self.n_layers[number, rows] = 1
        self.primary[number, rows] = number
        self.operators[number, rows] = np.uint64(1 << int(self.operator[number]))

    def join(self, number: int, rows: Ints, kernels: Ints, sources: list[Sources]) -> None:
        """The layers become parts of these kernels."""
        places = self.n_layers[kernels, rows]
        if len(places) and int(places.max()) >= MAX_KERNEL_LAYERS:
            raise NotVectorisedError(f"a kernel of more than {MAX_KERNEL_LAYERS} layers")
        self.kernel[number, rows] = kernels
        self.place[number, rows] = places
        self.n_layers[kernels, rows] = places + 1
        code = int(self.operator[number])
        self.operators[kernels, rows] |= np.uint64(1 << code)
        primary = self.primary[kernels, rows]
        better = self.rank_of[code] < self.rank_of[self.operator[primary]]
        self.primary[kernels, rows] = np.where(better, number, primary)
        if len(sources) == 1 and sources[0].slots.shape[1] == 1:
            return  # nothing but the kernel itself feeds the layer
        added = np.zeros((len(rows), self.ancestors.shape[2]), dtype=np.uint64)
        for item in sources:
            others = self.kernels_of(rows, item)
            outside = others != kernels[:, None]
            self.leave(rows, Sources(np.where(outside, item.slots, -1), item.counts))
            others = np.where(outside, others, -1)
            added |= self.needs(rows, others)
            _set_bits(added, others)
        self._add_ancestors(number, rows, kernels, added)

    def _add_ancestors(self, number: int, rows: Ints, kernels: Ints, added: Words) -> None:
        """The kernels, and all that need them, need these too."""
        known = self.ancestors[kernels, rows]
        grown = ((added & ~known) != 0).any(axis=1)
        rows, kernels, needed = rows[grown], kernels[grown], (known | added)[grown]
        if not len(rows):
            return
        self.ancestors[kernels, rows] = needed
        word, bit = kernels >> 6, np.uint64(1) << (kernels & 63).astype(np.uint64)
        first = int(kernels.min())
        for later in range(first + 1, number + 1):
            has = (self.ancestors[later, rows, word] & bit) != 0
            if has.any():
                self.ancestors[later, rows[has]] |= needed[has]


def _set_bits(bits: Words, kernels: Ints) -> None:
    """Set the bits of these kernels, shape (m, width), in rows of words; -1 sets none."""
    at = np.arange(len(bits))
    for column in kernels.T:
        known = column >= 0
        if known.all():
            bits[at, column >> 6] |= np.uint64(1) << (column & 63).astype(np.uint64)
        elif known.any():
            some = column[known]
            bits[at[known], some >> 6] |= np.uint64(1) << (some & 63).astype(np.uint64)
