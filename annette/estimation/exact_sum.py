"""Sums over the kernels of networks that are the same bits in any order and under any grouping.

Floating-point addition rounds, so the sum of a network's kernels would depend on the order in which a path
adds them: kernel by kernel, piece by piece, or equal kernels times their count. Each value is therefore split
into two multiples of fixed powers of two, a coarse part ``hi`` and a rest ``lo``. Multiples of one power of
two add up without any rounding while they stay below 2**53 such steps, and what does not round does not know
an order. The one rounding left is that of ``hi_sum + lo_sum`` at the end.

The sums are exact, and so the same bits on any path, for networks of up to `MAX_KERNELS` kernels whose values
add up to less than `MAX_TOTAL` (in seconds 272 years). Beyond that they are right to rounding, as any sum.
A value is kept to half of `FINE_STEP`, 4.3e-19: a kernel of one microsecond to 4.3e-13 of itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["COARSE_STEP", "FINE_STEP", "MAX_KERNELS", "MAX_TOTAL", "split_exact", "sum_by_network"]

COARSE_STEP = 2.0**-20
"""Coarse parts are multiples of this: a microsecond, or a microjoule."""
FINE_STEP = 2.0**-60
"""Rests are multiples of this, and at most half of `COARSE_STEP`."""
MAX_TOTAL = 2.0**33
"""Coarse parts add up exactly below 2**53 steps of 2**-20."""
MAX_KERNELS = 2**14
"""Rests add up exactly below 2**53 steps of 2**-60, and each is at most 2**39 of them."""


def split_exact(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The coarse parts and the rests of values, in two arrays of the shape of ``values``.

    Parameters
    ----------
    values : ndarray of any shape
        Seconds or joules; finite.

    Examples
    --------
    >>> import numpy as np
    >>> hi, lo = split_exact(np.array([0.25, 3.0e-6]))
    >>> hi.tolist() == [0.25, 3 * COARSE_STEP], abs(float(hi[1] + lo[1]) - 3.0e-6) < FINE_STEP
    (True, True)
    """
    hi = np.rint(values / COARSE_STEP) * COARSE_STEP
    lo = np.rint((values - hi) / FINE_STEP) * FINE_STEP
    return hi, lo


def sum_by_network(
    network_index: NDArray[np.int64], values: NDArray[np.float64], n_networks: int
) -> NDArray[np.float64]:
    """The sum of each network's values, shape (n_networks,); 0 for a network without any.

    Parameters
    ----------
    network_index : ndarray of shape (n_kernels,)
        Which network a value belongs to, in 0..n_networks - 1.
    values : ndarray of shape (n_kernels,)
        Seconds or joules; finite.
    n_networks : int
        Number of networks.

    Examples
    --------
    >>> import numpy as np
    >>> index, values = np.array([0, 1, 0]), np.array([0.1, 0.2, 0.3])
    >>> forth, back = sum_by_network(index, values, 2), sum_by_network(index[::-1], values[::-1], 2)
    >>> forth.tolist() == back.tolist(), forth.round(6).tolist()
    (True, [0.4, 0.2])
    """
    hi, lo = split_exact(values)
    coarse = np.bincount(network_index, weights=hi, minlength=n_networks)
    fine = np.bincount(network_index, weights=lo, minlength=n_networks)
    return np.asarray(coarse + fine, dtype=np.float64)
