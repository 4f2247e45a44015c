"""The backend of OpenVINO's CPU plug-in on this machine: a visit is a profile, then timed blocks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from annette.backends.fixed_networks import empty_network, reference_network
from annette.backends.machine import available_bytes, read_machine
from annette.backends.model_cache import ModelCache, network_key
from annette.backends.openvino_graph import ExecutedKernel, read_kernels
from annette.backends.openvino_names import number_names, restore_names
from annette.backends.openvino_session import (
    PRECISIONS,
    OpenVinoModel,
    OpenVinoSession,
    Precision,
    runtime_version,
)
from annette.backends.runtime_device import runtime_device
from annette.backends.runtime_options import RuntimeOptions, parse_runtime_options
from annette.backends.timing import (
    Reference,
    TimingPlan,
    clock_for,
    clock_step_s,
    plan_visit,
    profile_runs,
    subtract_cost,
    time_blocks,
)
from annette.backends.visit_care import (
    require_expressed,
    require_memory,
    visit_conditions,
    without_collection,
)
from annette.errors import AnnetteError, MeasurementError, UsageError
from annette.graph.mapping import Mapping, require_complete
from annette.graph.network import Network
from annette.graph.onnx_writer import to_onnx_model
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement

__all__ = ["OpenVinoBackend", "anchored_kernels", "open_openvino"]

PROTOCOL_VERSION = "1"
"""Raised whenever the same network would be timed differently."""
OPTION_KEYS = ("threads", "kernels", "visits", "precision")
"""What stands after the colon of the device's name."""
_CACHE_BYTES = 256 << 20
_MOST_PROFILE_RUNS = 30
"""More runs do not make the counters' mean finer."""
_WARMUP_RUNS = 3


@dataclass(frozen=True)
class OpenVinoBackend:
    """Times networks with OpenVINO's CPU plug-in: one stream, one request at a time.

    Random weights and inputs. One thread computes in the thread that asks (measured: its processor time is
    that of the process), so times are that thread's processor time; with more threads they are wall time.
    Sessions and timings that are kept beside belong to this process: they do not travel when pickled.

    Raises
    ------
    UsageError
        If kernels are to be timed alone, or the precision is not known.
    MeasurementError
        If OpenVINO is not installed.
    """

    options: RuntimeOptions = field(default_factory=RuntimeOptions)
    """Threads, and how kernels are timed: by ``profile`` or ``none``."""
    precision: Precision = "f32"
    """Of floats: the plug-in would take bfloat16 by itself where the processor has it."""
    info: DeviceInfo = field(init=False)
    """Identity of machine, runtime and options."""

    def __post_init__(self) -> None:
        if self.options.kernels == "alone":
            raise UsageError(
                "device openvino: option kernels=alone: the plug-in's graph cannot be cut into kernels, "
                "expected profile or none"
            )
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"device openvino: option precision={self.precision}, expected {' or '.join(PRECISIONS)}"
            )
        object.__setattr__(self, "info", _device_info(self.options, self.precision))

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        """One visit: a profile for the kernels' shares, then blocks of runs for the total.

        The values are seconds per run of each block, without the cost of calling the runtime. What the
        runtime cannot run is an error in the measurement.
        """
        try:
            return self._bench().visit(network, self.info, seed)
        except AnnetteError as err:
            error = " ".join(str(err).split())
        except MemoryError:
            error = f"network {network.name!r}: memory ran out; use a smaller batch or close other programs"
        return Measurement(network_id=network.id, device=self.info, error=error, seed=seed)

    def _bench(self) -> _Bench:
        bench: _Bench | None = self.__dict__.get("_made_bench")
        if bench is None:
            bench = _Bench(self.options, self.precision)
            object.__setattr__(self, "_made_bench", bench)
        return bench

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options, "precision": self.precision, "info": self.info}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


def open_openvino(target: str) -> OpenVinoBackend:
    """OpenVINO on this machine with the options in ``target``, as ``threads=2,precision=bf16``.

    Raises
    ------
    UsageError
        If an option is not known or out of range.
    MeasurementError
        If the runtime is not installed.
    """
    items = [item.strip() for item in target.split(",")]
    given = [item for item in items if item.partition("=")[0].strip() == "precision"]
    if len(given) > 1:
        raise UsageError("device openvino: option 'precision' is given twice, expected once")
    precision = given[0].partition("=")[2].strip() if given else "f32"
    options = parse_runtime_options(
        ",".join(item for item in items if item not in given),
        device="openvino",
        cpus=read_machine().cpus,
        allowed=OPTION_KEYS,
    )
    return OpenVinoBackend(options=options, precision=precision)  # type: ignore[arg-type]  # it is checked there


