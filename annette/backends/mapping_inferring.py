"""Gives a device that reports no kernels a mapping found by timing, and a time for each of its kernels.

Whenever a network holds a pair of parts not seen before, the pair is probed at several sizes
(`annette.backends.mapping_inference`). Where the sizes disagree, those between them are probed too, and the
nearest one decides. The kernels are then cut out and timed alone; their times are scaled so that together
they are what the whole network took, less what a call costs without any layer.

Not looked for are merges across a branch (a Sigmoid and the Mul that reads it and its operand as one), of
layers that move elements (Concat, Transpose, Pad), and of one multiply-accumulate layer into another.
"""

from __future__ import annotations

import itertools
import logging
import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from annette.backends.mapping_inference import THRESHOLD, FusionFinding, call_cost, find_fusion, timed_by
from annette.backends.mapping_probe import MAC_FAMILIES, PairProbe, cut_out, pair_probe, probe_shapes
from annette.backends.protocol import Backend
from annette.errors import MeasurementError
from annette.graph.families import layer_family
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Layer, Network
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement

__all__ = ["InferringBackend"]

_LOG = logging.getLogger(__name__)

_JOINERS = frozenset({"activation", "elementwise", "normalization", "pool", "quantize"})
"""Families of layers that may join the kernel before them."""
_VIEWS = frozenset({"Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""Operators that may cost nothing at all."""
_UNIT = "device"
_VISITS = 2
_VIEW_VISITS = 4
_VIEW_SHARE = 0.2
"""Of what a cheap layer of the same size costs: a view that costs less has vanished."""
_BISECTIONS = 3
_FINE = 0.3
"""Sizes whose logarithms differ by less are not told apart."""


class InferringBackend:
    """A backend whose answers have kernels, also if those of the ``inner`` one have none.

    What the inner backend reports is never changed. Findings are kept as long as the backend lives; a copy in
    another process makes its own.

    Examples
    --------
    >>> from annette.backends.simulator import open_simulator
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.relu(build.conv(build.input("x", (1, 3, 8, 8)), 4)))
    >>> backend = InferringBackend(open_simulator("ncs2"))
    >>> [kernel.name for kernel in backend.infer_mapping(network).kernels]
    ['conv_1+relu_1']
    """

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self._restart()

    def _restart(self) -> None:
        self._seeds = itertools.count(1)
        self._values = timed_by(self._probe)
        self._findings: dict[tuple[str, str, int], list[FusionFinding]] = {}
        self._vanished: dict[str, bool] = {}
        self._call_s: float | None = None

    @property
    def info(self) -> DeviceInfo:
        """The inner backend's."""
        return self.inner.info

    @property
    def findings(self) -> tuple[FusionFinding, ...]:
        """All that was found so far."""
        return tuple(itertools.chain.from_iterable(self._findings.values()))

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        """Time ``network`` and, if the device reports no kernels, find and time them."""
        answer = self.inner.measure(network, seed=seed)
        if answer.values_s is None or answer.kernels is not None or not network.layers:
            return answer
        mapping = self.infer_mapping(network)
        try:
            shares = self._shares(network, mapping)
            call_s = self._call_cost()
        except MeasurementError as err:
            _LOG.info("network %s: its kernels cannot be timed alone: %s", network.name, err)
            return answer
        inside = [max(value - call_s, 0.01 * value) for value in answer.values_s]
        kernels = tuple(
            KernelMeasurement(kernel=kernel, values_s=tuple(share * value for value in inside))
            for kernel, share in zip(mapping.kernels, shares, strict=True)
        )
        return replace(
            answer,
            kernels=kernels,
            eliminated_layers=mapping.eliminated_layers,
            conditions={**answer.conditions, "call_s": call_s},
        )

    def infer_mapping(self, network: Network) -> Mapping:
        """What timing says the device makes of ``network``; probes what it does not know yet."""
        home: dict[str, int] = {}  # tensor -> kernel that computes it, seen through what has vanished
        kernels: list[list[Layer]] = []
        vanished: list[str] = []
        for layer in network.layers:
            if layer.op_type in _VIEWS and self._vanishes(network, layer):
                vanished.append(layer.name)
                continue
            target = self._home(network, layer, kernels, home)
            if target is None:
                kernels.append([layer])
                target = len(kernels) - 1
            else:
                kernels[target].append(layer)
            home.update((name, target) for name in layer.outputs if name)
        order = {layer.name: place for place, layer in enumerate(network.layers)}
        done = [_kernel(network, layers) for layers in kernels]
        done.sort(key=lambda kernel: order[kernel.layers[-1]])
        return Mapping(kernels=tuple(done), eliminated_layers=tuple(vanished))

    def _home(
        self, network: Network, layer: Layer, kernels: Sequence[Sequence[Layer]], home: dict[str, int]
    ) -> int | None:
        """The kernel that the layer joins: one whose last layer only it reads, the latest first."""
        if layer_family(network, layer) not in _JOINERS:
            return None
        found = {}
        for tensor in network.activation_inputs(layer):
            number = home.get(tensor.name)
            if number is None or tensor.name in network.outputs or len(network.consumers(tensor.name)) != 1:
                continue
            found[number] = tensor.name
        for number in sorted(found, reverse=True):
            chain = kernels[number]
            if found[number] in chain[-1].outputs and self._merges(network, chain, layer):
                return number
        return None

    def _merges(self, network: Network, kernel: Sequence[Layer], layer: Layer) -> bool:
        pair = pair_probe(network, [item.name for item in kernel], layer.name)
        fed = network.activation_inputs(kernel[0])
        if not fed:
            return False
        shape = fed[0].shape
        key = (*pair.key, len(shape))
        if key not in self._findings:
            self._findings[key] = self._find(pair, probe_shapes(len(shape)))
        known = [item for item in self._findings[key] if item.verdict != "undecided"]
        verdicts = {item.verdict for item in known}
        if len(verdicts) == 2:
            known = self._bisect(pair, key, known, shape)
        if not known:  # a guess, but the likelier one
            savings = [item.saving for item in self._findings[key]]
            return bool(savings) and statistics.median(savings) > THRESHOLD
        return min(known, key=lambda item: _distance(item.shape, shape)).verdict == "fused"

    def _bisect(
        self, pair: PairProbe, key: tuple[str, str, int], known: list[FusionFinding], shape: tuple[int, ...]
    ) -> list[FusionFinding]:
        """Findings nearer to ``shape``, until the nearest of both verdicts are at one size or it is sure."""
        for _ in range(_BISECTIONS):
            fused, apart = (
                min(
                    (item for item in known if item.verdict == verdict),
                    key=lambda i: _distance(i.shape, shape),
                )
                for verdict in ("fused", "apart")
            )
            near, far = sorted((fused, apart), key=lambda item: _distance(item.shape, shape))
            outside = _distance(far.shape, shape) > _distance(near.shape, far.shape)
            if outside or _distance(near.shape, far.shape) < _FINE:
                break
            between = tuple(round(math.sqrt(a * b)) for a, b in zip(near.shape, far.shape, strict=True))
            if any(item.shape == between for item in self._findings[key]):
                break
            found = self._find(pair, [between])
            self._findings[key] += found
            if not found or found[0].verdict == "undecided":
                break
            known = [*known, *found]
        return known

    def _find(self, pair: PairProbe, shapes: Sequence[tuple[int, ...]]) -> list[FusionFinding]:
        findings = [find_fusion(self._values, pair, shape) for shape in shapes]
        for item in findings:
            if item is not None:
                _LOG.info(
                    "%s + %s at %s: %s (saves %.2f of the cheaper, %.2f to %.2f)",
                    item.first, item.second, item.shape, item.verdict, item.saving, item.low, item.high,
                )  # fmt: skip
        return [item for item in findings if item is not None]

    def _vanishes(self, network: Network, layer: Layer) -> bool:
        """Whether a view costs nothing, compared with a cheap layer on a large tensor of its rank."""
        known = self._vanished.get(layer.op_type)
        if known is not None:
            return known
        alone = cut_out(network, [layer.name])
        if len(alone.inputs) != 1:
            return False
        shape = alone.tensors[alone.inputs[0]].shape
        if math.prod(shape) < 4096:  # too small to tell; a larger one may follow
            return True
        try:
            call_s = call_cost(self._values, shape)
            view, cheap = (
                statistics.median(self._values([item], _VIEW_VISITS)[0]) for item in (alone, _relu(shape))
            )
        except MeasurementError:
            return False
        self._vanished[layer.op_type] = float(view) - call_s < _VIEW_SHARE * (float(cheap) - call_s)
        return self._vanished[layer.op_type]

    def _shares(self, network: Network, mapping: Mapping) -> list[float]:
        """Of each kernel its share of the network's time, by its time alone."""
        if len(mapping.kernels) == 1:
            return [1.0]
        call_s = self._call_cost()
        times = []
        for kernel in mapping.kernels:
            alone = statistics.median(self._values([cut_out(network, kernel.layers)], _VISITS)[0])
            times.append(max(float(alone) - call_s, 0.01 * float(alone), 1e-12))
        return [time / sum(times) for time in times]

    def _call_cost(self) -> float:
        if self._call_s is None:
            self._call_s = call_cost(self._values)
        return self._call_s

    def _probe(self, network: Network) -> Measurement:
        return self.inner.measure(network, seed=next(self._seeds))

    def __getstate__(self) -> dict[str, Any]:
        return {"inner": self.inner}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.inner = state["inner"]
        self._restart()


def _kernel(network: Network, layers: Sequence[Layer]) -> Kernel:
    primary = next((item for item in layers if layer_family(network, item) in MAC_FAMILIES), layers[0])
    return Kernel(layers=tuple(item.name for item in layers), primary=primary.name, unit=_UNIT)


def _distance(first: Sequence[int], second: Sequence[int]) -> float:
    """How far two shapes are apart: in the logarithm of their last axis, other axes weigh a tenth."""
    logs = [abs(math.log(max(a, 1) / max(b, 1))) for a, b in zip(first, second, strict=True)]
    return logs[-1] + 0.1 * sum(logs[:-1])


def _relu(shape: tuple[int, ...]) -> Network:
    from annette.graph.builder import NetworkBuilder

    build = NetworkBuilder("cheap")
    return build.finish(build.relu(build.input("x", shape)))
