"""Why a network takes so long on an accelerator: ceilings that bind, and what raising them would give."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from annette.explore.what_if import MachineChange, study_changes
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator
from annette.simulator.ceilings import Ceilings
from annette.simulator.compiled import PreparedNetwork
from annette.simulator.roofs import kernel_ceilings, resource_of
from annette.simulator.run import SimulatedRun, simulate

__all__ = ["Cause", "Explanation", "explain_network"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """How much of a network's time one ceiling decides."""

    ceiling: str
    """Its name, as in `annette.simulator.roofs.kernel_ceilings`."""
    kernels: int
    """How many kernels it binds."""
    latency_s: float
    """Seconds of those kernels."""
    fraction: float
    """Share of the network's latency; in [0, 1]."""
    at_ceiling_fraction: float
    """Share of their seconds that they would take at the ceiling; the rest are latencies, first loads and
    last stores, and what the ceilings below take where nothing overlaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A network on an accelerator: the ceilings of its kernels, and what raising each would give."""

    network: str
    device: str
    run: SimulatedRun
    ceilings: Ceilings
    """A row a kernel of `run`, in cycles of the array's clock."""
    changes: tuple[MachineChange, ...]
    """The most rewarding first."""

    @property
    def causes(self) -> tuple[Cause, ...]:
        """The ceilings that bind some kernel, that with the largest share of the time first."""
        kernels: defaultdict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(self.ceilings.long_poles):
            kernels[name].append(row)
        causes = [self._cause(name, rows) for name, rows in kernels.items()]
        return tuple(sorted(causes, key=lambda item: -item.latency_s))

    def _cause(self, name: str, rows: list[int]) -> Cause:
        latency_s = sum(self.run.kernels[row].latency_s for row in rows)
        cycles = sum(self.run.kernels[row].cycles for row in rows)
        return Cause(
            ceiling=name,
            kernels=len(rows),
            latency_s=latency_s,
            fraction=latency_s / self.run.latency_s,
            at_ceiling_fraction=min(float(self.ceilings.layer_cycles[rows].sum()) / cycles, 1.0),
        )

    def to_dict(self) -> dict[str, Any]:
        """The explanation as JSON types; ``energy_j`` is ``None`` where no table of energies is known."""
        return {
            "network": self.network,
            "device": self.device,
            "latency_s": self.run.latency_s,
            "energy_j": self.run.energy_j if self.run.kernels else None,
            "root_causes": [
                {
                    "ceiling": item.ceiling,
                    "kernels": item.kernels,
                    "latency_s": item.latency_s,
                    "fraction": item.fraction,
                    "at_ceiling_fraction": item.at_ceiling_fraction,
                }
                for item in self.causes
            ],
            "kernels": [self._kernel(row) for row in range(len(self.run.kernels))],
            "what_if": [
                {
                    "ceiling": item.ceiling,
                    "fields": list(item.fields),
                    "doubled_speed_up": item.doubled_speed_up,
                    "removed_speed_up": item.removed_speed_up,
                }
                for item in self.changes
            ],
        }

    def _kernel(self, row: int) -> dict[str, Any]:
        item, cycles = self.run.kernels[row], self.ceilings.cycles[row]
        ceilings_s = {
            name: float(value) * item.latency_s / item.cycles
            for name, value in zip(self.ceilings.names, cycles, strict=True)
            if value > 0
        }
        binding = self.ceilings.long_poles[row]
        others = {
            name: value for name, value in ceilings_s.items() if resource_of(name) != resource_of(binding)
        }
        second = max(others, key=lambda name: others[name], default=None)
        return {
            "name": item.kernel.name,
            "unit": item.kernel.unit,
            "latency_s": item.latency_s,
            "energy_j": item.energy_j,
            "fraction": item.latency_s / self.run.latency_s,
            "ceiling": binding,
            "at_ceiling_fraction": ceilings_s[binding] / item.latency_s,
            "second_ceiling": second,
            "second_fraction": None if second is None else others[second] / ceilings_s[binding],
            "ceilings_s": ceilings_s,
        }


def explain_network(network: Network, accelerator: Accelerator) -> Explanation:
    """The ceilings of the kernels of ``network`` on ``accelerator``, and what raising each would give.

    Raises
    ------
    HardwareError
        If the accelerator cannot run the network.

    Examples
    --------
    >>> from annette.hardware.codec import load_accelerator
    >>> from annette.zoo.registry import zoo_network
    >>> found = explain_network(zoo_network("alexnet"), load_accelerator("tpu-v1"))
    >>> found.causes[0].ceiling, found.changes[0].ceiling
    ('external memory', 'external memory')
    """
    prepared = PreparedNetwork(network)
    run = simulate(prepared, accelerator)
    return Explanation(
        network=network.name,
        device=accelerator.name,
        run=run,
        ceilings=kernel_ceilings(prepared, accelerator, run),
        changes=study_changes(prepared, accelerator),
    )
