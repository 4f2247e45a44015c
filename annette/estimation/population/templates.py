"""Templates: the layers of one piece of a search space with their wiring, built once, used for thousands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.signatures import Signatures
from annette.graph.network import Network
from annette.zoo.spaces.built_pieces import BuiltPieces
from annette.zoo.spaces.space import SearchSpace

__all__ = ["INPUT", "PORTS", "Layout", "Structure", "Template", "Templates"]

INPUT = -1
"""Reference code of the network's input."""
PORTS = -2
"""Reference code of a piece's first port; the others follow downwards."""

_MOST_LAYOUTS = 1024
"""Sets of structures whose layout is kept: which of them meet at a position is chance."""

Reference = tuple[str, int]
"""``("layer", j)``: output of the piece's layer j; ``("port", k)``: what the piece reads at port k;
``("input", 0)``: the network's input."""


@dataclass(frozen=True, slots=True)
class Structure:
    """What templates of different sizes have in common: operators and wiring."""

    operators: tuple[str, ...]
    """Operator keys of the layers."""
    operands: tuple[tuple[Reference, ...], ...]
    """What each layer reads as activations, in order."""
    output: Reference
    """What the piece hands on."""


@dataclass(frozen=True, slots=True)
class Template:
    """One piece: a structure and the signature of each layer."""

    structure: int
    """Number of the structure."""
    signatures: tuple[int, ...]
    """Numbers of the layers' signatures."""
    declared: int
    """Number of the network's input among the tensors of pieces, where this one declares it; else -1."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How pieces of different structures, one of which stands at a position of each network, share slots.

    A slot holds layers of one operator; each structure's layers are in it in their order, one a slot at most.
    """

    operators: tuple[str, ...]
    """By slot."""
    layers: NDArray[np.int64]
    """Shape (n_structures, n_slots): which of its layers a structure has in a slot; -1: none."""
    operands: tuple[NDArray[np.int64], ...]
    """By slot, shape (n_structures, n_operands): what the layer reads, as `reference codes`: the slot of a
    layer of the piece, `INPUT`, or `PORTS` less the number of a port."""
    outputs: NDArray[np.int64]
    """Shape (n_structures,): what the piece hands on, likewise."""


def _lay_out(structures: list[Structure]) -> Layout:
    shared: list[tuple[str, int]] = []
    places: dict[int, list[int]] = {}
    for number in sorted(range(len(structures)), key=lambda item: -len(structures[item].operators)):
        item = structures[number]
        keys = [(op, len(read)) for op, read in zip(item.operators, item.operands, strict=True)]
        own: list[int] = []
        start = 0
        for key in keys:
            if key in shared[start:]:
                place = shared.index(key, start)
            else:
                place = start
                shared.insert(place, key)
                places = {other: [at + (at >= place) for at in known] for other, known in places.items()}
            own.append(place)
            start = place + 1
        places[number] = own
    layers = np.full((len(structures), len(shared)), -1, dtype=np.int64)
    operands = [np.zeros((len(structures), count), dtype=np.int64) for _, count in shared]
    outputs = np.zeros(len(structures), dtype=np.int64)
    for number, item in enumerate(structures):
        own = places[number]
        for layer, place in enumerate(own):
            layers[number, place] = layer
            operands[place][number] = [_code(reference, own) for reference in item.operands[layer]]
        outputs[number] = _code(item.output, own)
    return Layout(tuple(op for op, _ in shared), layers, tuple(operands), outputs)


def _code(reference: Reference, places: list[int]) -> int:
    what, index = reference
    if what == "layer":
        return places[index]
    return INPUT if what == "input" else PORTS - index


class Templates:
    """The templates of one space met so far, numbered; grows, and never forgets."""

    def __init__(self, space: SearchSpace) -> None:
        """Nothing is met yet; the space is not kept alive."""
        self.signatures = Signatures()
        self.built = BuiltPieces(space, self._template)
        """The pieces, each with its template."""
        self.structures: list[Structure] = []
        """By number."""
        self._structure_numbers: dict[Structure, int] = {}
        self._structure_array: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._table: NDArray[np.int64] = np.empty((0, 0), dtype=np.int64)
        self._layouts: dict[tuple[int, ...], Layout] = {}

    @property
    def items(self) -> list[Template]:
        """By number."""
        return self.built.items

    def declared_numbers(self) -> NDArray[np.int64]:
        """Number of the input that each template declares, shape (n_templates,); -1 where none."""
        return np.array([item.declared for item in self.items], dtype=np.int64)

    def structure_numbers(self) -> NDArray[np.int64]:
        """Structure of each template, shape (n_templates,)."""
        if len(self._structure_array) < len(self.items):
            self._structure_array = np.array([item.structure for item in self.items], dtype=np.int64)
        return self._structure_array

    def signature_table(self) -> NDArray[np.int64]:
        """The signatures of each template's layers, shape (n_templates, most layers); 0 where none is."""
        if len(self._table) != len(self.items):
            width = max(len(item.signatures) for item in self.items)
            self._table = np.zeros((len(self.items), width), dtype=np.int64)
            for number, item in enumerate(self.items):
                self._table[number, : len(item.signatures)] = item.signatures
        return self._table

    def layout(self, structures: tuple[int, ...]) -> Layout:
        """The slots that pieces of these structures share."""
        found = self._layouts.get(structures)
        if found is None:
            if len(self._layouts) >= _MOST_LAYOUTS:
                self._layouts.clear()
            found = self._layouts[structures] = _lay_out([self.structures[number] for number in structures])
        return found

    def _template(self, network: Network, n_ports: int) -> Template:
        """The template of a piece that is given as a network, the first inputs of which are its ports."""
        own = network.inputs[n_ports:]
        if len(own) > 1 or (own and n_ports):
            raise NotVectorisedError(
                f"a piece of kind {network.name!r} declares inputs of the network beside its own"
            )
        references: dict[str, Reference] = {
            name: ("port", place) for place, name in enumerate(network.inputs[:n_ports])
        }
        references.update((name, ("input", 0)) for name in own)
        numbers, operands = [], []
        tensors = network.tensors
        for place, layer in enumerate(network.layers):
            number, read = self.signatures.number(layer, tensors)
            numbers.append(number)
            operands.append(tuple(references[name] for name in read))
            references[layer.outputs[0]] = ("layer", place)
        operators = tuple(self.signatures.operators[number] for number in numbers)
        structure = Structure(operators, tuple(operands), references[network.outputs[0]])
        number = self._structure_numbers.setdefault(structure, len(self.structures))
        if number == len(self.structures):
            self.structures.append(structure)
        declared = self.built.tensor_number(tensors[own[0]]) if own else -1
        return Template(number, tuple(numbers), declared)
