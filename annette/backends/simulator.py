"""The backend of simulated accelerators: any described device, timed on any machine."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from annette.errors import GraphError, HardwareError, UsageError
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator
from annette.hardware.codec import accelerator_id, load_accelerator
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.simulator.noise import noisy_values
from annette.simulator.run import SimulatedRun, simulate

__all__ = ["SimulatorBackend", "open_simulator"]

SIMULATOR_VERSION = "1"
"""Raised whenever the simulator answers differently for the same description."""


@dataclass(frozen=True)
class SimulatorBackend:
    """Times networks on a simulated accelerator.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.conv(build.input("x", (1, 3, 8, 8)), 4))
    >>> backend = open_simulator("zcu102-dpu", noise=False)
    >>> backend.measure(network).kernels[0].kernel.unit
    'array'
    """

    accelerator: Accelerator
    """The device."""
    noise: bool = True
    """Whether values carry the profiler's noise."""
    runs: int = 5
    """Runs a measurement; without noise all are equal, so one is kept."""
    info: DeviceInfo = field(init=False)
    """Identity and data sheet of the device."""

    def __post_init__(self) -> None:
        if not 1 <= self.runs <= 10_000:
            raise UsageError(f"simulator: runs {self.runs}, expected 1 to 10000")
        object.__setattr__(self, "info", self._device_info())

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        """Time ``network``: `runs` runs with noise seeded by ``seed`` and the network's content."""
        try:
            run = simulate(network, self.accelerator)
        except (GraphError, HardwareError) as err:
            return Measurement(network_id=network.id, device=self.info, error=str(err), seed=seed)
        latency_s = np.array([item.latency_s for item in run.kernels])
        values_s = latency_s[None, :]
        if self.noise:
            rng = np.random.default_rng([abs(seed), int(seed < 0), int(network.id, 16)])
            values_s = noisy_values(latency_s, self.accelerator.noise, rng, runs=self.runs)
        return Measurement(
            network_id=network.id,
            device=self.info,
            values_s=tuple(values_s.sum(axis=1).tolist()),
            kernels=_kernel_measurements(run, values_s.T.tolist()),
            eliminated_layers=run.eliminated_layers,
            seed=seed if self.noise else None,
        )

    def _device_info(self) -> DeviceInfo:
        accelerator = self.accelerator
        return DeviceInfo(
            name=accelerator.name,
            backend="simulator",
            description=accelerator.description,
            activation_bytes=accelerator.precision.activation_bytes,
            weight_bytes=accelerator.precision.weight_bytes,
            peak_ops_per_s=accelerator.peak_ops_per_s,
            bandwidth_bytes_per_s=accelerator.peak_bandwidth_bytes_per_s,
            environment=(
                ("accelerator", accelerator_id(accelerator)),
                ("noise", "on" if self.noise else "off"),
                ("runs", str(self.runs if self.noise else 1)),
                ("simulator", SIMULATOR_VERSION),
            ),
        )


def open_simulator(target: str, *, noise: bool = True, runs: int = 5) -> SimulatorBackend:
    """The simulated device of that preset name, or described by that YAML file.

    Raises
    ------
    UsageError
        If ``target`` is neither; names the nearest preset.
    HardwareError
        If the description is wrong.
    """
    return SimulatorBackend(load_accelerator(target), noise=noise, runs=runs)


def _kernel_measurements(run: SimulatedRun, values_s: list[list[float]]) -> tuple[KernelMeasurement, ...]:
    return tuple(
        KernelMeasurement(
            kernel=item.kernel,
            values_s=tuple(values),
            bound=item.bound,
            counters={
                "cycles": item.cycles,
                "moved_bytes": item.moved_bytes,
                "utilisation_fraction": item.utilisation_fraction,
                **({} if item.energy_j is None else {"energy_j": item.energy_j}),
            },
        )
        for item, values in zip(run.kernels, values_s, strict=True)
    )
