"""What the page of a comparison is made of: both timelines, kernels against kernels, families, tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from annette.report.figures import Bar, Figure, Line, Point, linear, logarithmic
from annette.report.rows import Cell, Column, Table, cell, limit
from annette.units import format_fraction, format_number, format_seconds

__all__ = ["view_comparison"]

_LEFT, _TOP, _RIGHT, _BOTTOM = 92.0, 20.0, 844.0, 330.0
_TIMELINE_ROW, _FAMILY_ROW = 34.0, 24.0
_MOST_FAMILIES = 24
_ROUNDING = 1e-6
_SAME = 0.02
"""Relative change of a kernel's time that is called none."""
_COLOURS = (
    ("b-host", "shorter in B"),
    ("b-memory", "longer in B"),
    ("b-other", f"the same, up to {format_fraction(_SAME)}"),
    ("b-overhead", "on one side only"),
)
_WORDS = {
    "same": "kernel against kernel",
    "split": "one becomes several",
    "merged": "several become one",
    "regrouped": "layers grouped otherwise",
    "only_a": "in A only",
    "only_b": "in B only",
}


def view_comparison(document: Mapping[str, Any]) -> dict[str, Any]:
    """The context of the template ``comparison.html`` for a document of `summarise_comparison`."""
    changes = document["changes"]
    return {
        "title": f"A: {_name(document['a'])}; B: {_name(document['b'])}",
        "answer": _answer(document),
        "facts": _facts(document),
        "aligned_by": document["aligned_by"],
        "colours": _COLOURS,
        "timelines": _timelines(changes) if changes else None,
        "scatter": _scatter(changes),
        "family_figure": _family_figure(document["families"]) if document["families"] else None,
        "families": _family_table(document["families"]),
        "changes": _change_table(changes),
        "provenance": [row for name in ("a", "b") for row in _side_rows(name.upper(), document[name])],
        "data": {"kernels": [_details(item) for item in changes]},
    }


def _name(side: Mapping[str, Any]) -> str:
    return f"{limit(side['network'], 80)} on {limit(side['on'], 60)}"


def _signed(value_s: float) -> str:
    sign = "" if not value_s else "-" if value_s < 0 else "+"
    return f"{sign}{format_seconds(abs(value_s))}"


def _answer(document: Mapping[str, Any]) -> tuple[str, str]:
    """A level, and what changes in a sentence."""
    a_s, b_s = document["a"]["latency_s"], document["b"]["latency_s"]
    if a_s == b_s:
        text = "B takes as long as A."
    elif a_s > 0 and b_s > 0:
        times = f"{max(a_s, b_s) / min(a_s, b_s):.3g}x as {'fast' if b_s < a_s else 'long'} as A"
        text = f"B takes {format_seconds(abs(b_s - a_s))} {'less' if b_s < a_s else 'more'}, {times}."
    else:
        text = f"B takes {format_seconds(abs(b_s - a_s))} {'less' if b_s < a_s else 'more'}."
    if document["ranges_apart"] is None:
        return "check", f"{text} How sure that is, is not known."
    if document["ranges_apart"]:
        return "solid", f"{text} The ranges of the two do not overlap."
    return "check", f"{text} The ranges of the two overlap: the order may be the other way round."


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    facts = []
    for name in ("a", "b"):
        side = document[name]
        remark = side["kind"]
        if side["interval_s"]:
            low, high = map(format_seconds, side["interval_s"])
            remark += f", 90 % interval {low} to {high}"
        if side["spread_fraction"] is not None:
            remark += f", visits differ by {format_fraction(side['spread_fraction'])}"
        elif side["repeats_s"]:
            low, high = map(format_seconds, side["repeats_s"])
            remark += f", its runs {low} to {high}"
        facts.append((f"{name.upper()}: latency", format_seconds(side["latency_s"]), remark))
    a_s, b_s = document["a"]["latency_s"], document["b"]["latency_s"]
    share = f"{100 * (b_s / a_s - 1):+.1f} %" if a_s > 0 and b_s / a_s < 1e6 else "-"
    facts.append(("difference", _signed(b_s - a_s), share))
    counts = [document[name]["kernels"] for name in ("a", "b")]
    if None not in counts:
        facts.append(
            ("kernels", f"{counts[0]:.0f} and {counts[1]:.0f}", f"aligned by {document['aligned_by']}")
        )
    beyond_s = document["beyond_kernels_s"] or 0.0
    if abs(beyond_s) > _ROUNDING * max(a_s, b_s):
        facts.append(("beyond the kernels", _signed(beyond_s), "of the difference"))
    return facts


