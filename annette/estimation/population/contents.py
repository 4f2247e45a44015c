"""What the kernels of a mapped population consist of: one number for kernels that are equal to the device.

Two kernels have the same content where they have the same layers, wired alike, hand out the same of their
tensors and run on the same unit: the row of `annette.models.kernel_table` is then the same. A content is a
64-bit hash; among a million contents two share one with a probability of 3e-8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.decisions import MappedPopulation
from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.signatures import Signature
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Layer, Network, Tensor

__all__ = ["KernelContents", "kernel_contents"]

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

_MOST_EXTERNAL = 16
"""Tensors that a kernel of several layers may read from outside."""
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, slots=True)
class KernelContents:
    """All kernels of a population."""

    mapped: MappedPopulation
    network: Ints
    """Which network each kernel belongs to, shape (n_kernels,)."""
    slot: Ints
    """The slot that opened it, shape (n_kernels,)."""
    content: Words
    """Its content, shape (n_kernels,)."""
    unit: NDArray[np.object_]
    """Where it runs, shape (n_kernels,)."""

    def cut_out(self, number: int) -> tuple[Network, Mapping]:
        """One kernel as a network of its own: what it reads from outside are inputs, what leaves outputs."""
        walk = self.mapped.walk
        row, opener = int(self.network[number]), int(self.slot[number])
        slots = np.flatnonzero(walk.kernel[:-1, row] == opener).tolist()
        tensors: dict[str, Tensor] = {}
        layers: list[Layer] = []
        inputs: dict[str, None] = {}
        outputs: list[str] = []
        for slot in slots:
            made = [int(item[np.searchsorted(walk.layers.slots[slot].rows, row)])
                    for item in walk.layers.slots[slot].operands]  # fmt: skip
            names = [f"t{item}" for item in made]
            layer, own = _named(walk.signatures.items[walk.signature[slot, row]], slot, names)
            for tensor in own:
                tensors.setdefault(tensor.name, tensor)
            inside = {f"t{item}" for item in slots}
            inputs.update(dict.fromkeys(name for name in names if name not in inside))
            layers.append(layer)
            if walk.leaves[slot, row]:
                outputs.append(f"t{slot}")
        network = Network(
            name="kernel", inputs=tuple(inputs), outputs=tuple(outputs), layers=tuple(layers), tensors=tensors
        )
        kernel = Kernel(
            layers=tuple(layer.name for layer in layers),
            primary=f"layer {int(walk.primary[opener, row])}",
            unit=str(self.unit[number]),
        )
        return network, Mapping(kernels=(kernel,))


def _named(item: Signature, slot: int, names: list[str]) -> tuple[Layer, list[Tensor]]:
    """A signature's layer and tensors under the names that they have in a cut-out."""
    called = dict(zip(item.operands, names, strict=True))
    called["out"] = f"t{slot}"
    for tensor in item.tensors:
        called.setdefault(tensor.name, f"{tensor.name} of {slot}")
    layer = item.layer
    named = Layer(
        name=f"layer {slot}", op_type=layer.op_type, domain=layer.domain,
        inputs=tuple(called[name] if name else "" for name in layer.inputs), outputs=(called["out"],),
        attributes=layer.attributes,
    )  # fmt: skip
    tensors = [
        Tensor(
            name=called[item.name], shape=item.shape, dtype=item.dtype, is_constant=item.is_constant,
            value=item.value, stored_dtype=item.stored_dtype,
        )
        for item in item.tensors
    ]  # fmt: skip
    return named, tensors


