"""Templates: the layers of one piece of a search space with their wiring, built once and used for thousands."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.signatures import Signatures, signature_of
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Tensor
from annette.zoo.spaces.space import SearchSpace

__all__ = ["Structure", "Template", "Templates"]

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


@dataclass(slots=True)
class Templates:
    """The templates of one space met so far, numbered; grows, and never forgets."""

    space: SearchSpace
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
    _output_array: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _structure_array: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _tables: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def number(self, kind: str, code: int, inputs: tuple[int, ...]) -> int:
        """The template of a piece that reads tensors with these numbers; built where it is new."""
        key = (kind, code, inputs)
        found = self._numbers.get(key)
        if found is None:
            item = self._build(kind, code, tuple(self.outputs[number] for number in inputs))
            found = self._numbers[key] = len(self.items)
            self.items.append(item)
            self._output_of.append(self._output_number(item.output))
        return found

    def output_numbers(self) -> NDArray[np.int64]:
        """Number of what each template hands on, shape (n_templates,)."""
        if len(self._output_array) < len(self._output_of):
            self._output_array = np.array(self._output_of, dtype=np.int64)
        return self._output_array

    def structure_numbers(self) -> NDArray[np.int64]:
        """Structure of each template, shape (n_templates,)."""
        if len(self._structure_array) < len(self.items):
            self._structure_array = np.array([item.structure for item in self.items], dtype=np.int64)
        return self._structure_array

    def signature_table(self, structure: int) -> NDArray[np.int64]:
        """The signatures of the layers of each template of one structure, shape (n_templates, n_layers).

        Rows of other templates mean nothing.
        """
        known = self._tables.get(structure)
        if known is None or len(known) < len(self.items):
            width = len(self.structures[structure].operators)
            start = 0 if known is None else len(known)
            new = [
                item.signatures if item.structure == structure else (0,) * width
                for item in self.items[start:]
            ]
            rows = np.array(new, dtype=np.int64).reshape(len(new), width)
            known = self._tables[structure] = rows if known is None else np.concatenate([known, rows])
        return known

    def _output_number(self, tensor: Tensor) -> int:
        key = (tensor.shape, tensor.dtype)
        found = self._output_numbers.get(key)
        if found is None:
            found = self._output_numbers[key] = len(self.outputs)
            self.outputs.append(tensor)
        return found

    def _build(self, kind: str, code: int, inputs: tuple[Tensor, ...]) -> Template:
        build = NetworkBuilder(kind)
        ports = tuple(
            build.input(f"port {place}", tensor.shape, dtype=tensor.dtype)
            for place, tensor in enumerate(inputs)
        )
        network = build.finish(self.space.build_piece(build, kind, code, ports))
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
        return Template(number, tuple(numbers), tensors[output])
