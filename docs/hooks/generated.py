"""Pages of the documentation that are made from other things: the CLI, docstrings, recorded results.

`pages` returns all of them as Markdown by their place in the site; `site_pages.py` hands them to MkDocs.
Nothing of what is made here is written to the repository, so none of it can drift.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"

COPIED = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
"""Pages that stand elsewhere in the repository; their links are rewritten."""

MODULES: Mapping[str, Sequence[str]] = {
    "Front door": ("annette",),
    "Estimates": (
        "annette.estimation.platform",
        "annette.estimation.estimate",
        "annette.estimation.verdict",
        "annette.estimation.budget",
        "annette.estimation.search",
        "annette.estimation.evolution",
    ),
    "Networks": (
        "annette.graph.network",
        "annette.graph.builder",
        "annette.graph.onnx_reader",
        "annette.graph.onnx_writer",
        "annette.graph.annette_json",
        "annette.graph.work",
        "annette.zoo.registry",
        "annette.zoo.suites",
        "annette.zoo.spaces.registry",
        "annette.zoo.spaces.space",
    ),
    "Models": (
        "annette.models.layer_models",
        "annette.models.roofline",
        "annette.models.unroll",
        "annette.models.parameters",
        "annette.models.mapping_model",
        "annette.models.network_overhead",
        "annette.models.network_residual",
        "annette.models.intervals",
        "annette.models.generator",
    ),
    "Devices and campaigns": (
        "annette.backends.protocol",
        "annette.backends.registry",
        "annette.measurement",
        "annette.benchmark.plan",
        "annette.benchmark.campaign",
        "annette.benchmark.suggested",
        "annette.store.campaign",
        "annette.testing",
    ),
    "Accelerators": (
        "annette.hardware.accelerator",
        "annette.hardware.codec",
        "annette.explore.explain",
        "annette.explore.sweep",
        "annette.explore.scale_out",
        "annette.explore.tradeoff",
    ),
    "Judging and calibrating": (
        "annette.evaluation.suite",
        "annette.evaluation.latency_table",
        "annette.evaluation.recorded_table",
        "annette.evaluation.metrics",
        "annette.evaluation.score",
        "annette.evaluation.ranking",
        "annette.evaluation.difference",
        "annette.evaluation.sides",
        "annette.evaluation.side_source",
        "annette.evaluation.diagnosis",
        "annette.evaluation.suggestion",
        "annette.calibration.calibrate",
        "annette.calibration.codec",
        "annette.calibration.design",
        "annette.tables.importing",
    ),
    "Reports": (
        "annette.report.page",
        "annette.report.estimate_summary",
        "annette.report.evaluation_summary",
        "annette.report.campaign_summary",
        "annette.report.comparison_summary",
    ),
    "Units, errors, clusters": ("annette.units", "annette.errors", "annette.parallel"),
}
"""The modules of the reference, by its pages; everything else can be read in the source."""

_WIDTH = 76
_MOST_ROWS = 60
_MOST_COLUMNS = 12
_DEEPEST = 4


def pages() -> dict[str, str]:
    """Every generated page: its place in the site, and its Markdown."""
    found = {place: (ROOT / source).read_text(encoding="utf-8") for place, source in COPIED.items()}
    found["reference/cli.md"] = cli_page()
    found.update(python_pages())
    found.update(result_pages())
    return found


# The command line ------------------------------------------------------------------------------------


def cli_page() -> str:
    """What ``--help`` prints of annette and of each of its commands."""
    lines = [
        "# Commands",
        "",
        "What `--help` prints. Exit codes: 0 done, 1 failed, 2 a wrong call, 130 interrupted.",
    ]
    for words in commands():
        lines += ["", f"## {' '.join(('annette', *words))}", "", "```text", command_help(words), "```"]
    return "\n".join(lines) + "\n"


def commands() -> tuple[tuple[str, ...], ...]:
    """The words of each command, annette itself first, as in ``("explore", "sweep")``."""
    import typer.main

    from annette.cli.main import app

    def walk(words: tuple[str, ...], command: Any) -> Iterator[tuple[str, ...]]:
        yield words
        for name, child in getattr(command, "commands", {}).items():
            yield from walk((*words, name), child)

    return tuple(walk((), typer.main.get_command(app)))


def console_output(commands_shown: str) -> str:
    """Lines ``$ annette ...`` with what each prints below it; fails if a command does."""
    lines: list[str] = []
    for line in commands_shown.splitlines():
        lines.append(line)
        if line.startswith("$ annette "):
            lines += [*_printed(shlex.split(line)[2:]).splitlines(), ""]
    return "\n".join(lines[:-1] if lines[-1:] == [""] else lines) + "\n"


def command_help(words: Sequence[str]) -> str:
    """What a command prints for ``--help``."""
    return _printed([*words, "--help"])


def _printed(words: Sequence[str]) -> str:
    """What a command prints in as many columns as a page has, without colour."""
    from annette.cli import console
    from annette.cli.main import exit_code

    out, width = io.StringIO(), console.PIPE_WIDTH
    console.PIPE_WIDTH = _WIDTH
    before = {name: os.environ.get(name) for name in ("COLUMNS", "TERMINAL_WIDTH", "NO_COLOR")}
    os.environ.update(COLUMNS=str(_WIDTH), TERMINAL_WIDTH=str(_WIDTH), NO_COLOR="1")
    try:
        with contextlib.redirect_stdout(out):
            code = exit_code(list(words))
    finally:
        console.PIPE_WIDTH = width
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    if code != 0:
        raise RuntimeError(f"annette {shlex.join(words)}: exit code {code}")
    return "\n".join(line.rstrip() for line in out.getvalue().strip("\n").splitlines())


# Docstrings ------------------------------------------------------------------------------------------


def python_pages() -> dict[str, str]:
    """One page for each group of modules, filled from their docstrings by mkdocstrings, and an overview."""
    found = {}
    overview = [
        "# Python",
        "",
        "What the CLI can do, a line of Python can do. Most need two names, `annette.load` and the "
        "`Platform` that it returns. Arguments and results are frozen values; numbers are seconds, bytes, "
        "operations, hertz and joules.",
        "",
    ]
    for title, modules in MODULES.items():
        place = f"{title.lower().replace(',', '').replace(' ', '-')}.md"
        blocks = [f"::: {name}\n" for name in modules]
        found[f"reference/python/{place}"] = "\n".join([f"# {title}", "", *blocks])
        names = ", ".join(f"`{name}`" for name in modules)
        overview.append(f"- [{title}](python/{place}): {names}")
    found["reference/python.md"] = "\n".join(overview) + "\n"
    return found


# Recorded results ------------------------------------------------------------------------------------


def result_pages() -> dict[str, str]:
    """One page for each file in benchmarks/results, and an overview."""
    found = {}
    rows = ["| study | what it asks | commit | machine |", "|---|---|---|---|"]
    for path in sorted(RESULTS.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        found[f"results/{path.stem}.md"] = result_page(path.stem, document)
        made = document["provenance"]
        asks, machine = _cell(_purpose(made).splitlines()[0]), _cell(made["machine"]["cpu"])
        rows.append(f"| [{path.stem}]({path.stem}.md) | {asks} | `{made['commit']}` | {machine} |")
    head = [
        "# Results",
        "",
        "Every figure in these pages was recorded by a script of `benchmarks/studies`, which anybody can run "
        "again. The pages are made from `benchmarks/results` when the site is built; `+changes` behind a "
        "commit says that files differed from it.",
        "",
    ]
    found["results/index.md"] = "\n".join([*head, *rows]) + "\n"
    return found


def result_page(name: str, document: Mapping[str, Any]) -> str:
    """A recorded result as Markdown: what was asked, where it comes from, and its numbers as tables."""
    made = document["provenance"]
    machine = made["machine"]
    versions = ", ".join(f"{package} {number}" for package, number in made["versions"].items())
    lines = [f"# {name}", "", _purpose(made), ""]
    lines += [
        "| | |",
        "|---|---|",
        f"| command | `{_cell(made['command'])}` |",
        f"| commit | `{made['commit']}` |",
        f"| seed | {'-' if made['seed'] is None else made['seed']} |",
        f"| machine | {_cell(machine['cpu'])}, {machine['cores']} cores, {machine['system']} |",
        f"| versions | Python {made['python']}, {versions} |",
        f"| all numbers | [{name}.json](../../benchmarks/results/{name}.json) |",
        "",
    ]
    if (RESULTS / f"{name}.png").is_file():
        lines += [f"![{name}](../../benchmarks/results/{name}.png)", ""]
    rest = {key: value for key, value in document.items() if key not in ("study", "provenance")}
    lines += _section(rest, 2)
    return "\n".join(lines) + "\n"


def _purpose(made: Mapping[str, Any]) -> str:
    """What the script of a study says of itself, without its commands."""
    script = ROOT / shlex.split(made["command"])[1]
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or script.stem
    paragraphs = text.split("\n\n")
    kept = [item for item in paragraphs if not item.startswith("python ")]
    return "\n\n".join(kept)


def _section(value: Mapping[str, Any], level: int) -> list[str]:
    """The tables of a dictionary: its plain values first, then a part for each of the others."""
    plain = {key: item for key, item in value.items() if _is_plain(item)}
    lines: list[str] = []
    if plain:
        lines += [
            "| | |",
            "|---|---|",
            *(f"| `{_cell(key)}` | {_text(item)} |" for key, item in plain.items()),
            "",
        ]
    for key, item in value.items():
        if key in plain or item in ([], {}):
            continue
        lines += [f"{'#' * min(level, 6)} {_cell(key)}", ""]
        lines += _part(item, level + 1)
    return lines


def _part(item: Any, level: int) -> list[str]:
    if isinstance(item, list) and all(_is_plain(entry) for entry in item):
        shown = ", ".join(_text(entry) for entry in item[:_MOST_ROWS])
        return [shown + (f" and {len(item) - _MOST_ROWS} more" if len(item) > _MOST_ROWS else ""), ""]
    if isinstance(item, list) and all(isinstance(entry, dict) for entry in item):
        return _table([("", entry) for entry in item], level)
    if isinstance(item, dict):
        rows = [(str(key), entry) for key, entry in item.items() if isinstance(entry, dict)]
        is_table = len(rows) == len(item) > 0 and all(
            sum(map(_is_plain, entry.values())) >= 0.5 * len(entry) for _, entry in rows
        )
        if is_table:
            return _table(rows, level)
        if level - 2 < _DEEPEST:
            return _section(item, level)
    return [f"{len(item)} entries: see the file.", ""]


def _table(rows: Sequence[tuple[str, Mapping[str, Any]]], level: int) -> list[str]:
    """Rows of the same kind; what is nested in them has a table of its own where that can be."""
    flat = [(name, dict(_flatten(entry))) for name, entry in rows]
    columns = list(dict.fromkeys(key for _, entry in flat for key in entry))
    same = [key for key in columns if len(flat) > 1 and len({str(entry.get(key)) for _, entry in flat}) == 1]
    shown = [key for key in columns if key not in same][:_MOST_COLUMNS]
    named = any(name for name, _ in flat)
    head = [*([""] if named else []), *(f"`{_cell(key)}`" for key in shown)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name, entry in flat[:_MOST_ROWS]:
        cells = [*([f"`{_cell(name)}`"] if named else []), *(_text(entry.get(key, "")) for key in shown)]
        lines.append(f"| {' | '.join(cells)} |")
    left = [
        *([f"{len(flat) - _MOST_ROWS} more rows"] if len(flat) > _MOST_ROWS else []),
        *(
            [f"{len(columns) - len(shown) - len(same)} more columns"]
            if len(columns) > len(shown) + len(same)
            else []
        ),
    ]
    lines += ["", *([f"{' and '.join(left)} are in the file.", ""] if left else [])]
    if same:
        alike = ", ".join(f"`{_cell(key)}` {_text(flat[0][1].get(key))}" for key in same)
        lines += [f"In every row: {alike}.", ""]
    for key in dict.fromkeys(key for _, entry in rows for key, value in entry.items() if _is_nested(value)):
        inner = [
            (f"{name} {sub}".strip(), item)
            for name, entry in rows
            if named and _is_nested(entry.get(key))
            for sub, item in entry[key].items()
        ]
        if inner:
            lines += [f"{'#' * min(level, 6)} {_cell(key)}", "", *_table(inner, level + 1)]
    return lines


def _is_nested(value: Any) -> bool:
    """Whether it is a table itself: rows by name, each with values."""
    return isinstance(value, dict) and bool(value) and all(isinstance(item, dict) for item in value.values())


def _flatten(entry: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in entry.items():
        if _is_plain(value):
            yield f"{before}{key}", value
        elif isinstance(value, dict) and not before and all(map(_is_plain, value.values())):
            yield from _flatten(value, f"{key}.")
        elif value and not _is_nested(value):
            yield f"{before}{key}", f"{len(value)} entries"


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:.4g}"
    return _cell(str(value))


def _cell(text: str) -> str:
    """Text that stands in a cell of a table without breaking it or becoming HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
