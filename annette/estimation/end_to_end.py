"""Seconds of whole networks: their kernels' together, and where it is known what comes beyond these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.estimation.exact_sum import sum_by_network
from annette.models.network_overhead import NetworkOverhead, overhead_terms
from annette.models.network_residual import NetworkResidual

__all__ = ["end_to_end_s", "read_overhead"]


def read_overhead(document: Any) -> NetworkOverhead | NetworkResidual:
    """What a manifest says of what networks take beyond their kernels: learned from them, or from blocks.

    Raises
    ------
    ModelError
        If it is damaged.
    """
    is_residual = isinstance(document, Mapping) and "residual" in document
    return NetworkResidual.from_json(document) if is_residual else NetworkOverhead.from_json(document)


def end_to_end_s(
    overhead: NetworkOverhead | NetworkResidual | None,
    latency_s: NDArray[np.float64],
    families: Sequence[str],
    values: NDArray[np.float64],
    network_index: NDArray[np.int64],
    n_networks: int,
    model: str,
) -> NDArray[np.float64]:
    """Seconds of networks from end to end, shape (n_networks,); the same bits for one network as for many.

    Parameters
    ----------
    overhead : NetworkOverhead, NetworkResidual or None
        What networks take beyond their kernels; ``None``: nothing.
    latency_s : ndarray of shape (n_kernels,)
        Seconds of each kernel by the layer model.
    families : sequence of n_kernels str
        Their family keys.
    values : ndarray of shape (n_kernels, n_columns)
        Their rows of a kernel table.
    network_index : ndarray of shape (n_kernels,)
        Which network a kernel belongs to.
    n_networks : int
        Number of networks.
    model : str
        The layer model.
    """
    if overhead is None or isinstance(overhead, NetworkResidual):
        kernels_s = sum_by_network(network_index, latency_s, n_networks)
        return kernels_s if overhead is None else overhead.network_s(values, network_index, kernels_s, model)
    names = sorted(set(families))
    codes = {name: code for code, name in enumerate(names)}
    place = network_index * len(names) + np.array([codes[name] for name in families], dtype=np.int64)
    family_s = sum_by_network(place, latency_s, n_networks * len(names)).reshape(n_networks, len(names))
    return overhead.network_s(overhead_terms(family_s, names, values, network_index), model)
