"""What blocks take beyond the sum of their kernels: a small residual, kept only where it is seen to help."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.models.kernel_table import COLUMN_INDEX

__all__ = ["NetworkResidual", "log_ratio", "residual_quantities", "residual_terms"]

COUNTED = ("s_per_kernel", "s_per_join")
MOVED = ("s_per_crossing_byte", "s_per_kept_byte")
FAR = "s_per_byte_beyond_cache_"
"""Followed by the number of the cache, 1 for the smallest."""

_INPUT, _FAR_BYTES, _NEAR_BYTES, _N_INPUTS = (
    COLUMN_INDEX[name] for name in ("input_bytes", "far_bytes", "near_bytes", "n_inputs")
)

Floats = NDArray[np.float64]


def residual_terms(n_caches: int) -> tuple[str, ...]:
    """The names of the terms on a device with so many caches."""
    return (*COUNTED, *MOVED, *(f"{FAR}{number + 1}" for number in range(n_caches)))


def residual_quantities(
    values: Floats, network_index: NDArray[np.int64], n_networks: int, cache_bytes: tuple[int, ...]
) -> Floats:
    """What the coefficients of a residual multiply, shape (n_networks, n_terms), in the order of the terms.

    Kernels; kernels that join several tensors; bytes that cross from kernel to kernel; bytes of those tensors
    that were kept while other kernels ran; and by cache the bytes that were pushed out of it meanwhile, the
    share ``1 - cache / age`` of a tensor since whose writing ``age`` bytes were moved.

    Parameters
    ----------
    values : ndarray of shape (n_kernels, n_columns)
        Rows of a kernel table.
    network_index : ndarray of shape (n_kernels,)
        Which network a row belongs to.
    n_networks : int
        Number of networks.
    cache_bytes : tuple of int
        The device's data caches, the smallest first.
    """
    crossing = values[:, _INPUT]
    age = values[:, _FAR_BYTES]
    columns = [
        np.ones(len(values)),
        (values[:, _N_INPUTS] > 1).astype(np.float64),
        crossing,
        np.where(age > values[:, _NEAR_BYTES], crossing, 0.0),
    ]
    total = np.maximum(age + crossing, 1.0)
    columns.extend(crossing * np.maximum(1.0 - size / total, 0.0) for size in cache_bytes)
    sums = [np.bincount(network_index, column, n_networks) for column in columns]
    return np.stack(sums, axis=1).astype(np.float64)


def log_ratio(added: Floats, least: float, most: float) -> Floats:
    """log(T / S) within limits, from ``(T - S) / S``, shaped like it."""
    found: Floats = np.log1p(np.clip(added, math.expm1(least), math.expm1(most)))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkResidual:
    """The end-to-end time of a network, of which its kernels' sum is the larger part.

    ``T = S + sum_j c_j q_j``, with ``log(T / S)`` limited to what blocks showed: S is the sum of the kernels,
    q the quantities of `residual_quantities`.
    """

    coefficients: tuple[float, ...]
    """Seconds for one of each quantity, in the order of `residual_terms`; negative where a network takes less
    than its kernels alone."""
    least: float
    """The least log(T / S) of the blocks."""
    most: float
    """The greatest log(T / S) of the blocks."""
    cache_bytes: tuple[int, ...]
    """The device's data caches."""
    n_networks: int
    """Blocks that it was fitted to."""
    additive_error: float
    """Mean relative error of the kernels' sum on those, held out; a fraction."""
    error: float
    """The same with the residual, fitted to other blocks."""
    model: str = "mixed"
    """The layer model that it belongs to; by the others a network takes the sum of its kernels."""

    def __post_init__(self) -> None:
        numbers = (*self.coefficients, self.least, self.most, self.additive_error, self.error)
        if not all(map(math.isfinite, numbers)) or not -1.0 <= self.least <= 0.0 <= self.most <= 1.0:
            raise ModelError(
                f"network residual: {numbers}, expected finite numbers, limits around 0 and within 1"
            )
        if len(self.coefficients) != len(residual_terms(len(self.cache_bytes))):
            raise ModelError(
                f"network residual: {len(self.coefficients)} coefficients, expected "
                f"{len(residual_terms(len(self.cache_bytes)))} with {len(self.cache_bytes)} caches"
            )
        if any(size < 1 for size in self.cache_bytes):
            raise ModelError(f"network residual: caches {self.cache_bytes}, expected sizes >= 1")

    def log_ratio(self, quantities: Floats, kernels_s: Floats) -> Floats:
        """log(T / S) of each network, shape (n_networks,); 0 for those without kernels."""
        total = np.zeros(len(kernels_s))
        for column, coefficient in enumerate(self.coefficients):  # not @: the same for one as for many
            total = total + quantities[:, column] * coefficient
        ratio = np.divide(total, kernels_s, out=np.zeros(len(kernels_s)), where=kernels_s > 0)
        return log_ratio(ratio, self.least, self.most)

    def network_s(
        self, values: Floats, network_index: NDArray[np.int64], kernels_s: Floats, model: str
    ) -> Floats:
        """End-to-end seconds of networks, shape (n_networks,), from the sums of their kernels."""
        if model != self.model:
            return kernels_s
        quantities = residual_quantities(values, network_index, len(kernels_s), self.cache_bytes)
        found: Floats = kernels_s * np.exp(self.log_ratio(quantities, kernels_s))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        names = residual_terms(len(self.cache_bytes))
        document = {
            "model": self.model,
            "coefficients": dict(zip(names, self.coefficients, strict=True)),
            "log_ratio": [self.least, self.most],
            "cache_bytes": list(self.cache_bytes),
            "n_networks": self.n_networks,
            "additive_error": self.additive_error,
            "error": self.error,
        }
        return {"residual": document}

    @classmethod
    def from_json(cls, document: Any) -> NetworkResidual:
        """The residual that `to_json` wrote.

        Raises
        ------
        ModelError
            For anything else.
        """
        try:
            document = document["residual"]
            caches = tuple(int(size) for size in document["cache_bytes"])
            least, most = document["log_ratio"]
            return cls(
                model=str(document["model"]),
                coefficients=tuple(
                    float(document["coefficients"][name]) for name in residual_terms(len(caches))
                ),
                least=float(least),
                most=float(most),
                cache_bytes=caches,
                n_networks=int(document["n_networks"]),
                additive_error=float(document["additive_error"]),
                error=float(document["error"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as err:
            if isinstance(err, ModelError):
                raise
            raise ModelError(
                f"network residual: damaged ({type(err).__name__}); train the platform again"
            ) from err
