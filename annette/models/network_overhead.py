"""What a network takes from end to end beyond its kernels: learned from whole networks, relative error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.models.kernel_table import COLUMN_INDEX

__all__ = ["TERMS", "NetworkOverhead", "fit_overhead", "overhead_terms"]

TERMS = ("overhead_s", "s_per_kernel", "s_per_kernel_s", "s_per_output_byte", "s_per_weight_byte")
"""A constant, and what each kernel, second of a kernel, and byte of results and weights costs; each >= 0."""
MIN_NETWORKS = 3
"""Fewer whole networks cannot tell a constant from a share."""
_SUM = TERMS.index("s_per_kernel_s")
_PRIOR_NETWORKS = 0.1
"""So many networks' worth holds the share at 1 and the rest at 0 where the data say nothing."""
_BYTE_COLUMNS = (COLUMN_INDEX["output_bytes"], COLUMN_INDEX["weight_bytes"])


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOverhead:
    """The end-to-end time of a network as a weighted sum over its kernels, by layer model.

    Layer models err differently, so that each has its own weights.
    """

    coefficients: Mapping[str, tuple[float, ...]]
    """Per layer model one number a name of `TERMS`, each finite and >= 0."""
    n_networks: int
    """Whole networks that it was fitted to."""
    error: Mapping[str, float]
    """Mean relative error on those, by layer model; a fraction."""

    def __post_init__(self) -> None:
        for model, values in self.coefficients.items():
            if len(values) != len(TERMS) or not all(math.isfinite(value) and value >= 0 for value in values):
                raise ModelError(
                    f"network overhead of {model!r}: {values}, expected {len(TERMS)} finite numbers >= 0"
                )
        object.__setattr__(self, "coefficients", MappingProxyType(dict(self.coefficients)))
        object.__setattr__(self, "error", MappingProxyType(dict(self.error)))

    def network_s(self, terms: NDArray[np.float64], model: str) -> NDArray[np.float64]:
        """End-to-end seconds of networks, shape (n_networks,), from `overhead_terms`; 0 without kernels."""
        found = np.zeros(len(terms))
        for column, coefficient in enumerate(self.coefficients[model]):  # not @: the same for one as for many
            found = found + terms[:, column] * coefficient
        return np.where(terms[:, 1] > 0, found, 0.0)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "coefficients": {
                model: dict(zip(TERMS, values, strict=True)) for model, values in self.coefficients.items()
            },
            "n_networks": self.n_networks,
            "error": dict(self.error),
        }

    @classmethod
    def from_json(cls, document: Any) -> NetworkOverhead:
        """The overhead that `to_json` wrote.

        Raises
        ------
        ModelError
            For anything else.
        """
        try:
            return cls(
                coefficients={
                    str(model): tuple(float(values[name]) for name in TERMS)
                    for model, values in document["coefficients"].items()
                },
                n_networks=int(document["n_networks"]),
                error={str(model): float(value) for model, value in document["error"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            if isinstance(err, ModelError):
                raise
            raise ModelError(
                f"network overhead: damaged ({type(err).__name__}); train the platform again"
            ) from err


def overhead_terms(
    sum_s: NDArray[np.float64], values: NDArray[np.float64], network_index: NDArray[np.int64]
) -> NDArray[np.float64]:
    """What the coefficients multiply, shape (n_networks, n_terms).

    Parameters
    ----------
    sum_s : ndarray of shape (n_networks,)
        Seconds of each network's kernels together.
    values : ndarray of shape (n_kernels, n_columns)
        Rows of a kernel table.
    network_index : ndarray of shape (n_kernels,)
        Which network a row belongs to.
    """
    n_networks = len(sum_s)
    counts = np.bincount(network_index, minlength=n_networks).astype(np.float64)
    moved = [np.bincount(network_index, values[:, column], n_networks) for column in _BYTE_COLUMNS]
    return np.stack([np.ones(n_networks), counts, sum_s, *moved], axis=1)


def fit_overhead(
    terms: Mapping[str, NDArray[np.float64]], measured_s: NDArray[np.float64]
) -> NetworkOverhead | None:
    """The non-negative weights with the least squared relative error; ``None`` for too few networks.

    Parameters
    ----------
    terms : mapping
        By layer model what `overhead_terms` gives, shape (n_networks, n_terms).
    measured_s : ndarray of shape (n_networks,)
        End-to-end seconds, > 0.
    """
    if len(measured_s) < MIN_NETWORKS:
        return None
    coefficients, errors = {}, {}
    for model, matrix in terms.items():
        coefficients[model] = tuple(_fit(matrix, measured_s).tolist())
        found = matrix @ np.array(coefficients[model])
        errors[model] = float(np.mean(np.abs(found / measured_s - 1.0)))
    return NetworkOverhead(coefficients=coefficients, n_networks=len(measured_s), error=errors)


def _fit(matrix: NDArray[np.float64], measured_s: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.optimize import nnls

    shares = matrix / measured_s[:, None]
    scale = np.maximum(shares.mean(axis=0), 1e-30)
    pull = math.sqrt(_PRIOR_NETWORKS)
    prior = np.zeros(matrix.shape[1])
    prior[_SUM] = scale[_SUM] * pull
    rows = np.vstack([shares / scale, np.eye(len(scale)) * pull])
    weights, _ = nnls(rows, np.concatenate([np.ones(len(shares)), prior]))
    found: NDArray[np.float64] = weights / scale
    return found
