"""What terminals of any width show: numbers whole, names on one line, words not torn, colour where wanted."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from annette.cli import console as shown

NAMES = ("conv_1+batchnormalization_1+relu_1+maxpool_1", "gemm_1", "conv_20+batchnormalization_20+add_8")
ROWS = [(name, "conv", f"{index + 1}.25 ms") for index, name in enumerate(NAMES)]
Terminal = Callable[..., io.StringIO]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Opens a terminal of a given width; returns what is written to it."""

    def open_terminal(width: int, **options: object) -> io.StringIO:
        out = io.StringIO()
        monkeypatch.delenv("NO_COLOR", raising=False)
        if options.pop("no_color", False):
            monkeypatch.setenv("NO_COLOR", "1")

        def make(*, stderr: bool = False) -> Console:
            settings = {"force_terminal": True, "color_system": "standard", **options}
            return Console(file=out, width=width, highlight=False, **settings)  # type: ignore[arg-type]

        monkeypatch.setattr(shown, "_console", make)
        return out

    return open_terminal


def _lines(out: io.StringIO) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).rstrip("\n").split("\n")


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_a_table_of_numbers_has_one_line_a_row_and_every_number(terminal: Terminal, width: int) -> None:
    out = terminal(width)
    shown.print_table(("kernel", "family", "latency"), ROWS, left=2)
    lines = _lines(out)
    assert len(lines) == 1 + len(ROWS)
    assert max(map(len, lines)) <= width
    for line, (name, family, latency) in zip(lines[1:], ROWS, strict=True):
        head, _, tail = line.split()[0].partition("..")
        assert name.startswith(head)
        assert name.endswith(tail)
        assert line.split()[1:4] == [family, *latency.split()]


def test_a_table_that_is_too_wide_is_shown_in_parts_with_its_names(terminal: Terminal) -> None:
    out = terminal(44)
    rows = [
        (name, *(f"{model}.00 ms (+{index}.0 %)" for model in range(4))) for index, name in enumerate("abc")
    ]
    shown.print_table(("network", "one", "two", "three", "four"), rows)
    lines = _lines(out)
    assert max(map(len, lines)) <= 44
    assert [line.split() for line in lines if line.startswith("network")] == [
        ["network", "one", "two"],
        ["network", "three", "four"],
    ]
    for row in rows:
        assert all(cell in "\n".join(lines) for cell in row[1:])
        assert sum(line.startswith(f"{row[0]} ") for line in lines) == 2


def test_names_are_whole_where_there_is_room(terminal: Terminal) -> None:
    out = terminal(80)
    shown.print_table(("kernel", "family", "latency"), ROWS, left=2)
    assert [line.split()[0] for line in _lines(out)[1:]] == list(NAMES)


@pytest.mark.parametrize(("width", "longest"), [(60, 0), (80, 17), (160, 24)])
def test_bars_take_what_is_left_and_not_more(terminal: Terminal, width: int, longest: int) -> None:
    out = terminal(width)
    shown.print_table(("kernel", "family", "latency"), ROWS, left=2, bars=(1.0, 0.5, 0.0))
    bars = [line.count("\u2588") for line in _lines(out)[1:]]
    assert bars == [longest, longest // 2, 0]
    assert max(map(len, _lines(out))) <= width


def test_pipes_get_plain_text_without_bars_and_without_blanks_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown.print_table(
        ("kernel", "what it is"), [("a", "long [bold] words"), ("b", "short")], left=2, bars=(1, 2)
    )
    text = capsys.readouterr().out
    assert text == "kernel  what it is\na       long [bold] words\nb       short\n"


def test_lines_are_wrapped_at_words_and_lists_are_indented(terminal: Terminal) -> None:
    out = terminal(30)
    shown.print_line("  Conv + Add -> merged if producer_readers <= 1 and not producer_is_output")
    lines = _lines(out)
    assert max(map(len, lines)) <= 30
    assert lines[0].startswith("  Conv")
    assert all(line.startswith("      ") for line in lines[1:])
    assert "producer_readers" in "\n".join(lines)


def test_colour_is_left_out_where_it_is_not_wanted(terminal: Terminal) -> None:
    colour = "\x1b[1;32m"
    out = terminal(60)
    shown.print_line("well done", bold=True, tone="good")
    assert colour in out.getvalue()
    out = terminal(60, no_color=True)
    shown.print_line("well done", bold=True, tone="good")
    shown.error_line("not at all")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", out.getvalue())
