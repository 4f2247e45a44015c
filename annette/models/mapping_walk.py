"""Walks a network in topological order while kernels grow: the state that every mapping decision looks at.

The same walk serves training, where the observed mapping tells what happens to each layer, and prediction,
where the learned rules do. Each layer meets one decision: it vanishes, it joins a kernel that computes one of
its operands, or it opens a kernel. Edges see through layers that have vanished.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

from annette.graph.geometry import Geometry
from annette.graph.network import Network
from annette.graph.operators import MAC_OPERATORS, primary_rank

__all__ = ["GraphView", "KernelState", "Operand", "Site", "Walk", "usual_primary"]

VIEW_OPERATORS = frozenset({"Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""Operators that move no element."""

_ends = attrgetter("inputs", "outputs")

Source = tuple[int, int]
"""Number of a kernel, and the number of the layer in it that computes the tensor."""


class Operand(NamedTuple):
    """One activation that a layer reads."""

    position: int
    """Place among the layer's inputs."""
    tensor: str
    """Name of the tensor."""


def usual_primary(op_types: Sequence[str]) -> str:
    """The first operator of the least `primary_rank`."""
    return min(op_types, key=primary_rank)


class GraphView:
    """Adjacency of one network by layer number, with lazy look-ups that several decisions share."""

    def __init__(self, network: Network, transparent: frozenset[str]) -> None:
        """``transparent`` operators are looked through when asking who reads a layer."""
        self.network = network
        self.layers = network.layers
        self.tensors = network.tensors
        self.kinds = network.kinds.layers
        self.op_types = [kind.operator for kind in self.kinds]
        self.transparent = [key in transparent for key in self.op_types]
        self.output_names = frozenset(network.outputs)
        self.reads: list[tuple[str, ...]] = []
        """Names of the activations that each layer reads, one a use."""
        self.readers_of: dict[str, list[int]] = {}
        """The layers that read a tensor as an activation, ascending, each once."""
        self.producer_of: dict[str, int] = {}
        """The layer that computes a tensor."""
        reads, readers_of, producer_of = self.reads, self.readers_of, self.producer_of
        ends = map(_ends, self.layers)
        for number, ((inputs, outputs), kind) in enumerate(zip(ends, self.kinds, strict=True)):
            places = kind.activations
            if len(places) == 1:
                name = inputs[places[0]]
                reads.append((name,))
                if name in readers_of:
                    readers_of[name].append(number)
                else:
                    readers_of[name] = [number]
            else:
                names = tuple([inputs[place] for place in places])
                reads.append(names)
                for name in dict.fromkeys(names):
                    readers_of.setdefault(name, []).append(number)
            for name in outputs:
                if name:
                    producer_of[name] = number
        self._reached: dict[int, tuple[tuple[int, ...], bool]] = {}

    @cached_property
    def operands(self) -> list[list[Operand]]:
        """The activations that each layer reads."""
        return list(map(self.operands_of, range(len(self.layers))))

    def operands_of(self, number: int) -> list[Operand]:
        """The activations that a layer reads."""
        return list(map(Operand, self.kinds[number].activations, self.reads[number]))

    def family(self, number: int) -> str:
        """The family of a layer."""
        return self.kinds[number].family(self.network, self.layers[number])

    def rule_family(self, number: int) -> str:
        """The family whose rules stand in for an operator never seen; mere views are one of their own."""
        return "view" if self.op_types[number] in VIEW_OPERATORS else self.family(number)

    def geometry(self, number: int) -> Geometry:
        """The sizes of a layer."""
        return self.kinds[number].geometry(self.network, self.layers[number])

    def readers(self, number: int) -> tuple[int, ...]:
        """The layers that read any output of a layer, in order, seen through transparent ones."""
        return self._reach(number)[0]

    def feeds_output(self, number: int) -> bool:
        """Whether an output of a layer leaves the network, possibly through transparent layers."""
        return self._reach(number)[1]

    def _reach(self, number: int) -> tuple[tuple[int, ...], bool]:
        found = self._reached.get(number)
        if found is None:
            outputs, transparent = self.layers[number].outputs, self.transparent
            readers = self.readers_of.get(outputs[0], ()) if outputs else ()
            if len(outputs) == 1 and True not in [transparent[reader] for reader in readers]:
                found = tuple(readers), outputs[0] in self.output_names
            else:
                found = self._look_through(number)
            self._reached[number] = found
        return found

    def _look_through(self, number: int) -> tuple[tuple[int, ...], bool]:
        readers: set[int] = set()
        leaves = False
        pending, seen = [number], {number}
        while pending:
            current = pending.pop()
            for name in self.layers[current].outputs:
                leaves = leaves or name in self.output_names
                for reader in self.readers_of.get(name, ()):
                    if not self.transparent[reader]:
                        readers.add(reader)
                    elif reader not in seen:
                        seen.add(reader)
                        pending.append(reader)
        return tuple(sorted(readers)), leaves


