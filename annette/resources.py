"""Finds the files that travel with annette: campaign plans, trained platforms, tables of published numbers.

In an installed wheel they lie inside the package (``annette/_data``); in a checkout at the top level.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

__all__ = ["resource_folder"]

_CHECKOUT = {"plans": ("benchmarks", "plans"), "tables": ("data",), "trained_models": ("trained_models",)}


def resource_folder(kind: Literal["plans", "tables", "trained_models"]) -> Path:
    """The folder holding the campaign plans, the tables or the trained platforms that ship with annette.

    Examples
    --------
    >>> (resource_folder("plans") / "standard.yaml").is_file()
    True
    """
    package = Path(__file__).resolve().parent
    installed = package / "_data" / kind
    return installed if installed.is_dir() else package.parent.joinpath(*_CHECKOUT[kind])
