"""The layers of a population as arrays: slots that hold one layer of many networks each.

A layer of one network is known by its *address*, slot * n_networks + network: one number, by which arrays of
the state of a walk are read and written. The slot behind the last stands for the networks' inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.templates import Templates
from annette.zoo.spaces.space import ABSENT, UNUSED, Pieces

__all__ = ["PopulationLayers", "Slot", "assemble", "distinct_rows"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the order of execution at which some networks have a layer of this operator."""

    operator: str
    layers: Ints
    """Addresses of the layers, ascending, shape (m,)."""
    signatures: Ints
    """Of the layer in each network, shape (m,)."""
    operands: tuple[Ints, ...]
    """For each activation that the layer reads the address of the layer that makes it, shape (m,)."""


@dataclass(frozen=True, slots=True)
class PopulationLayers:
    """All layers of a population."""

    n_networks: int
    slots: tuple[Slot, ...]
    """In order of execution."""
    outputs: Ints
    """Address of the layer that makes each network's output, shape (n_networks,)."""
    input_shapes: Ints
    """Shape number of each network's input, shape (n_networks,)."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A slot before the number of slots is known: operands are -1 for the network's input, else slots."""

    operator: str
    rows: Ints
    signatures: Ints
    operands: tuple[Ints, ...]


def assemble(pieces: Pieces, templates: Templates) -> PopulationLayers:
    """The layers of networks that are given as pieces."""
    n_networks, n_positions = pieces.codes.shape
    out_slot = np.full((n_positions, n_networks), -1, dtype=np.int64)  # -1: the network's input
    out_tensor = np.zeros((n_positions, n_networks), dtype=np.int64)
    last = np.full(n_networks, -1, dtype=np.int64)
    input_tensors = np.zeros(n_networks, dtype=np.int64)
    drafts: list[_Draft] = []
    for position, kind in enumerate(pieces.kinds):
        codes = pieces.codes[:, position]
        rows = np.flatnonzero(codes != ABSENT)
        if not len(rows):
            continue
        sources = pieces.sources[rows, position]
        numbers = _templates_of(kind, codes[rows], sources, out_tensor, rows, templates)
        out_tensor[position, rows] = templates.output_numbers()[numbers]
        structure_of = templates.structure_numbers()[numbers]
        for structure in np.unique(structure_of).tolist():
            part = np.flatnonzero(structure_of == structure)
            own = rows[part]
            ports = [out_slot[sources[part, port], own] for port in range(sources.shape[1])]
            new, made = _place(templates, structure, numbers[part], own, ports, len(drafts))
            drafts.extend(new)
            out_slot[position, own] = made
            if templates.structures[structure].output[0] == "input":
                input_tensors[own] = templates.output_numbers()[numbers[part]]
        last[rows] = out_slot[position, rows]
    n_slots = len(drafts)

    def address(slots: Ints, rows: Ints) -> Ints:
        found: Ints = np.where(slots < 0, n_slots, slots) * n_networks + rows
        return found

    shape_of = np.array([templates.signatures.shape_number(item) for item in templates.outputs])
    return PopulationLayers(
        n_networks=n_networks,
        slots=tuple(
            Slot(
                operator=item.operator,
                layers=number * n_networks + item.rows,
                signatures=item.signatures,
                operands=tuple(address(made, item.rows) for made in item.operands),
            )
            for number, item in enumerate(drafts)
        ),
        outputs=address(last, np.arange(n_networks)),
        input_shapes=shape_of[input_tensors],
    )


def _place(
    templates: Templates, structure: int, numbers: Ints, rows: Ints, ports: list[Ints], first: int
) -> tuple[list[_Draft], Ints]:
    """The slots of pieces of one structure, from slot ``first`` on, and the slots that they hand out."""
    wiring = templates.structures[structure]

    def find(reference: tuple[str, int]) -> Ints:
        what, index = reference
        if what == "port":
            return ports[index]
        return np.full(len(rows), first + index if what == "layer" else -1, dtype=np.int64)

    signatures = templates.signature_table(structure)[numbers]
    drafts = [
        _Draft(operator, rows, signatures[:, layer], tuple(map(find, wiring.operands[layer])))
        for layer, operator in enumerate(wiring.operators)
    ]
    return drafts, find(wiring.output)


def _templates_of(
    kind: str, codes: Ints, sources: Ints, out_tensor: Ints, rows: Ints, templates: Templates
) -> Ints:
    """The template of each network's piece at one position, shape (m,)."""
    read = [
        np.where(column != UNUSED, out_tensor[column, rows], -1)
        for column in sources.T
        if (column != UNUSED).any()
    ]
    distinct, inverse = distinct_rows(np.column_stack([codes, *read]))
    numbers = [
        templates.number(kind, int(key[0]), tuple(int(item) for item in key[1:] if item >= 0))
        for key in distinct.tolist()
    ]
    return np.array(numbers, dtype=np.int64)[inverse]


def distinct_rows(keys: Ints) -> tuple[Ints, Ints]:
    """The distinct rows of a table of small numbers, and which of them each row is.

    Examples
    --------
    >>> rows, places = distinct_rows(np.array([[3, 1], [0, 1], [3, 1]]))
    >>> rows.tolist(), places.tolist()
    ([[0, 1], [3, 1]], [1, 0, 1])
    """
    packed = np.zeros(len(keys), dtype=np.int64)
    largest = 0
    for column in keys.T:
        low, high = int(column.min()), int(column.max())
        if low == high:
            continue
        span = high - low + 1
        if largest > (1 << 62) // span:
            packed = np.unique(packed, return_inverse=True)[1]
            largest = int(packed.max())
        packed = packed * span + (column - low)
        largest = (largest + 1) * span
    if not largest:
        return keys[:1], packed
    if largest < 4 * len(keys) + 1024:  # counting is faster than sorting
        first = np.full(largest, -1, dtype=np.int64)
        first[packed[::-1]] = np.arange(len(keys) - 1, -1, -1)
        used = np.flatnonzero(first >= 0)
        place = np.empty(largest, dtype=np.int64)
        place[used] = np.arange(len(used))
        return keys[first[used]], place[packed]
    _, at, inverse = np.unique(packed, return_index=True, return_inverse=True)
    return keys[at], inverse
