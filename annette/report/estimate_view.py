"""What the page of an estimate is made of: figures, rows of tables, and the data its script needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annette.report.estimate_figures import (
    BOUNDS,
    draw_roofline,
    draw_timeline,
    intensity_and_rate,
    work_text,
)
from annette.report.layout import NODE_HEIGHT, NODE_WIDTH
from annette.report.rows import Cell, Column, Table, cell, limit
from annette.units import (
    format_bytes,
    format_count,
    format_fraction,
    format_joules,
    format_number,
    format_rate,
    format_seconds,
)

__all__ = ["view_estimate"]

_TITLES = {"solid": "solid", "check": "check", "unreliable": "do not rely"}
_MOST_WHAT_IF = 12


def view_estimate(document: Mapping[str, Any]) -> dict[str, Any]:
    """The context of the template ``estimate.html`` for a document of `summarise_estimate`."""
    kernels = document["kernels"]
    return {
        "title": f"{document['network']} on {document['platform']}",
        "verdict": {**document["verdict"], "title": _TITLES[document["verdict"]["level"]]},
        "facts": _facts(document),
        "coverage": _coverage(document["coverage"], bool(kernels)),
        "bounds": [name for name in BOUNDS if any(item["bound"] == name for item in kernels)],
        "timeline": draw_timeline(document),
        "roofline": draw_roofline(document),
        "roofs": _roofs(document["roofs"]),
        "has_moves_only": any(not intensity_and_rate(item)[0] for item in kernels),
        "shares": [(name, _shares(name, document["shares"][name])) for name in ("family", "bound", "unit")],
        "kernels": _kernel_table(document),
        "what_if": _what_if(document["what_if"]),
        "is_simulated": document["is_simulated"],
        "eliminated": [limit(name) for name in document["eliminated_layers"]],
        "provenance": _provenance(document),
        "data": _data(document),
    }


# Words -----------------------------------------------------------------------------------------------


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What stands at the top: name, value, and a remark."""
    work, interval = document["work"], document["interval_s"]
    remark = "no interval: this platform was trained without"
    if interval is not None:
        remark = f"90 % interval {format_seconds(interval[0])} to {format_seconds(interval[1])}"
    facts = [("latency", format_seconds(document["latency_s"]), remark)]
    if document["energy_j"] is not None:
        facts.append(("energy", format_joules(document["energy_j"]), "sum over the kernels"))
    if document["latency_s"] > 0:
        rate = 2 * work["macs"] / document["latency_s"]
        facts.append(("rate", format_rate(rate, "ops"), format_rate(1 / document["latency_s"], "inferences")))
    count = format_number(len(document["kernels"]), "kernel")
    gone = f", {len(document['eliminated_layers'])} vanish" if document["eliminated_layers"] else ""
    facts.append(("kernels", str(len(document["kernels"])), f"of {work['layers']} layers{gone}"))
    facts.append(
        (
            "work",
            format_count(work["macs"], "MAC"),
            f"{format_count(work['params'])} parameters, {format_bytes(work['weight_bytes'])} in the file",
        )
    )
    beyond_s = document.get("overhead_s")
    if beyond_s:
        sign = "-" if beyond_s < 0 else ""
        facts.append(
            ("beyond the kernels", f"{sign}{format_seconds(abs(beyond_s))}", f"in addition to {count}")
        )
    return facts


def _coverage(coverage: Mapping[str, Any], has_kernels: bool) -> list[tuple[str, float, str, str]]:
    """Shares of the latency: what, fraction, text, remark."""
    if not has_kernels:
        return []
    rows = (
        ("families that were measured", "modelled_fraction", ()),
        ("the generic model", "generic_kernels", coverage["generic_operators"]),
        ("operators never measured here", "unseen_fraction", coverage["unseen_operators"]),
        ("sizes outside what was measured", "out_of_range_kernels", ()),
        ("layers placed on the host", "host_fraction", coverage["host_layers"]),
    )
    return [
        (name, coverage[key], format_fraction(coverage[key]), limit(", ".join(names), 200))
        for name, key, names in rows
    ]


