"""``annette compare``: what changes from one estimate or measurement to another, kernel by kernel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annette.cli.completion import complete_network, complete_platform, complete_side
from annette.cli.console import OutputFormat, print_json, print_line, print_table
from annette.cli.options import (
    BatchOption,
    FormatOption,
    ModelOption,
    ShapeOption,
    check_model,
    parse_shapes,
    require_writable,
)
from annette.cli.report import write_page
from annette.units import format_fraction, format_number, format_seconds

if TYPE_CHECKING:
    from annette.evaluation.difference import Change, Comparison
    from annette.evaluation.sides import Side, SideKernel

__all__ = ["compare", "print_changes", "signed_seconds"]

_SHOWN = 10
_NAMED = 3
_LETTERS = 48
_KINDS = {
    "same": "alike", "split": "split", "merged": "merged", "regrouped": "regrouped", "only_a": "only in A",
    "only_b": "only in B",
}  # fmt: skip
_WAYS = {
    "names": "by the names of their layers",
    "shapes": "by the order of their operators and shapes, since the layers' names do not agree",
}
_WHAT = (
    "A network (zoo:NAME, an ONNX file) with --platform; a platform with --network; a campaign's store; or a "
    "JSON file that annette measure or annette estimate printed."
)


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help=_WHAT, autocompletion=complete_side)],
    second: Annotated[str, typer.Argument(metavar="B", help="The same.", autocompletion=complete_side)],
    platform: Annotated[
        str | None,
        typer.Option(
            "--platform",
            "-p",
            help="Estimates networks: a name (see annette platforms) or a folder.",
            autocompletion=complete_platform,
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            "-n",
            help="What platforms estimate, and which network of a store is meant (also by its name there).",
            autocompletion=complete_network,
        ),
    ] = None,
    model: ModelOption = "mixed",
    shape: ShapeOption = None,
    batch: BatchOption = None,
    show_all: Annotated[bool, typer.Option("--all", "-a", help="Print every kernel.")] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write a report, one HTML file."),
    ] = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Say what changes from A to B: two networks on a platform, a network on two platforms, two measurements.

    Kernels that do the same work stand beside each other, also where one side has them split or merged.

    Examples: annette compare zoo:resnet18 zoo:resnet34 --platform zcu102-dpu;
    annette compare zcu102-dpu ncs2 --network zoo:mobilenet_v2
    """
    from annette.evaluation.difference import compare as compare_sides
    from annette.evaluation.side_source import SideOptions, open_side

    check_model(model)
    require_writable("--html", html)
    options = SideOptions(
        platform=platform, network=network, model=model, shapes=parse_shapes(shape or ()) or None, batch=batch
    )
    found = compare_sides(open_side(first, options), open_side(second, options))
    if html is not None:
        from annette.report.comparison_summary import summarise_comparison

        write_page(summarise_comparison(found.to_dict()), html, "--html")
    if output is OutputFormat.JSON:
        print_json(found.to_dict())
        return
    _print(found, show_all=show_all)


def signed_seconds(value_s: float) -> str:
    """Seconds with their sign, for differences.

    Examples
    --------
    >>> signed_seconds(0.0012), signed_seconds(-0.0012), signed_seconds(0.0)
    ('+1.20 ms', '-1.20 ms', '0 s')
    """
    if not value_s:
        return format_seconds(0.0)
    return f"{'+' if value_s > 0 else '-'}{format_seconds(abs(value_s))}"


def _print(found: Comparison, *, show_all: bool) -> None:
    for letter, side in (("A", found.a), ("B", found.b)):
        print_line(f"{letter}: {side.name}, {format_seconds(side.latency_s)}{_remarks(side)}", bold=True)
    print_line(_total(found))
    if found.way is None:
        silent = found.a if found.a.kernels is None else found.b
        print_line(f"{silent.name}: nothing is known of its kernels, so that only totals are compared")
        return
    print_line(f"{_counts(found)}; laid side by side {_WAYS[found.way]}\n")
    print_changes(found, show_all=show_all)
    print_line()
    _print_families(found)
    for kind, letter in (("only_a", "A"), ("only_b", "B")):
        line = _only(found, kind, letter)
        if line:
            print_line(line)


def _remarks(side: Side) -> str:
    parts = []
    if side.interval_s is not None:
        low, high = map(format_seconds, side.interval_s)
        parts.append(f"90 % interval {low} to {high}")
    if side.spread_fraction is not None:
        parts.append(f"visits differ by {format_fraction(side.spread_fraction)}")
    elif side.repeats_s is not None:
        low, high = map(format_seconds, side.repeats_s)
        parts.append(f"its runs {low} to {high}")
    if side.verdict is not None:
        parts.append(f"verdict {'do not rely' if side.verdict == 'unreliable' else side.verdict}")
    return f" ({side.kind}{''.join(f'; {part}' for part in parts)})"


