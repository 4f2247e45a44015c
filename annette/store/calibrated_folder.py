"""Which folders hold a device that was calibrated from latencies of whole networks."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from annette.resources import resource_folder
from annette.store.bundle import MANIFEST_NAME

__all__ = ["CALIBRATED_FILE", "is_calibrated"]

CALIBRATED_FILE = "calibrated.json"


def is_calibrated(name_or_path: str | PathLike[str]) -> bool:
    """Whether a name or a path means a folder that ``annette calibrate`` wrote.

    A name without a path separator means the platform that ships with annette, if there is one of that name.
    """
    text = str(name_or_path)
    if Path(text).name == text and os.path.isfile(resource_folder("trained_models") / text / MANIFEST_NAME):
        return False
    return os.path.isfile(os.path.join(name_or_path, CALIBRATED_FILE))
