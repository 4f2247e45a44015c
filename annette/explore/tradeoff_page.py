"""Writes a trade-off study as one web page that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from annette.explore.tradeoff import TradeoffStudy, summarise_devices
from annette.explore.tradeoff_figures import accelerator_figure, accuracy_figure, array_figure, energy_figure
from annette.explore.tradeoff_report import FRONT_COLUMNS, ArrayStudy, front_rows, tradeoff_document
from annette.units import format_bytes, format_joules, format_number, format_seconds

__all__ = ["write_page"]

_STYLE = """
body { font-family: system-ui, sans-serif; color: #222; max-width: 1150px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2.2em; } p { line-height: 1.45; max-width: 62em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.88em; }
th, td { padding: 0.22em 0.8em; text-align: right; border-bottom: 1px solid #e6e6e6; white-space: nowrap; }
th { border-bottom: 2px solid #888; } td.text, th.text { text-align: left; }
tr.front td { background: #fbeceb; }
"""
_NUMBERS = (
    "Latency and energy are simulated, area is summed up from tables; all tables of the presets are for one "
    "process (45 nm), with sources and assumptions in each description. Accuracies are published ones, in "
    "floating point: what quantisation costs is not counted."
)


def write_page(study: TradeoffStudy, path: Path, arrays: ArrayStudy | None = None) -> None:
    """Write the page: figures to look around in, and the tables behind them.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    document = tradeoff_document(study, arrays)
    devices = summarise_devices(study.points)
    shown = [item.device for item in devices if item.is_on_front]
    sections = [
        _section(
            "Accuracy against latency, energy and their product",
            "Each point is a network on an accelerator. The buttons choose the cost; a click on a name shows "
            "or hides an accelerator, a double click shows it alone. The dotted line joins what no other "
            "pair beats.",
            _figure(accuracy_figure(study.points, shown), is_first=True),
            _front_tables(document),
        ),
        _section(
            "Accelerators",
            "Geometric means over the networks that all of them run; circles are as large as the area. "
            "Shaded: no other accelerator is at least as good in latency, energy and area. The last column "
            "is the network that dominates most others in accuracy and energy-delay product there.",
            _figure(accelerator_figure(devices)),
            _accelerator_table(document),
        ),
        _section(
            "Where the energy goes",
            "Shares by part, mean over all networks.",
            _figure(energy_figure(study.points)),
        ),
    ]
    if arrays is not None:
        sections.append(_array_section(arrays, document["arrays"]))
    if document["failures"]:
        rows = [(item["network"], item["device"], item["error"]) for item in document["failures"]]
        sections.append(
            _section("What could not be run", "", _table(("network", "accelerator", "why"), rows, 3))
        )
    title = (
        f"{format_number(len(study.networks), 'network')} on "
        f"{format_number(len(study.devices), 'accelerator')}"
    )
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n"
        f"<h1>{escape(title)}: latency, energy, area and accuracy</h1>\n<p>{_NUMBERS}</p>\n"
        f"{''.join(sections)}</body></html>\n"
    )
    path.write_text(page, encoding="utf-8")


def _section(title: str, text: str, *parts: str) -> str:
    return f"<h2>{escape(title)}</h2>\n<p>{escape(text)}</p>\n{''.join(parts)}\n"


def _figure(figure: dict[str, Any], *, is_first: bool = False) -> str:
    """The figure as a part of a page; the first one brings plotly's code along."""
    from plotly.graph_objects import Figure
    from plotly.io import to_html

    html: str = to_html(
        Figure(figure),
        full_html=False,
        include_plotlyjs=is_first,
        config={"displaylogo": False, "responsive": True},
    )
    return html


def _table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], left: int, marked: Iterable[bool] | None = None
) -> str:
    """A table; the first ``left`` columns are text, ``marked`` rows are shaded."""
    kinds = [' class="text"' if index < left else "" for index in range(len(columns))]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, columns, strict=True))
    lines = [list(row) for row in rows]
    marks = [False] * len(lines) if marked is None else list(marked)
    body = "".join(
        f"<tr{' class=front' if mark else ''}>"
        + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>\n"
        for row, mark in zip(lines, marks, strict=True)
    )
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>\n'


def _front_tables(document: dict[str, Any]) -> str:
    parts = []
    for cost, front in document["fronts"].items():
        table = _table(FRONT_COLUMNS, front_rows(front), 2)
        parts.append(f"<p>On the front of accuracy against {escape(cost)}:</p>{table}")
    return "".join(parts)


def _accelerator_table(document: dict[str, Any]) -> str:
    rows = []
    for item in document["accelerators"]:
        best = item["best_network"]["EDP"]
        rows.append(
            (
                item["device"],
                format_seconds(item["latency_s"]),
                format_joules(item["energy_j"]),
                f"{item['edp_js']:.2e} Js",
                "-" if item["area_mm2"] is None else f"{item['area_mm2']:.3g} mm2",
                "-" if best is None else f"{best['network']}, {best['dominates']} of {best['of']}",
            )
        )
    columns = ("accelerator", "latency", "energy", "EDP", "area", "dominates most other networks")
    return _table(columns, rows, 1, [item["is_on_front"] for item in document["accelerators"]])


def _array_section(arrays: ArrayStudy, found: dict[str, Any]) -> str:
    parts = []
    for cost, item in found["by_cost"].items():
        common = item["common"]
        counts = "; ".join(
            f"{field} " + ", ".join(f"{name} ({count})" for name, count in values.items())
            for field, values in item["preferred"].items()
        )
        rows = [
            (row["network"], row["shape"], row["dataflow"], row["split"], f"{row['loss_of_common']:.2f}x")
            for row in item["networks"]
        ]
        parts.append(
            f"<p>{escape(cost)}: the best for all is {escape(' '.join(common.values()))}, on the mean "
            f"{item['common_loss']:.2f} times each network's own best. Networks prefer {escape(counts)}.</p>"
            + _table(("network", "shape", "dataflow", "most buffer for", "with the best for all"), rows, 4)
        )
    return _section(
        "Shape, dataflow and buffers of a systolic array",
        f"{found['choices']} arrays of {found['macs']} cells and {format_bytes(found['buffer_bytes'])} of "
        "buffers. The colour is the energy-delay product over the network's own best, with the best split of "
        "the buffers; it ends at 3.",
        _figure(array_figure(arrays, "EDP")),
        *parts,
    )
