"""The errors annette raises: few and typed, each one line: where, what was found, expected, what to do."""

from __future__ import annotations

__all__ = [
    "AnnetteError",
    "DeviceLostError",
    "GraphError",
    "HardwareError",
    "MeasurementError",
    "ModelError",
    "StoreError",
    "UsageError",
    "WorkerLostError",
    "one_line",
]

_MAX_LETTERS = 2000


def one_line(text: str) -> str:
    r"""The text with what cannot be printed as escapes, and its middle left out where it has no end.

    Examples
    --------
    >>> print(one_line("layer 'a\nb': unknown"))
    layer 'a\nb': unknown
    """
    if not text.isprintable():
        text = "".join(item if item.isprintable() else repr(item)[1:-1] for item in text)
    return text if len(text) <= _MAX_LETTERS else f"{text[:1000]} ... {text[-900:]}"


class AnnetteError(Exception):
    """Base of every error that annette raises on purpose; its text is one line meant for the user.

    That holds whatever the text quotes: names and values come out of files of strangers.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class GraphError(AnnetteError, ValueError):
    """A network, or the file it is read from, is not what annette can work with."""


class HardwareError(AnnetteError, ValueError):
    """A description of an accelerator is wrong or cannot run what it is asked to run."""


class MeasurementError(AnnetteError, RuntimeError):
    """A device could not be opened, or did not answer."""


class DeviceLostError(MeasurementError):
    """A device is gone for good: a campaign stops, and leaves what is not measured yet for the next run."""


class StoreError(AnnetteError, OSError):
    """A campaign store or a platform folder is missing, damaged or of another schema version."""


class ModelError(AnnetteError, ValueError):
    """A model cannot be fitted to, or asked about, what it was given."""


class UsageError(AnnetteError, ValueError):
    """A call names something that does not exist or asks for something impossible (exit code 2)."""


class WorkerLostError(AnnetteError, RuntimeError):
    """A process that worked for this one died, and what it was asked to do is not done."""
