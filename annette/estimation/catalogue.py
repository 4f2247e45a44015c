"""Finds platforms: those that ship with annette by name, others by their folder."""

from __future__ import annotations

import difflib
import os
from os import PathLike
from pathlib import Path

from annette.errors import UsageError
from annette.estimation.platform import Platform, is_platform_name
from annette.resources import resource_folder
from annette.store.bundle import MANIFEST_NAME
from annette.store.calibrated_folder import is_calibrated
from annette.store.strict_json import parse_strict_json, shorten

__all__ = ["list_platforms", "load_platform"]


def load_platform(name_or_path: str | PathLike[str]) -> Platform:
    """A platform that ships with annette, by name, or one in a folder.

    A name without a path separator means the platform that ships, if there is one of that name; write
    ``./NAME`` for a folder of the same name.

    Raises
    ------
    UsageError
        If there is neither; the message names the nearest. Also for a folder that ``annette calibrate``
        wrote: it is no platform, since it knows no kernels.
    StoreError
        If it is damaged or of another schema version.
    """
    text = str(name_or_path)
    if is_calibrated(name_or_path):
        raise UsageError(
            f"{text}: was calibrated from latencies of whole networks and knows no kernels, expected a "
            "platform that annette train wrote; annette estimate, annette evaluate --recorded-table and a "
            "LatencyObjective take it"
        )
    if is_platform_name(text):
        shipped = resource_folder("trained_models") / text
        if (shipped / MANIFEST_NAME).is_file():
            return Platform.load(shipped)
    if os.path.isdir(name_or_path):  # unlike Path.is_dir, also an answer for names that no file can have
        return Platform.load(name_or_path)
    names = [name for name, _ in list_platforms()]
    near = difflib.get_close_matches(text, names, n=3, cutoff=0.5) or names
    hint = f"did you mean {' or '.join(near)}?" if near else "train one with `annette train`"
    raise UsageError(f"platform {text!r}: neither a name that ships with annette nor a folder; {hint}")


def list_platforms() -> tuple[tuple[str, str], ...]:
    """Names and one-line descriptions of the platforms that ship with annette."""
    folder = resource_folder("trained_models")
    if not folder.is_dir():
        return ()
    found = sorted(item for item in folder.iterdir() if (item / MANIFEST_NAME).is_file())
    return tuple((item.name, _describe_folder(item)) for item in found)


def _describe_folder(folder: Path) -> str:
    """The description in the manifest; a damaged platform is listed with its fault."""
    try:
        with (folder / MANIFEST_NAME).open("rb") as file:
            manifest = parse_strict_json(file.read(1 << 20))
        return str(manifest["description"])
    except (OSError, ValueError, KeyError, TypeError) as err:
        return f"not usable: {type(err).__name__}: {shorten(err)}"
