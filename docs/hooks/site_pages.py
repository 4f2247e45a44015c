"""Hooks of MkDocs: hand in the generated pages, run what shows its output, and set formulas."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
from generated import ROOT, console_output, pages
from links import FILES, expanded, linked_files, outside_of_fences, rewritten

_CONSOLE = re.compile(r"^```console output\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_FORMULA = re.compile(r"\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", flags=re.DOTALL)
_pages = cache(pages)


def on_config(config: Any) -> Any:
    """Put every page of the folders of the navigation that end in ``/*`` into it."""
    written = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    config.nav = expanded(config.nav, [*_pages(), *written])
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and every file of the repository that a page links to."""
    for place, text in _pages().items():
        files.append(File.generated(config, place, content=text))
    linked = {
        path
        for file in files.documentation_pages()
        for path in linked_files(file.src_uri, file.content_string)
    }
    for path in sorted(linked):
        place = f"{FILES}/{path.relative_to(ROOT).as_posix()}"
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Run the commands whose output is shown, set formulas, and point links to the copies in the site."""
    markdown = _CONSOLE.sub(lambda match: f"```console\n{console_output(match[1])}```", markdown)
    if "$$" in markdown:
        markdown = outside_of_fences(markdown, _FORMULA, _formula)
    return rewritten(page.file.src_uri, markdown)


def _formula(match: re.Match[str]) -> str:
    """A formula as MathML, which browsers set by themselves."""
    if match["block"]:
        return f"<div>{convert(match['block'].strip(), display='block')}</div>"
    return f"<span>{convert(match['inline'].strip())}</span>"
