"""Which kernels find their tensors in memories that keep them, and the accelerator as each kernel sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from annette.graph.mapping import Kernel
from annette.hardware.accelerator import Accelerator
from annette.simulator.lowering import MovedElements

__all__ = ["KernelView", "kernel_views"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelView:
    """The accelerator as one kernel sees it."""

    accelerator: Accelerator
    """Its external memory is the one in which the kernel's activations lie."""
    weight_bus_factor: float
    """How much longer a byte of weights takes than a byte of activations; > 0."""
    has_weight_port: bool = False
    """Whether weights come from another memory than activations lie in, beside them."""
    keeps_activations: bool = False
    """Whether its activations lie in the accelerator's activation memory."""
    keeps_weights: bool = False
    """Whether its weights lie in the accelerator's weight memory."""


def kernel_views(
    kernels: Sequence[Kernel], accelerator: Accelerator, moved_of: Callable[[Kernel], MovedElements]
) -> tuple[KernelView, ...]:
    """What each of ``kernels`` sees, in their order; ``moved_of`` says what one of them moves.

    The activations of a kernel stay in ``accelerator.activation_memory`` where all it reads and writes fits
    there together; else they all lie in the external memory. Weights stay in ``accelerator.weight_memory``
    from one run of the network to the next: those of the first kernels, as long as there is room. Kernels of
    the host see the external memory.
    """
    plain = KernelView(accelerator=accelerator, weight_bus_factor=1.0)
    if accelerator.activation_memory is None and accelerator.weight_memory is None:
        return (plain,) * len(kernels)
    room = 0.0 if accelerator.weight_memory is None else float(accelerator.weight_memory.size_bytes)
    views, known = [], dict[tuple[bool, bool, bool], KernelView]()
    for kernel in kernels:
        if kernel.unit == "host":
            views.append(plain)
            continue
        moved = moved_of(kernel)
        weights = moved.weights * accelerator.precision.weight_bytes
        activations = (moved.loads + moved.stores) * accelerator.precision.activation_bytes
        keeps_weights = 0 < weights <= room
        room -= weights if keeps_weights else 0.0
        memory = accelerator.activation_memory
        keeps_activations = memory is not None and activations <= memory.size_bytes
        key = keeps_activations, keeps_weights, weights > 0
        if key not in known:  # rather than ask `_view` each time: an accelerator takes long to hash
            known[key] = _view(accelerator, *key)
        views.append(known[key])
    return tuple(views)


@lru_cache(maxsize=256)
def _view(
    accelerator: Accelerator, keeps_activations: bool, keeps_weights: bool, has_weights: bool
) -> KernelView:
    external = weights = accelerator.external_memory
    if keeps_activations and accelerator.activation_memory is not None:
        kept = accelerator.activation_memory
        external = replace(
            external,
            bandwidth_bytes_per_s=kept.bandwidth_bytes_per_s,
            latency_s=kept.latency_s,
            burst_bytes=kept.burst_bytes,
        )
    source = accelerator.weight_memory if keeps_weights and accelerator.weight_memory is not None else weights
    if has_weights and source.latency_s > external.latency_s:
        external = replace(external, latency_s=source.latency_s)
    return KernelView(
        accelerator=replace(accelerator, external_memory=external),
        weight_bus_factor=external.bandwidth_bytes_per_s / source.bandwidth_bytes_per_s,
        has_weight_port=has_weights and (keeps_activations or keeps_weights),
        keeps_activations=keeps_activations,
        keeps_weights=keeps_weights,
    )
