"""annette predicts how long a neural network runs on a device, without the device at hand.

Examples
--------
>>> import annette
>>> annette.load("zcu102-dpu").estimate("zoo:resnet50").model
'mixed'
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annette.calibration.calibrated import CalibratedModel
    from annette.estimation.platform import Platform

__all__ = ["__version__", "list_platforms", "load"]

__version__ = "0.1.0"


def load(name_or_path: str | PathLike[str]) -> Platform | CalibratedModel:
    """The trained platform of that name, or what is in that folder: a platform or a calibrated model.

    Both have `estimate`, `estimate_many` and `estimate_space`, and stand in search loops. A calibrated model
    (``annette calibrate``) knows no kernels: `annette.estimation.catalogue.load_platform` refuses it.

    Raises
    ------
    UsageError
        If there is none; the message names the nearest.
    StoreError
        If it is damaged or of another schema version.
    """
    from annette.estimation.catalogue import load_platform
    from annette.store.calibrated_folder import is_calibrated

    if is_calibrated(name_or_path):
        from annette.calibration.codec import load_calibrated

        return load_calibrated(name_or_path)
    return load_platform(name_or_path)


def list_platforms() -> tuple[tuple[str, str], ...]:
    """Names and one-line descriptions of the platforms that ship with annette."""
    from annette.estimation.catalogue import list_platforms as listed

    return listed()