def _roofs(roofs: Mapping[str, Any]) -> str:
    parts = []
    for key, name in (("data_sheet", "data sheet"), ("measured", "measured")):
        peak, rate = roofs[key]["peak_ops_per_s"], roofs[key]["bandwidth_bytes_per_s"]
        known = [
            *([] if peak is None else [f"peak {format_rate(peak, 'ops')}"]),
            *([] if rate is None else [f"bandwidth {format_rate(rate, 'B')}"]),
        ]
        if known:
            parts.append(f"{name}: {', '.join(known)}")
    return "; ".join(parts)


def _provenance(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("network", limit(f"{document['network']} ({document['network_id']})")),
        ("platform", document["platform"]),
        ("device", f"{document['device']}: {document['device_description']}".removesuffix(": ")),
        ("layer model", document["model"]),
        *sorted(document["provenance"].items()),
    ]


# Tables ----------------------------------------------------------------------------------------------


def _kernel_table(document: Mapping[str, Any]) -> Table:
    kernels = document["kernels"]
    has_energy = document["energy_j"] is not None
    has_interval = any(item["interval_s"] for item in kernels)
    columns = [
        Column("#"),
        Column("kernel", is_text=True),
        Column("family", is_text=True),
        Column("unit", is_text=True),
        Column("latency"),
        *([Column("90 % interval")] if has_interval else []),
        Column("share"),
        Column("bound", is_text=True),
        *([Column("energy")] if has_energy else []),
        Column("ops"),
        Column("bytes"),
        Column("ops/byte"),
        Column("rate"),
        Column("after", is_text=True),
        Column("remarks", is_text=True),
    ]
    rows = tuple(
        _kernel_cells(number, item, has_interval=has_interval, has_energy=has_energy)
        for number, item in enumerate(kernels)
    )
    return Table(
        name="kernels", caption="All kernels, in order of execution", columns=tuple(columns), rows=rows
    )


def _kernel_cells(
    number: int, item: Mapping[str, Any], *, has_interval: bool, has_energy: bool
) -> tuple[Cell, ...]:
    intensity, rate = intensity_and_rate(item)
    return (
        cell(str(number + 1), number + 1),
        cell(item["name"]),
        cell(item["family"]),
        cell(item["unit"]),
        cell(format_seconds(item["latency_s"]), item["latency_s"]),
        *([_interval_cell(item["interval_s"])] if has_interval else []),
        cell(format_fraction(item["fraction"]), item["fraction"]),
        cell(item["bound"]),
        *([cell(format_joules(item["energy_j"] or 0.0), item["energy_j"])] if has_energy else []),
        cell(format_count(item["ops"]), item["ops"]),
        cell(format_bytes(item["memory_bytes"]), item["memory_bytes"]),
        cell(f"{intensity:.3g}" if intensity else "-", intensity),
        cell(format_rate(rate, "ops") if rate else "-", rate),
        cell(", ".join(str(source + 1) for source in item["after"])),
        cell(", ".join(_remarks(item))),
    )


def _interval_cell(interval: Sequence[float] | None) -> Cell:
    if not interval:
        return cell("-", 0.0)
    return cell(f"{format_seconds(interval[0])} to {format_seconds(interval[1])}", interval[1] - interval[0])


def _remarks(kernel: Mapping[str, Any]) -> list[str]:
    return [
        *(["generic model"] if kernel["generic"] else []),
        *(["outside the measured range"] if kernel["out_of_range"] else []),
    ]


