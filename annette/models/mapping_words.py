"""Features of mapping decisions that are sets of words: operators, families, units, options."""

from __future__ import annotations

from collections.abc import Callable

from annette.models.mapping_walk import Operand, Site

__all__ = [
    "direct_producers",
    "dtype",
    "earlier_unshared",
    "family",
    "feeder_operator",
    "input_dtype",
    "input_units",
    "kernel_family",
    "kernel_operators",
    "kernel_unit",
    "next_families",
    "next_operators",
    "only",
    "operator",
    "options",
    "other_kernels",
    "other_operators",
    "other_units",
    "others",
    "producer_content",
    "producer_dtype",
    "producer_families",
    "producer_kernels",
    "producer_operators",
    "producer_units",
    "sibling_operators",
]

Feature = Callable[[Site], float | frozenset[str]]

_NETWORK_INPUT = frozenset({"network input"})


def others(site: Site) -> list[Operand]:
    """The layer's operands besides the one at hand."""
    return [operand for place, operand in enumerate(site.operands) if place != site.operand]


def kernel_operators(site: Site) -> frozenset[str]:
    """Operators that are in the kernel already."""
    return site.walk.kernels[site.kernel].operators


def feeder_operator(site: Site) -> frozenset[str]:
    """Operator in the kernel that hands its output to the layer."""
    return frozenset((site.walk.view.op_types[site.feeder],))


def kernel_family(site: Site) -> frozenset[str]:
    """Family of the kernel's primary layer."""
    return frozenset((site.walk.view.family(site.walk.kernels[site.kernel].primary),))


def family(site: Site) -> frozenset[str]:
    """Family of the layer."""
    return frozenset((site.walk.view.family(site.layer),))


def operator(site: Site) -> frozenset[str]:
    """Operator of the layer."""
    return frozenset((site.walk.view.op_types[site.layer],))


def next_operators(site: Site) -> frozenset[str]:
    """Operators that read the layer's output."""
    view = site.walk.view
    return frozenset(view.op_types[number] for number in view.readers(site.layer))


def next_families(site: Site) -> frozenset[str]:
    """Families of the layers that read the layer's output."""
    view = site.walk.view
    return frozenset(view.family(number) for number in view.readers(site.layer))


def sibling_operators(site: Site) -> frozenset[str]:
    """Who else reads what the kernel hands to this layer."""
    view = site.walk.view
    readers = (number for number in view.readers(site.feeder) if number != site.layer)
    return frozenset(view.op_types[number] for number in readers)


def other_operators(site: Site) -> frozenset[str]:
    """Who computes the other operands."""
    ops = site.walk.view.op_types
    words: set[str] = set()
    for operand in others(site):
        sources = site.walk.sources(operand)
        words.update((ops[feeder] for _, feeder in sources) if sources else _NETWORK_INPUT)
    return frozenset(words)


def earlier_unshared(site: Site) -> frozenset[str]:
    """Who computes the operands at earlier places that nobody else reads."""
    view = site.walk.view
    words: set[str] = set()
    for operand in site.operands[: max(site.operand, 0)]:
        feeders = [feeder for _, feeder in site.walk.sources(operand)]
        words.update(view.op_types[feeder] for feeder in feeders if len(view.readers(feeder)) == 1)
    return frozenset(words)


def other_kernels(site: Site) -> frozenset[str]:
    """The primary operators of the kernels that compute the other operands."""
    kernels = site.walk.kernels
    found = (item for operand in others(site) for item in site.walk.sources(operand))
    return frozenset(kernels[kernel].primary_op for kernel, _ in found)


def producer_operators(site: Site) -> frozenset[str]:
    """Operators that compute the operands, or that these are inputs of the network."""
    ops = site.walk.view.op_types
    words: set[str] = set()
    for operand in site.operands:
        sources = site.walk.sources(operand)
        words.update((ops[feeder] for _, feeder in sources) if sources else _NETWORK_INPUT)
    return frozenset(words)


def direct_producers(site: Site) -> frozenset[str]:
    """Who computes the operands, vanished layers included."""
    view = site.walk.view
    found = (view.producer_of.get(operand.tensor, -1) for operand in site.operands)
    return frozenset(view.op_types[number] if number >= 0 else "network input" for number in found)


def producer_kernels(site: Site) -> frozenset[str]:
    """Primary operators of the kernels that compute the operands."""
    kernels = site.walk.kernels
    return frozenset(kernels[kernel].primary_op for kernel, _ in site.walk.layer_sources(site.layer))


def producer_families(site: Site) -> frozenset[str]:
    """Families of the kernels that compute the operands."""
    view, kernels = site.walk.view, site.walk.kernels
    return frozenset(
        view.family(kernels[kernel].primary) for kernel, _ in site.walk.layer_sources(site.layer)
    )


def only(words: Feature) -> Feature:
    """The word if there is exactly one, else none: a condition that words never seen do not meet."""

    def only(site: Site) -> frozenset[str]:
        found = words(site)
        return found if isinstance(found, frozenset) and len(found) == 1 else frozenset()

    return only


def producer_content(site: Site) -> frozenset[str]:
    """All operators in the kernels that compute the operands."""
    ops, kernels = site.walk.view.op_types, site.walk.kernels
    sources = site.walk.layer_sources(site.layer)
    return frozenset(ops[number] for kernel, _ in sources for number in kernels[kernel].layers)


def producer_units(site: Site) -> frozenset[str]:
    """Where the kernels that compute the operands run."""
    walk = site.walk
    return frozenset(walk.unit(kernel) for kernel, _ in walk.layer_sources(site.layer))


def input_units(site: Site) -> frozenset[str]:
    """The units of the other kernels that this kernel reads from; ``input`` for inputs of the network."""
    walk, own = site.walk, site.kernel
    words: set[str] = set()
    for layer in walk.kernels[own].layers:
        for name in walk.view.reads[layer]:
            sources = walk.sources_of(name)
            if sources:
                words.update([walk.unit(kernel) for kernel, _ in sources if kernel != own])
            else:
                words.add("input")
    return frozenset(words)


def kernel_unit(site: Site) -> frozenset[str]:
    """Where the kernel runs."""
    return frozenset((site.walk.unit(site.kernel),))


def other_units(site: Site) -> frozenset[str]:
    """Where the kernels that compute the other operands run."""
    walk = site.walk
    return frozenset(walk.unit(kernel) for operand in others(site) for kernel, _ in walk.sources(operand))


def options(site: Site) -> frozenset[str]:
    """Attributes whose values are words or orders: mode=linear, perm=0,2,3,1."""
    words = set()
    for name, value in site.walk.view.layers[site.layer].attributes:
        if isinstance(value, str) and len(value) <= 40:
            words.add(f"{name}={value}")
        elif name == "perm" and isinstance(value, tuple):
            words.add("perm=" + ",".join(map(str, value)))
    return frozenset(words)


def dtype(site: Site) -> frozenset[str]:
    """Type of the layer's output elements."""
    view = site.walk.view
    return frozenset(view.tensors[name].dtype for name in view.layers[site.layer].outputs[:1] if name)


def input_dtype(site: Site) -> frozenset[str]:
    """Type of the elements that the layer reads first."""
    return _first_dtype(site, site.layer)


def producer_dtype(site: Site) -> frozenset[str]:
    """Type of the elements that the producer reads first: of a dequantiser the quantised one."""
    return _first_dtype(site, site.feeder)


def _first_dtype(site: Site, number: int) -> frozenset[str]:
    view = site.walk.view
    return frozenset(view.tensors[name].dtype for name in view.layers[number].inputs[:1] if name)
