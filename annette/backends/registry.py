"""Opens a device by its name: the simulator that comes with annette, or any backend that others ship."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from annette.backends.protocol import Backend
from annette.errors import AnnetteError, MeasurementError, UsageError
from annette.hardware.codec import list_accelerators

__all__ = ["ENTRY_POINT_GROUP", "list_devices", "open_device"]

ENTRY_POINT_GROUP = "annette.backends"
"""Each entry point is a callable that takes the text after the colon and returns a `Backend`; if it has an
attribute ``list_devices``, that is called for (target, description) pairs to list."""

Opener = Callable[[str], Backend]

_BUILT_IN = MappingProxyType({"simulator": "annette.backends.simulator:open_simulator"})


def open_device(spec: str) -> Backend:
    """The device of that name: ``KIND:TARGET``, or an accelerator's name alone for a simulated one.

    Raises
    ------
    UsageError
        If there is no such device; the message names the nearest ones.
    MeasurementError
        If a plug-in cannot be loaded or cannot open the device.

    Examples
    --------
    >>> open_device("simulator:zcu102-dpu").info.name
    'zcu102-dpu'
    """
    kind, colon, target = spec.partition(":")
    presets = [name for name, _ in list_accelerators()]
    if not colon and spec in presets:
        kind, target = "simulator", spec
    plugins = _plugins()
    if kind in _BUILT_IN:
        if not target:
            raise UsageError(
                f"device {spec!r}: expected simulator:NAME or simulator:FILE.yaml{_near('', presets)}"
            )
        module, _, function = _BUILT_IN[kind].partition(":")
        backend: Backend = getattr(importlib.import_module(module), function)(target)
        return backend
    if kind in plugins:
        return _open_plugin(plugins[kind], target)
    if not colon and spec.endswith((".yaml", ".yml")):
        raise UsageError(f"device {spec!r}: write simulator:{spec} to simulate that accelerator")
    known = [*presets, *(f"{name}:" for name in (*_BUILT_IN, *plugins))]
    raise UsageError(f"device {spec!r}: not known{_near(spec, known)}; `annette devices` lists them all")


def list_devices() -> tuple[tuple[str, str], ...]:
    """Names and one-line descriptions of the devices at hand; a broken plug-in is listed with its fault."""
    rows = [(f"simulator:{name}", description) for name, description in list_accelerators()]
    for kind, entry in sorted(_plugins().items()):
        rows.extend(_plugin_rows(kind, entry))
    return tuple(rows)


def _plugins() -> dict[str, EntryPoint]:
    return {
        entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name not in _BUILT_IN
    }


def _load(entry: EntryPoint) -> Opener:
    try:
        opener: Opener = entry.load()
    except Exception as err:  # foreign code: importing it may raise anything
        raise MeasurementError(
            f"backend {entry.name!r} ({entry.value}): cannot be loaded: {_line(err)}; mend or remove it"
        ) from err
    return opener


def _open_plugin(entry: EntryPoint, target: str) -> Backend:
    opener = _load(entry)
    try:
        backend = opener(target)
    except AnnetteError:
        raise
    except Exception as err:  # foreign code: opening a device may raise anything
        raise MeasurementError(f"device {entry.name}:{target}: cannot be opened: {_line(err)}") from err
    if not isinstance(backend, Backend):
        raise MeasurementError(
            f"backend {entry.name!r} ({entry.value}): answered {type(backend).__name__}, expected a backend "
            "with `info` and `measure`"
        )
    return backend


def _plugin_rows(kind: str, entry: EntryPoint) -> Iterable[tuple[str, str]]:
    try:
        lister = getattr(_load(entry), "list_devices", None)
        if lister is None:
            return [(f"{kind}:", f"backend from {entry.value}")]
        return [(f"{kind}:{target}", str(description)) for target, description in lister()]
    except Exception as err:  # noqa: BLE001  # foreign code: one broken plug-in must not hide the others
        return [(f"{kind}:", f"not usable: {_line(err)}")]


def _near(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:8]
    return f", did you mean {' or '.join(near)}?" if near else ""


def _line(err: BaseException) -> str:
    text = " ".join(str(err).split())
    return text if isinstance(err, AnnetteError) else f"{type(err).__name__}: {text}"
