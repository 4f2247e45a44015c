"""What the commands print: tables for people, one JSON document for machines, progress on stderr."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Protocol

from rich.cells import cell_len, set_cell_size
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
    "verdict_tone",
]

_FOLDED = 16
"""Columns that text may be folded to in a narrow terminal."""
_LONGEST_BAR, _SHORTEST_BAR = 24, 8
_UNSTEADY_S = 0.5
"""A rate over less time than this says nothing."""
_TONES = {"good": "green", "doubtful": "yellow", "bad": "red"}
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


def print_line(text: str = "", *, bold: bool = False, tone: str | None = None) -> None:
    """One line of text on stdout; on a terminal wrapped at words, wrapped lines of a list indented further.

    ``tone`` colours it where there is colour: ``good``, ``doubtful`` or ``bad``.
    """
    console = _console()
    style = " ".join(filter(None, ("bold" if bold else "", _TONES[tone] if tone else "")))
    for line in _wrapped(text, console):
        console.print(_printable(line), style=style or None, soft_wrap=True)


def verdict_tone(level: str) -> str:
    """The tone of a verdict's level, for `print_line`.

    Examples
    --------
    >>> verdict_tone("check")
    'doubtful'
    """
    return {"solid": "good", "check": "doubtful"}.get(level, "bad")


def _wrapped(text: str, console: Console) -> list[str]:
    """The lines as they stand, or on a terminal cut at words to its width."""
    lines = text.split("\n")
    if not console.is_terminal:
        return lines
    wrapped: list[str] = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip(" ")))
        hanging = f"{indent}    " if indent else ""
        wrapped += textwrap.wrap(
            line, max(console.width, _FOLDED), subsequent_indent=hanging, break_long_words=False,
            break_on_hyphens=False, drop_whitespace=True,
        ) or [""]  # fmt: skip
    return wrapped


def error_line(text: str) -> None:
    """One line on stderr that says what went wrong."""
    line = one_line(" ".join(text.split()))
    _print_marked("error", "red", line)


def note_line(text: str) -> None:
    """One line on stderr that says what to be aware of."""
    _print_marked("note", "yellow", " ".join(text.split()))


def _print_marked(mark: str, color: str, line: str) -> None:
    """One line on stderr behind a coloured word; never cut, since people search for what it says."""
    _console(stderr=True).print(f"[{color}]{mark}:[/{color}] {_printable(line)}", soft_wrap=True)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    title: str | None = None,
    bold_last: int = 0,
    bars: Sequence[float] = (),
) -> None:
    """A table on stdout: the first ``left`` columns are aligned left, the others right.

    Where a terminal is too narrow, names in front of numbers are cut to one line and text in the other
    columns is folded; if that is not enough, the table is shown in parts with the left columns in each.
    Numbers are never cut. Of ``bars`` (>= 0, one a row) the largest fills what is left of a wide terminal.
    """
    console = _console()
    cells = [[_printable(cell.replace("\n", " ")) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    room = console.width - 2 * (len(widths) - 1)
    parts = [list(range(left, len(widths)))]
    drawn: tuple[str, ...] = ()
    if console.is_terminal and 0 < left < len(widths):
        _narrow(widths, left, room)
        cells = [[_cut(row[0], widths[0]), *row[1:]] for row in cells]
        parts = _parts(widths, left, console.width)
        drawn = _draw_bars(bars, room - sum(widths) - 2, console)
    for number, part in enumerate(parts):
        shown = [*range(left), *part]
        table = _table([[row[index] for index in shown] for row in cells], left, drawn, bold_last)
        if number:
            console.print()
        table.title = None if number else title
        _print_rows(table, console, sum(widths[index] for index in shown) + 2 * (len(shown) - 1))


def _table(cells: Sequence[Sequence[str]], left: int, bars: Sequence[str], bold_last: int) -> Table:
    """Titles and rows as rich lays them out, with a bar behind each row if there are bars."""
    table = Table(title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(cells[0]):
        if index < left:
            table.add_column(column, justify="left", overflow="fold")
        else:
            table.add_column(column, justify="right", no_wrap=True)
    if bars:
        table.add_column("", justify="left", no_wrap=True, style="cyan")
    for at, row in enumerate(cells[1:]):
        style = "bold" if at >= len(cells) - 1 - bold_last else None
        table.add_row(*row, *bars[at : at + 1], style=style)
    return table


def _print_rows(table: Table, console: Console, width: int) -> None:
    """A table as wide as its numbers need; in pipes without blanks at the ends of lines."""
    if console.is_terminal:
        console.print(table, width=max(console.width, width))
        return
    console.width = max(console.width, width)
    with console.capture() as capture:
        console.print(table)
    console.out("\n".join(line.rstrip() for line in capture.get().splitlines()), highlight=False)


def _parts(widths: Sequence[int], left: int, room: int) -> list[list[int]]:
    """The columns behind the left ones, so many at a time as stand beside those; at least one."""
    names = sum(widths[:left]) + 2 * (left - 1)
    parts: list[list[int]] = []
    used = room
    for index in range(left, len(widths)):
        if used + 2 + widths[index] > room:
            parts.append([])
            used = names
        parts[-1].append(index)
        used += 2 + widths[index]
    return parts


def _narrow(widths: list[int], left: int, room: int) -> None:
    """Take from the widest of the left columns what is too much for the room, as far as they may shrink."""
    while sum(widths) > room and max(widths[:left]) > _FOLDED:
        widths[widths.index(max(widths[:left]))] -= 1


def _cut(text: str, width: int) -> str:
    """The text on so many columns, with dots in its middle: names differ at their ends."""
    if cell_len(text) <= width:
        return text
    last = (width - 2) // 3
    tail = text[-last:]
    while cell_len(tail) > last:
        tail = tail[1:]
    return f"{set_cell_size(text, width - 2 - last).rstrip()}..{tail}"


def _draw_bars(values: Sequence[float], room: int, console: Console) -> tuple[str, ...]:
    """Bars for as much room as there is, in eighths of a column where the terminal can show them."""
    if room < _SHORTEST_BAR or not any(values):
        return ()
    width, largest = min(room, _LONGEST_BAR), max(values)
    fine = (console.encoding or "").lower().startswith("utf")
    drawn = []
    for value in values:
        eighths = round(8 * width * value / largest)
        full, rest = divmod(eighths, 8)
        drawn.append(
            "\u2588" * full + (" \u258f\u258e\u258d\u258c\u258b\u258a\u2589"[rest] if rest else "")
            if fine
            else "#" * full
        )
    return tuple(drawn)


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
        first: list[tuple[int, float]] = []

        def update(done: int, total: int, failed: int = 0) -> None:
            first.append((done, time.monotonic()))  # what was done before counts for nothing
            del first[1:]
            passed_s = time.monotonic() - first[0][1]
            speed = (done - first[0][0]) / passed_s if passed_s > _UNSTEADY_S else 0.0
            rate = f"{speed:.0f}/s" if speed >= 0.5 else ""
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
