"""The figures of an estimate: timeline and roofline of its kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annette.report.figures import Bar, Figure, Line, Point, Scale, linear, logarithmic
from annette.report.rows import limit
from annette.units import format_bytes, format_fraction, format_rate, format_seconds

__all__ = ["BOUNDS", "draw_roofline", "draw_timeline", "intensity_and_rate", "work_text"]

BOUNDS = ("compute", "memory", "overhead", "host")
"""Those that have a colour of their own."""
_LEFT, _TOP, _RIGHT, _BOTTOM = 92.0, 16.0, 844.0, 330.0
_TIMELINE_ROW = 34.0


def _css(kernel: Mapping[str, Any]) -> str:
    return f"b-{kernel['bound']}" if kernel["bound"] in BOUNDS else "b-other"


def _tip(number: int, kernel: Mapping[str, Any]) -> str:
    return (
        f"{number + 1}. {limit(kernel['name'], 80)}: {format_seconds(kernel['latency_s'])} "
        f"({format_fraction(kernel['fraction'])}), {kernel['bound']}"
    )


def draw_timeline(document: Mapping[str, Any]) -> Figure:
    """The kernels of the document one after the other, a band for each unit."""
    kernels = document["kernels"]
    units = [row["name"] for row in document["shares"]["unit"]]
    bottom = _TOP + _TIMELINE_ROW * max(len(units), 1)
    x = linear([0.0, document["kernels_s"]], _LEFT + 14, _RIGHT, format_seconds, from_zero=True)
    bars, scale = [], (x.end - x.start) / (x.high - x.low)
    for number, item in enumerate(kernels):
        top = _TOP + _TIMELINE_ROW * units.index(item["unit"]) + 3
        bars.append(
            Bar(
                x=round(x.start + item["start_s"] * scale, 2),
                y=top,
                width=max(round(item["latency_s"] * scale, 2), 0.3),
                height=_TIMELINE_ROW - 6,
                css=_css(item),
                row=number,
                tip=_tip(number, item),
            )
        )
    names = [
        Line(
            points=((x.start - 6, _TOP + _TIMELINE_ROW * (place + 0.5) + 4),),
            css="unit",
            text=limit(unit, 14),
        )
        for place, unit in enumerate(units)
    ]
    return Figure(
        name="timeline",
        title="Timeline: the kernels in order of execution, a band a unit; the colour says what bounds",
        x=x,
        y=linear([0.0, 1.0], bottom, _TOP, format_seconds),
        x_label="time since the start",
        y_label="",
        height=bottom + 50,
        bars=tuple(bars),
        lines=tuple(names),
        has_rows=True,
        hides_y=True,
    )


def draw_roofline(document: Mapping[str, Any]) -> Figure:
    """Every kernel's rate over its arithmetic intensity, below the roofs of the device."""
    kernels, roofs = document["kernels"], document["roofs"]
    places = [(number, item, *intensity_and_rate(item)) for number, item in enumerate(kernels)]
    rates = [rate for _, _, _, rate in places if rate > 0]
    peaks = [roofs[key]["peak_ops_per_s"] for key in roofs if roofs[key]["peak_ops_per_s"]]
    ridges = [
        roofs[key]["peak_ops_per_s"] / roofs[key]["bandwidth_bytes_per_s"]
        for key in roofs
        if roofs[key]["peak_ops_per_s"] and roofs[key]["bandwidth_bytes_per_s"]
    ]
    intensities = [value for _, _, value, _ in places if value > 0]
    x = logarithmic([*intensities, *ridges], _LEFT, _RIGHT, "{:g}".format)
    y = logarithmic([*rates, *peaks], _BOTTOM, _TOP, lambda value: format_rate(value, "ops"))
    whole = document["kernels_s"]
    points = [
        Point(
            x=x.at(intensity) if intensity > 0 else x.start,
            y=y.at(rate if intensity > 0 else x.low * item["memory_bytes"] / item["latency_s"]),
            radius=round(3.0 + 9.0 * (item["latency_s"] / whole) ** 0.5, 1) if whole else 3.0,
            css=f"{_css(item)}{'' if intensity > 0 else ' hollow'}",
            row=number,
            tip=f"{_tip(number, item)}; {work_text(item)}",
        )
        for number, item, intensity, rate in places
    ]
    return Figure(
        name="roofline",
        title="Roofline: operations a second over operations a byte, a circle a kernel, as large as its time",
        x=x,
        y=y,
        x_label="arithmetic intensity (ops/byte)",
        y_label="rate",
        lines=_roofs(roofs, x, y),
        points=tuple(sorted(points, key=lambda point: -point.radius)),
        has_rows=True,
    )


def intensity_and_rate(kernel: Mapping[str, Any]) -> tuple[float, float]:
    """Ops a byte and ops a second of a kernel of the document; 0 and 0 if it only moves data."""
    if not kernel["ops"] or not kernel["memory_bytes"] or not kernel["latency_s"]:
        return 0.0, 0.0
    return kernel["ops"] / kernel["memory_bytes"], kernel["ops"] / kernel["latency_s"]


def work_text(kernel: Mapping[str, Any]) -> str:
    """The two in words."""
    if not kernel["ops"]:
        return f"no operations, {format_bytes(kernel['memory_bytes'])}"
    intensity, rate = intensity_and_rate(kernel)
    return f"{intensity:.3g} ops/byte, {format_rate(rate, 'ops')}"


def _roofs(roofs: Mapping[str, Any], x: Scale, y: Scale) -> tuple[Line, ...]:
    """Those that are known."""
    lines = []
    for key, css in (("data_sheet", "roof"), ("measured", "roof measured")):
        limits = roofs[key]["peak_ops_per_s"], roofs[key]["bandwidth_bytes_per_s"]
        if all(limits):
            lines.append(_roof(x, y, limits, css, f"{key.replace('_', ' ')} roof"))
    return tuple(lines)


def _roof(x: Scale, y: Scale, limits: tuple[float, float], css: str, name: str) -> Line:
    """Peak and bandwidth as a line; the text of what was measured, mostly the lower one, is below it."""
    peak, bandwidth = limits
    start = max(x.low, y.low / bandwidth)
    ridge = min(max(peak / bandwidth, start), x.high)
    corners = (
        (start, start * bandwidth),
        (ridge, ridge * bandwidth),
        (x.high, min(peak, x.high * bandwidth)),
    )
    points = tuple((x.at(a), y.at(b)) for a, b in corners)
    return Line(points=points, css=css, text=name, is_below="measured" in css)
