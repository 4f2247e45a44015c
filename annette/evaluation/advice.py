"""What to do about the error of an estimate: the most useful step for each large part of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from annette.evaluation.error_parts import ErrorPart
from annette.store.strict_json import shorten
from annette.units import format_fraction, format_number, format_seconds

if TYPE_CHECKING:
    from annette.evaluation.diagnosis import Diagnosis
    from annette.evaluation.difference import Change

__all__ = ["LEAST_FRACTION", "advise"]

LEAST_FRACTION = 0.02
"""Parts of less than that of the latency ask for nothing."""
_LEADING_FRACTION = 0.25
"""A part asks for something if it is so much of the largest one."""
_BEYOND_FRACTION = 0.25
"""Of a family's time that lies outside what was measured, or was priced by the generic model."""
_BETTER = 0.5
"""Another layer model is named where it errs at most so much of what this one does."""
_NAMED = 3
_ELSEWHERE = 0.1
"""Of the mapping's part: units are named where at least so much comes with them."""


def advise(found: Diagnosis) -> tuple[str, ...]:
    """The steps for a diagnosis, the most useful first; at least one sentence."""
    return tuple(_advice(found))


def _advice(found: Diagnosis) -> Iterator[str]:
    if found.stability.verdict == "unstable":
        yield f"Measure again before anything else: {found.stability.text}."
    if found.measurement.device.name != found.estimate.device:
        yield (
            f"The platform is of another device, {found.estimate.device}: train one of "
            f"{found.measurement.device.name} (annette benchmark, annette train) before looking further."
        )
    elif found.device_difference:
        yield (
            "The device is not as it was when the platform was trained (differs in "
            f"{found.device_difference}): set it up alike, or measure a campaign on it as it is now and "
            "train a platform of it."
        )
    floor = max(LEAST_FRACTION, found.stability.spread_fraction)
    largest = max(abs(part.fraction) for part in found.parts)
    leading = [part for part in found.parts if abs(part.fraction) >= max(floor, _LEADING_FRACTION * largest)]
    if not leading:
        yield (
            f"No part of the error is larger than {format_fraction(floor)} of the latency: nothing to do "
            "about this network."
        )
    for part in leading:
        yield from _STEPS[part.kind](found, part)
    if found.estimate.interval is not None and any(part.kind == "family" for part in leading):
        yield (
            "Which micro-kernels would tell most about this network: annette suggest NETWORK --platform "
            "PLATFORM --store RUN.db -o suggested.json, then annette benchmark --suggested suggested.json."
        )


def _mapping(found: Diagnosis, part: ErrorPart) -> Iterator[str]:
    other = [item for item in found.comparison.largest if item.kind != "same"]
    elsewhere = [item for item in found.comparison.largest if item.units]
    if other:
        yield (
            f"Mapping: the device puts other layers together than predicted ({_named(other)}). Blocks with "
            "these layers in the campaign's plan (blocks:, or mosaics for processors) teach it: "
            "docs/your_device.md."
        )
    elsewhere_s = math.fsum(abs(item.difference_s) for item in elsewhere)
    if elsewhere and (not other or elsewhere_s > _ELSEWHERE * abs(part.error_s)):
        unit, expected = elsewhere[0].units
        yield (
            f"Mapping: {format_number(len(elsewhere), 'kernel')} run elsewhere than predicted, as {unit} "
            f"instead of {expected} ({_named(elsewhere)}). Micro-kernels and blocks of these layers, with "
            "sizes like these, teach where the device runs them."
        )


def _named(changes: Sequence[Change]) -> str:
    names = ", ".join(shorten(item.name, 60) for item in changes[:_NAMED])
    return f"the costliest: {names}" if len(changes) > _NAMED else names


def _family(found: Diagnosis, part: ErrorPart) -> Iterator[str]:
    if part.generic_fraction > _BEYOND_FRACTION:
        yield (
            f"{part.name}: {format_fraction(part.generic_fraction)} of its time was priced by the generic "
            f"model, since too few such kernels were measured; add {part.name} to micro_kernels or mosaics "
            "in the campaign's plan, and train again."
        )
        return
    if part.out_of_range_fraction > _BEYOND_FRACTION:
        yield (
            f"{part.name}: {format_fraction(part.out_of_range_fraction)} of its time is from sizes or "
            "operators outside what was measured; let the campaign's plan reach there (limits:), and train "
            "again."
        )
        return
    better = [
        (abs(error), model, error)
        for model, error in part.other_models.items()
        if abs(error) <= _BETTER * abs(part.fraction)
    ]
    if better:
        _, model, error = min(better)
        yield (
            f"{part.name}: the {model} model is off by {100 * error:+.1f} points here instead of "
            f"{100 * part.fraction:+.1f} (--model {model}); more kernels of this family in the campaign's "
            f"plan let the {found.estimate.model} one decide better."
        )
        return
    yield (
        f"{part.name}: these kernels lie within what was measured and still take "
        f"{'less' if part.error_s > 0 else 'more'} than their like did; measure more of them, in blocks too, "
        f"since caches and neighbours count ({part.name} in micro_kernels or mosaics of the plan), and "
        "train again."
    )


def _beyond(found: Diagnosis, part: ErrorPart) -> Iterator[str]:
    seconds = format_seconds(abs(part.measured_s or 0.0))
    sign = "less" if (part.measured_s or 0.0) < 0 else "more"
    knows = (
        "the platform expects another amount"
        if found.knows_overhead
        else "the platform takes a network for the sum of its kernels"
    )
    yield (
        f"Beyond the kernels: the network takes {seconds} {sign} than its kernels together, and {knows}; "
        "latencies of ten whole networks teach it: annette calibrate LATENCIES --source PLATFORM "
        "(docs/few_measurements.md)."
    )


def _drift(found: Diagnosis, part: ErrorPart) -> Iterator[str]:
    change = "slower" if part.error_s < 0 else "faster"
    yield (
        f"Drift: the device has become {format_fraction(abs(part.fraction))} {change} since its campaign; "
        "look for its clock, heat and other programs, or measure the campaign anew (annette benchmark with a "
        "new store) and train again."
    )


def _whole(found: Diagnosis, part: ErrorPart) -> Iterator[str]:
    yield (
        "Nothing tells the error apart: have the device report its kernels (docs/your_device.md), or time "
        "single layers of the network with annette measure."
    )


_STEPS = {"mapping": _mapping, "family": _family, "beyond": _beyond, "drift": _drift, "whole": _whole}
