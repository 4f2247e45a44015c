"""The backend of ONNX Runtime on this machine's processor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from annette.backends.machine import read_machine
from annette.backends.ort_graph import import_onnxruntime
from annette.backends.ort_session import error_line
from annette.backends.ort_visit import OrtBench
from annette.backends.runtime_device import runtime_device
from annette.backends.runtime_options import RuntimeOptions, parse_runtime_options
from annette.errors import AnnetteError
from annette.graph.network import Network
from annette.measurement import DeviceInfo, Measurement

__all__ = ["OnnxRuntimeBackend", "open_onnxruntime"]

PROTOCOL_VERSION = "1"
"""Raised whenever the same network would be timed differently."""


@dataclass(frozen=True)
class OnnxRuntimeBackend:
    """Times networks with ONNX Runtime's CPU execution provider, with random weights and inputs.

    With one thread times are processor time of that thread, else wall time. Sessions and timings that are
    kept between visits belong to this process: they do not travel when the backend is pickled.
    """

    options: RuntimeOptions = field(default_factory=RuntimeOptions)
    """Threads, optimisation, and how kernels are timed."""
    info: DeviceInfo = field(init=False)
    """Identity of machine, runtime and options."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "info", _device_info(self.options))

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        """One visit: a profile for the kernels' shares, then blocks of runs for the total.

        The values are seconds per run of each block, without the cost of calling the runtime; the kernels
        sum to the least of them. The runtime's profile counts whole microseconds, so a single kernel is
        known to half a microsecond. What the runtime cannot run is an error in the measurement. The seed is
        that of the inputs' contents.
        """
        try:
            found = self._bench().visit(network, seed)
        except AnnetteError as err:
            error = error_line(err)
        except MemoryError:
            error = f"network {network.name!r}: memory ran out; use a smaller batch or close other programs"
        else:
            return Measurement(
                network_id=network.id,
                device=self.info,
                values_s=found.values_s,
                kernels=found.kernels,
                eliminated_layers=found.eliminated_layers,
                conditions=found.conditions,
                seed=seed,
            )
        return Measurement(network_id=network.id, device=self.info, error=error, seed=seed)

    def _bench(self) -> OrtBench:
        bench: OrtBench | None = self.__dict__.get("_made_bench")
        if bench is None:
            bench = OrtBench(self.options)
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


def _device_info(options: RuntimeOptions) -> DeviceInfo:
    version = str(import_onnxruntime().__version__)
    return runtime_device(
        "onnxruntime",
        version,
        f"ONNX Runtime {version}",
        options,
        protocol=PROTOCOL_VERSION,
        optimization=options.optimization,
    )
