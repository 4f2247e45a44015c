"""A compiled network: its mapping, and what each of its kernels asks of a unit, made once for many runs."""

from __future__ import annotations

from annette.graph.mapping import Mapping
from annette.graph.network import Layer, Network
from annette.hardware.accelerator import Accelerator, ExternalMemory
from annette.hardware.rules import CompilerRules
from annette.simulator.compiler import compile_facts, unit_of
from annette.simulator.facts import NetworkFacts
from annette.simulator.lowering import MovedElements, lower_to_array, lower_to_stream, moved_elements
from annette.simulator.nests import ArrayNest, Stream

__all__ = ["CompiledNetwork", "PreparedNetwork"]


class CompiledNetwork:
    """A network under one set of compiler rules; whatever else an accelerator says does not matter here."""

    def __init__(self, facts: NetworkFacts, accelerator: Accelerator) -> None:
        self.facts = facts
        self.mapping: Mapping = compile_facts(facts, accelerator)
        self._accelerator = accelerator
        self._nests: dict[tuple[str, ...], ArrayNest] = {}
        self._streams: dict[tuple[tuple[str, ...], str, int], Stream] = {}
        self._moved: dict[tuple[str, ...], MovedElements] = {}
        self._units: dict[str, str | None] = {}

    def layers(self, names: tuple[str, ...]) -> list[Layer]:
        """The layers of these names."""
        return [self.facts.network.layer(name) for name in names]

    def nest(self, names: tuple[str, ...]) -> ArrayNest:
        """The loop nest of a kernel of the array that consists of these layers."""
        found = self._nests.get(names)
        if found is None:
            found = self._nests[names] = lower_to_array(self.facts, self.layers(names))
        return found

    def stream(self, names: tuple[str, ...], external: ExternalMemory) -> Stream:
        """The pass over tensors that a kernel of these layers makes on the vector unit or the host."""
        key = names, external.layout, external.channel_alignment
        found = self._streams.get(key)
        if found is None:
            found = self._streams[key] = lower_to_stream(self.facts, self.layers(names), external)
        return found

    def moved(self, names: tuple[str, ...]) -> MovedElements:
        """What a kernel of these layers moves, on whichever unit."""
        found = self._moved.get(names)
        if found is None:
            found = self._moved[names] = moved_elements(self.facts, self.layers(names))
        return found

    def unit_of(self, name: str) -> str | None:
        """The unit that runs the layer on its own; ``None`` if there is none."""
        if name not in self._units:
            self._units[name] = unit_of(self.facts, self._accelerator, self.facts.network.layer(name))
        return self._units[name]


class PreparedNetwork:
    """A network that is simulated on many accelerators: compiled once for each set of compiler rules."""

    def __init__(self, network: Network) -> None:
        self.facts = NetworkFacts(network)
        self._compiled: dict[CompilerRules, CompiledNetwork] = {}

    @property
    def network(self) -> Network:
        """What was prepared."""
        return self.facts.network

    def compiled(self, accelerator: Accelerator) -> CompiledNetwork:
        """The network as the accelerator's compiler leaves it.

        Raises
        ------
        HardwareError
            If no unit of the accelerator can run a layer.
        """
        found = self._compiled.get(accelerator.compiler)
        if found is None:
            found = self._compiled[accelerator.compiler] = CompiledNetwork(self.facts, accelerator)
        return found
