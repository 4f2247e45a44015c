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

__all__ = ["PopulationLayers", "Slot", "assemble", "distinct_places"]

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
    """In order of execution; the first is slot 1."""
    outputs: Ints
    """Address of the layer that makes each network's output, shape (n_networks,)."""
    input_shapes: Ints
    """Shape number of each network's input, shape (n_networks,)."""


def assemble(pieces: Pieces, templates: Templates) -> PopulationLayers:
    """The layers of networks that are given as pieces."""
    n_networks, n_positions = pieces.codes.shape
    everyone = np.arange(n_networks)
    handed = np.zeros((n_positions, n_networks), dtype=np.int64)  # address of what each piece hands on
    tensors = np.zeros((n_positions, n_networks), dtype=np.int64)  # its number in `templates.outputs`
    last, inputs = everyone.copy(), np.zeros(n_networks, dtype=np.int64)
    slots: list[Slot] = []
    for position, kind in enumerate(pieces.kinds):
        codes = pieces.codes[:, position]
        rows = np.flatnonzero(codes != ABSENT)
        if not len(rows):
            continue
        ports = _ports(pieces.sources[:, position], rows)
        numbers = _templates_of(kind, codes[rows], ports, tensors, rows, templates)
        tensors[position, rows] = templates.output_numbers()[numbers]
        structure_of = templates.structure_numbers()[numbers]
        for structure in _distinct(structure_of):
            part = _where(structure_of, structure)
            own = rows[part]
            if templates.structures[structure].output[0] == "input":
                inputs[own] = templates.output_numbers()[numbers[part]]
            read = [(handed, port[part]) for port in ports]
            new, made = _place(templates, structure, numbers[part], own, read, len(slots) + 1, n_networks)
            slots.extend(new)
            handed[position, own] = made
        last[rows] = handed[position, rows]
    shape_of = np.array([templates.signatures.shape_number(item) for item in templates.outputs])
    return PopulationLayers(n_networks, tuple(slots), last, shape_of[inputs])


def _ports(sources: Ints, rows: Ints) -> list[Ints]:
    """The source of each port that some network uses, shape (m,) each."""
    ports = []
    for column in sources.T:
        used = column[rows]
        if (used == UNUSED).all():
            break
        ports.append(used)
    return ports


def _place(
    templates: Templates,
    structure: int,
    numbers: Ints,
    rows: Ints,
    ports: list[tuple[Ints, Ints]],
    first: int,
    n_networks: int,
) -> tuple[list[Slot], Ints]:
    """The slots of pieces of one structure, from slot ``first`` on, and addresses of what they hand on."""
    wiring = templates.structures[structure]

    def find(reference: tuple[str, int]) -> Ints:
        what, index = reference
        if what == "port":
            handed, source = ports[index]
            found: Ints = handed[source, rows]
            return found
        return rows + (first + index) * n_networks if what == "layer" else rows

    signatures = templates.signature_table(structure)[numbers]
    slots = [
        Slot(
            operator=operator,
            layers=rows + (first + layer) * n_networks,
            signatures=np.ascontiguousarray(signatures[:, layer]),
            operands=tuple(map(find, wiring.operands[layer])),
        )
        for layer, operator in enumerate(wiring.operators)
    ]
    return slots, find(wiring.output)


def _templates_of(
    kind: str, codes: Ints, ports: list[Ints], tensors: Ints, rows: Ints, templates: Templates
) -> Ints:
    """The template of each network's piece at one position, shape (m,)."""
    read = [np.where(port != UNUSED, tensors[port, rows], -1) for port in ports]
    first, inverse = distinct_places([codes, *read])
    numbers = []
    for at in first.tolist():
        inputs = tuple(number for number in (int(column[at]) for column in read) if number >= 0)
        numbers.append(templates.number(kind, int(codes[at]), inputs))
    found: Ints = np.array(numbers, dtype=np.int64)[inverse]
    return found


def _distinct(numbers: Ints) -> list[int]:
    return np.flatnonzero(np.bincount(numbers)).tolist()


def _where(numbers: Ints, number: int) -> Ints | slice:
    """The places of a number; everything as a slice where nothing else is there."""
    found = numbers == number
    return slice(None) if found.all() else np.flatnonzero(found)


def distinct_places(keys: list[Ints]) -> tuple[Ints, Ints]:
    """Of rows of small numbers, given by columns: where each distinct one is first, and which each row is.

    Examples
    --------
    >>> first, places = distinct_places([np.array([3, 0, 3]), np.array([1, 1, 1])])
    >>> first.tolist(), places.tolist()
    ([1, 0], [1, 0, 1])
    """
    packed = np.zeros(len(keys[0]), dtype=np.int64)
    largest = 0
    for column in keys:
        low, high = int(column.min()), int(column.max())
        if low == high:
            continue
        span = high - low + 1
        if largest > (1 << 62) // span:
            packed = np.unique(packed, return_inverse=True)[1]
            largest = int(packed.max()) + 1
        packed = packed * span + (column - low) if largest else column - low
        largest = max(largest, 1) * span
    if not largest:
        return np.zeros(1, dtype=np.int64), packed
    if largest < 4 * len(packed) + 1024:  # counting is faster than sorting
        first = np.full(largest, -1, dtype=np.int64)
        first[packed[::-1]] = np.arange(len(packed) - 1, -1, -1)
        used = np.flatnonzero(first >= 0)
        place = np.empty(largest, dtype=np.int64)
        place[used] = np.arange(len(used))
        return first[used], place[packed]
    _, at, inverse = np.unique(packed, return_index=True, return_inverse=True)
    return at, inverse
