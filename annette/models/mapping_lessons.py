"""What kernels that stand alone say of the layers between them: made-up chains for the mapping model.

A kernel table has no graph: it tells which kernels ran, and of a kernel's layers at best those that its name
names. Runtimes fold normalisations into weights and activations into the kernel before, so that a table says
nothing of either, and nothing of layers that only rename a tensor. In networks from elsewhere all of them are
layers. Without being told, a mapping model would take each for a kernel of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.graph.operators import operator_key
from annette.store.records import TIMED_IN, Record

__all__ = ["ACTIVATIONS", "fusion_lessons", "seen_mappings"]

ACTIVATIONS = (
    "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu", "Selu",
    "Sigmoid", "Softplus", "Tanh",
)  # fmt: skip
"""Operators that a runtime is expected to fuse if a table has no row of theirs."""
_NORMALISATION = "BatchNormalization"
_BINARY = ("Add", "Div", "Mul", "Sub")
_VIEWS = ("Dropout", "Flatten", "Identity", "Reshape")
"""Operators that move no element; a rule for these holds for their whole family."""
_TIMES = 3
"""So often each pair of operators is shown: rarer ones a mapping model leaves to their families."""

_GATED_SIZE = 14
"""Height and width of a tensor that is scaled by one number a channel; any would do."""

Lesson = tuple[Network, Mapping]


class _Habits(NamedTuple):
    """What a table shows of the layers that may stand behind others."""

    links: tuple[str, ...]
    """Operators that are fused, apart from activations."""
    activations: tuple[str, ...]
    """Activations that are fused."""
    apart: tuple[tuple[str, str], ...]
    """Operators that run alone, with the unit that they run on."""
    views: tuple[str, ...]
    """Operators that are no kernel."""
    usual_unit: str
    """Where most kernels run."""


def seen_mappings(records: Iterable[Record]) -> tuple[list[Lesson], list[str]]:
    """What a mapping model is fitted to: observed mappings and what follows from tables, with their groups.

    Records without a mapping are skipped; without kernels of a table there is nothing to follow.
    """
    found: list[Lesson] = []
    groups: list[str] = []
    of_table: list[Lesson] = []
    for record in records:
        mapping = record.measurement.mapping
        if mapping is None:
            continue
        found.append((record.task.network, mapping))
        groups.append(record.task.group)
        if record.task.tag(TIMED_IN) is not None:
            of_table.append(found[-1])
    lessons = fusion_lessons(of_table)
    return [*found, *lessons], [*groups, *(f"lesson {number}" for number in range(len(lessons)))]


def fusion_lessons(kernels: Sequence[Lesson]) -> list[Lesson]:
    """Chains of layers with the mapping that kernels of a table suggest.

    Normalisations and activations of which the table has no kernel belong to the kernel before them, as do
    operators that it was seen to fuse, unless the result grows by it: what scales a tensor by one number a
    channel is no part of the kernel that computes these. Operators with kernels of their own stay apart, and
    views vanish.

    Parameters
    ----------
    kernels : sequence of (Network, Mapping)
        Networks of one kernel each.
    """
    kinds: dict[tuple[str, str], list[Lesson]] = {}
    fused: set[str] = set()
    units: dict[str, str] = {}
    for network, mapping in kernels:
        if len(mapping.kernels) != 1 or len(network.outputs) != 1:
            continue
        kernel = mapping.kernels[0]
        operator = operator_key(network.layer(kernel.primary))
        kinds.setdefault((operator, kernel.unit), []).append((network, mapping))
        units.setdefault(operator, kernel.unit)
        fused.update(operator_key(network.layer(name)) for name in kernel.layers if name != kernel.primary)
    usual_unit = max(sorted(kinds), key=lambda kind: len(kinds[kind]))[1] if kinds else ""
    habits = _habits(fused, units, usual_unit)
    return [lesson for _, known in sorted(kinds.items()) for lesson in _lessons_of(known, habits)]


def _habits(fused: set[str], units: dict[str, str], usual_unit: str) -> _Habits:
    alone = {operator: unit for operator, unit in units.items() if operator not in fused}
    candidates = (_NORMALISATION, *ACTIVATIONS, *_BINARY)
    return _Habits(
        links=tuple(
            operator
            for operator in (_NORMALISATION, *_BINARY)
            if operator not in alone and (operator in fused or operator == _NORMALISATION)
        ),
        activations=tuple(operator for operator in ACTIVATIONS if operator not in alone),
        apart=tuple((operator, alone[operator]) for operator in candidates if operator in alone),
        views=tuple(operator for operator in _VIEWS if operator not in units),
        usual_unit=usual_unit,
    )


def _lessons_of(known: Sequence[Lesson], habits: _Habits) -> Iterator[Lesson]:
    """The lessons of one kind of kernel, each on another of those that ran."""
    start = known[0][1].kernels[0].primary
    if operator_key(known[0][0].layer(start)) in (*habits.activations, *habits.links):
        return  # what is fused elsewhere says nothing of what is fused to it
    number = 0
    chain = _chain(habits)
    behind = [(operator,) for operator in (*habits.links, *habits.activations)]
    for _ in range(_TIMES):
        for operators in (*behind, chain):
            yield _lesson(known[number % len(known)], operators)
            number += 1
        for operator, unit in habits.apart:
            yield _lesson(known[number % len(known)], (operator,), unit=unit)
            number += 1
        for operator in habits.views:
            yield _lesson(known[number % len(known)], (operator,), vanishes=True)
            number += 1
    yield from _gate_lessons([lesson for lesson in known if _is_gate(lesson[0])], habits)


def _is_gate(network: Network) -> bool:
    """Whether the network gives one number a channel."""
    shape = network.tensors[network.outputs[0]].shape
    return len(shape) == 4 and shape[2:] == (1, 1)


def _gate_lessons(known: Sequence[Lesson], habits: _Habits) -> Iterator[Lesson]:
    """One number a channel, activated, then joined to a whole tensor by a kernel of its own."""
    joins = [operator for operator in habits.links if operator in _BINARY]
    for number, (operator, activation) in enumerate(
        product(joins, ("", *habits.activations)) if known else ()
    ):
        network, mapping = known[number % len(known)]
        first = mapping.kernels[0]
        build, gate = _copied(network)
        layers = first.layers
        if activation:
            gate = _add(build, activation, gate, "activation")
            layers = (*layers, "activation")
        batch, channels = build.shape(gate)[:2]
        whole = build.input("whole", (batch, channels, _GATED_SIZE, _GATED_SIZE))
        result = build.add(operator, whole, gate, name="join")
        yield (
            build.finish(result),
            Mapping(
                kernels=(
                    Kernel(layers=layers, primary=first.primary, unit=first.unit),
                    Kernel(layers=("join",), primary="join", unit=habits.usual_unit),
                )
            ),
        )


def _chain(habits: _Habits) -> tuple[str, ...]:
    """An order in which each activation follows and is followed by each link, and each link by each other."""
    found: list[str] = []
    for activation in habits.activations:
        for link in habits.links:
            found.extend((link, activation))
    for link in habits.links:
        for other in habits.links:
            found.extend((link, other))
    return tuple(found)


def _lesson(
    kernel: Lesson, operators: Sequence[str], *, unit: str | None = None, vanishes: bool = False
) -> Lesson:
    """The kernel with layers behind it: part of it, or kernels on another unit, or nothing at all."""
    network, mapping = kernel
    build, result = _copied(network)
    names = []
    for number, operator in enumerate(operators):
        names.append(f"behind_{number}")
        result = _add(build, operator, result, names[-1])
    first = mapping.kernels[0]
    if vanishes:
        return build.finish(result), Mapping(kernels=(first,), eliminated_layers=tuple(names))
    if unit is not None:
        others = tuple(Kernel(layers=(name,), primary=name, unit=unit) for name in names)
        return build.finish(result), Mapping(kernels=(first, *others))
    whole = Kernel(layers=(*first.layers, *names), primary=first.primary, unit=first.unit)
    return build.finish(result), Mapping(kernels=(whole,))


def _copied(network: Network) -> tuple[NetworkBuilder, str]:
    """A builder with the network's layers in it, and the tensor that the network hands out."""
    build = NetworkBuilder(network.name)
    tensors = {"": ""}
    for name, tensor in network.tensors.items():
        if name in network.inputs:
            tensors[name] = build.input(name, tensor.shape, dtype=tensor.dtype)
        elif tensor.is_constant:
            tensors[name] = build.constant(tensor.shape, dtype=tensor.dtype, value=tensor.value)
    for layer in network.layers:
        inputs = [tensors[name] for name in layer.inputs]
        made = build.add_many(
            layer.op_type, *inputs, outputs=len(layer.outputs), name=layer.name, domain=layer.domain,
            **dict(layer.attributes),
        )  # fmt: skip
        tensors.update(zip(layer.outputs, made, strict=True))
    return build, tensors[network.outputs[0]]


def _add(build: NetworkBuilder, operator: str, x: str, name: str) -> str:
    """One more layer behind ``x``; sums read another activation, products a constant."""
    shape = build.shape(x)
    if operator == _NORMALISATION:
        return build.batch_norm(x, name=name)
    if operator == "Clip":
        return build.relu6(x, name=name)
    if operator == "Reshape":
        return build.reshape(x, (shape[0], -1), name=name)
    if operator == "Flatten":
        return build.flatten(x, name=name)
    if operator in ("Add", "Sub"):
        return build.add(operator, x, build.input(f"{name}_other", shape), name=name)
    if operator in ("Mul", "Div", "PRelu"):
        per_channel = (1, shape[1], *(1,) * (len(shape) - 2))
        return build.add(operator, x, build.constant(per_channel), name=name)
    return build.add(operator, x, name=name)
