"""The compiler: drops what vanishes, places layers on units, and merges them by the device's rules."""

from __future__ import annotations

from dataclasses import dataclass, field

from annette.errors import HardwareError
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Layer, Network
from annette.hardware.accelerator import Accelerator
from annette.hardware.rules import is_listed
from annette.simulator.facts import NetworkFacts

__all__ = ["compile_facts", "compile_network", "unit_of"]


def compile_network(network: Network, accelerator: Accelerator) -> Mapping:
    """The mapping of ``network`` on ``accelerator``: every layer in one kernel or eliminated.

    Raises
    ------
    HardwareError
        If no unit of the accelerator can run a layer.
    """
    return compile_facts(NetworkFacts(network), accelerator)


def compile_facts(facts: NetworkFacts, accelerator: Accelerator) -> Mapping:
    """`compile_network` for a network whose facts are at hand."""
    compilation = _Compilation(facts=facts, accelerator=accelerator)
    compilation.place()
    compilation.fuse()
    kernels = sorted(compilation.kernels, key=lambda item: item.positions[-1])
    names = [layer.name for layer in facts.network.layers]
    return Mapping(
        kernels=tuple(
            Kernel(
                layers=tuple(names[position] for position in item.positions),
                primary=names[item.positions[0]],
                unit=item.unit,
            )
            for item in kernels
        ),
        eliminated_layers=tuple(name for name in names if name in compilation.eliminated),
    )


def unit_of(facts: NetworkFacts, accelerator: Accelerator, layer: Layer) -> str | None:
    """The unit that runs ``layer`` on its own; ``None`` if there is none."""
    for rule in accelerator.compiler.placement:
        if is_listed(layer.op_type, rule.layers) and facts.holds(layer, rule.when):
            return rule.unit
    return None


@dataclass(slots=True)
class _Kernel:
    positions: list[int]
    unit: str


@dataclass(slots=True)
class _Compilation:
    """The state of compiling one network: first `place`, then `fuse`."""

    facts: NetworkFacts
    accelerator: Accelerator
    eliminated: set[str] = field(default_factory=set)
    units: dict[str, str | None] = field(default_factory=dict)
    kernels: list[_Kernel] = field(default_factory=list)
    views: set[str] = field(default_factory=set)
    """The eliminated layers with one input: fusion sees through them."""

    def place(self) -> None:
        """Decide for every layer whether it vanishes, and which unit runs it."""
        for layer in self.facts.network.layers:
            if layer.name in self.facts.static_layers:
                self.eliminated.add(layer.name)
            elif self._vanishes(layer):
                self.eliminated.add(layer.name)
                if len(self.facts.network.activation_inputs(layer)) == 1:
                    self.views.add(layer.name)
            else:
                self.units[layer.name] = unit_of(self.facts, self.accelerator, layer)

    def fuse(self) -> None:
        """Merge layers into the kernels that feed them, in topological order."""
        kernel_of: dict[str, _Kernel] = {}
        for position, layer in enumerate(self.facts.network.layers):
            if layer.name in self.eliminated:
                continue
            kernel = self._kernel_to_join(layer, kernel_of)
            if kernel is None:
                kernel = _Kernel(positions=[position], unit=self._required_unit(layer))
                self.kernels.append(kernel)
            else:
                kernel.positions.append(position)
            kernel_of[layer.name] = kernel

    def _required_unit(self, layer: Layer) -> str:
        unit = self.units[layer.name]
        if unit is None:
            raise HardwareError(
                f"accelerator {self.accelerator.name!r}: no unit runs layer {layer.name!r} "
                f"({layer.op_type}), expected a placement rule for it; add one, for example a host "
                "with layers ['*']"
            )
        return unit

    def _vanishes(self, layer: Layer) -> bool:
        from_kernels: bool | None = None
        for rule in self.accelerator.compiler.eliminate:
            if is_listed(layer.op_type, rule.layers):
                if from_kernels is None:
                    from_kernels = self._comes_from_kernels(layer)
                if self.facts.holds(layer, rule.when, from_kernels=from_kernels):
                    return True
        return False

    def _comes_from_kernels(self, layer: Layer) -> bool:
        for tensor in self.facts.network.activation_inputs(layer):
            source = self._source(tensor.name)
            if source is None or source.name in self.facts.static_layers:
                return False
            if self.units.get(source.name, "array") == "host":
                return False
        return True

    def _source(self, tensor: str) -> Layer | None:
        """The layer that really computes ``tensor``, seen through views; ``None`` for inputs."""
        network = self.facts.network
        layer = network.producer(tensor)
        while layer is not None and layer.name in self.views:
            layer = network.producer(network.activation_inputs(layer)[0].name)
        return layer

    def _only_reader(self, layer: Layer) -> Layer | None:
        """The one layer that reads what ``layer`` computes, seen through views; ``None`` if not one."""
        network = self.facts.network
        pending = [name for name in layer.outputs if name]
        if len(pending) != 1:
            return None
        readers: dict[str, Layer] = {}
        while pending:
            tensor = pending.pop()
            if tensor in network.outputs:
                return None
            for reader in network.consumers(tensor):
                if reader.name in self.views:
                    pending.extend(name for name in reader.outputs if name)
                else:
                    readers[reader.name] = reader
        return next(iter(readers.values())) if len(readers) == 1 else None

    def _kernel_to_join(self, layer: Layer, kernel_of: dict[str, _Kernel]) -> _Kernel | None:
        """The kernel that ``layer`` joins: of those allowed, the one that finishes last."""
        network = self.facts.network
        rules = [rule for rule in self.accelerator.compiler.fuse if is_listed(layer.op_type, rule.layers)]
        if not rules:
            return None
        candidates: dict[int, _Kernel] = {}
        for tensor in network.activation_inputs(layer):
            source = self._source(tensor.name)
            if source is not None and source.name in kernel_of:
                kernel = kernel_of[source.name]
                if network.layers[kernel.positions[-1]] is source and self._only_reader(source) is layer:
                    candidates[kernel.positions[-1]] = kernel
        for position in sorted(candidates, reverse=True):
            kernel = candidates[position]
            primary, last = network.layers[kernel.positions[0]], network.layers[position]
            for rule in rules:
                if (
                    kernel.unit in rule.units
                    and is_listed(primary.op_type, rule.into)
                    and is_listed(last.op_type, rule.after)
                    and self.facts.holds(layer, rule.when)
                    and self.facts.holds(primary, rule.when_primary)
                ):
                    return kernel
        return None