@dataclass(slots=True)
class KernelState:
    """A kernel while it grows."""

    layers: list[int]
    """Layer numbers, ascending; none once another kernel has taken them over."""
    primary: int
    """The first layer that multiplies and accumulates, else the first layer."""
    primary_op: str
    """Operator of `primary`."""
    ancestors: int
    """Bit set of the kernels that must have run before."""
    operators: frozenset[str]
    """Operators of `layers`."""


@dataclass(slots=True, eq=False)
class Site:
    """Where a decision is taken: a layer, and for merges the kernel it may join and the edge to it.

    Nobody changes one; it is not frozen since that would take longer than most decisions.
    """

    walk: Walk
    layer: int
    kernel: int = -1
    """Number of the kernel; -1 where there is none."""
    feeder: int = -1
    """The layer in the kernel that computes the operand; -1 where there is none."""
    operand: int = -1
    """Place of the operand among the layer's activations; -1 where there is none."""

    @property
    def operands(self) -> list[Operand]:
        """The activations that the layer reads."""
        return self.walk.view.operands_of(self.layer)

    @property
    def is_part(self) -> bool:
        """Whether the kernel computes a part of the operand only, the rest coming from other kernels."""
        return len(self.walk.sources(self.operands[self.operand])) > 1


Candidate = tuple[int, int, int]
"""Number of a kernel that a layer may join, the layer in it that feeds the layer, the operand's place."""


UnitOf = Callable[["Walk", int], str]
"""Where a kernel of a walk runs."""


