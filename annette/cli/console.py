"""What the commands print: tables for people, one JSON document for machines, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Protocol

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.progress import TimeRemainingColumn as RemainingColumn
from rich.table import Table

from annette.errors import one_line

__all__ = [
    "OnProgress",
    "OutputFormat",
    "error_line",
    "note_line",
    "print_json",
    "print_line",
    "print_table",
    "progress_bar",
    "stages",
]

_FOLDED = 16
"""Columns that text may be folded to in a narrow terminal."""
PIPE_WIDTH = 160
"""Columns when the output is not a terminal, so that pipes and files get whole lines."""


class OutputFormat(StrEnum):
    """For people or for machines."""

    TABLE = "table"
    JSON = "json"


class OnProgress(Protocol):
    """Called with what is done, what there is to do, and what has failed so far."""

    def __call__(self, done: int, total: int, failed: int = 0) -> None:
        """Show it."""


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else PIPE_WIDTH)


def _printable(text: str) -> str:
    """The text as rich shows it literally: no markup, and no control characters out of somebody's file."""
    return escape("".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text))


def print_json(document: object) -> None:
    """One JSON document on stdout; a number that is not finite is a fault of ours and raises."""
    print(json.dumps(document, indent=2, allow_nan=False))


def print_line(text: str = "", *, bold: bool = False) -> None:
    """One line of text on stdout."""
    _console().print(_printable(text), style="bold" if bold else None, soft_wrap=True)


def error_line(text: str) -> None:
    """One line on stderr that says what went wrong."""
    line = one_line(" ".join(text.split()))
    _console(stderr=True).print(f"[red]error:[/red] {_printable(line)}", soft_wrap=True)


def note_line(text: str) -> None:
    """One line on stderr that says what to be aware of."""
    _console(stderr=True).print(
        f"[yellow]note:[/yellow] {_printable(' '.join(text.split()))}", soft_wrap=True
    )


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    title: str | None = None,
    bold_last: int = 0,
) -> None:
    """A table on stdout: the first ``left`` columns are aligned left, the others right."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold"
    )
    for index, column in enumerate(columns):
        if index < left:
            table.add_column(escape(column), justify="left", overflow="fold")
        else:
            table.add_column(escape(column), justify="right", no_wrap=True)
    for index, row in enumerate(rows):
        style = "bold" if index >= len(rows) - bold_last else None
        table.add_row(*(_printable(cell.replace("\n", " ")) for cell in row), style=style)
    console = _console()
    cells = [[_printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    least = sum(min(width, _FOLDED) for width in widths[:left]) + sum(widths[left:]) + 2 * (len(widths) - 1)
    console.width = max(console.width, least)  # a terminal wraps long lines; numbers are never cut
    console.print(table)


@contextmanager
def progress_bar(text: str) -> Iterator[OnProgress]:
    """A progress bar on stderr with rate and remaining time; silent where stderr is no terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        RemainingColumn(),
        TextColumn("left"),
    )
    console = _console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=None, note="")

        def update(done: int, total: int, failed: int = 0) -> None:
            speed = progress.tasks[0].speed
            rate = f"{speed:.0f}/s" if speed else ""
            note = f"{rate} {failed} failed" if failed else rate
            progress.update(task, completed=done, total=total, note=note)

        yield update


@contextmanager
def stages(text: str) -> Iterator[Any]:
    """A spinner on stderr whose text follows the stages of one long step."""
    console = _console(stderr=True)
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True,
        disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task(text, total=None)
        yield lambda stage: progress.update(task, description=f"{text}: {stage}")
