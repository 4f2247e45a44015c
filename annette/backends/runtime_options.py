"""Options of runtimes on this machine's processor, as they stand after the colon of a device's name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from annette.errors import UsageError

__all__ = ["OPTION_KEYS", "Kernels", "Optimization", "RuntimeOptions", "parse_runtime_options"]

Optimization = Literal["none", "basic", "extended", "all"]
Kernels = Literal["profile", "alone", "none"]

OPTION_KEYS = ("threads", "optimization", "kernels", "visits")
"""What a runtime may take; one that lacks an option leaves it out of ``allowed``."""
MAX_THREADS = 1024
_WORDS = MappingProxyType({"optimization": get_args(Optimization), "kernels": get_args(Kernels)})
_NUMBERS = MappingProxyType({"threads": MAX_THREADS, "visits": 1000})


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """How a runtime is set up and timed.

    Raises
    ------
    UsageError
        If a value is not allowed; names what is.
    """

    threads: int = 1
    """Threads within one operator; 1 to `MAX_THREADS`."""
    optimization: Optimization = "all"
    """How far the runtime may rewrite the graph."""
    kernels: Kernels = "profile"
    """Whence the times of single kernels come: the runtime's ``profile``, scaled to the un-profiled total;
    each cut out and timed ``alone``; or ``none``: the whole network only."""
    visits: int = 4
    """How often a campaign comes back to a network; 1 to 1000."""

    def __post_init__(self) -> None:
        for key, most in _NUMBERS.items():
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise UsageError(f"option {key}={value}: expected a whole number from 1 to {most}")
        for key, words in _WORDS.items():
            value = getattr(self, key)
            if value not in words:
                raise UsageError(f"option {key}={value}: expected {_one_of(words)}{_nearest(value, words)}")


def parse_runtime_options(
    text: str, *, device: str, cpus: int, allowed: Sequence[str] = OPTION_KEYS
) -> RuntimeOptions:
    """The options in ``key=value,key=value``; what is not given has its default.

    Parameters
    ----------
    text
        What stands after the colon; may be empty.
    device
        The device's kind, for messages.
    cpus
        Processors of the machine: more threads than that are refused.
    allowed
        Keys that the runtime takes.

    Raises
    ------
    UsageError
        For what is not ``key=value``, an unknown key or value, a key given twice, or too many threads;
        names what is allowed, and the nearest.

    Examples
    --------
    >>> parse_runtime_options("threads=2,optimization=extended", device="onnxruntime", cpus=4)
    RuntimeOptions(threads=2, optimization='extended', kernels='profile', visits=4)
    """
    given: dict[str, object] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if key not in allowed:
            raise UsageError(
                f"device {device}: option {key!r} is not known, expected {_one_of(allowed)}"
                f"{_nearest(key, allowed)}"
            )
        if not equals or not value:
            raise UsageError(f"device {device}: option {item!r}, expected {key}={_sample(key)}")
        if key in given:
            raise UsageError(f"device {device}: option {key!r} is given twice, expected once")
        given[key] = _number(key, value, device) if key in _NUMBERS else value
    try:
        options = RuntimeOptions(**given)  # type: ignore[arg-type]  # its __post_init__ checks each value
    except UsageError as err:
        raise UsageError(f"device {device}: {err}") from err
    if options.threads > cpus:
        raise UsageError(
            f"device {device}: option threads={options.threads}, expected 1 to {cpus}, the processors this "
            "process may use"
        )
    return options


def _number(key: str, value: str, device: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise UsageError(
            f"device {device}: option {key}={value}: expected a whole number from 1 to {_NUMBERS[key]}"
        )
    return int(value)


def _sample(key: str) -> str:
    return "|".join(_WORDS[key]) if key in _WORDS else "NUMBER"


def _one_of(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _nearest(word: object, words: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(word), words, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