def kernel_contents(mapped: MappedPopulation) -> KernelContents:
    """The kernels of a mapped population with their contents.

    Raises
    ------
    NotVectorisedError
        Where a kernel reads one tensor in two shapes, or more tensors than fit.
    """
    walk = mapped.walk
    everyone = np.arange(walk.layers.n_networks)
    walk.leave(everyone, walk.sources(everyone, walk.layers.outputs))
    content = np.zeros(walk.kernel.shape, dtype=np.uint64)
    leaving = np.zeros(walk.kernel.shape, dtype=np.uint64)
    external = _External(walk.kernel.shape)
    shapes = _shape_numbers(mapped)
    for number, slot in enumerate(walk.layers.slots):
        at = np.flatnonzero(walk.kernel[number, slot.rows] >= 0)
        rows = slot.rows[at]
        kernels = walk.kernel[number, rows].astype(np.int64)
        place = walk.place[number, rows].astype(np.uint64)
        leaving[kernels, rows] |= walk.leaves[number, rows].astype(np.uint64) << place
        word = _mix(content[kernels, rows] + slot.signatures[at].astype(np.uint64) * _STEP)
        for item in slot.operands:
            made = item[at]
            origin = walk.origin[made, rows].astype(np.int64)
            inside = walk.kernel[origin, rows] == kernels
            if (inside & (origin != made)).any():
                raise NotVectorisedError("a view inside a kernel")
            code = np.where(inside, walk.place[origin, rows], 64).astype(np.int64)
            out = np.flatnonzero(~inside)
            code[out] += external.index(kernels[out], rows[out], made[out], origin[out])
            word = _mix(word + (code * 65_536 + shapes[origin, rows]).astype(np.uint64) * _STEP)
        content[kernels, rows] = word
    opened = walk.n_layers > 0
    slots, networks = np.nonzero(opened)
    units = mapped.units(networks, slots)
    labels, unit_codes = np.unique(units.astype(str), return_inverse=True)
    salt = np.array([_text_hash(label) for label in labels.tolist()], dtype=np.uint64)[unit_codes]
    found = _mix(_mix(content[slots, networks] + salt) + leaving[slots, networks] * _STEP)
    return KernelContents(mapped, networks, slots, found, units)


class _External:
    """The tensors that each kernel reads from outside, in the order in which its layers ask for them."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.made = np.full((1, *shape), -1, dtype=np.int32)
        self.origin = np.full((1, *shape), -1, dtype=np.int32)
        self.counts = np.zeros(shape, dtype=np.int8)

    def index(self, kernels: Ints, rows: Ints, made: Ints, origin: Ints) -> Ints:
        """Which of its kernel's tensors each is, from 0, shape (m,); new ones are added."""
        counts = self.counts[kernels, rows].astype(np.int64)
        found = counts.copy()
        most = int(counts.max(initial=0))
        for place in range(most):
            same = (counts > place) & (self.origin[place, kernels, rows] == origin)
            if (same & (self.made[place, kernels, rows] != made)).any():
                raise NotVectorisedError("a kernel reads one tensor in two shapes")
            found[same] = place
        if most >= _MOST_EXTERNAL:
            raise NotVectorisedError(f"a kernel reads more than {_MOST_EXTERNAL} tensors")
        if most >= len(self.made):
            more = np.full((1, *self.counts.shape), -1, dtype=np.int32)
            self.made, self.origin = np.concatenate([self.made, more]), np.concatenate([self.origin, more])
        new = np.flatnonzero(found == counts)
        self.made[counts[new], kernels[new], rows[new]] = made[new]
        self.origin[counts[new], kernels[new], rows[new]] = origin[new]
        self.counts[kernels[new], rows[new]] += 1
        return found


def _shape_numbers(mapped: MappedPopulation) -> NDArray[np.int64]:
    """The shape of the tensor that each layer makes, and of the input, shape (n_slots + 1, n_networks)."""
    walk = mapped.walk
    shapes: Ints = walk.signatures.output_shapes()[walk.signature]
    shapes[-1] = walk.layers.input_shapes
    return shapes


def _mix(words: Words) -> Words:
    """Scrambled words (the finaliser of SplitMix64: Steele, Lea, Flood, OOPSLA 2014)."""
    words = words + _STEP
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


def _text_hash(text: str) -> int:
    found = 0
    for letter in text.encode():
        found = (found * 1_000_003 + letter + 1) & 0xFFFF_FFFF_FFFF_FFFF
    return found
