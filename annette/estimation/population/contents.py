"""What the kernels of a mapped population consist of: one number for kernels that are equal to the device.

Two kernels have the same content where they have the same layers, wired alike, hand out the same of their
tensors and run on the same unit: the row of `annette.models.kernel_table` is then the same. A content is a
64-bit hash; among a million contents two share one with a probability of 3e-8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.decisions import PopulationMapper
from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.layers import PopulationLayers, Slot
from annette.estimation.population.signatures import Signature, Signatures
from annette.estimation.population.walk import PopulationWalk
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Layer, Network, Tensor
from annette.models.mapping_model import MappingModel

__all__ = ["KernelContents", "map_population"]

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

_MOST_EXTERNAL = 16
"""Tensors that a kernel of several layers may read from outside."""
_OUTSIDE = 64
"""Codes of tensors from outside begin here; below are the layers of the kernel itself."""
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, slots=True)
class KernelContents:
    """All kernels of a mapped population."""

    walk: PopulationWalk
    kernel: Ints
    """Address of the layer that opened each, shape (n_kernels,)."""
    content: Words
    """Its content, shape (n_kernels,)."""
    unit: Ints
    """Where it runs, as a position in `unit_names`, shape (n_kernels,)."""
    unit_names: tuple[str, ...]

    @property
    def network(self) -> Ints:
        """Which network each kernel belongs to, shape (n_kernels,)."""
        found: Ints = self.walk.layers.row_of[self.kernel]
        return found

    def _layers_of(self, opener: int) -> Ints:
        """Addresses of all layers of a kernel, ascending."""
        walk, starts = self.walk, self.walk.layers.starts
        slot, n_slots = int(walk.layers.slot_of[opener]), 1
        while True:  # the layers of most kernels are close together
            end = min(slot + n_slots, len(starts) - 1)
            found: Ints = opener + np.flatnonzero(walk.kernel[opener : starts[end]] == opener)
            if len(found) == walk.n_layers[opener] or end == len(starts) - 1:
                return found
            n_slots *= 8

    def cut_out(self, number: int) -> tuple[Network, Mapping]:
        """One kernel as a network of its own: what it reads from outside are inputs, what leaves outputs."""
        walk = self.walk
        opener = int(self.kernel[number])
        slot_of = walk.layers.slot_of
        own = self._layers_of(opener)
        inside = {f"t{slot}" for slot in slot_of[own].tolist()}
        tensors: dict[str, Tensor] = {}
        layers: list[Layer] = []
        inputs: dict[str, None] = {}
        outputs: list[str] = []
        for address in own.tolist():
            place = int(slot_of[address])
            slot, at = walk.layers.slots[place - 1], address - int(walk.layers.starts[place])
            names = [f"t{slot_of[made[at]]}" for made in slot.operands]
            layer, named = _named(walk.signatures.items[walk.signature[address]], place, names)
            tensors.update({item.name: item for item in named if item.name not in tensors})
            inputs.update(dict.fromkeys(name for name in names if name not in inside))
            layers.append(layer)
            if walk.leaves[address]:
                outputs.append(f"t{place}")
        network = Network(
            name="kernel", inputs=tuple(inputs), outputs=tuple(outputs), layers=tuple(layers), tensors=tensors
        )
        kernel = Kernel(
            layers=tuple(layer.name for layer in layers),
            primary=f"layer {slot_of[walk.primary[opener]]}",
            unit=self.unit_names[int(self.unit[number])],
        )
        return network, Mapping(kernels=(kernel,))


def _named(item: Signature, slot: int, names: list[str]) -> tuple[Layer, list[Tensor]]:
    """A signature's layer and tensors under the names that they have in a cut-out."""
    called = dict(zip(item.operands, names, strict=True))
    called["out"] = f"t{slot}"
    for tensor in item.tensors:
        called.setdefault(tensor.name, f"{tensor.name} of {slot}")
    layer = item.layer
    inputs = tuple([called[name] if name else "" for name in layer.inputs])
    named = layer.rewired(f"layer {slot}", inputs, (called["out"],))
    return named, [tensor.renamed(called[tensor.name]) for tensor in item.tensors]


def map_population(layers: PopulationLayers, signatures: Signatures, model: MappingModel) -> KernelContents:
    """The kernels of every network of a population under a mapping model, with their contents.

    Raises
    ------
    NotVectorisedError
        If the mapping model needs what arrays do not carry, or a kernel reads one tensor in two shapes, or
        more tensors than fit.
    """
    mapper = PopulationMapper(layers, signatures, model)
    content = _Contents(mapper.walk)
    for number, slot in enumerate(layers.slots, start=1):
        opened, joined = mapper.decide(number, slot)
        content.open(slot, opened)
        content.join(slot, joined)
    return content.finish(mapper)


