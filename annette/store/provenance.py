"""Names and versions of what runs a campaign, kept with its measurements."""

from __future__ import annotations

import platform
import sqlite3

import numpy

import annette

__all__ = ["current_environment"]


def current_environment() -> dict[str, str]:
    """Versions of annette, Python, the libraries and the machine at hand."""
    return {
        "annette": annette.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "numpy": numpy.__version__,
        "sqlite": sqlite3.sqlite_version,
    }
