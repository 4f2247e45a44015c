"""Says in words how two devices differ, so that nobody mixes their measurements."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from annette.measurement import DeviceInfo
from annette.store.strict_json import shorten

__all__ = ["device_difference"]

_MOST_NAMED = 8


def device_difference(kept: DeviceInfo, found: DeviceInfo) -> str:
    """What differs, with the value kept and the value found now; empty if nothing does.

    Examples
    --------
    >>> old = DeviceInfo(name="cpu", backend="test", environment=(("runtime", "1.0"), ("threads", "1")))
    >>> new = DeviceInfo(name="cpu", backend="test", environment=(("runtime", "1.1"), ("threads", "1")))
    >>> device_difference(old, new)
    "runtime ('1.0' then, '1.1' now)"
    """
    parts = list(_parts(kept, found))
    more = f" and {len(parts) - _MOST_NAMED} more" if len(parts) > _MOST_NAMED else ""
    return ", ".join(parts[:_MOST_NAMED]) + more


def _parts(kept: DeviceInfo, found: DeviceInfo) -> Iterator[str]:
    for field in dataclasses.fields(DeviceInfo):
        then, now = getattr(kept, field.name), getattr(found, field.name)
        if field.name != "environment" and then != now:
            yield _part(field.name, then, now)
    then, now = dict(kept.environment), dict(found.environment)
    for name in (*then, *(name for name in now if name not in then)):
        if then.get(name) != now.get(name):
            yield _part(name, then.get(name), now.get(name))
    if kept.environment != found.environment and then == now:
        yield "the order of environment"


def _part(name: str, then: object, now: object) -> str:
    return f"{name} ({_text(then)} then, {_text(now)} now)"


def _text(value: object) -> str:
    return "not known" if value is None else shorten(repr(value), 60)