class _Contents:
    """The hashes of kernels while these grow."""

    def __init__(self, walk: PopulationWalk) -> None:
        self.walk = walk
        self.hashes = np.zeros(walk.size, dtype=np.uint64)
        numbers = np.arange(len(walk.signatures.items), dtype=np.uint64)
        self.words = _mix(numbers * _STEP)
        """By signature."""
        self.opened_words = _mix(self.words + _word(_OUTSIDE))
        """The same of layers that open a kernel and read one tensor."""
        self.shapes: Ints | None = None
        # The tensors that each kernel reads from outside, in the order in which its layers ask for them.
        self.made = [np.full(walk.size, -1)]
        self.counts = np.zeros(walk.size, dtype=np.int64)
        self.opened: list[Ints] = []
        self.joined: list[Ints] = []

    def open(self, slot: Slot, at: Ints) -> None:
        """Layers of a slot have opened kernels."""
        if not len(at):
            return
        own, made = slot.layers[at], [item[at] for item in slot.operands]
        self.opened.append(own)
        if len(made) == 1:
            self.made[0][own], self.counts[own] = made[0], 1
            words = self.opened_words[slot.signatures[at]]
            self.hashes[own] = self._looked_through(words, made[0])
        else:
            self.hashes[own] = _mix(self._wired(self.words[slot.signatures[at]], own, made))

    def join(self, slot: Slot, at: Ints) -> None:
        """Layers of a slot have joined kernels."""
        if not len(at):
            return
        own, made = slot.layers[at], [item[at] for item in slot.operands]
        self.joined.append(own)
        kernels = self.walk.kernel[own]
        words = self.hashes[kernels] + self.words[slot.signatures[at]]
        self.hashes[kernels] = _mix(self._wired(words, kernels, made))

    def _wired(self, words: Words, kernels: Ints, made: list[Ints]) -> Words:
        """The words, with how the layers are wired to their kernels stirred in."""
        walk = self.walk
        for item in made:
            origin = walk.origins(item)
            inside = walk.kernel[origin] == kernels
            if (inside & (origin != item)).any():
                raise NotVectorisedError("a view inside a kernel")
            code = walk.place[origin]
            out = np.flatnonzero(~inside)
            code[out] = _OUTSIDE + self._outside(kernels[out], item[out])
            words = self._looked_through(_mix(words) + code.astype(np.uint64) * _STEP, item)
        return words

    def _looked_through(self, words: Words, made: Ints) -> Words:
        """The words; where a tensor is read through vanished layers its shape before them is stirred in."""
        origin = self.walk.origins(made)
        if origin is made or (made == origin).all():
            return words
        if self.shapes is None:
            self.shapes = self.walk.signatures.output_shapes()[self.walk.signature]
            self.shapes[: self.walk.n] = self.walk.layers.input_shapes
        stirred = _mix(words) + (self.shapes[origin].astype(np.uint64) + np.uint64(1)) * _STEP
        return np.where(made == origin, words, stirred)

    def _outside(self, kernels: Ints, made: Ints) -> Ints:
        """Which of its kernel's tensors from outside each is, from 0, shape (m,); new ones are added."""
        counts = self.counts[kernels]
        found = counts.copy()
        most = int(counts.max(initial=0))
        origin = self.walk.origins(made)
        for place in range(most):
            known = self.made[place][kernels]
            same = (counts > place) & (self.walk.origins(known) == origin)
            if (same & (known != made)).any():
                raise NotVectorisedError("a kernel reads one tensor in two shapes")
            found[same] = place
        if most >= _MOST_EXTERNAL:
            raise NotVectorisedError(f"a kernel reads more than {_MOST_EXTERNAL} tensors")
        if most >= len(self.made):
            self.made.append(np.full(self.walk.size, -1))
        for place in range(most + 1):
            new = np.flatnonzero((found == counts) & (counts == place))
            self.made[place][kernels[new]] = made[new]
            self.counts[kernels[new]] += 1
        return found

    def finish(self, mapper: PopulationMapper) -> KernelContents:
        """The kernels, once all layers have their place."""
        walk = self.walk
        for column in walk.sources(walk.layers.outputs).columns:
            walk.leaves[column] = True
        kernels = np.concatenate([np.empty(0, dtype=np.int64), *self.opened])
        leaving = np.zeros(walk.size, dtype=np.uint64)
        for layers in self.joined:
            place = walk.place[layers].astype(np.uint64)
            leaving[walk.kernel[layers]] |= walk.leaves[layers].astype(np.uint64) << place
        units = mapper.units(kernels)
        salt = np.array([_text_hash(name) for name in mapper.unit_names], dtype=np.uint64)
        words = _mix(self.hashes[kernels] + (leaving[kernels] | walk.leaves[kernels]) * _STEP + salt[units])
        return KernelContents(walk, kernels, words, units, tuple(mapper.unit_names))


def _word(code: int) -> np.uint64:
    return np.uint64(code * int(_STEP) & 0xFFFF_FFFF_FFFF_FFFF)


def _mix(words: Words) -> Words:
    """Scrambled words (the finaliser of SplitMix64: Steele, Lea, Flood, OOPSLA 2014)."""
    words = words + _STEP  # a copy, on which all that follows works
    for shift, factor in ((np.uint64(30), _FIRST), (np.uint64(27), _SECOND)):
        words ^= words >> shift
        words *= factor
    words ^= words >> np.uint64(31)
    return words


def _text_hash(text: str) -> int:
    found = 0
    for letter in text.encode():
        found = (found * 1_000_003 + letter + 1) & 0xFFFF_FFFF_FFFF_FFFF
    return found
