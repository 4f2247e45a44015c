"""The one reason why a population is estimated network by network instead of as arrays."""

from __future__ import annotations

__all__ = ["NotVectorisedError"]


class NotVectorisedError(Exception):
    """A rule, a layer or a device is beyond what arrays carry; the text says which. Never leaves the room."""
