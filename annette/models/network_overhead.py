"""What a network takes from end to end beyond its kernels: learned from whole networks, relative error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.models.kernel_table import COLUMN_INDEX

__all__ = ["TERMS", "NetworkOverhead", "OverheadTerms", "fit_overhead", "overhead_terms"]

TERMS = ("overhead_s", "s_per_kernel", "s_per_output_byte", "s_per_weight_byte", "s_per_kernel_s")
"""What a network costs, a kernel, a byte of results, one of weights and a second of a kernel; each >= 0."""
MIN_NETWORKS = 3
"""Fewer whole networks cannot tell a constant from a share."""
_SHARE = TERMS.index("s_per_kernel_s")
_PRIOR_NETWORKS = 0.1
"""So many networks' worth holds the common share at 1 and the rest at 0 where the data say nothing."""
_PULL = 0.3
"""A family's share that is off the common one by 0.1 counts as much as an error of 3 % of one network.

Chosen by cross-validation among the 47 networks that the first split of the study of phone GPUs trains on:
better than one share for all with 5, 10, 20 and 38 networks and for each layer model. Of 1, 0.3, 0.1, 0.03
and 0.01, less than 0.3 is better with many networks and worse with five."""
_BYTE_COLUMNS = (COLUMN_INDEX["output_bytes"], COLUMN_INDEX["weight_bytes"])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OverheadTerms:
    """What the coefficients multiply, network by network."""

    fixed: NDArray[np.float64]
    """Shape (n_networks, n_terms - 1): one, kernels, bytes of results and of weights."""
    families: tuple[str, ...]
    """Family keys of the kernels."""
    family_s: NDArray[np.float64]
    """Shape (n_networks, n_families): seconds of the kernels of each family together."""


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
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Per layer model by family key: seconds from end to end for a second of its kernels, >= 0. Families that
    are not named have the common share, the last of the coefficients."""

    def __post_init__(self) -> None:
        for model, values in self.coefficients.items():
            numbers = (*values, *self.shares.get(model, {}).values())
            if len(values) != len(TERMS) or not all(math.isfinite(value) and value >= 0 for value in numbers):
                raise ModelError(
                    f"network overhead of {model!r}: {numbers}, expected {len(TERMS)} finite numbers >= 0, "
                    "and one a family"
                )
        object.__setattr__(self, "coefficients", MappingProxyType(dict(self.coefficients)))
        object.__setattr__(self, "error", MappingProxyType(dict(self.error)))
        shares = {model: MappingProxyType(dict(item)) for model, item in self.shares.items()}
        object.__setattr__(self, "shares", MappingProxyType(shares))

    def network_s(self, terms: OverheadTerms, model: str) -> NDArray[np.float64]:
        """End-to-end seconds of networks, shape (n_networks,); 0 without kernels."""
        coefficients, shares = self.coefficients[model], self.shares.get(model, {})
        found = np.zeros(len(terms.fixed))
        for column in range(terms.fixed.shape[1]):  # not @: the same for one as for many
            found = found + terms.fixed[:, column] * coefficients[column]
        for column, family in enumerate(terms.families):
            found = found + terms.family_s[:, column] * shares.get(family, coefficients[_SHARE])
        return np.where(terms.fixed[:, 1] > 0, found, 0.0)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        document: dict[str, Any] = {
            "coefficients": {
                model: dict(zip(TERMS, values, strict=True)) for model, values in self.coefficients.items()
            },
            "n_networks": self.n_networks,
            "error": dict(self.error),
        }
        if self.shares:
            document["s_per_kernel_s_by_family"] = {
                model: dict(sorted(item.items())) for model, item in self.shares.items()
            }
        return document

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
                shares={
                    str(model): {str(family): float(value) for family, value in item.items()}
                    for model, item in document.get("s_per_kernel_s_by_family", {}).items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            if isinstance(err, ModelError):
                raise
            raise ModelError(
                f"network overhead: damaged ({type(err).__name__}); train the platform again"
            ) from err


def overhead_terms(
    family_s: NDArray[np.float64],
    families: Sequence[str],
    values: NDArray[np.float64],
    network_index: NDArray[np.int64],
) -> OverheadTerms:
    """What the coefficients of an overhead multiply.

    Parameters
    ----------
    family_s : ndarray of shape (n_networks, n_families)
        Seconds of each network's kernels of each family together.
    families : sequence of str
        The family keys, in the order of the columns.
    values : ndarray of shape (n_kernels, n_columns)
        Rows of a kernel table.
    network_index : ndarray of shape (n_kernels,)
        Which network a row belongs to.
    """
    n_networks = len(family_s)
    counts = np.bincount(network_index, minlength=n_networks).astype(np.float64)
    moved = [np.bincount(network_index, values[:, column], n_networks) for column in _BYTE_COLUMNS]
    fixed = np.stack([np.ones(n_networks), counts, *moved], axis=1)
    return OverheadTerms(fixed=fixed, families=tuple(families), family_s=family_s)


def fit_overhead(
    terms: Mapping[str, OverheadTerms], measured_s: NDArray[np.float64]
) -> NetworkOverhead | None:
    """The non-negative weights with the least squared relative error; ``None`` for too few networks.

    Profilers do not slow all kernels down alike, and layer models are not off alike, so that a second of each
    family's kernels has a share of its own, held near the common one.

    Parameters
    ----------
    terms : mapping
        By layer model what `overhead_terms` gives.
    measured_s : ndarray of shape (n_networks,)
        End-to-end seconds, > 0.
    """
    if len(measured_s) < MIN_NETWORKS:
        return None
    coefficients, shares, errors = {}, {}, {}
    for model, item in terms.items():
        weights = _fit(item.fixed, item.family_s, measured_s)
        n_fixed = len(TERMS)
        coefficients[model] = tuple(weights[:n_fixed].tolist())
        shares[model] = dict(zip(item.families, weights[n_fixed:].tolist(), strict=True))
        found = item.fixed @ weights[:_SHARE] + item.family_s @ weights[n_fixed:]
        errors[model] = float(np.mean(np.abs(found / measured_s - 1.0)))
    return NetworkOverhead(coefficients=coefficients, shares=shares, n_networks=len(measured_s), error=errors)


def _fit(
    fixed: NDArray[np.float64], family_s: NDArray[np.float64], measured_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One weight a term, the common share last of them, then the share of each family.

    The common share weighs nothing itself: it is where the families' shares are pulled to, and it to 1.
    """
    from scipy.optimize import nnls

    n_fixed, n_families = fixed.shape[1], family_s.shape[1]
    n = n_fixed + 1 + n_families
    parts = fixed / measured_s[:, None]
    scale = np.maximum(parts.mean(axis=0), 1e-30)
    data = np.hstack([parts / scale, np.zeros((len(parts), 1)), family_s / measured_s[:, None]])
    prior = np.zeros((n_fixed + 1, n))
    prior[:, : n_fixed + 1] = np.eye(n_fixed + 1) * math.sqrt(_PRIOR_NETWORKS)
    prior[n_fixed, n_fixed] *= float(np.mean(family_s.sum(axis=1) / measured_s))
    pulls = np.zeros((n_families, n))
    pulls[:, n_fixed] = -_PULL
    pulls[:, n_fixed + 1 :] = np.eye(n_families) * _PULL
    wanted = np.zeros(len(data) + n_fixed + 1 + n_families)
    wanted[: len(data)] = 1.0
    wanted[len(data) + n_fixed] = prior[n_fixed, n_fixed]
    weights, _ = nnls(np.vstack([data, prior, pulls]), wanted, maxiter=100 * n)
    weights[:n_fixed] /= scale
    found: NDArray[np.float64] = weights
    return found