class Walk:
    """The state of one pass over a network."""

    def __init__(
        self, view: GraphView, joins: Container[str], unit_of: UnitOf, *, keeps_units: bool = False
    ) -> None:
        """A walk before its first layer.

        ``joins`` are the operators that may join a kernel which computes a part of their operand only. With
        ``keeps_units`` a kernel's unit is asked for once and again when the kernel has grown.
        """
        self.view = view
        self._keeps_units = keeps_units
        self._joins = joins
        self._unit_of = unit_of
        self.kernels: list[KernelState] = []
        self.kernel_of: list[int] = [-1] * len(view.layers)
        self.vanished: list[int] = []
        self.known: dict[str, tuple[Source, ...]] = {}
        """What `sources_of` says of each tensor that a visited layer makes."""
        self._units: dict[int, tuple[int, str]] = {}

    def unit(self, kernel: int) -> str:
        """Where a kernel runs, as far as it is known while it grows."""
        if not self._keeps_units:
            return self._unit_of(self, kernel)
        known = self._units.get(kernel)
        n_layers = len(self.kernels[kernel].layers)
        if known is None or known[0] != n_layers:
            known = self._units[kernel] = n_layers, self._unit_of(self, kernel)
        return known[1]

    def settle_units(self) -> None:
        """Forget what was thought of units while kernels grew, and ask again in the order of execution."""
        self._units.clear()
        for kernel in self.order() if self._keeps_units else ():
            self.unit(kernel)
        self._keeps_units = True  # kernels do not grow any more

    def sources(self, operand: Operand) -> tuple[Source, ...]:
        """The kernels that compute an operand: one, none for a network input, several through a join."""
        return self.known.get(operand.tensor, ())

    def sources_of(self, tensor: str) -> tuple[Source, ...]:
        """The same of a tensor by name."""
        return self.known.get(tensor, ())

    def layer_sources(self, number: int) -> tuple[Source, ...]:
        """The sources of all operands of a layer, each once, in order."""
        reads, sources = self.view.reads[number], self.known
        if len(reads) == 1:
            return sources.get(reads[0], ())
        return tuple(dict.fromkeys([item for name in reads for item in sources.get(name, ())]))

    def candidates(self, number: int, sources: Sequence[Source]) -> list[Candidate]:
        """The kernels that a layer may join without making two kernels wait for each other.

        ``sources`` are those of the layer.
        """
        reads, known, kernels = self.view.reads[number], self.known, self.kernels
        if len(reads) == 1 and len(sources) == 1:
            kernel, feeder = sources[0]
            return [(kernel, feeder, 0)]
        needed = 0
        for kernel, _ in sources:
            needed |= kernels[kernel].ancestors
        may_join_parts = self.view.op_types[number] in self._joins
        return [
            (kernel, feeder, place)
            for place, name in enumerate(reads)
            if len(several := known.get(name, ())) == 1 or may_join_parts
            for kernel, feeder in several
            if not needed >> kernel & 1
        ]

    def sites(self, number: int) -> list[Site]:
        """The same with the layer, as decisions look at them."""
        found = self.candidates(number, self.layer_sources(number))
        return [Site(self, number, *candidate) for candidate in found]

    def vanish(self, number: int, sources: tuple[Source, ...] | None = None) -> None:
        """The layer is no work: who reads it reads its operands, whose sources the caller may have."""
        sources = self.layer_sources(number) if sources is None else sources
        for name in self.view.layers[number].outputs:
            self.known[name] = sources
        self.vanished.append(number)

    def open(self, number: int, sources: tuple[Source, ...] | None = None) -> int:
        """The layer starts a kernel, whose number comes back."""
        kernels, ancestors = self.kernels, 0
        for kernel, _ in self.layer_sources(number) if sources is None else sources:
            ancestors |= kernels[kernel].ancestors | 1 << kernel
        op_type = self.view.op_types[number]
        opened = len(kernels)
        kernels.append(KernelState([number], number, op_type, ancestors, frozenset((op_type,))))
        self._place(number, opened)
        return opened

    def join(self, number: int, kernel: int, sources: tuple[Source, ...] | None = None) -> None:
        """The layer becomes part of a kernel."""
        state, added = self.kernels[kernel], 0
        for other, _ in self.layer_sources(number) if sources is None else sources:
            if other != kernel:
                added |= self.kernels[other].ancestors | 1 << other
        if added & ~state.ancestors:
            state.ancestors |= added
            for later in self.kernels:
                if later.ancestors >> kernel & 1:
                    later.ancestors |= state.ancestors
        self.extend(number, kernel)

    def extend(self, number: int, kernel: int) -> None:
        """The layer becomes part of a kernel that computes all of its operands."""
        state, op_type = self.kernels[kernel], self.view.op_types[number]
        state.layers.append(number)
        if op_type not in state.operators:
            state.operators |= {op_type}
        if state.primary_op not in MAC_OPERATORS and primary_rank(op_type) < primary_rank(state.primary_op):
            state.primary, state.primary_op = number, op_type
        self._place(number, kernel)

    def join_all(self, number: int, kernels: Sequence[int], sources: tuple[Source, ...] | None = None) -> int:
        """The layer becomes part of the first kernel, which takes the others over; its number comes back."""
        for other in kernels[1:]:
            self.unite(kernels[0], other)
            sources = None  # they name kernels
        self.join(number, kernels[0], sources)
        return kernels[0]

    def unite(self, kernel: int, other: int) -> None:
        """Put ``other``'s layers into ``kernel``; neither may need the other by way of a third kernel."""
        state, dissolved = self.kernels[kernel], self.kernels[other]
        state.layers = sorted((*state.layers, *dissolved.layers))
        ops = [self.view.op_types[number] for number in state.layers]
        state.primary_op = usual_primary(ops)
        state.primary = state.layers[ops.index(state.primary_op)]
        state.operators |= dissolved.operators
        state.ancestors = (state.ancestors | dissolved.ancestors) & ~(1 << kernel | 1 << other)
        both = 1 << kernel | 1 << other
        for later in self.kernels:
            if later.ancestors & both:
                later.ancestors = (later.ancestors | state.ancestors | 1 << kernel) & ~(1 << other)
        for number in dissolved.layers:
            self.kernel_of[number] = kernel
        for name, sources in self.known.items():
            if any(number == other for number, _ in sources):
                moved = ((kernel if number == other else number, feeder) for number, feeder in sources)
                self.known[name] = tuple(moved)
        dissolved.layers, dissolved.ancestors = [], 0

    def origins(self, tensor: str) -> tuple[str, ...]:
        """The tensors behind ``tensor``, vanished layers looked through: kernels compute them, or nobody."""
        found: list[str] = []
        pending, seen = [tensor], {tensor}
        while pending:
            name = pending.pop()
            producer = self.view.producer_of.get(name)
            if producer is None or self.kernel_of[producer] >= 0:
                found.append(name)
                continue
            behind = self.view.reads[producer][::-1]
            pending.extend(item for item in behind if item not in seen)
            seen.update(behind)
        return tuple(found)

    def _place(self, number: int, kernel: int) -> None:
        self.kernel_of[number] = kernel
        found = ((kernel, number),)
        for name in self.view.layers[number].outputs:
            self.known[name] = found

    def order(self) -> Sequence[int]:
        """Kernel numbers in an order of execution: each after those it needs, else by primary layer."""
        kernels = self.kernels
        alive = (number for number, state in enumerate(kernels) if state.layers)
        order = sorted(alive, key=lambda number: kernels[number].primary)
        done = 0
        for number in order:
            if kernels[number].ancestors & ~done:
                return self._dependency_order()
            done |= 1 << number
        return order

    def _dependency_order(self) -> Sequence[int]:
        kernels = self.kernels
        waiting = {number: state.ancestors for number, state in enumerate(kernels) if state.layers}
        ready: list[tuple[int, int]] = []
        order: list[int] = []
        done = 0
        while waiting or ready:
            for number in [n for n, needs in waiting.items() if not needs & ~done]:
                heapq.heappush(ready, (kernels[number].primary, number))
                del waiting[number]
            _, number = heapq.heappop(ready)
            order.append(number)
            done |= 1 << number
        return order
