"""The walk of `annette.models.mapping_walk` over a whole population at once, slot after slot.

State lives in arrays over addresses (`annette.estimation.population.layers`). A kernel is known by the
address of the layer that opened it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.layers import PopulationLayers, Slot
from annette.estimation.population.signatures import Signatures
from annette.graph.operators import primary_rank
from annette.zoo.spaces.built_pieces import distinct_values

__all__ = ["NOBODY", "PopulationWalk", "Sources"]

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Mask = NDArray[np.bool_]

NOBODY, SEVERAL = -1, -2
"""In place of the address of the layer that computes a tensor: it is the network's input; it is made of the
outputs of several."""
MAX_OPERATORS = 63
"""Sets of operators are bits of a word."""
MAX_KERNEL_LAYERS = 60
"""What leaves a kernel is bits of a word."""
MAX_SOURCES = 64
"""Layers whose outputs, joined by layers that vanish, make one tensor."""
WORD = 64
_ONE = np.uint64(1)


@dataclass(frozen=True, slots=True)
class Sources:
    """The layers that compute one operand in each of some networks, vanished layers looked through."""

    columns: tuple[Ints, ...]
    """Addresses, shape (m,) each; `NOBODY` where a network has fewer than there are columns."""

    @property
    def counts(self) -> Ints:
        """How many there are, shape (m,); 0 for the network's input."""
        found = (self.columns[0] >= 0).astype(np.int64)
        for column in self.columns[1:]:
            found += column >= 0
        return found

    def take(self, at: Ints) -> Sources:
        """Those of some of the networks."""
        return Sources(tuple(column[at] for column in self.columns))


