"""Keys of kernels: equal keys mean equal rows of a kernel table, so that a row is worked out once.

A kernel's row depends on the kinds of its layers, on how tensors run between them, on what else reads them,
and, where layers vanish between kernels, on what is stored instead. All of that is in the key, and no name.
What depends on the whole network (how much passes through the caches between two kernels) is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from annette.graph.layer_kinds import LayerKind
from annette.graph.mapping import Kernel
from annette.graph.operators import QUANTISERS
from annette.measurement import DeviceInfo
from annette.models.kernel_row import is_processor
from annette.models.mapping_walk import Walk

__all__ = ["KernelKeys"]


class KernelKeys:
    """Keys of the kernels of one walk, for one device."""

    def __init__(self, walk: Walk, device: DeviceInfo) -> None:
        """Keys of a walk after its last layer."""
        self._walk = walk
        view = walk.view
        self._kinds, self._reads, self._layers = view.kinds, view.reads, view.layers
        self._by_dtypes = device.activation_bytes is None
        self._by_sources = self._by_dtypes or is_processor(device)
        self._tensor_kinds = view.network.kinds.tensors
        self.is_odd = True in [kind.makes_constants for kind in view.kinds]
        """Whether what a kernel reads and writes is not what it seems: then keys do not tell its row."""
        inlined = self._inlined_dequantizers() if self._by_dtypes else frozenset()
        self._inlined = inlined
        self._is_plain = not walk.vanished and not inlined
        layers = view.layers
        hidden = (name for number in (*walk.vanished, *inlined) for name in layers[number].outputs)
        self._sources = dict.fromkeys(hidden, "")
        """By tensor that no kernel hands out what is stored instead, once it was asked for."""

    def key(self, kernel: int, primary: int, unit: str) -> Any:
        """The key of a kernel of layers."""
        layers = self._walk.kernels[kernel].layers
        if len(layers) > 1:
            return self._merged(kernel, layers, primary, unit)
        number = layers[0]
        kind = self._kinds[number]
        if self._is_plain or not self._by_sources:
            return kind, unit
        return self._beyond(number, kind, unit)

    def move_key(self, move: Kernel) -> Any:
        """The key of a move of a tensor."""
        return move.unit, self._tensor_kinds[move.tensor or ""]

    def _beyond(self, number: int, kind: LayerKind, unit: str) -> Any:
        """The key of a lone layer where what is stored may be another tensor than what it reads or writes."""
        reads = self._reads[number]
        sources = tuple([self.source(name) for name in reads])
        written = tuple(self._written(self._layers[number].outputs))
        if sources == reads and not any(written):
            return kind, unit
        return kind, unit, tuple([self._tensor_kinds[name] for name in sources]), written

    def _merged(self, kernel: int, layers: list[int], primary: int, unit: str) -> Any:
        kinds, reads, items, hidden = self._kinds, self._reads, self._layers, self._sources
        by_dtypes = self._by_dtypes and not self._is_plain
        places: dict[str, int] = {}
        aliases: dict[str, int] = {}
        key: list[Any] = [unit, layers.index(primary)]
        for number in layers:
            key.append(kinds[number])
            for name in reads[number]:
                if name in hidden:
                    source = self.source(name)
                    if source != name:  # which tensor is stored instead, and of which the kernel reads
                        key.append((self._tensor_kinds[source], aliases.setdefault(name, len(aliases))))
                        name = source
                key.append(places.setdefault(name, len(places)))
            outputs = items[number].outputs
            for name in outputs:
                places[name] = len(places)
                key.append(self._leaves(name, kernel))
            if by_dtypes:
                key.extend(self._written(outputs))
                key.append(number in self._inlined)
        return tuple(key)

    def source(self, name: str) -> str:
        """The tensor behind ``name`` where layers vanish; as `KernelReader.source`."""
        found = self._sources.get(name, name)
        if not found:
            found = self._sources[name] = self._look_behind(name)
        return found

    def _look_behind(self, name: str) -> str:
        producer_of, kernel_of = self._walk.view.producer_of, self._walk.kernel_of
        while True:
            producer = producer_of.get(name)
            if producer is None or (kernel_of[producer] >= 0 and producer not in self._inlined):
                return name
            behind = self._reads[producer]
            if len(behind) != 1:
                return name
            name = behind[0]

    def _written(self, outputs: Iterable[str]) -> Iterator[int]:
        """What is stored of outputs where only a quantiser that vanishes reads them; 0: the output itself."""
        view, kernel_of = self._walk.view, self._walk.kernel_of
        for name in outputs:
            readers = view.readers_of.get(name, ())
            if len(readers) == 1 and kernel_of[readers[0]] < 0 and name not in view.output_names:
                reader = self._layers[readers[0]]
                if reader.op_type == "QuantizeLinear":
                    yield 1 + self._tensor_kinds[reader.outputs[0]]
                    continue
            yield 0

    def _leaves(self, name: str, kernel: int) -> bool:
        """Whether anything outside the kernel reads ``name``, also through layers that vanish."""
        view, kernel_of = self._walk.view, self._walk.kernel_of
        readers = view.readers_of.get(name)
        if readers is None or name in view.output_names:
            return True
        for reader in readers:
            other = kernel_of[reader]
            if other < 0:
                return self._leaves_behind(name, kernel)
            if other != kernel:
                return True
        return False

    def _leaves_behind(self, name: str, kernel: int) -> bool:
        view, kernel_of = self._walk.view, self._walk.kernel_of
        pending, is_read = [name], False
        while pending:
            tensor = pending.pop()
            if tensor in view.output_names:
                return True
            for reader in view.readers_of.get(tensor, ()):
                is_read = True
                if kernel_of[reader] < 0:
                    pending.extend(filter(None, self._layers[reader].outputs))
                elif kernel_of[reader] != kernel:
                    return True
        return not is_read

    def _inlined_dequantizers(self) -> frozenset[int]:
        """The dequantisers that other work has taken in; as `KernelReader` finds them."""
        op_types = self._walk.view.op_types
        if "DequantizeLinear" not in op_types:
            return frozenset()
        found: set[int] = set()
        for state in self._walk.kernels:
            if len(state.layers) > 1 and not state.operators <= QUANTISERS:
                found.update(item for item in state.layers if op_types[item] == "DequantizeLinear")
        return frozenset(found)
