"""What both search examples share: the quality searched for, and what is shown of the networks found."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import annette
from annette.backends.registry import open_device
from annette.benchmark.campaign import measure_visits
from annette.errors import AnnetteError, MeasurementError, UsageError
from annette.evaluation.latency_table import read_latency_table
from annette.evaluation.metrics import mape, spearman
from annette.evaluation.space_work import count_macs
from annette.explore.pareto import pareto_front
from annette.store.visits import combine_visits
from annette.units import format_fraction, format_seconds
from annette.zoo.spaces.space import Encodings, SearchSpace

__all__ = ["Found", "Quality", "add_arguments", "open_quality", "report", "run"]

Column = NDArray[np.float64]

_GREY, _BLUE, _RED, _GREEN = "#9aa0a6", "#1f5fa8", "#c0392b", "#2e8b57"


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What a search makes large."""

    ask: Callable[[Encodings], Column]
    label: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search looked at within its budget, in its order."""

    title: str
    encodings: Encodings
    latency_s: Column
    quality: Column
    budget_s: float | None = None
    every_latency_s: Column | None = None
    every_quality: Column | None = None
    """Of the whole space, where it is small enough to know."""


def add_arguments(parser: argparse.ArgumentParser, *, out: str) -> None:
    """The options that both examples take."""
    parser.add_argument(
        "--platform", default="zcu102-dpu", help="a trained platform: predicts (default: %(default)s)"
    )
    parser.add_argument(
        "--device", help="what the chosen networks are measured on (default: the platform's simulator)"
    )
    parser.add_argument(
        "--accuracy", type=Path, metavar="TABLE", help="CSV or Parquet, a row an architecture: a column "
        "'architecture' in the space's notation (NAS-Bench-201: or 'index'), one of numbers, --column; "
        "docs/search.md and docs/evaluation.md tell more (default: none, the MACs stand in for it)",
    )  # fmt: skip
    parser.add_argument("--column", default="accuracy", help="column of that table (default: %(default)s)")
    parser.add_argument(
        "--chosen", type=int, default=12, help="networks of the front to measure (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(out), help="picture to write (default: %(default)s)")


def open_quality(space: SearchSpace, table: Path | None, column: str) -> Quality:
    """The accuracies of a table; without one, multiply-accumulates as a stand-in."""
    if table is None:
        return Quality(
            ask=lambda rows: count_macs(space, rows) / 1e6,
            label="million MACs (stands in for accuracy)",
        )
    known = read_latency_table(table, space=space.name)
    numbers = known.numbers(column)
    encodings = known.encodings[numbers.rows]
    # Benchmarks trained cells that differ in dead edges apart: each has its own accuracy. One that the table
    # lacks takes that of the first row that is the same network.
    own = {row.tobytes(): value for row, value in zip(encodings, numbers.values, strict=True)}
    alike: dict[bytes, float] = {}
    for row, value in zip(space.canonical(encodings), numbers.values, strict=True):
        alike.setdefault(row.tobytes(), value)

    def ask(rows: Encodings) -> Column:
        asked = np.ascontiguousarray(rows, dtype=np.int64)
        found = []
        for row, same in zip(asked, space.canonical(asked), strict=True):
            value = own.get(row.tobytes(), alike.get(same.tobytes()))
            if value is None:
                raise UsageError(f"{table}: no {column} of {space.format(row)}; give a table of all")
            found.append(value)
        return np.array(found)

    return Quality(ask=ask, label=column)


def report(found: Found, quality: Quality, space: SearchSpace, args: argparse.Namespace) -> None:
    """Measure the front's networks, print them, and draw what was found."""
    costs = np.column_stack([found.latency_s, -found.quality])
    _, firsts = np.unique(costs, axis=0, return_index=True)  # by latency, of equals the first
    front = firsts[pareto_front(costs[firsts])]
    places = np.unique(np.linspace(0, len(front) - 1, min(args.chosen, len(front))).round().astype(int))
    chosen = front[places]
    measured_s = _measure(space, found.encodings[chosen], args)
    print(f"{len(found.encodings)} architectures looked at, {len(front)} on the front; measured:")
    print(f"{'predicted':>10} {'measured':>10} {quality.label.split(' (')[0]:>14}  architecture")
    for row, device_s in zip(chosen, measured_s, strict=True):
        times = f"{format_seconds(found.latency_s[row]):>10} {format_seconds(device_s):>10}"
        print(f"{times} {found.quality[row]:>14.4g}  {space.format(found.encodings[row])}")
    print(_errors(measured_s, found.latency_s[chosen]))
    _draw(found, quality, front, chosen, measured_s, args)
    print(f"picture: {args.out}")


def _measure(space: SearchSpace, rows: Encodings, args: argparse.Namespace) -> Column:
    device = open_device(args.device or annette.load(args.platform).device.name)
    latencies = []
    for number, row in enumerate(rows):
        visits = measure_visits(device, space.network(row), args.seed * 1_000_003 + number)
        measurement = combine_visits(visits, reference_s=None)
        if measurement.error is not None:
            raise MeasurementError(f"{space.format(row)}: {measurement.error}")
        latencies.append(measurement.latency_s)
    return np.array(latencies)