class PopulationWalk:
    """The state of one pass over a population."""

    def __init__(self, layers: PopulationLayers, signatures: Signatures, transparent: frozenset[str]) -> None:
        """A walk before its first slot; ``transparent`` as for `annette.models.mapping_walk.GraphView`."""
        self.layers = layers
        self.signatures = signatures
        self.n = layers.n_networks
        self.size = int(layers.starts[-1]) + 2  # two more, for `NOBODY` and `SEVERAL` as indices
        self.words = tuple(dict.fromkeys(slot.operator for slot in layers.slots))
        if len(self.words) > MAX_OPERATORS:
            raise NotVectorisedError(f"{len(self.words)} operators, at most {MAX_OPERATORS} fit a word")
        self.code_of = {word: code for code, word in enumerate(self.words)}
        self.operator_of = np.array([self.code_of.get(word, -1) for word in signatures.operators])
        """Code of the operator by signature."""
        ends = np.zeros(self.n, dtype=np.int64), np.zeros(2, dtype=np.int64)
        self.signature = np.concatenate([ends[0], *(slot.signatures for slot in layers.slots), ends[1]])
        self.kind = signatures.kinds()[self.signature]
        """Of layers, as a position in `Signatures.kind_names`."""
        self.primary_kind = self.kind.copy()
        """Of a kernel's primary layer."""
        self.source = np.arange(self.size)
        """The layer that computes what a layer hands out, or `NOBODY`, or `SEVERAL`."""
        self.source[: self.n] = NOBODY
        self.origin: Ints | None = None
        """The layer behind a tensor when vanished layers of one operand are looked through; ``None``: nothing
        has vanished yet, so that it is the tensor's own."""
        self._several: dict[int, tuple[Ints, ...]] = {}
        self.kernel = np.arange(self.size)
        """As long as nothing else is decided a layer is a kernel by itself."""
        self.kernel[: self.n] = self.kernel[-2:] = -1
        self.place = np.zeros(self.size, dtype=np.int32)
        """Number of a layer in its kernel."""
        self.n_layers = np.ones(self.size, dtype=np.int32)
        """Of kernels, as all that follows."""
        self.primary = self.kernel.copy()
        bits = [0, *(1 << self.code_of[slot.operator] for slot in layers.slots), 0]
        counts = [self.n, *(len(slot.layers) for slot in layers.slots), 2]
        self.operators = np.repeat(np.array(bits, dtype=np.uint64), counts)
        last_use = _last_use(layers, self.size)
        self.leaves = last_use < 0
        """Whether the output of a layer is read outside its kernel, or by nobody at all."""
        self._starts, longest = _epochs(layers, last_use)
        self._first, self._start = 1, self.n
        """The first slot of the epoch that the walk is in, and the address with which it begins."""
        places = [(number - start) % WORD for number, start in enumerate(self._starts)]
        self._bits = _ONE << np.array(places, dtype=np.uint64)
        """By slot what stands for a kernel in the words of its epoch."""
        self._closures = [np.zeros(self.size, dtype=np.uint64) for _ in range(-(-longest // WORD))]
        """A kernel and those of its epoch that must have run before, as bits of words."""
        self.readers = np.zeros(self.size, dtype=np.int32)
        """How many layers read a layer's output, transparent ones looked through."""
        self.next_operators = np.zeros(self.size, dtype=np.uint64)
        self.is_output = np.zeros(self.size, dtype=bool)
        self._find_readers(transparent)
        rank = np.array([primary_rank(word) for word in self.words])
        self._rank_of = np.where(self.operator_of >= 0, rank[self.operator_of], 0)

    def _find_readers(self, transparent: frozenset[str]) -> None:
        self.is_output[self.layers.outputs] = True
        for slot in reversed(self.layers.slots):
            bit = _ONE << np.uint64(self.code_of[slot.operator])
            for place, made in enumerate(slot.operands):
                own = slot.layers
                for other in slot.operands[:place]:  # a layer that reads a tensor twice reads it once
                    made, own = made[made != other], own[made != other]
                if slot.operator in transparent:
                    self.readers[made] += self.readers[own]
                    self.next_operators[made] |= self.next_operators[own]
                    self.is_output[made] |= self.is_output[own]
                else:
                    self.readers[made] += 1
                    self.next_operators[made] |= bit

    # Asking ------------------------------------------------------------------------------------------

    def sources(self, made: Ints) -> Sources:
        """The layers that compute these tensors."""
        single = self.source[made]
        if not self._several or not (single == SEVERAL).any():
            return Sources((single,))
        width = max(map(len, self._several.values()))
        columns = [single, *(np.full(len(made), NOBODY) for _ in range(width - 1))]
        slots = np.where(single == SEVERAL, self.layers.slot_of[made], -1)
        for number in distinct_values(slots[slots >= 0]):
            part = np.flatnonzero(slots == number)
            for column, known in zip(columns, self._several[number], strict=False):
                column[part] = known[made[part] - self.layers.starts[number]]
        return Sources(tuple(columns))

    def kernels_of(self, column: Ints) -> Ints:
        """The kernels of layers; -1 for nobody's."""
        return self.kernel[column]  # the last addresses are nobody's

    def origins(self, made: Ints) -> Ints:
        """The layers behind tensors when vanished layers of one operand are looked through."""
        return made if self.origin is None else self.origin[made]

    def enter(self, number: int) -> None:
        """Go on to a slot."""
        self._first = self._starts[number]
        self._start = int(self.layers.starts[self._first])

    def must_wait(self, kernel: Ints, others: list[Ints]) -> Mask:
        """Whether one of ``others`` (-1: none) is a kernel that needs ``kernel`` to have run before."""
        older = kernel < self._start
        bit = self._bits[self.layers.slot_of[kernel]]
        word = self._word_of(kernel) if len(self._closures) > 1 else None
        waits = np.zeros(len(kernel), dtype=bool)
        for other in others:
            needs = older.copy()  # what the epoch opened needs the kernel whose tensor it began with
            for number, closures in enumerate(self._closures):
                hit = (closures[other] & bit) != 0
                needs |= hit if word is None else hit & (word == number)
            waits |= needs & (other >= self._start) & (other != kernel)
        return waits

    def _word_of(self, kernels: Ints) -> Ints:
        """The word in which each kernel of the epoch has its bit; of no other any meaning."""
        found: Ints = (self.layers.slot_of[np.minimum(kernels, self.size - 3)] - self._first) // WORD
        return found

    def _needs(self, kernels: Ints) -> list[Words]:
        """Bits of each kernel and of those that it needs; none of kernels before the epoch, and of -1."""
        current = kernels >= self._start
        return [np.where(current, closures[kernels], np.uint64(0)) for closures in self._closures]

    # Acting ------------------------------------------------------------------------------------------

    def vanish(self, number: int, own: Ints, operands: list[Ints], sources: list[Sources]) -> None:
        """Layers of a slot are no work: who reads them reads their operands.

        Raises
        ------
        NotVectorisedError
            If nobody does: what feeds them then leaves its kernel or not, by how they are looked through.
        """
        if (self.leaves[own] & ~self.is_output[own]).any():
            raise NotVectorisedError("a layer that vanishes is read by nobody")
        self.kernel[own] = -1
        if self.origin is None:
            self.origin = np.arange(self.size)
        if not operands:
            self.source[own] = NOBODY
            return
        if len(operands) == 1:
            self.source[own] = self.source[operands[0]]
            self.origin[own] = self.origin[operands[0]]
            if len(sources[0].columns) > 1:
                self._keep_several(number, own, sources[0].columns)
            return
        columns = np.stack([column for item in sources for column in item.columns])
        for place in range(1, len(columns)):
            columns[place, (columns[:place] == columns[place]).any(axis=0)] = NOBODY
        columns = np.take_along_axis(columns, np.argsort(columns < 0, axis=0, kind="stable"), axis=0)
        width = max(2, int((columns >= 0).sum(axis=0).max()))
        if width > MAX_SOURCES:
            raise NotVectorisedError(f"a tensor made by more than {MAX_SOURCES} layers")
        self.source[own] = np.where(columns[1] >= 0, SEVERAL, columns[0])
        self._keep_several(number, own, tuple(columns[:width]))

    def _keep_several(self, number: int, own: Ints, columns: tuple[Ints, ...]) -> None:
        kept = []
        for column in columns:
            full = np.full(len(self.layers.slots[number - 1].rows), NOBODY)
            full[own - self.layers.starts[number]] = column
            kept.append(full)
        self._several[number] = tuple(kept)

    def open(self, number: int, own: Ints, sources: list[Sources]) -> None:
        """Layers of a slot start kernels of their own."""
        needed: list[Words] | None = None
        for item in sources:
            for column in item.columns:
                more = self._needs(self.kernel[column])
                needed = more if needed is None else [x | y for x, y in zip(needed, more, strict=True)]
                self.leaves[column] = True  # -1 stands for nobody, of whom nobody asks
        place = number - self._starts[number]
        bit = _ONE << np.uint64(place % WORD)
        for word, closures in enumerate(self._closures):
            words = np.uint64(0) if needed is None else needed[word]
            closures[own] = words | bit if word == place // WORD else words

    def join(self, slot: Slot, own: Ints, kernels: Ints, sources: list[Sources]) -> None:
        """Layers of a slot become parts of these kernels."""
        places = self.n_layers[kernels]
        if len(places) and int(places.max()) >= MAX_KERNEL_LAYERS:
            raise NotVectorisedError(f"a kernel of more than {MAX_KERNEL_LAYERS} layers")
        self.kernel[own] = kernels
        self.place[own] = places
        self.n_layers[kernels] = places + 1
        self.operators[kernels] |= _ONE << np.uint64(self.code_of[slot.operator])
        primary = self.primary[kernels]
        better = primary_rank(slot.operator) < self._rank_of[self.signature[primary]]
        if better.any():
            self.primary[kernels[better]] = own[better]
            self.primary_kind[kernels[better]] = self.kind[own[better]]
        if len(sources) == 1 and len(sources[0].columns) == 1:
            return  # nothing but the kernel itself feeds the layer
        added = [np.zeros(len(own), dtype=np.uint64) for _ in self._closures]
        for item in sources:
            for column in item.columns:
                others = self.kernel[column]
                outside = others != kernels
                self.leaves[column[outside]] = True
                for word, needed in enumerate(self._needs(np.where(outside, others, -1))):
                    added[word] |= needed
        self._add_ancestors(own, kernels, added)

    def _add_ancestors(self, own: Ints, kernels: Ints, added: list[Words]) -> None:
        """The kernels, and all that need them, need these too."""
        grown = np.zeros(len(own), dtype=bool)
        for closures, more in zip(self._closures, added, strict=True):
            grown |= (more & ~closures[kernels]) != 0
        # A kernel from before the epoch gains nothing: whatever the epoch opened needs it already.
        at = np.flatnonzero(grown & (kernels >= self._start))
        if not len(at):
            return
        kernels, rows = kernels[at], self.layers.row_of[own[at]]
        first = int(self.layers.starts[self.layers.slot_of[kernels.min()]])
        later = slice(
            first, int(own[0])
        )  # all that was opened since, and what is no kernel, which has no bits
        row_of = self.layers.row_of[later]
        bits, word = self._bits[self.layers.slot_of[kernels]], self._word_of(kernels)
        bit_of = np.zeros(self.n, dtype=np.uint64)
        has = np.zeros(len(row_of), dtype=bool)
        for number, closures in enumerate(self._closures):
            bit_of[rows] = bits if len(self._closures) == 1 else np.where(word == number, bits, np.uint64(0))
            has |= (closures[later] & bit_of[row_of]) != 0
        needing = np.flatnonzero(has)
        row_of, needing = row_of[needing], needing + first
        for closures, more in zip(self._closures, added, strict=True):
            bit_of[rows] = closures[kernels] | more[at]
            closures[needing] |= bit_of[row_of]


def _last_use(layers: PopulationLayers, size: int) -> Ints:
    """The last slot that reads what each layer hands out, over addresses; -1 where none does."""
    last_use = np.full(size, -1)
    for number, slot in enumerate(layers.slots, start=1):
        for made in slot.operands:
            last_use[made] = number
    return last_use


def _epochs(layers: PopulationLayers, last_use: Ints) -> tuple[list[int], int]:
    """The slot with which the epoch of each slot begins, and the length of the longest epoch.

    An epoch begins where no network has more than one tensor that was made before and is read later. All that
    comes later then needs whatever made that tensor, so that what needs what is asked within an epoch only.
    """
    n, n_slots = layers.n_networks, len(layers.slots)
    if not all(slot.operands for slot in layers.slots):
        return [1] * (n_slots + 1), n_slots  # a layer that needs nothing may run at any time
    last = last_use
    last[layers.outputs] = n_slots + 1
    until = last[:n].copy()  # the last slot that reads a tensor which was made so far, by network
    overlap = np.zeros(n_slots + 2, dtype=np.int64)  # steps of how many slots have two tensors to wait for
    for number, slot in enumerate(layers.slots, start=1):
        own = last[layers.starts[number] : layers.starts[number + 1]]
        before = until if len(slot.rows) == n else until[slot.rows]
        both = int(np.minimum(own, before).max(initial=-1))
        if both > number:
            overlap[number + 1] += 1
            overlap[both + 1] -= 1
        if before is until:
            np.maximum(until, own, out=until)
        else:
            until[slot.rows] = np.maximum(before, own)
    starts, start, longest = [1], 1, 1
    for number, waiting in enumerate(np.cumsum(overlap)[1 : n_slots + 1].tolist(), start=1):
        if not waiting:
            start = number
        starts.append(start)
        longest = max(longest, number - start + 1)
    return starts, longest
