"""Renders a document as one web page that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from annette import __version__
from annette.errors import UsageError
from annette.report.campaign_view import view_campaign
from annette.report.comparison_view import view_comparison
from annette.report.estimate_view import view_estimate
from annette.report.evaluation_view import view_evaluation
from annette.report.rows import limit

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["KINDS", "headline", "render_page"]

_MOST_LETTERS = 160
_FOLDER = Path(__file__).resolve().parent
_SCRIPTS = MappingProxyType(
    {
        "estimate": ("page.js", "tables.js", "rows.js", "graph.js", "what_if.js"),
        "evaluation": ("page.js", "tables.js", "choices.js"),
        "campaign": ("page.js", "tables.js"),
        "comparison": ("page.js", "tables.js", "rows.js"),
    }
)
_VIEWS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = MappingProxyType(
    {
        "estimate": view_estimate,
        "evaluation": view_evaluation,
        "campaign": view_campaign,
        "comparison": view_comparison,
    }
)
KINDS = tuple(_VIEWS)
"""Kinds of documents that can be rendered."""


def render_page(document: Mapping[str, Any]) -> str:
    """The document as HTML: styles and scripts inside, nothing loaded; the same for the same document.

    Parameters
    ----------
    document : mapping
        Of `summarise_estimate`, `summarise_evaluation`, `summarise_campaign` or `summarise_comparison`.

    Raises
    ------
    UsageError
        For a document of another kind.

    Examples
    --------
    >>> import annette
    >>> from annette.report.estimate_summary import summarise_estimate
    >>> from annette.zoo.registry import zoo_network
    >>> platform, network = annette.load("zcu102-dpu"), zoo_network("lenet5")
    >>> page = render_page(summarise_estimate(network, platform, platform.estimate(network)))
    >>> page.startswith("<!doctype html>"), "http://" in page.replace("http://www.w3.org", "")
    (True, False)
    """
    kind = _require_kind(document)
    view = _VIEWS[kind](document)
    text = (
        _environment()
        .get_template(f"{kind}.html")
        .render(
            **view,
            style=_asset("page.css"),
            script=_asset(*_SCRIPTS[kind]),
            version=__version__,
        )
    )
    return f"{text.rstrip()}\n"


def headline(document: Mapping[str, Any]) -> str:
    """What the page says first, in a line.

    Raises
    ------
    UsageError
        For a document of another kind.
    """
    view = _VIEWS[_require_kind(document)](document)
    first = ", ".join(f"{name} {value}" for name, value, _ in view["facts"][:2])
    return f"{limit(view['title'], _MOST_LETTERS)}: {first}"


def _require_kind(document: Mapping[str, Any]) -> str:
    kind = str(document.get("kind"))
    if kind not in _VIEWS:
        raise UsageError(f"report of kind {kind!r}: not known, expected one of {', '.join(KINDS)}")
    return kind


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["limit"] = limit
    return environment


def _asset(*names: str) -> Any:
    """Files of ours, put into the page as they are."""
    from markupsafe import Markup

    return Markup("\n".join((_FOLDER / "assets" / name).read_text(encoding="utf-8") for name in names))
