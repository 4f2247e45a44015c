"""The two analytic layer models: the textbook roofline and the refined one, and what bounds a kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annette.models.kernel_table import KernelTable
from annette.models.parameters import DeviceParameters, dimension_sizes
from annette.models.target import LATENCY, Target
from annette.models.unroll import DIMENSIONS, softened_efficiency

__all__ = ["RefinedTerms", "refined_terms", "roofline_s"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RefinedTerms:
    """The parts of the refined roofline; arrays of shape (n_kernels,) unless said otherwise."""

    ideal_compute_s: NDArray[np.float64]
    """Seconds of computing at the family's peak without ragged tiles; 0 without ops."""
    memory_s: NDArray[np.float64]
    """Seconds of moving what enters and leaves, at the family's bandwidth."""
    overhead_s: NDArray[np.float64]
    """Seconds that every kernel of the family costs."""
    sizes: NDArray[np.float64]
    """Shape (n_kernels, 4): sizes of the `DIMENSIONS`."""
    factors: NDArray[np.float64]
    """Shape (n_kernels, 4): the family's unroll factors."""
    efficiencies: NDArray[np.float64]
    """Shape (n_kernels, 4): softened unroll efficiencies, in (0, 1]."""
    target: Target = LATENCY
    """What the terms are of: they are joules where it is energy."""

    @property
    def efficiency(self) -> NDArray[np.float64]:
        """Product of the softened unroll efficiencies, in (0, 1]."""
        parts = self.efficiencies
        return parts[:, 0] * parts[:, 1] * parts[:, 2] * parts[:, 3]

    @property
    def compute_s(self) -> NDArray[np.float64]:
        """Seconds of computing, ragged tiles paid as far as they show."""
        return self.ideal_compute_s / self.efficiency

    @property
    def total_s(self) -> NDArray[np.float64]:
        """The refined roofline: ``overhead + max(compute, memory)``, of energy their sum; > 0."""
        return np.maximum(
            self.overhead_s + _together(self.compute_s, self.memory_s, self.target), self.target.least
        )

    @property
    def bounds(self) -> tuple[str, ...]:
        """What takes the longest per kernel: ``compute``, ``memory`` or ``overhead``."""
        names = ("compute", "memory", "overhead")
        stacked = np.stack([self.compute_s, self.memory_s, self.overhead_s])
        return tuple(names[index] for index in np.argmax(stacked, axis=0))


def roofline_s(table: KernelTable, parameters: DeviceParameters) -> NDArray[np.float64]:
    """``max(ops / peak, bytes / bandwidth)`` in seconds, shape (n_kernels,), with the device's one roof.

    Without overhead and without families: the baseline as it was published. Of energy it is the sum of the
    two, ``ops * joules per op + bytes * joules per byte``: see `Target`.

    References
    ----------
    S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model", CACM 52,
    2009; for layers: M. Wess et al., IEEE Access 9, 2021.
    """
    compute = table.column("ops") / parameters.peak_ops_per_s
    memory = table.moved_bytes / parameters.bandwidth_bytes_per_s
    return np.maximum(_together(compute, memory, parameters.target), parameters.target.least)


def refined_terms(table: KernelTable, parameters: DeviceParameters) -> RefinedTerms:
    """The terms of ``t = overhead + max(ops / (peak * prod u_a), bytes / bandwidth)`` by family.

    References
    ----------
    M. Wess et al., IEEE Access 9, 2021, equations of the refined roofline. There the fitted offset is
    thrown away; here it is the overhead, and peak and bandwidth belong to the family.
    """
    families = [parameters.family(key) for key in table.family_names] or [parameters.families[0]]
    rates = np.array(
        [(item.peak_ops_per_s or np.inf, item.bandwidth_bytes_per_s, item.overhead_s) for item in families]
    )
    fits = [{fit.dimension: fit for fit in item.unrolls} for item in families]
    factor = np.array(
        [[float(fit[name].factor) if name in fit else 1.0 for name in DIMENSIONS] for fit in fits]
    )
    softness = np.array([[fit[name].softness if name in fit else 0.0 for name in DIMENSIONS] for fit in fits])
    index = table.family_index
    sizes = np.stack([dimension_sizes(table, name) for name in DIMENSIONS], axis=1)
    return RefinedTerms(
        ideal_compute_s=table.column("ops") / rates[index, 0],
        memory_s=table.moved_bytes / rates[index, 1],
        overhead_s=rates[index, 2],
        sizes=sizes,
        factors=factor[index],
        efficiencies=softened_efficiency(sizes, factor[index], softness[index]),
        target=parameters.target,
    )


def _together(
    compute: NDArray[np.float64], memory: NDArray[np.float64], target: Target
) -> NDArray[np.float64]:
    """What computing and moving cost at the same time."""
    return compute + memory if target.is_sum else np.maximum(compute, memory)