# Figures ---------------------------------------------------------------------------------------------


def _seconds(change: Mapping[str, Any], side: str) -> float:
    return math.fsum(item["latency_s"] for item in change[side])


def _css(change: Mapping[str, Any]) -> str:
    if not change["a"] or not change["b"]:
        return "b-overhead"
    a_s, b_s = _seconds(change, "a"), _seconds(change, "b")
    if abs(b_s - a_s) <= _SAME * max(a_s, b_s):
        return "b-other"
    return "b-host" if b_s < a_s else "b-memory"


def _label(change: Mapping[str, Any]) -> str:
    return limit((change["a"] or change["b"])[0]["name"], 80)


def _tip(number: int, change: Mapping[str, Any]) -> str:
    a_s, b_s = _seconds(change, "a"), _seconds(change, "b")
    times = f"{format_seconds(a_s)} to {format_seconds(b_s)}"
    return f"{number + 1}. {_label(change)}: {times} ({_signed(b_s - a_s)})"


def _timelines(changes: Sequence[Mapping[str, Any]]) -> Figure:
    """The kernels of both sides one after the other, on one axis."""
    totals = [math.fsum(_seconds(item, side) for item in changes) for side in ("a", "b")]
    x = linear([0.0, *totals], _LEFT, _RIGHT, format_seconds, from_zero=True)
    scale, bottom = (x.end - x.start) / (x.high - x.low), _TOP + 2 * _TIMELINE_ROW
    bars, lines = [], []
    for place, side in enumerate(("a", "b")):
        at, top = x.start, _TOP + place * _TIMELINE_ROW
        for number, item in enumerate(changes):
            width = _seconds(item, side) * scale
            if item[side]:
                bars.append(
                    Bar(
                        x=round(at, 2), y=top + 3, width=max(round(width, 2), 0.3),
                        height=_TIMELINE_ROW - 6, css=_css(item), row=number, tip=_tip(number, item),
                    )
                )  # fmt: skip
            at += width
        lines.append(
            Line(points=((x.start - 6, top + _TIMELINE_ROW / 2 + 4),), css="unit", text=side.upper())
        )
    return Figure(
        name="timelines", title="Both timelines, in the order of A", x=x,
        y=linear([0.0, 1.0], bottom, _TOP, format_seconds), x_label="time", y_label="", height=bottom + 50,
        bars=tuple(bars), lines=tuple(lines), has_rows=True, hides_y=True,
    )  # fmt: skip


