"""Links and navigation of the site: files of the repository are copied into it, folders are listed.

Nothing here needs MkDocs, so that the tests do not either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from generated import COPIED, ROOT

FILES = "files"
"""Folder of the site with the files of the repository that pages link to."""
_LINK = re.compile(r"(\]\()(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^ *```.*?^ *``` *$", flags=re.DOTALL | re.MULTILINE)
_INTO_THE_SITE = {source: place for place, source in COPIED.items()}


def linked_files(place: str, markdown: str) -> Iterator[Path]:
    """The files outside the documentation that a page links to, but for pages."""
    for match in _LINK.finditer(_FENCE.sub("", markdown)):
        path = _outside(place, match["target"])
        if path is not None and (_place(path) or "").startswith(f"{FILES}/"):
            yield path


def rewritten(place: str, markdown: str) -> str:
    """The page with links that leave the documentation pointed to the copies in the site.

    A link to what is not there stays as it is, which is a warning of MkDocs.
    """
    depth = len(PurePosixPath(place).parts) - 1

    def replace(match: re.Match[str]) -> str:
        path = _outside(place, match["target"])
        there = None if path is None else _place(path)
        return match[0] if there is None else f"{match[1]}{'../' * depth}{there}{match['anchor'] or ''}"

    return outside_of_fences(markdown, _LINK, replace)


def outside_of_fences(
    markdown: str, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]
) -> str:
    """The page with a pattern replaced, but in code blocks."""
    parts, at = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [pattern.sub(replace, markdown[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, pattern.sub(replace, markdown[at:])])


def expanded(item: Any, known: Iterable[str]) -> Any:
    """A navigation with the pages of a folder in place of each entry that ends in ``/*``."""
    if isinstance(item, dict):
        return {title: expanded(entry, known) for title, entry in item.items()}
    if not isinstance(item, list):
        return item
    found: list[Any] = []
    for entry in item:
        if not (isinstance(entry, str) and entry.endswith("/*")):
            found.append(expanded(entry, known))
            continue
        inside = (name for name in sorted(known) if PurePosixPath(name).parent.as_posix() == entry[:-2])
        found += [name for name in inside if PurePosixPath(name).stem not in ("index", "README")]
    return found


def _place(path: Path) -> str | None:
    """Where a file of the repository stands in the site, if it does."""
    inside = path.relative_to(ROOT).as_posix()
    if inside in _INTO_THE_SITE:
        return _INTO_THE_SITE[inside]
    if inside.startswith("docs/"):  # from a page that stands elsewhere
        return inside.removeprefix("docs/")
    return f"{FILES}/{inside}" if path.is_file() and path.suffix != ".md" else None


def _outside(place: str, target: str) -> Path | None:
    """The file of the repository that a link means, if it is none of the documentation's own."""
    if ":" in target or target.startswith("/"):
        return None
    source = COPIED.get(place)
    folder = (ROOT / source).parent if source else (ROOT / "docs" / place).parent
    path = (folder / target).resolve()
    if not path.is_relative_to(ROOT) or (not source and path.is_relative_to(ROOT / "docs")):
        return None
    return path
