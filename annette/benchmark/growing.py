"""A builder that knows how much work it has taken on, and grafts whole networks onto what it builds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from annette.graph.builder import NetworkBuilder
from annette.graph.network import AttributeValue, Layer, Network
from annette.graph.work import WORK_RULES

__all__ = ["GrowingBuilder", "kernels_about"]

_WITHOUT_KERNEL = frozenset(
    {"BatchNormalization", "Dropout", "Flatten", "Identity", "Relu", "Reshape", "Squeeze", "Unsqueeze"}
)
"""Operators that most runtimes fold, fuse or drop."""


class GrowingBuilder(NetworkBuilder):
    """A `NetworkBuilder` that counts multiply-accumulates, weights and likely kernels as it goes.

    Examples
    --------
    >>> build = GrowingBuilder("growing")
    >>> x = build.relu(build.conv(build.input("x", (1, 8, 4, 4)), 16))
    >>> build.macs, build.weight_elements, build.kernels
    (2048, 144, 1)
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.macs = 0
        """Multiply-accumulates of the layers so far."""
        self.kernels = 0
        """Layers so far, without those that most runtimes merge into others."""

    @property
    def weight_elements(self) -> int:
        """Elements of the constants so far."""
        return sum(tensor.size for tensor in self._tensors.values() if tensor.is_constant)

    def add_many(
        self,
        op_type: str,
        *inputs: str,
        outputs: int,
        name: str | None = None,
        domain: str = "",
        **attributes: AttributeValue,
    ) -> tuple[str, ...]:
        """Add a layer, as `NetworkBuilder.add_many`."""
        names = super().add_many(op_type, *inputs, outputs=outputs, name=name, domain=domain, **attributes)
        rule = WORK_RULES.get(op_type)
        if rule is not None:
            layer = self._layers[-1]
            read = [self._tensors[item] if item else None for item in layer.inputs]
            self.macs += rule(layer, read, tuple(self._tensors[item] for item in names))[0]
        self.kernels += op_type not in _WITHOUT_KERNEL
        return names

    def finish(self, *outputs: str) -> Network:
        """The network with these outputs; layers that none of them depends on are left out."""
        wanted = set(outputs)
        kept = []
        for layer in reversed(self._layers):
            if wanted.intersection(layer.outputs):
                kept.append(layer)
                wanted.update(layer.inputs)
        network = super().finish(*outputs)
        if len(kept) == len(network.layers):
            return network
        used = {name for layer in kept for name in (*layer.inputs, *layer.outputs)} | set(outputs)
        return replace(
            network,
            inputs=tuple(name for name in network.inputs if name in used),
            layers=tuple(reversed(kept)),
            tensors={name: tensor for name, tensor in network.tensors.items() if name in used},
        )

    def dtype(self, tensor: str) -> str:
        """The dtype of a tensor declared or computed so far."""
        self.shape(tensor)  # names a tensor that is not known
        return self._tensors[tensor].dtype

    def made_by(self, tensor: str) -> str | None:
        """Type of the operator that computes a tensor; ``None`` for inputs and constants."""
        return next((layer.op_type for layer in reversed(self._layers) if tensor in layer.outputs), None)

    def repeat(self, layer: Layer, inputs: Sequence[str]) -> tuple[str, ...]:
        """Add a layer like this one that reads these tensors; returns its outputs."""
        return self.add_many(
            layer.op_type,
            *inputs,
            outputs=len(layer.outputs),
            domain=layer.domain,
            **dict(layer.attributes),  # type: ignore[arg-type]  # none is called as a parameter here is
        )

    def graft(self, network: Network, inputs: Mapping[str, str]) -> tuple[str, ...]:
        """Add all layers of ``network``, its inputs replaced by these tensors; returns its outputs here."""
        names = dict(inputs)
        for name, tensor in network.tensors.items():
            if tensor.is_constant:
                names[name] = self.constant(
                    tensor.shape, dtype=tensor.dtype, value=tensor.value, stored_dtype=tensor.stored_dtype
                )
        for layer in network.layers:
            made = self.repeat(layer, [names[item] if item else "" for item in layer.inputs])
            names.update(zip(layer.outputs, made, strict=True))
        return tuple(names[item] for item in network.outputs)


def kernels_about(network: Network) -> int:
    """How many kernels a runtime will about make of the network."""
    return sum(layer.op_type not in _WITHOUT_KERNEL for layer in network.layers)
