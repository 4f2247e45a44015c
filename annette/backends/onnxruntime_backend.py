"""The backend of ONNX Runtime on this machine's processor: a visit is a session, a profile, timed blocks."""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from annette.backends.fixed_networks import empty_network, reference_network
from annette.backends.machine import available_bytes, clock_hz, load_fraction, read_machine
from annette.backends.model_cache import ModelCache, network_key
from annette.backends.ort_graph import ExecutedGraph, ExecutedKernel, executed_graph, import_onnxruntime
from annette.backends.ort_session import (
    NodeDurations,
    OrtSession,
    error_line,
    profile_folder,
    read_profile,
)
from annette.backends.runtime_options import RuntimeOptions, parse_runtime_options
from annette.backends.timing import (
    Reference,
    TimingPlan,
    clock_for,
    clock_step_s,
    lower_half_mean,
    plan_visit,
    profile_runs,
    subtract_cost,
    time_blocks,
)
from annette.errors import AnnetteError, MeasurementError
from annette.graph.network import Network
from annette.graph.onnx_writer import to_onnx_model
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement

__all__ = ["OnnxRuntimeBackend", "anchored_kernels", "open_onnxruntime"]

PROTOCOL_VERSION = "1"
"""Raised whenever the same network would be timed differently."""
_CACHE_BYTES = 256 << 20
_MEMORY_SHARE = 0.5  # of the available memory, for one network
_WEIGHT_COPIES = 3  # as the model's bytes, as parsed, and as packed for the kernels
_FIRST_RUNS = 3  # of a profile, left out: memory is planned and caches fill


@dataclass(frozen=True)
class OnnxRuntimeBackend:
    """Times networks with ONNX Runtime's CPU execution provider.

    Random weights and inputs. With one thread times are processor time of that thread, else wall time.
    Sessions and timings that are kept beside belong to this process: they do not travel when pickled.
    """

    options: RuntimeOptions = field(default_factory=RuntimeOptions)
    """Threads, optimisation, and how kernels are timed."""
    info: DeviceInfo = field(init=False)
    """Identity of machine, runtime and options."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "info", _device_info(self.options))

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        """One visit: a profile for the kernels' shares, then blocks of runs for the total.

        The values are seconds per run of each block, without the cost of calling the runtime. What the
        runtime cannot run is an error in the measurement.
        """
        try:
            return self._bench().visit(network, self.info, seed)
        except AnnetteError as err:
            error = error_line(err)
        except MemoryError:
            error = f"network {network.name!r}: memory ran out; use a smaller batch or close other programs"
        return Measurement(network_id=network.id, device=self.info, error=error, seed=seed)

    def _bench(self) -> _Bench:
        bench: _Bench | None = self.__dict__.get("_made_bench")
        if bench is None:
            bench = _Bench(self.options)
            object.__setattr__(self, "_made_bench", bench)
        return bench

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options, "info": self.info}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


def open_onnxruntime(target: str) -> OnnxRuntimeBackend:
    """ONNX Runtime on this machine with the options in ``target``, as ``threads=2,optimization=extended``.

    Raises
    ------
    UsageError
        If an option is not known or out of range.
    MeasurementError
        If the runtime is not installed.
    """
    options = parse_runtime_options(target, device="onnxruntime", cpus=read_machine().cpus)
    return OnnxRuntimeBackend(options=options)


def anchored_kernels(
    kernels: Sequence[ExecutedKernel], durations: NodeDurations, total_s: float
) -> tuple[KernelMeasurement, ...]:
    """Each kernel's share of the profile, scaled so that all kernels sum to ``total_s``.

    A node counts with the mean of the lower half of its durations: what disturbed the others is not its own.

    Raises
    ------
    MeasurementError
        If the profile lacks a kernel.
    """
    profile_s = [_kernel_s(kernel.nodes, durations) for kernel in kernels]
    scale = total_s / sum(profile_s) if profile_s else 1.0
    return tuple(
        KernelMeasurement(kernel=item.kernel, values_s=(seconds * scale,), counters={"profile_s": seconds})
        for item, seconds in zip(kernels, profile_s, strict=True)
    )


def _kernel_s(nodes: tuple[str, ...], durations: NodeDurations) -> float:
    found = [durations[name] for name in nodes if name in durations]
    if not found:
        raise MeasurementError(
            f"profile: holds nothing of the executed nodes {', '.join(nodes[:3])}, expected each of them"
        )
    return sum(lower_half_mean(values[_FIRST_RUNS:] or values) for values in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What is kept of an executed graph: making it again would cost most of a visit."""

    model: bytes
    kernels: tuple[ExecutedKernel, ...]
    eliminated_layers: tuple[str, ...]


def _prepared(graph: ExecutedGraph) -> _Prepared:
    return _Prepared(
        model=graph.model.SerializeToString(),
        kernels=graph.kernels,
        eliminated_layers=graph.eliminated_layers,
    )


