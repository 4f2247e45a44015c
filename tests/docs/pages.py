"""Pages of the documentation for tests: their code blocks, and the repository that they stand in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
HOOKS = DOCS / "hooks"

_FENCED = re.compile(r"^ *```(?P<info>[^\n`]*)\n(?P<text>.*?)^ *```[ ]*$", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    language: str
    text: str


def read_page(name: str) -> str:
    """The Markdown of a page: a path below docs, or README.md."""
    path = ROOT / name if name == "README.md" else DOCS / name
    return path.read_text(encoding="utf-8")


def blocks(text: str, language: str | None = None) -> tuple[Block, ...]:
    """Its code blocks in order, all or those of one language."""
    found = (Block((match["info"].split() or [""])[0], match["text"]) for match in _FENCED.finditer(text))
    return tuple(block for block in found if language in (None, block.language))


def prose(text: str) -> str:
    """The page without its code blocks."""
    return _FENCED.sub("", text)


def commands(text: str) -> tuple[str, ...]:
    """The lines that a reader types, of all ``console`` blocks."""
    lines = (line for block in blocks(text, "console") for line in block.text.splitlines())
    return tuple(line.removeprefix("$ ") for line in lines if line.startswith("$ "))


def execute(block: str, page: str) -> dict[str, Any]:
    """Run a block of Python as a script of its own; returns the names that it leaves."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(block, f"docs/{page}", "exec"), names)
    return names


def substituted(line: str, smaller: dict[str, str]) -> list[str]:
    """The words behind ``annette``, some of them in a smaller form."""
    return [smaller.get(word, word) for word in shlex.split(line, comments=True)[1:]]


def workflow_commands(document: dict[str, Any]) -> Iterator[str]:
    """The annette commands of the steps of a GitHub workflow."""
    for job in document["jobs"].values():
        for step in job["steps"]:
            if str(step.get("run", "")).startswith("annette "):
                yield step["run"].partition(" > ")[0]


def all_pages() -> Sequence[str]:
    """Every hand-written page, but for those of the presets, which a study writes."""
    found = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    return [name for name in found if not name.startswith("presets/")]
