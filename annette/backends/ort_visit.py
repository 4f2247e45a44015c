"""One visit of a network on ONNX Runtime: a session, a profile for the kernels, blocks for the total."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annette.backends.fixed_networks import chain_network, empty_network, reference_network
from annette.backends.machine import available_bytes
from annette.backends.model_cache import ModelCache, network_key
from annette.backends.ort_alone import LoneKernel, cut_kernels
from annette.backends.ort_graph import ExecutedKernel, executed_graph
from annette.backends.ort_session import (
    OrtSession,
    node_durations,
    profile_folder,
    read_profile,
)
from annette.backends.runtime_options import RuntimeOptions
from annette.backends.timing import (
    Reference,
    TimingPlan,
    clock_for,
    clock_step_s,
    least_mean,
    plan_visit,
    profile_runs,
    run_undisturbed,
    subtract_cost,
    time_blocks,
)
from annette.backends.visit_care import require_memory, visit_conditions, without_collection
from annette.errors import MeasurementError
from annette.graph.network import Network
from annette.graph.onnx_writer import to_onnx_model
from annette.measurement import KernelMeasurement

__all__ = ["OrtBench", "Visit", "anchored_kernels"]

_CACHE_SHARE = 1 / 16  # of the memory that is available when the backend begins
_LEAST_CACHE_BYTES = 256 << 20
_FIRST_RUNS = 2  # of a profile, left out: memory is planned and caches fill
_LONG_RUN_S = 0.2  # so long that the first run tells well enough how long one takes
_LEAST_NODE_S = 1e-7
"""Of what a node takes by the profile, this remains at least; the runtime's own share of a node is 0.2 us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What one visit found."""

    values_s: tuple[float, ...]
    """Seconds per run of each block, without the cost of calling the runtime."""
    kernels: tuple[KernelMeasurement, ...] | None
    """Per kernel; ``None`` if only the whole was timed."""
    eliminated_layers: tuple[str, ...]
    """Names of the layers that no executed node does."""
    conditions: Mapping[str, float]
    """The circumstances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Profiled:
    """A session whose profile has ended (it then runs as fast as any), and what the profile says."""

    session: OrtSession
    run_s: float
    node_s: Mapping[str, float]
    """Seconds of each executed node by its name."""
    own_fraction: float
    """Share of the profile's time in which the machine worked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What is kept of an executed graph: making it again would cost most of a visit."""

    model: bytes
    kernels: tuple[ExecutedKernel, ...]
    eliminated_layers: tuple[str, ...]
    lone: tuple[LoneKernel, ...]
    """The same kernels as models of their own, where they are to be timed alone."""