def _total(found: Comparison) -> str:
    difference_s, ratio = found.difference_s, found.ratio
    if not difference_s:
        return "both take the same time"
    text = f"B takes {format_seconds(abs(difference_s))} {'more' if difference_s > 0 else 'less'} than A"
    if ratio is not None:
        text += f" ({100 * (ratio - 1):+.1f} %, {ratio:.3g} times A)"
    if found.is_apart is False:
        text += "; the ranges of the two overlap, the order may be the other way round"
    return text


def _counts(found: Comparison) -> str:
    a, b = found.a.kernels or (), found.b.kernels or ()
    known = [f"{count} {_KINDS[kind]}" for kind in _KINDS if (count := found.count(kind))]
    return f"{format_number(len(a), 'kernel')} in A, {len(b)} in B: {', '.join(known) or 'none'}"


def print_changes(found: Comparison, *, show_all: bool, with_units: bool = False) -> None:
    """A table of the changes: the ten largest, or all in order of execution.

    With units it is said where a kernel runs on another unit: between two devices all of them do.
    """
    changes = [item for item in found.largest if item.difference_s][:_SHOWN]
    shown: Sequence[Change] = found.changes if show_all else changes
    if not shown:
        print_line("no kernel takes another time")
        return
    rows = [
        (
            _name(item),
            item.family,
            _what(item, with_units=with_units),
            format_seconds(item.a_s) if item.a else "-",
            format_seconds(item.b_s) if item.b else "-",
            signed_seconds(item.difference_s),
            "-" if item.ratio is None else f"{item.ratio:.2f}",
        )
        for item in shown
    ]
    columns = ("kernels", "family", "what", "A", "B", "change", "B / A")
    print_table(columns, rows, left=3, bars=[abs(item.difference_s) for item in shown])
    rest = len(found.changes) - len(shown)
    if rest and not show_all:
        rest_s = found.difference_s - (found.beyond_s or 0.0) - sum(item.difference_s for item in shown)
        more = "more row" if rest == 1 else "more rows"
        print_line(f"... and {rest} {more} with {signed_seconds(rest_s)} together (--all prints every one)")


def _what(item: Change, *, with_units: bool) -> str:
    if with_units and item.units:
        return " -> ".join(item.units)
    return item.remark or _KINDS[item.kind]


def _name(item: Change) -> str:
    """The kernels of a row; of both sides where they are not called alike."""
    sides = [_names(kernels) for kernels in (item.a, item.b) if kernels]
    return " -> ".join(dict.fromkeys(sides))


def _names(kernels: Sequence[SideKernel]) -> str:
    names = [_shorten(item.name) for item in kernels[:_NAMED]]
    more = [f"{len(kernels) - _NAMED} more"] if len(kernels) > _NAMED else []
    return " | ".join([*names, *more])


def _shorten(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 3]}..."


def _print_families(found: Comparison) -> None:
    rows = [
        (
            item.family,
            str(item.a_kernels),
            str(item.b_kernels),
            format_seconds(item.a_s),
            format_seconds(item.b_s),
            signed_seconds(item.difference_s),
        )
        for item in found.families
    ]
    beyond_s = found.beyond_s or 0.0
    if abs(beyond_s) > 1e-9 * max(found.a.latency_s, found.b.latency_s):
        a_s, b_s = (side.latency_s - side.kernels_s for side in (found.a, found.b))
        rows.append(
            (
                "beyond the kernels",
                "-",
                "-",
                signed_seconds(a_s),
                signed_seconds(b_s),
                signed_seconds(beyond_s),
            )
        )
    totals = (format_seconds(found.a.latency_s), format_seconds(found.b.latency_s))
    counts = (str(len(found.a.kernels or ())), str(len(found.b.kernels or ())))
    rows.append(("all", *counts, *totals, signed_seconds(found.difference_s)))
    print_table(("family", "in A", "in B", "A", "B", "change"), rows, bold_last=1)


def _only(found: Comparison, kind: str, letter: str) -> str:
    """One line on the kernels that a side alone has; empty if there are none."""
    own = [item for item in found.largest if item.kind == kind]
    if not own:
        return ""
    names = ", ".join(_shorten(item.name) for item in own[:_NAMED])
    more = f" and {len(own) - _NAMED} more" if len(own) > _NAMED else ""
    time_s = sum(abs(item.difference_s) for item in own)
    return (
        f"only in {letter}: {format_number(len(own), 'kernel')} with {format_seconds(time_s)}: {names}{more}"
    )