class _Bench:
    """What a backend keeps between visits within one process."""

    def __init__(self, options: RuntimeOptions, precision: Precision) -> None:
        self._options = options
        self._precision = precision
        self._clock = clock_for(options.threads)
        self._clock_step_s = clock_step_s(self._clock)
        self._models = ModelCache[bytes](_CACHE_BYTES)
        self._empty_s = min(self._blocks(self._fixed(empty_network()), TimingPlan(blocks=9, block_s=0.002)))
        reference = self._fixed(reference_network())
        plan = TimingPlan(blocks=6, block_s=0.006, clock_step_s=self._clock_step_s)
        self._reference = Reference(lambda: min(self._blocks(reference, plan)))

    def visit(self, network: Network, device: DeviceInfo, seed: int) -> Measurement:
        """One measurement of the network.

        Raises
        ------
        AnnetteError
            If it cannot be measured.
        """
        require_memory(network, available_bytes())
        conditions = visit_conditions(self._reference.latest_s())
        try:
            model = OpenVinoModel(network, self._exported(network), seed=seed)
            kernels: tuple[ExecutedKernel, ...] = ()
            eliminated: tuple[str, ...] = ()
            if self._options.kernels == "profile":
                kernels, eliminated = self._profile(network, model)
            session = self._session(model)
            session.run_checked()
            plan = plan_visit(self._one_run_s(session), clock_step_s=self._clock_step_s)
            values_s = subtract_cost(self._blocks(session, plan), self._empty_s)
        except AnnetteError as err:
            text, where = restore_names(network, str(err)), f"network {network.name!r}: "
            raise MeasurementError(text if text.startswith(where) else f"{where}{text}") from err
        return Measurement(
            network_id=network.id,
            device=device,
            values_s=values_s,
            kernels=anchored_kernels(kernels, min(values_s)) if self._options.kernels == "profile" else None,
            eliminated_layers=eliminated,
            conditions=conditions,
            seed=seed,
        )

    def _profile(
        self, network: Network, model: OpenVinoModel
    ) -> tuple[tuple[ExecutedKernel, ...], tuple[str, ...]]:
        """The executed kernels with the counters' times, and what vanishes."""
        session = self._session(model, is_profiled=True)
        session.profile(1)
        start = time.perf_counter()
        session.profile(1)
        run_s = max(time.perf_counter() - start, 1e-9)
        runs = min(profile_runs(run_s, len(network.layers)), _MOST_PROFILE_RUNS)
        with without_collection():
            session.profile(_WARMUP_RUNS - 2 + runs)
        kernels, eliminated = read_kernels(network, session.executed_nodes())
        mapping = Mapping(kernels=tuple(item.kernel for item in kernels), eliminated_layers=eliminated)
        require_complete(network, mapping)
        return kernels, eliminated

    def _session(self, model: OpenVinoModel, *, is_profiled: bool = False) -> OpenVinoSession:
        return OpenVinoSession(
            model, threads=self._options.threads, precision=self._precision, is_profiled=is_profiled
        )

    def _fixed(self, network: Network) -> OpenVinoSession:
        session = self._session(OpenVinoModel(network, self._exported(network)))
        session.run_checked()
        return session

    def _one_run_s(self, session: OpenVinoSession) -> float:
        start = time.perf_counter()
        session.run()
        return max(time.perf_counter() - start, 1e-9)

    def _blocks(self, session: OpenVinoSession, plan: TimingPlan) -> tuple[float, ...]:
        with without_collection():
            return time_blocks(session.run, self._clock, plan)

    def _exported(self, network: Network) -> bytes:
        key = network_key(network)
        found = self._models.get(key)
        if found is None:
            model = to_onnx_model(number_names(network), weights="random")
            require_expressed(model)
            found = model.SerializeToString()
            self._models.put(key, found, size_bytes=len(found))
        return found


def anchored_kernels(kernels: Sequence[ExecutedKernel], total_s: float) -> tuple[KernelMeasurement, ...]:
    """Each kernel's share of the profile, scaled so that all kernels sum to ``total_s``."""
    profile_s = sum(item.run_s for item in kernels)
    return tuple(
        KernelMeasurement(
            kernel=item.kernel,
            values_s=(item.run_s * total_s / profile_s,),
            counters={"profile_s": item.run_s},
        )
        for item in kernels
    )


def _device_info(options: RuntimeOptions, precision: Precision) -> DeviceInfo:
    version = runtime_version()
    device = runtime_device(
        "openvino",
        version,
        f"OpenVINO {version.split('-')[0]}",
        options,
        protocol=PROTOCOL_VERSION,
        precision=precision,
    )
    return replace(device, description=f"{device.description}, {precision}")
