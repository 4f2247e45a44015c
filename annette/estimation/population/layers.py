"""The layers of a population as arrays: slots that hold one layer of many networks each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.templates import Templates
from annette.zoo.spaces.space import ABSENT, UNUSED, Pieces

__all__ = ["PopulationLayers", "Slot", "assemble"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the order of execution at which some networks have a layer of this operator."""

    operator: str
    rows: Ints
    """Networks that have it, ascending, shape (m,)."""
    signatures: Ints
    """Of the layer in each, shape (m,)."""
    operands: tuple[Ints, ...]
    """For each activation that the layer reads the slot that makes it, shape (m,); `n_slots` stands for the
    network's input."""


@dataclass(frozen=True, slots=True)
class PopulationLayers:
    """All layers of a population."""

    n_networks: int
    slots: tuple[Slot, ...]
    """In order of execution."""
    outputs: Ints
    """The slot that makes each network's output, shape (n_networks,)."""
    input_shapes: Ints
    """Shape number of each network's input, shape (n_networks,)."""


def assemble(pieces: Pieces, templates: Templates) -> PopulationLayers:
    """The layers of networks that are given as pieces."""
    n_networks = len(pieces.codes)
    out_slot = np.full((len(pieces.kinds), n_networks), -1, dtype=np.int64)  # -1: the network's input
    out_tensor = np.zeros((len(pieces.kinds), n_networks), dtype=np.int64)
    drafts: list[tuple[str, Ints, Ints, tuple[Ints, ...]]] = []
    last = np.full(n_networks, -1, dtype=np.int64)
    input_shapes = np.zeros(n_networks, dtype=np.int64)
    for position, kind in enumerate(pieces.kinds):
        rows = np.flatnonzero(pieces.codes[:, position] != ABSENT)
        if not len(rows):
            continue
        sources = pieces.sources[rows, position]
        numbers = _templates_of(kind, pieces.codes[rows, position], sources, out_tensor, rows, templates)
        structure_of = templates.structure_numbers()[numbers]
        out_tensor[position, rows] = templates.output_numbers()[numbers]
        for number in np.unique(structure_of).tolist():
            part = np.flatnonzero(structure_of == number)
            own, first = rows[part], len(drafts)
            structure = templates.structures[number]
            table = np.array([item.signatures for item in _members(templates, number)], dtype=np.int64)
            place = _places(templates, number)[numbers[part]]

            def find(reference: tuple[str, int], part: Ints = part, own: Ints = own, first: int = first) -> Ints:
                what, index = reference
                if what == "layer":
                    return np.full(len(own), first + index, dtype=np.int64)
                if what == "input":
                    return np.full(len(own), -1, dtype=np.int64)
                found: Ints = out_slot[sources[part, index], own]
                return found

            for layer, operator in enumerate(structure.operators):
                operands = tuple(find(reference) for reference in structure.operands[layer])
                drafts.append((operator, own, table[place, layer], operands))
            if structure.output[0] == "input":
                shape = [templates.signatures.shape_number(item.output) for item in templates.items]
                input_shapes[own] = np.array(shape, dtype=np.int64)[numbers[part]]
            out_slot[position, own] = find(structure.output)
        last[rows] = out_slot[position, rows]
    n_slots = len(drafts)

    def settle(found: Ints) -> Ints:
        return np.where(found < 0, n_slots, found)

    slots = tuple(
        Slot(operator, rows, signatures, tuple(map(settle, operands)))
        for operator, rows, signatures, operands in drafts
    )
    return PopulationLayers(n_networks, slots, settle(last), input_shapes)


def _templates_of(
    kind: str, codes: Ints, sources: Ints, out_tensor: Ints, rows: Ints, templates: Templates
) -> Ints:
    """The template of each network's piece at one position, shape (m,)."""
    used = sources != UNUSED
    read = np.where(used, out_tensor[np.where(used, sources, 0), rows[:, None]], -1)
    keys = np.column_stack([codes, read])
    distinct, inverse = distinct_rows(keys)
    numbers = [
        templates.number(kind, int(key[0]), tuple(int(item) for item in key[1:] if item >= 0))
        for key in distinct.tolist()
    ]
    return np.array(numbers, dtype=np.int64)[inverse]


def distinct_rows(keys: Ints) -> tuple[Ints, Ints]:
    """The distinct rows of a small-numbered table and where each row is among them."""
    packed = np.zeros(len(keys), dtype=np.int64)
    for column in keys.T:
        low, high = int(column.min()), int(column.max())
        if low != high:
            span = high - low + 1
            if int(packed.max()) > (1 << 62) // span:
                packed = np.unique(packed, return_inverse=True)[1]
            packed = packed * span + (column - low)
    _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    return keys[first], inverse


def _members(templates: Templates, structure: int) -> list:  # type: ignore[type-arg]
    return [item for item in templates.items if item.structure == structure]


def _places(templates: Templates, structure: int) -> Ints:
    """Of each template its place among those of one structure, shape (n_templates,)."""
    return np.cumsum(templates.structure_numbers() == structure) - 1