def _errors(measured_s: Column, predicted_s: Column) -> str:
    text = (
        f"predicted against {len(measured_s)} measured: MAPE {format_fraction(mape(measured_s, predicted_s))}"
    )
    rank = spearman(measured_s, predicted_s) if len(measured_s) > 2 else None
    return text if rank is None else f"{text}, Spearman {rank:.4f}"


def _draw(
    found: Found,
    quality: Quality,
    front: NDArray[np.int64],
    chosen: NDArray[np.int64],
    measured_s: Column,
    args: argparse.Namespace,
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5.4), layout="constrained")
    axes = figure.add_subplot(1, 2, 1)
    axes.set(xlabel="predicted latency (ms)", ylabel=quality.label, title=found.title)
    if found.every_latency_s is not None and found.every_quality is not None:
        axes.scatter(
            found.every_latency_s * 1e3, found.every_quality, s=5, color=_GREY, alpha=0.4, linewidths=0,
            label=f"all {len(found.every_quality):,} of the space",
        )  # fmt: skip
        whole = pareto_front(np.column_stack([found.every_latency_s, -found.every_quality]))
        order = np.flatnonzero(whole)[np.argsort(found.every_latency_s[whole], kind="stable")]
        axes.step(
            found.every_latency_s[order] * 1e3, found.every_quality[order], where="post", color=_GREEN,
            linewidth=1.4, label="front of the whole space",
        )  # fmt: skip
    age = np.arange(len(found.quality))
    dots = axes.scatter(
        found.latency_s * 1e3, found.quality, c=age, cmap="viridis", s=12, linewidths=0, alpha=0.8,
        label=f"{len(age):,} looked at{' within the budget' if found.budget_s else ''}",
    )  # fmt: skip
    figure.colorbar(dots, ax=axes, label="order in which they were looked at", pad=0.01)
    axes.step(found.latency_s[front] * 1e3, found.quality[front], where="post", color=_RED, linewidth=1.6)
    axes.scatter(
        found.latency_s[chosen] * 1e3, found.quality[chosen], s=38, facecolors="white", edgecolors=_RED,
        linewidths=1.5, zorder=4, label="found front, and measured networks",
    )  # fmt: skip
    if found.budget_s is not None:
        axes.axvline(found.budget_s * 1e3, color="black", linestyle="--", linewidth=1, label="budget")
    axes.grid(visible=True, alpha=0.2)
    axes.legend(frameon=False, fontsize="small", loc="upper left", markerscale=1.3)

    beside = figure.add_subplot(1, 2, 2)
    both = np.concatenate([measured_s, found.latency_s[chosen]]) * 1e3
    low, high = both.min() - 0.05 * np.ptp(both) - 1e-6, both.max() + 0.05 * np.ptp(both) + 1e-6
    beside.plot([low, high], [low, high], color="black", linewidth=0.8, label="equal")
    beside.plot(
        [low, high], [0.95 * low, 0.95 * high], color=_GREY, linewidth=0.8, linestyle=":", label="5 % off"
    )
    beside.plot([low, high], [1.05 * low, 1.05 * high], color=_GREY, linewidth=0.8, linestyle=":")
    beside.scatter(measured_s * 1e3, found.latency_s[chosen] * 1e3, s=38, color=_BLUE, zorder=3)
    beside.set(
        xlabel=f"measured on {args.device or args.platform} (ms)", ylabel="predicted latency (ms)",
        xlim=(low, high), ylim=(low, high), aspect="equal",
    )  # fmt: skip
    beside.set_title(_errors(measured_s, found.latency_s[chosen]), fontsize="medium")
    beside.grid(visible=True, alpha=0.2)
    beside.legend(frameon=False, fontsize="small", loc="upper left")
    figure.savefig(args.out, dpi=110)


def _check_picture(path: Path) -> None:
    """Whether the picture can be written, before the search that it shows."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise UsageError('this example needs matplotlib: pip install "annette[notebook]"') from None
    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise UsageError(f"--out {path}: expected a name that ends in one of .{', .'.join(sorted(known))}")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--out {path}: expected a file in a folder that exists")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"--out {path}: cannot be written, expected a place that can")


def run(main: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> None:
    """Call ``main``; what is wrong with the call is one line, not a traceback."""
    try:
        if args.chosen < 1:
            raise UsageError(f"--chosen {args.chosen}, expected 1 or more")
        if args.seed < 0:
            raise UsageError(f"--seed {args.seed}, expected 0 or more")
        _check_picture(args.out)
        main(args)
    except AnnetteError as err:
        print(f"error: {err}", file=sys.stderr)
        sys.exit(2 if isinstance(err, UsageError) else 1)
