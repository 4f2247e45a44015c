"""The layers of a population as arrays: slots that hold one layer of many networks each.

A layer of one network is known by its *address*, one number by which the arrays of a walk are read and
written: the networks' inputs come first, then the layers of the first slot, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.templates import INPUT, PORTS, Layout, Templates
from annette.zoo.spaces.space import ABSENT, UNUSED, Pieces

__all__ = ["PopulationLayers", "Slot", "assemble"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the order of execution at which some networks have a layer of this operator."""

    operator: str
    rows: Ints
    """The networks that have the layer, ascending, shape (m,)."""
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
    """In order of execution; the first is slot 1, and slot 0 the networks' inputs."""
    starts: Ints
    """The first address of each slot, shape (n_slots + 2,); last the number of all addresses."""
    slot_of: Ints
    """The slot of each address."""
    row_of: Ints
    """The network of each address."""
    outputs: Ints
    """Address of the layer that makes each network's output, shape (n_networks,)."""
    input_shapes: Ints
    """Shape number of each network's input, shape (n_networks,)."""
    positions: Ints
    """The position of the pieces that each slot belongs to, shape (n_slots,)."""
    handed: Ints
    """Address of what each piece hands on, shape (n_positions, n_networks)."""
    tensors: Ints
    """Shape and dtype of it, as a number, shape (n_positions, n_networks)."""


def assemble(pieces: Pieces, templates: Templates) -> PopulationLayers:
    """The layers of networks that are given as pieces.

    Raises
    ------
    NotVectorisedError
        If a network has more than one input, or a layer more than one output.
    """
    n_networks, n_positions = pieces.codes.shape
    handed = np.zeros((n_positions, n_networks), dtype=np.int64)  # address of what each piece hands on
    tensors = np.zeros((n_positions, n_networks), dtype=np.int64)  # its number in `templates.built.tensors`
    last, inputs = np.arange(n_networks), np.full(n_networks, -1)
    slots: list[Slot] = []
    start = n_networks
    positions: list[int] = []
    for position, kind in enumerate(pieces.kinds):
        codes = pieces.codes[:, position]
        rows = np.flatnonzero(codes != ABSENT)
        if not len(rows):
            continue
        ports = _ports(pieces.sources[:, position], rows)
        read = [np.where(port != UNUSED, tensors[port, rows], UNUSED) for port in ports]
        numbers = templates.built.at_position(kind, codes[rows], read)
        tensors[position, rows] = templates.built.handed_on[numbers]
        place = _Place(templates, numbers, rows, ports, handed, start)
        new = list(place.slots())
        handed[position, rows] = place.handed_on()
        slots.extend(new)
        start += sum(len(slot.rows) for slot in new)
        positions.extend([position] * len(new))
        if not ports:
            _declare(inputs, rows, templates.declared_numbers()[numbers])
        last[rows] = handed[position, rows]
    shape_of = np.array([templates.signatures.shape_number(item) for item in templates.built.tensors])
    counts = np.array([n_networks, *(len(slot.rows) for slot in slots)])
    return PopulationLayers(
        n_networks=n_networks,
        slots=tuple(slots),
        starts=np.concatenate([[0], np.cumsum(counts)]),
        slot_of=np.repeat(np.arange(len(counts)), counts),
        row_of=np.concatenate([np.arange(n_networks), *(slot.rows for slot in slots)]),
        outputs=last,
        input_shapes=shape_of[inputs],
        positions=np.array(positions, dtype=np.int64),
        handed=handed,
        tensors=tensors,
    )


def _declare(inputs: Ints, rows: Ints, declared: Ints) -> None:
    """Note the inputs that pieces declare; -1 where one does not."""
    at = np.flatnonzero(declared >= 0)
    if (inputs[rows[at]] >= 0).any():
        raise NotVectorisedError("a network has several inputs")
    inputs[rows[at]] = declared[at]


def _ports(sources: Ints, rows: Ints) -> list[Ints]:
    """The source of each port that some network uses, shape (m,) each."""
    ports = []
    for column in sources.T:
        used = column[rows]
        if (used == UNUSED).all():
            break
        ports.append(used)
    return ports


@dataclass(slots=True)
class _Place:
    """The pieces at one position."""

    templates: Templates
    numbers: Ints
    """Template of each network's piece, shape (m,)."""
    rows: Ints
    """The networks, shape (m,)."""
    ports: list[Ints]
    handed: Ints
    start: int
    """The first address."""
    layout: Layout = field(init=False)
    structure: Ints = field(init=False)
    """Structure of each piece, as a position in the layout, shape (m,)."""
    own: list[Ints] = field(init=False, default_factory=list)
    """By slot of the layout the addresses of the layers in it, shape (m,) each; -1 where a piece has none."""

    def __post_init__(self) -> None:
        structure_of = self.templates.structure_numbers()[self.numbers]
        used = np.flatnonzero(np.bincount(structure_of))
        self.layout = self.templates.layout(tuple(used.tolist()))
        self.structure = np.searchsorted(used, structure_of)

    def slots(self) -> Iterator[Slot]:
        """The slots that hold the layers of the pieces."""
        table = self.templates.signature_table()
        start = self.start
        for slot, operator in enumerate(self.layout.operators):
            layer = self.layout.layers[:, slot]  # of each structure
            has = layer >= 0
            at: Ints | slice = slice(None) if has.all() else np.flatnonzero(has[self.structure])
            rows = self.rows[at]
            own = layers = np.arange(start, start + len(rows))
            if not isinstance(at, slice):
                own = np.full(len(self.rows), -1)
                own[at] = layers
            start += len(rows)
            self.own.append(own)
            yield Slot(
                operator=operator,
                rows=rows,
                layers=layers,
                signatures=table[self.numbers[at], layer[self.structure[at]]],
                operands=tuple(self.address(codes, has, at) for codes in self.layout.operands[slot].T),
            )

    def handed_on(self) -> Ints:
        """The addresses of what the pieces hand on, shape (m,)."""
        outputs = self.layout.outputs
        return self.address(outputs, np.ones(len(outputs), dtype=bool), slice(None))

    def address(self, codes: Ints, has: NDArray[np.bool_], at: Ints | slice) -> Ints:
        """The addresses that reference codes, given by structure, mean for the networks that have one."""
        rows = self.rows[at]
        distinct = sorted(set(codes[has].tolist()))
        if len(distinct) == 1:
            return self._address(distinct[0], at, rows)
        found = rows.copy()
        own = codes[self.structure[at]]
        for code in distinct:
            some = np.flatnonzero(own == code)
            found[some] = self._address(code, some if isinstance(at, slice) else at[some], rows[some])
        return found

    def _address(self, code: int, at: Ints | slice, rows: Ints) -> Ints:
        if code == INPUT:
            return rows
        if code >= 0:
            return self.own[code][at]
        found: Ints = self.handed[self.ports[PORTS - code][at], rows]
        return found
