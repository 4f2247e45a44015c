"""Templates: the layers of one piece of a search space with their wiring, built once, used for thousands."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.signatures import Signatures, signature_of
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Tensor
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
    output: Tensor
    """The tensor that the piece hands on."""
    declared: Tensor | None
    """The network's input, where the piece declares it."""


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


@dataclass(slots=True)
class Templates:
    """The templates of one space met so far, numbered; grows, and never forgets.

    It does not keep the space alive: what is known of a space may be forgotten with it.
    """

    space: InitVar[SearchSpace]
    signatures: Signatures = field(default_factory=Signatures)
    items: list[Template] = field(default_factory=list)
    """By number."""
    structures: list[Structure] = field(default_factory=list)
    """By number."""
    outputs: list[Tensor] = field(default_factory=list)
    """Distinct tensors that pieces hand on, by number; names do not count."""
    _numbers: dict[tuple[str, int, tuple[int, ...]], int] = field(default_factory=dict)
    _structure_numbers: dict[Structure, int] = field(default_factory=dict)
    _output_numbers: dict[tuple[object, ...], int] = field(default_factory=dict)
    _output_of: list[int] = field(default_factory=list)
    _declared_of: list[int] = field(default_factory=list)
    _space: ref[SearchSpace] = field(init=False)
    _output_array: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _structure_array: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _table: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0), dtype=np.int64))
    _layouts: dict[tuple[int, ...], Layout] = field(default_factory=dict)

    def __post_init__(self, space: SearchSpace) -> None:
        self._space = ref(space)

    def number(self, kind: str, code: int, inputs: tuple[int, ...]) -> int:
        """The template of a piece that reads tensors with these numbers; built where it is new."""
        key = (kind, code, inputs)
        found = self._numbers.get(key)
        if found is None:
            item = self._build(kind, code, tuple(self.outputs[number] for number in inputs))
            found = self._numbers[key] = len(self.items)
            self.items.append(item)
            self._output_of.append(self._output_number(item.output))
            self._declared_of.append(-1 if item.declared is None else self._output_number(item.declared))
        return found

    def output_numbers(self) -> NDArray[np.int64]:
        """Number of what each template hands on, shape (n_templates,)."""
        if len(self._output_array) < len(self._output_of):
            self._output_array = np.array(self._output_of, dtype=np.int64)
        return self._output_array

    def declared_numbers(self) -> NDArray[np.int64]:
        """Number of the input that each template declares, shape (n_templates,); -1 where none."""
        return np.array(self._declared_of, dtype=np.int64)

    def structure_numbers(self) -> NDArray[np.int64]:
        """Structure of each template, shape (n_templates,)."""
        if len(self._structure_array) < len(self.items):
            self._structure_array = np.array([item.structure for item in self.items], dtype=np.int64)
        return self._structure_array

    def signature_table(self) -> NDArray[np.int64]:
        """The signatures of each template's layers, shape (n_templates, most layers); 0 where none is."""
        width = max((len(item.signatures) for item in self.items), default=0)
        if self._table.shape != (len(self.items), width):
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

    def _output_number(self, tensor: Tensor) -> int:
        key = (tensor.shape, tensor.dtype)
        found = self._output_numbers.get(key)
        if found is None:
            found = self._output_numbers[key] = len(self.outputs)
            self.outputs.append(tensor)
        return found

    def _build(self, kind: str, code: int, inputs: tuple[Tensor, ...]) -> Template:
        space = self._space()
        assert space is not None  # whoever asks about a space holds it
        build = NetworkBuilder(kind)
        ports = tuple(
            build.input(f"port {place}", tensor.shape, dtype=tensor.dtype)
            for place, tensor in enumerate(inputs)
        )
        network = build.finish(space.build_piece(build, kind, code, ports))
        references: dict[str, Reference] = {name: ("port", place) for place, name in enumerate(ports)}
        own = [name for name in network.inputs if name not in references]
        if len(own) > 1 or (own and ports):
            raise NotVectorisedError(
                f"a piece of kind {kind!r} declares inputs of the network beside its own"
            )
        references.update((name, ("input", 0)) for name in own)
        numbers, operands = [], []
        tensors = dict(network.tensors)
        for place, layer in enumerate(network.layers):
            signature, read = signature_of(layer, tensors)
            numbers.append(self.signatures.number(signature))
            operands.append(tuple(references[name] for name in read))
            references[layer.outputs[0]] = ("layer", place)
        operators = tuple(self.signatures.operators[number] for number in numbers)
        output = network.outputs[0]
        structure = Structure(operators, tuple(operands), references[output])
        number = self._structure_numbers.setdefault(structure, len(self.structures))
        if number == len(self.structures):
            self.structures.append(structure)
        return Template(number, tuple(numbers), tensors[output], tensors[own[0]] if own else None)
