"""Reads JSON that nobody vouches for: finite numbers of sane size, bounded nesting, faults in one line."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

__all__ = ["parse_strict_json", "shorten"]

_MAX_DIGITS = 18
"""Whole numbers with more digits count nothing that annette knows; they no longer fit 64 bits."""


def parse_strict_json(content: bytes | str) -> Any:
    """The value of a JSON text in which every number is finite and every whole one fits 64 bits.

    Raises
    ------
    ValueError
        With a short text on one line, if the content is anything else.

    Examples
    --------
    >>> parse_strict_json(b'{"size_bytes": 3}')
    {'size_bytes': 3}
    >>> parse_strict_json("[1e999]")
    Traceback (most recent call last):
    ...
    ValueError: not readable as JSON (1e999 is not a finite number)
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except UnicodeDecodeError as err:
        raise ValueError(f"not readable as JSON (byte {err.start} is not UTF-8)") from None
    except RecursionError:
        raise ValueError("not readable as JSON (nested too deep)") from None
    except ValueError as err:
        raise ValueError(f"not readable as JSON ({shorten(err)})") from None


def shorten(value: object, limit: int = 160) -> str:
    """``str(value)`` on one line of at most ``limit`` characters.

    Examples
    --------
    >>> shorten("two\\nlines")
    'two lines'
    """
    text = " ".join(str(value)[: 4 * limit].split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a finite number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text[:40])


def _whole(text: str) -> int:
    if len(text.removeprefix("-")) > _MAX_DIGITS:
        raise ValueError(f"{text[:20]}... is too large a number")
    return int(text)
