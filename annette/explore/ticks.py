"""Labels the ticks of a logarithmic axis plainly, with as many digits as tell them apart."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["label_ticks", "tick_digits"]


def tick_digits(least: float, most: float) -> int:
    """Digits that tell a hundredth of the range from ``least`` to ``most`` apart.

    Examples
    --------
    >>> tick_digits(1.0, 5.0), tick_digits(0.007760, 0.007764)
    (4, 7)
    """
    if not least < most:
        return 3
    return min(15, 3 + math.ceil(math.log10(most / (most - least))))


def label_ticks(axis: Any, least: float, most: float) -> None:
    """Label all ticks of an axis of matplotlib whose values lie within a decade; a wider one stays."""
    from matplotlib.ticker import FuncFormatter

    if not most < 10 * least:
        return
    digits = tick_digits(least, most)
    axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:.{digits}g}"))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.{digits}g}"))