class OrtBench:
    """Everything that stays between the visits of one process: fixed costs, the reference, optimised models.

    Raises
    ------
    MeasurementError
        If the runtime cannot run the fixed networks.
    """

    def __init__(self, options: RuntimeOptions) -> None:
        self._options = options
        self._clock = clock_for(options.threads)
        self._clock_step_s = clock_step_s(self._clock)
        room = max(_LEAST_CACHE_BYTES, int(_CACHE_SHARE * (available_bytes() or 0)))
        self._models = ModelCache[_Prepared](room)
        empty = self._fixed_session(empty_network())
        self.empty_s = min(self._blocks(empty, TimingPlan(blocks=9, block_s=0.002)))
        """Seconds that calling the runtime takes; part of no value."""
        self.profile_node_s = self._profile_cost()
        """Seconds that profiling adds to what it writes of each node."""
        reference = self._fixed_session(reference_network())
        plan = TimingPlan(blocks=6, block_s=0.006, clock_step_s=self._clock_step_s)
        self._reference = Reference(lambda: min(self._blocks(reference, plan)))

    def visit(self, network: Network, seed: int) -> Visit:
        """Time the network once through.

        Raises
        ------
        AnnetteError
            If it cannot be measured; says why in one line.
        """
        require_memory(network, available_bytes())
        made = self._prepare(network)
        try:
            return self._time(network, made, seed)
        except MeasurementError as err:
            raise MeasurementError(f"network {network.name!r}: {err}") from err

    def _time(self, network: Network, made: _Prepared, seed: int) -> Visit:
        conditions, kernels = dict(self._conditions()), None
        if self._options.kernels == "profile":
            nodes = sum(len(item.nodes) for item in made.kernels)
            profiled = self._profiled(network, made.model, nodes, seed)
            values_s = self._values(profiled.session, profiled.run_s)
            cost_s = self.profile_node_s
            kernels = anchored_kernels(made.kernels, profiled.node_s, min(values_s), node_cost_s=cost_s)
            conditions |= {"profile_node_s": cost_s, "profile_own_fraction": profiled.own_fraction}
        else:
            values_s = self._timed(network, made.model, seed)
            if self._options.kernels == "alone":
                kernels = tuple(self._time_alone(item, seed) for item in made.lone)
        return Visit(
            values_s=values_s,
            kernels=kernels,
            eliminated_layers=() if kernels is None else made.eliminated_layers,
            conditions=conditions,
        )

    def _time_alone(self, item: LoneKernel, seed: int) -> KernelMeasurement:
        try:
            values_s = self._timed(item.network, item.model, seed)
        except MeasurementError as err:
            raise MeasurementError(f"kernel {item.kernel.name!r} alone: {err}") from err
        return KernelMeasurement(kernel=item.kernel, values_s=(min(values_s),))

    def _timed(self, network: Network, model: bytes, seed: int) -> tuple[float, ...]:
        session = OrtSession.of_network(network, model, self._options, seed=seed)
        return self._values(session, self._one_run_s(session))

    def _profiled(self, network: Network, model: bytes, nodes: int, seed: int = 0) -> _Profiled:
        with profile_folder() as prefix:
            session = OrtSession.of_network(network, model, self._options, seed=seed, profile_prefix=prefix)
            run_s = self._one_run_s(session)
            own_fraction = run_undisturbed(
                session.run,
                profile_runs(run_s, nodes),
                wall_clock=time.perf_counter_ns,
                own_clock=self._clock,
            )
            durations = node_durations(read_profile(session.end_profile()))
        node_s = {
            name: least_mean(values[_FIRST_RUNS:] or values, own_fraction)
            for name, values in durations.items()
        }
        return _Profiled(session=session, run_s=run_s, node_s=node_s, own_fraction=own_fraction)

    def _one_run_s(self, session: OrtSession) -> float:
        """Seconds of one run, after one to warm up unless that took long."""
        for _ in range(2):
            start = self._clock()
            session.run()
            run_s = (self._clock() - start) / 1e9
            if run_s > _LONG_RUN_S:
                break
        return max(run_s, 1e-7)

    def _values(self, session: OrtSession, run_s: float) -> tuple[float, ...]:
        plan = plan_visit(run_s, clock_step_s=self._clock_step_s)
        return subtract_cost(self._blocks(session, plan), self.empty_s)

    def _blocks(self, session: OrtSession, plan: TimingPlan) -> tuple[float, ...]:
        with without_collection():
            return time_blocks(session.run, self._clock, plan)

    def _prepare(self, network: Network) -> _Prepared:
        key = network_key(network)
        found = self._models.get(key)
        if found is None:
            found = self._make(network)
            size = len(found.model) + sum(len(item.model) for item in found.lone)
            self._models.put(key, found, size_bytes=size)
        return found

    def _make(self, network: Network) -> _Prepared:
        graph = executed_graph(network, self._options)
        model = graph.model.SerializeToString()
        lone: tuple[LoneKernel, ...] = ()
        if self._options.kernels == "alone":
            with profile_folder() as prefix:
                session = OrtSession.of_network(network, model, self._options, profile_prefix=prefix)
                lone = cut_kernels(graph, read_profile(session.end_profile()))
        return _Prepared(
            model=model, kernels=graph.kernels, eliminated_layers=graph.eliminated_layers, lone=lone
        )

    def _conditions(self) -> Mapping[str, float]:
        return {**visit_conditions(self._reference.latest_s()), "empty_s": self.empty_s}

    def _fixed_session(self, network: Network) -> OrtSession:
        return OrtSession.of_network(network, _plain_model(network), self._options, optimization="all")

    def _profile_cost(self) -> float:
        """What profiling adds to each node: the profile of small ones less what they take without it.

        The least of three findings, since a machine that is busy meanwhile only adds to it.
        """
        network = chain_network()
        model, nodes = _plain_model(network), len(network.layers)
        found = []
        for _ in range(3 if self._options.kernels == "profile" else 0):
            profiled = self._profiled(network, model, nodes)
            total_s = min(self._values(profiled.session, profiled.run_s))
            found.append((sum(profiled.node_s.values()) - total_s) / nodes)
        return max(0.0, min(found, default=0.0))


def anchored_kernels(
    kernels: Sequence[ExecutedKernel],
    node_s: Mapping[str, float],
    total_s: float,
    *,
    node_cost_s: float = 0.0,
) -> tuple[KernelMeasurement, ...]:
    """Each kernel's share of the profile, scaled so that all kernels sum to ``total_s``.

    From each node goes what profiling itself costs it, which for small ones is more than they take.

    Parameters
    ----------
    kernels
        The network's kernels and the nodes that do them.
    node_s
        Seconds of each node by the profile.
    total_s
        What all kernels take; > 0.
    node_cost_s
        What profiling adds to each node; >= 0.

    Raises
    ------
    MeasurementError
        If the profile lacks a kernel.
    """
    profile_s = [_node_times(item.nodes, node_s) for item in kernels]
    own_s = [sum(max(value - node_cost_s, _LEAST_NODE_S) for value in values) for values in profile_s]
    scale = total_s / sum(own_s) if own_s else 1.0
    return tuple(
        KernelMeasurement(
            kernel=item.kernel, values_s=(seconds * scale,), counters={"profile_s": sum(values)}
        )
        for item, seconds, values in zip(kernels, own_s, profile_s, strict=True)
    )


def _plain_model(network: Network) -> bytes:
    data: bytes = to_onnx_model(network, weights="random").SerializeToString()
    return data


def _node_times(nodes: tuple[str, ...], node_s: Mapping[str, float]) -> list[float]:
    found = [node_s[name] for name in nodes if name in node_s]
    if not found:
        raise MeasurementError(
            f"profile: holds nothing of the executed nodes {', '.join(nodes[:3])}, expected each of them"
        )
    return found
