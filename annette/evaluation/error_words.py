"""Says in sentences what the error of an estimate consists of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from annette.evaluation.error_parts import ErrorPart
from annette.units import format_number, format_seconds

if TYPE_CHECKING:
    from annette.evaluation.diagnosis import Diagnosis

__all__ = ["describe", "format_points", "part_name"]

_NAMED_FRACTION = 0.1
"""Parts with less than that of all absolute errors are named together."""
_MOST_NAMED = 4
_LEAST = 0.0005
"""Less prints as 0.0 points."""
_ROUNDING = 1e-12
"""So little is what sums of floats leave, and no part of an error."""
_CANCELLING = 0.02


def format_points(fraction: float) -> str:
    """A share of the measured latency as signed points of per cent.

    Examples
    --------
    >>> format_points(0.091), format_points(-0.00001)
    ('+9.1', '0.0')
    """
    return f"{100 * fraction:+.1f}" if abs(fraction) >= _LEAST else "0.0"


def part_name(part: ErrorPart) -> str:
    """What a part is called within a sentence."""
    if part.kind == "family":
        return f"the family {part.name} ({format_number(part.kernels, 'kernel')})"
    return {
        "mapping": "the mapping",
        "beyond": "what lies beyond the kernels",
        "drift": "drift of the device",
    }.get(part.kind, part.name)


def describe(found: Diagnosis) -> tuple[str, ...]:
    """The sentences of a diagnosis: the error, its parts, the mapping, the noise, the drift."""
    return tuple(_sentences(found))


def _sentences(found: Diagnosis) -> Iterator[str]:
    error = found.error_fraction
    predicted, measured = (
        format_seconds(found.estimate.latency_s),
        format_seconds(found.measurement.latency_s),
    )
    way = (
        "as measured"
        if abs(error) < _LEAST
        else f"{abs(100 * error):.1f} % too {'long' if error > 0 else 'short'}"
    )
    yield f"Predicted {predicted}, measured {measured}: the estimate is {way}{_interval(found)}."
    yield from _parts(found)
    if found.exact_kernels is not None and found.measurement.kernels is not None:
        executed, predicted_kernels = len(found.measurement.kernels), len(found.estimate.kernels)
        if found.exact_kernels == executed == predicted_kernels:
            yield f"All {format_number(executed, 'kernel')} were predicted as the device executes them."
        else:
            yield (
                f"{found.exact_kernels} of the {format_number(executed, 'kernel')} that the device executes "
                f"were predicted exactly{_elsewhere(found)}; {predicted_kernels} were predicted."
            )
    spread = found.stability.spread_fraction
    if abs(error) <= spread:
        yield (
            f"The error is no larger than what repeated measurements differ by ({100 * spread:.1f} %): it "
            "says nothing about the platform."
        )
    yield f"Drift since the campaign: {found.drift.text}."


def _elsewhere(found: Diagnosis) -> str:
    count = sum(bool(item.units) for item in found.comparison.changes)
    return f", {count} more on another unit" if count else ""


def _interval(found: Diagnosis) -> str:
    interval = found.estimate.interval
    if interval is None:
        return ""
    inside = interval.low_s <= found.measurement.latency_s <= interval.high_s
    ends = f"{format_seconds(interval.low_s)} to {format_seconds(interval.high_s)}"
    return f"; the measurement lies {'in' if inside else 'outside of'} the 90 % interval ({ends})"


def _parts(found: Diagnosis) -> Iterator[str]:
    if any(part.kind == "whole" for part in found.parts):
        yield "The device does not tell which kernels it executes, so the error cannot be told apart further."
        return
    total = math.fsum(abs(part.fraction) for part in found.parts)
    named = [
        part
        for part in found.parts[:_MOST_NAMED]
        if abs(part.fraction) >= max(_NAMED_FRACTION * total, _LEAST)
    ]
    if not named:
        return
    texts = [f"{format_points(part.fraction)} points are {part_name(part)}" for part in named]
    rest = [part for part in found.parts if part not in named and abs(part.fraction) > _ROUNDING]
    if rest:
        fraction = math.fsum(part.fraction for part in rest)
        texts.append(f"{format_points(fraction)} points are {_rest(rest)}")
    yield f"Of the {100 * found.error_fraction:+.1f} %, {_joined(texts)}."
    above, below = (
        math.fsum(part.fraction for part in found.parts if part.fraction * sign > 0) for sign in (1, -1)
    )
    if min(above, -below) >= max(_CANCELLING, abs(found.error_fraction) / 2):
        yield (
            f"Errors cancel here: {format_points(above)} against {format_points(below)} points; another "
            "network may be further off."
        )


def _rest(parts: list[ErrorPart]) -> str:
    return part_name(parts[0]) if len(parts) == 1 else f"{len(parts)} smaller parts"


def _joined(texts: list[str]) -> str:
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])}, and {texts[-1]}"