def _scatter(changes: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Seconds in B over seconds in A, of what both do."""
    both = [
        (number, item, _seconds(item, "a"), _seconds(item, "b"))
        for number, item in enumerate(changes)
        if _seconds(item, "a") > 0 and _seconds(item, "b") > 0
    ]
    if not both:
        return None
    values = [value for _, _, *pair in both for value in pair]
    x, y = (
        logarithmic(values, start, end, format_seconds) for start, end in ((_LEFT, _RIGHT), (_BOTTOM, _TOP))
    )
    points = tuple(
        Point(x=x.at(a_s), y=y.at(b_s), css=_css(item), row=number, tip=_tip(number, item))
        for number, item, a_s, b_s in both
    )
    diagonal = Line(points=((x.start, y.start), (x.end, y.end)), css="guide")
    return Figure(
        name="scatter", title="Kernels in B over kernels in A; on the line nothing changes", x=x, y=y,
        x_label="in A", y_label="in B", lines=(diagonal,), points=points, has_rows=True,
    )  # fmt: skip


def _family_figure(families: Sequence[Mapping[str, Any]]) -> Figure:
    """What each family takes more or less in B."""
    shown = families[:_MOST_FAMILIES]
    bottom, left = _TOP + _FAMILY_ROW * len(shown), _LEFT + 60
    x = linear([0.0, *(item["b_s"] - item["a_s"] for item in shown)], left, _RIGHT, _signed)
    bars, lines = [], [Line(points=((x.at(0.0), _TOP), (x.at(0.0), bottom)), css="guide")]
    for place, item in enumerate(shown):
        change, top = item["b_s"] - item["a_s"], _TOP + place * _FAMILY_ROW
        begin, end = sorted((x.at(0.0), x.at(change)))
        name = limit(item["family"], 22)
        bars.append(
            Bar(
                x=begin, y=top + 4, width=max(round(end - begin, 1), 0.5), height=_FAMILY_ROW - 8,
                css="b-host" if change < 0 else "b-memory", tip=f"{name}: {_signed(change)}",
            )
        )  # fmt: skip
        lines.append(Line(points=((left - 6, top + _FAMILY_ROW / 2 + 4),), css="unit", text=name))
    return Figure(
        name="family-changes", title="What each family takes more or less in B", x=x,
        y=linear([0.0, 1.0], bottom, _TOP, format_seconds), x_label="difference", y_label="",
        height=bottom + 50, bars=tuple(bars), lines=tuple(lines), hides_y=True,
    )  # fmt: skip


# Tables ----------------------------------------------------------------------------------------------


def _family_table(families: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            cell(item["family"]),
            cell(f"{item['a_kernels']:.0f}", item["a_kernels"]),
            cell(f"{item['b_kernels']:.0f}", item["b_kernels"]),
            *_change_cells(item["a_s"], item["b_s"]),
        )
        for item in families
    )
    columns = (
        Column("family", is_text=True), Column("kernels in A"), Column("in B"), Column("A"), Column("B"),
        Column("difference"), Column("B / A"),
    )  # fmt: skip
    return Table(name="families", caption="Families, the largest change first", columns=columns, rows=rows)


def _change_cells(a_s: float, b_s: float) -> list[Cell]:
    ratio = b_s / a_s if a_s > 0 else -1.0
    return [
        cell(format_seconds(a_s), a_s),
        cell(format_seconds(b_s), b_s),
        cell(_signed(b_s - a_s), b_s - a_s),
        cell(f"{ratio:.3g}" if a_s > 0 else "-", ratio),
    ]


def _change_table(changes: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            cell(str(number + 1), number + 1),
            cell(_label(item)),
            cell(item["family"]),
            cell(_what(item)),
            *_change_cells(_seconds(item, "a"), _seconds(item, "b")),
            cell(" | ".join(f"{kernel['unit']}, {kernel['bound']}".strip(", ") for kernel in item["a"])),
            cell(" | ".join(f"{kernel['unit']}, {kernel['bound']}".strip(", ") for kernel in item["b"])),
        )
        for number, item in enumerate(changes)
    )
    columns = (
        Column("#"), Column("kernel", is_text=True), Column("family", is_text=True),
        Column("what", is_text=True), Column("A"), Column("B"), Column("difference"), Column("B / A"),
        Column("unit, bound in A", is_text=True), Column("in B", is_text=True),
    )  # fmt: skip
    return Table(name="kernels", caption="Kernel by kernel, in the order of A", columns=columns, rows=rows)


def _what(change: Mapping[str, Any]) -> str:
    words = _WORDS.get(change["kind"], change["kind"])
    return f"{words}: {change['remark']}" if change["remark"] else words


def _side_rows(letter: str, side: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [(letter, f"{side['kind']} of {_name(side)}")]
    if side["verdict"]:
        rows.append((f"{letter}: verdict", side["verdict"]))
    if side["kernels"] is not None:
        rows.append((f"{letter}: kernels", format_number(int(side["kernels"]), "kernel")))
    return rows


def _details(change: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of a change that is chosen."""
    a_s, b_s = _seconds(change, "a"), _seconds(change, "b")
    facts = [("what", _what(change)), ("A", format_seconds(a_s)), ("B", format_seconds(b_s))]
    layers = [
        [
            f"{letter}: {kernel['name']}",
            f"{format_seconds(kernel['latency_s'])}; {', '.join(kernel['layers'])}",
        ]
        for letter, side in (("A", "a"), ("B", "b"))
        for kernel in change[side]
    ]
    return {
        "name": (change["a"] or change["b"])[0]["name"],
        "facts": [*facts, ("difference", _signed(b_s - a_s))],
        "layers": layers,
    }
