"""``annette import``: makes a campaign store of a kernel table that someone else measured."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annette.cli.console import OutputFormat, note_line, print_json, print_line, print_table
from annette.cli.options import FormatOption
from annette.errors import UsageError
from annette.units import format_number, format_seconds

if TYPE_CHECKING:
    from annette.tables.importing import ImportedTable
    from annette.tables.rows import Problem

__all__ = ["import_table"]

_SHOWN = 10
_LISTED = 1000
"""Problems in the JSON document at most; how many there are is told as well."""


def import_table(
    tables: Annotated[
        list[Path],
        typer.Argument(
            metavar="TABLE...",
            help="CSV or Parquet, a kernel a row; or runtimes' profiles, a network a file.",
        ),
    ],
    store: Annotated[Path, typer.Option("--store", "-s", help="File of the new store, for annette train.")],
    columns: Annotated[
        str,
        typer.Option(
            "--columns",
            "-c",
            help="What the columns hold: a YAML file, or tflite-gpu, onnxruntime-profile, openvino-profile.",
        ),
    ],
    networks: Annotated[
        Path | None,
        typer.Option("--networks", help="A table with end-to-end times of the networks, for the overhead."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", "-d", help="The device's name; of several in a table which one.")
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            "--leave-out",
            help="A network to keep for annette evaluate, or how many at random; may be repeated.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which networks --leave-out draws.")] = 0,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Read per-kernel latencies from TABLE into a store, and say what could not be read and why.

    Example: annette import kernels.csv --columns tflite-gpu --device pixel4 --store phone.db
    """
    from annette.models.generator import MIN_MEASUREMENTS
    from annette.tables.doubts import find_doubts
    from annette.tables.importing import draw_networks, read_tables
    from annette.tables.importing import import_table as write_store
    from annette.tables.importing import leave_out as without
    from annette.tables.schema import read_schema

    if store.exists():
        raise UsageError(f"{store}: exists already; name a new file")
    schema = read_schema(columns)
    found = read_tables(tables, schema, device=device, networks=networks)
    if not found.timed and found.problems:
        raise UsageError(
            f"{tables[0]}: none of {found.n_rows} rows could be read; the first: {found.problems[0]}"
        )
    gone: list[str] = []
    for word in leave_out or ():
        gone.extend(draw_networks(found, int(word), seed=seed) if word.isdecimal() else [word])
    gone = list(dict.fromkeys(gone))
    if gone:
        found = without(found, gone)
    write_store(found, schema, store)
    if output is OutputFormat.JSON:
        print_json(_document(found, store, gone))
        return
    _print_table(found)
    if gone:
        print_line(f"left out for annette evaluate: {', '.join(gone)}")
    for doubt in find_doubts(found):
        note_line(doubt)
    if len(found.timed) < MIN_MEASUREMENTS:
        note_line(
            f"annette train needs {MIN_MEASUREMENTS} kernels with a time; the table has {len(found.timed)}"
        )
    print_line(f"\nkept in {store}; next: annette train {shlex.quote(str(store))} --output my-platform")


def _document(found: ImportedTable, store: Path, gone: list[str]) -> dict[str, Any]:
    from annette.tables.doubts import find_doubts

    problems = [*found.problems, *found.network_problems]
    return {
        "schema_version": 1,
        "store": str(store),
        "device": found.device,
        "rows": found.n_rows,
        "kernels": len(found.kernels),
        "timed_kernels": len(found.timed),
        "networks": len({kernel.network for kernel in found.kernels}),
        "whole_networks": len(found.whole_networks()),
        "left_out_networks": gone,
        "units": found.units(),
        "doubts": list(find_doubts(found)),
        "n_problems": len(problems),
        "problems": [
            {
                "file": item.file or None,
                "row": item.row,
                "column": item.column,
                "found": item.found,
                "expected": item.expected,
            }
            for item in problems[:_LISTED]
        ],
    }


def _print_table(found: ImportedTable) -> None:
    kernels = found.timed
    total_s = sum(kernel.latency_s or 0.0 for kernel in kernels)
    print_line(
        f"{found.device}: {format_number(len(kernels), 'kernel')} of {format_number(found.n_rows, 'row')}",
        bold=True,
    )
    untimed = len(found.kernels) - len(kernels)
    print_line(
        f"{format_number(len({kernel.network for kernel in found.kernels}), 'network')}, "
        f"{format_seconds(total_s)} in all; {format_number(untimed, 'kernel')} without a time"
    )
    rows = [(unit, str(count)) for unit, count in found.units().items()]
    print_table(("kernel that ran", "rows"), rows[:20], left=1)
    whole = found.whole_networks()
    if found.latencies:
        print_line(f"{format_number(len(whole), 'network')} with end-to-end times to learn the overhead from")
        left = len(found.latencies) - len(whole)
        if left:
            why = "kernels are missing" if whole else "no network with all its kernels has such a name"
            print_line(f"{format_number(left, 'end-to-end time')} not used: {why}")
    _print_problems("row", found.problems)
    _print_problems("row of networks", found.network_problems)


def _print_problems(what: str, problems: tuple[Problem, ...]) -> None:
    """The first problem of each kind, with how often it was met."""
    if not problems:
        return
    counts = Counter((item.column, item.expected) for item in problems)
    rows = what if len(problems) == 1 else what.replace("row", "rows", 1)
    print_line(f"\n{len(problems)} {rows} could not be read:")
    firsts = {(item.column, item.expected): item for item in reversed(problems)}
    for kind, count in counts.most_common(_SHOWN):
        more = f" (and {count - 1} more like it)" if count > 1 else ""
        print_line(f"  {firsts[kind]}{more}")
    if len(counts) > _SHOWN:
        print_line(f"  and {len(counts) - _SHOWN} further kinds: --format json lists them")