def _shares(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    cells = tuple(
        (
            cell(row["name"]),
            cell(str(row["kernels"]), row["kernels"]),
            cell(format_seconds(row["latency_s"]), row["latency_s"]),
            cell(format_fraction(row["fraction"]), row["fraction"], bar=row["fraction"]),
        )
        for row in rows
    )
    columns = (Column(name, is_text=True), Column("kernels"), Column("latency"), Column("share", is_bar=True))
    return Table(name=f"by-{name}", caption=f"Latency by {name}", columns=columns, rows=cells)


def _what_if(grid: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Sliders, and the table of the grid with the array as it is."""
    if grid is None:
        return None
    factors = grid["factors"]
    base = next(item for item in grid["arrays"] if item["factor"] == 1)
    rows = []
    for row, clock in enumerate(factors):
        sums = [sum(cells[row][column] for cells in base["seconds"]) for column in range(len(factors))]
        rows.append((cell(f"{clock:g}x", clock), *(cell(format_seconds(value), value) for value in sums)))
    columns = (Column("clock"), *(Column(f"bandwidth {factor:g}x") for factor in factors))
    return {
        "device": grid["device"],
        "base": format_seconds(grid["base_s"]),
        "arrays": [
            (
                item["factor"],
                "as it is" if item["change"] is None else f"{item['factor']:g}x ({item['change']})",
            )
            for item in grid["arrays"]
        ],
        "table": Table(
            name="grid",
            caption="Simulated latency of the network by clock and bandwidth, the array as it is",
            columns=columns,
            rows=tuple(rows),
        ),
    }


# What the script needs -------------------------------------------------------------------------------


def _data(document: Mapping[str, Any]) -> dict[str, Any]:
    graph, layers = document["graph"], document["layers"]
    most = max((item["fraction"] for item in document["kernels"]), default=0.0)
    return {
        "kernels": [
            {
                "name": item["name"],
                "bound": item["bound"] if item["bound"] in BOUNDS else "other",
                "heat": round((item["fraction"] / most) ** 0.5, 3) if most else 0.0,
                "label": _label(item, layers),
                "time": format_seconds(item["latency_s"]),
                "layers": [[name, layers.get(name, "")] for name in item["layers"]],
                "facts": _kernel_facts(item),
            }
            for item in document["kernels"]
        ],
        "graph": {**graph, "node_width": NODE_WIDTH, "node_height": NODE_HEIGHT},
        "what_if": _what_if_data(document["what_if"]),
        "latency_s": document["latency_s"],
    }


def _label(kernel: Mapping[str, Any], layers: Mapping[str, str]) -> str:
    """What the kernel does, in the words of its layers."""
    operators = [layers.get(name, "").partition(" ")[0] for name in kernel["layers"]]
    return limit(" + ".join(operators) or kernel["unit"], 60)


def _kernel_facts(kernel: Mapping[str, Any]) -> list[tuple[str, str]]:
    interval, energy = kernel["interval_s"], kernel["energy_j"]
    within = (
        []
        if not interval
        else [("90 % interval", f"{format_seconds(interval[0])} to {format_seconds(interval[1])}")]
    )
    return [
        (
            "latency",
            f"{format_seconds(kernel['latency_s'])}, {format_fraction(kernel['fraction'])} of the kernels",
        ),
        *within,
        *([] if energy is None else [("energy", format_joules(energy))]),
        ("family, unit", f"{kernel['family']}, {kernel['unit']}"),
        ("bound", kernel["bound"]),
        ("work", f"{format_count(kernel['ops'], 'op')}, {format_bytes(kernel['memory_bytes'])}"),
        ("intensity", work_text(kernel)),
        *[("remark", text) for text in _remarks(kernel)],
    ]


def _what_if_data(grid: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The grid with equal kernels once."""
    if grid is None:
        return None
    count = len(grid["kernels"])
    numbers: dict[str, int] = {}
    kinds = [
        numbers.setdefault(repr([item["seconds"][number] for item in grid["arrays"]]), len(numbers))
        for number in range(count)
    ]
    first = {kind: number for number, kind in reversed(list(enumerate(kinds)))}
    return {
        "factors": grid["factors"],
        "base_s": grid["base_s"],
        "kinds": kinds,
        "most": _MOST_WHAT_IF,
        "names": [limit(name, 80) for name in grid["kernels"]],
        "arrays": [
            {
                "factor": item["factor"],
                "seconds": [item["seconds"][first[kind]] for kind in range(len(numbers))],
            }
            for item in grid["arrays"]
        ],
    }