class _Bench:
    """What a backend keeps between visits within one process."""

    def __init__(self, options: RuntimeOptions) -> None:
        self._options = options
        self._clock = clock_for(options.threads)
        self._clock_step_s = clock_step_s(self._clock)
        self._prepared = ModelCache[_Prepared](_CACHE_BYTES)
        self._empty_s = self._time_fixed(empty_network(), TimingPlan(blocks=9, block_s=0.002))
        reference = self._fixed_session(reference_network())
        plan = TimingPlan(blocks=6, block_s=0.006, clock_step_s=self._clock_step_s)
        self._reference = Reference(lambda: min(self._blocks(reference, plan)))

    def visit(self, network: Network, device: DeviceInfo, seed: int) -> Measurement:
        """One measurement of the network.

        Raises
        ------
        AnnetteError
            If it cannot be measured.
        """
        _require_memory(network, available_bytes())
        conditions = self._conditions()
        made = self._prepare(network)
        try:
            values_s, kernels = self._time(network, made, seed)
        except MeasurementError as err:
            raise MeasurementError(f"network {network.name!r}: {err}") from err
        return Measurement(
            network_id=network.id,
            device=device,
            values_s=values_s,
            kernels=kernels,
            eliminated_layers=made.eliminated_layers if kernels is not None else (),
            conditions=conditions,
            seed=seed,
        )

    def _time(
        self, network: Network, made: _Prepared, seed: int
    ) -> tuple[tuple[float, ...], tuple[KernelMeasurement, ...] | None]:
        if self._options.kernels == "profile":
            with profile_folder() as prefix:
                session = OrtSession.of_network(
                    network, made.model, self._options, seed=seed, profile_prefix=prefix
                )
                run_s = self._profile(session, sum(len(kernel.nodes) for kernel in made.kernels))
                durations = read_profile(session.end_profile())
            values_s = self._values(session, run_s)
            return values_s, anchored_kernels(made.kernels, durations, min(values_s))
        session = OrtSession.of_network(network, made.model, self._options, seed=seed)
        values_s = self._values(session, self._one_run_s(session))
        return values_s, None

    def _values(self, session: OrtSession, run_s: float) -> tuple[float, ...]:
        plan = plan_visit(run_s, clock_step_s=self._clock_step_s)
        return subtract_cost(self._blocks(session, plan), self._empty_s)

    def _profile(self, session: OrtSession, nodes: int) -> float:
        """Run the profiled session often enough; seconds of a run."""
        run_s = self._one_run_s(session)
        for _ in range(profile_runs(run_s, nodes)):
            session.run()
        return run_s

    def _one_run_s(self, session: OrtSession) -> float:
        session.run()
        start = time.perf_counter()
        session.run()
        return max(time.perf_counter() - start, 1e-9)

    def _blocks(self, session: OrtSession, plan: TimingPlan) -> tuple[float, ...]:
        with _without_collection():
            return time_blocks(session.run, self._clock, plan)

    def _prepare(self, network: Network) -> _Prepared:
        key = network_key(network)
        found = self._prepared.get(key)
        if found is None:
            found = _prepared(executed_graph(network, self._options))
            self._prepared.put(key, found, size_bytes=len(found.model))
        return found

    def _conditions(self) -> Mapping[str, float]:
        found = {
            "started_s": time.time(),
            "reference_s": self._reference.latest_s(),
            "load_fraction": load_fraction(),
            "clock_hz": clock_hz(),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _fixed_session(self, network: Network) -> OrtSession:
        model = to_onnx_model(network, weights="random").SerializeToString()
        return OrtSession.of_network(network, model, self._options, optimization="all")

    def _time_fixed(self, network: Network, plan: TimingPlan) -> float:
        return min(self._blocks(self._fixed_session(network), plan))


@contextmanager
def _without_collection() -> Iterator[None]:
    """Python's garbage collector rests meanwhile: it would run on the time of what is measured."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _require_memory(network: Network, available: int | None) -> None:
    """Refuse what would make the machine swap."""
    if available is None:
        return
    weights = sum(tensor.size_bytes for tensor in network.tensors.values() if tensor.is_constant)
    others = sum(tensor.size_bytes for tensor in network.tensors.values() if not tensor.is_constant)
    needed, most = _WEIGHT_COPIES * weights + others, int(_MEMORY_SHARE * available)
    if needed > most:
        raise MeasurementError(
            f"network {network.name!r}: needs up to {needed} bytes of memory ({weights} of weights, "
            f"{others} of activations), expected at most {most}, half of what is available; use a smaller "
            "batch or input"
        )


def _device_info(options: RuntimeOptions) -> DeviceInfo:
    machine, version = read_machine(), str(import_onnxruntime().__version__)
    threads = "1 thread" if options.threads == 1 else f"{options.threads} threads"
    return DeviceInfo(
        name="cpu-onnxruntime",
        backend="onnxruntime",
        description=f"{machine.cpu_model}, ONNX Runtime {version}, {threads}",
        cache_bytes=machine.cache_bytes,
        vector_bytes=machine.vector_bytes,
        visits=options.visits,
        is_exclusive=True,
        environment=(
            ("clock", "thread time" if options.threads == 1 else "wall time"),
            ("cpu", f"{machine.cpu_model} {machine.cpu_signature}".strip()),
            ("host", machine.host),
            ("kernels", options.kernels),
            ("onnxruntime", version),
            ("optimization", options.optimization),
            ("protocol", PROTOCOL_VERSION),
            ("system", platform.system()),
            ("threads", str(options.threads)),
        ),
    )
