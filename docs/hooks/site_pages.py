"""Hooks of MkDocs: hand in the generated pages, and bring files of the repository into the site."""

from __future__ import annotations

import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
from generated import COPIED, ROOT, console_output, pages

_LINK = re.compile(r"(\]\()(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^ *```.*?^ *``` *$", flags=re.DOTALL | re.MULTILINE)
_CONSOLE = re.compile(r"^```console output\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_FORMULA = re.compile(r"\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", flags=re.DOTALL)
_INTO_THE_SITE = {source: place for place, source in COPIED.items()}
_FILES = "files"
"""Folder of the site with the files of the repository that pages link to."""


def on_config(config: Any) -> Any:
    """Put every page of the folders of the navigation that end in ``/*`` into it."""
    known = [
        *pages(),
        *(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")),
    ]
    config.nav = [_expanded(item, sorted(known)) for item in config.nav]
    return config


def _expanded(item: Any, known: list[str]) -> Any:
    if isinstance(item, dict):
        return {title: _expanded(entry, known) for title, entry in item.items()}
    if not isinstance(item, list):
        return item
    found: list[Any] = []
    for entry in item:
        if isinstance(entry, str) and entry.endswith("/*"):
            inside = [
                name for name in known if name.startswith(entry[:-1]) and name.count("/") == entry.count("/")
            ]
            found += [name for name in inside if PurePosixPath(name).stem not in ("index", "README")]
        else:
            found.append(_expanded(entry, known))
    return found


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and every file of the repository that a page links to."""
    for place, text in pages().items():
        files.append(File.generated(config, place, content=text))
    wanted: set[Path] = set()
    for file in files.documentation_pages():
        text = _FENCE.sub("", file.content_string)
        for match in _LINK.finditer(text):
            path = _outside(file.src_uri, match["target"])
            if path is not None and path.is_file() and path.suffix != ".md":
                wanted.add(path)
    for path in sorted(wanted):
        place = f"{_FILES}/{path.relative_to(ROOT).as_posix()}"
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Run the commands whose output is shown, set formulas, and point links to the copies in the site.

    What a link means and is not there stays as it is, which is a warning of MkDocs.
    """
    markdown = _CONSOLE.sub(lambda match: f"```console\n{console_output(match[1])}```", markdown)
    if "$$" in markdown:
        markdown = _outside_of_fences(markdown, _FORMULA, _formula)
    here = PurePosixPath(page.file.src_uri).parent

    def replace(match: re.Match[str]) -> str:
        path = _outside(page.file.src_uri, match["target"])
        if path is None:
            return match[0]
        inside = path.relative_to(ROOT).as_posix()
        place = _INTO_THE_SITE.get(inside)
        if place is None and inside.startswith("docs/"):  # from a page that stands elsewhere
            place = inside.removeprefix("docs/")
        elif place is None:
            if path.suffix == ".md" or not path.is_file():
                return match[0]
            place = f"{_FILES}/{inside}"
        return f"{match[1]}{_relative(here, place)}{match['anchor'] or ''}"

    return _outside_of_fences(markdown, _LINK, replace)


def _formula(match: re.Match[str]) -> str:
    """A formula as MathML, which browsers set by themselves."""
    if match["block"]:
        return f"<div>{convert(match['block'].strip(), display='block')}</div>"
    return f"<span>{convert(match['inline'].strip())}</span>"


def _outside_of_fences(markdown: str, pattern: re.Pattern[str], replace: Any) -> str:
    parts, at = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [pattern.sub(replace, markdown[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, pattern.sub(replace, markdown[at:])])


def _outside(src_uri: str, target: str) -> Path | None:
    """The file of the repository that a link means, if it is none of the documentation's own."""
    if ":" in target or target.startswith("/"):
        return None
    source = COPIED.get(src_uri)
    folder = (ROOT / source).parent if source else (ROOT / "docs" / src_uri).parent
    path = (folder / target).resolve()
    if not path.is_relative_to(ROOT) or (not source and path.is_relative_to(ROOT / "docs")):
        return None
    return path


def _relative(here: PurePosixPath, place: str) -> str:
    return "/".join([*([".."] * len([part for part in here.parts if part != "."])), place])
