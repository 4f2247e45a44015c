"""Opens a device by its name: a backend that comes with annette, or any that others ship."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from types import MappingProxyType

from annette.backends.protocol import Backend
from annette.errors import AnnetteError, MeasurementError, UsageError
from annette.hardware.codec import is_preset, list_accelerators, systolic_hint

__all__ = ["ENTRY_POINT_GROUP", "list_devices", "open_device"]

ENTRY_POINT_GROUP = "annette.backends"
"""Each entry point is a callable that takes the text after the colon and returns a `Backend`; if it has an
attribute ``list_devices``, that is called for (target, description) pairs to list."""

Opener = Callable[[str], Backend]


@dataclass(frozen=True, slots=True, kw_only=True)
class _BuiltIn:
    """A kind of device that annette can talk to itself."""

    opener: str
    """Module and function that opens one."""
    description: str
    """One line for people."""
    target: str
    """What stands behind the colon, for people."""
    module: str = ""
    """The module of the runtime that it needs, which is an extra of annette's of the same name."""

    @property
    def is_whole(self) -> bool:
        """Whether the kind alone names a device."""
        return bool(self.module)


_BUILT_IN = MappingProxyType(
    {
        "simulator": _BuiltIn(
            opener="annette.backends.simulator:open_simulator",
            description="a simulated accelerator, described by a file",
            target="NAME or simulator:FILE.yaml",
        ),
        "onnxruntime": _BuiltIn(
            opener="annette.backends.onnxruntime_backend:open_onnxruntime",
            description="this machine's processor with ONNX Runtime",
            target="threads=N,optimization=LEVEL,visits=N",
            module="onnxruntime",
        ),
        "openvino": _BuiltIn(
            opener="annette.backends.openvino_backend:open_openvino",
            description="this machine's processor with OpenVINO",
            target="threads=N,precision=f32|bf16,visits=N",
            module="openvino",
        ),
        "command": _BuiltIn(
            opener="annette.backends.command:open_command",
            description="any device behind a program of yours, described by a file",
            target="FILE.yaml",
        ),
        "replay": _BuiltIn(
            opener="annette.backends.replay:open_replay",
            description="what was recorded of a device: a campaign's store, or its Parquet file",
            target="RUN.db or replay:RUN.parquet",
        ),
    }
)


def open_device(spec: str) -> Backend:
    """The device of that name: ``KIND:TARGET``, or alone a runtime's kind or a simulated accelerator's name.

    Raises
    ------
    UsageError
        If there is no such device; the message names the nearest ones.
    MeasurementError
        If a runtime is not installed, or a plug-in cannot be loaded or cannot open the device.

    Examples
    --------
    >>> open_device("simulator:zcu102-dpu").info.name
    'zcu102-dpu'
    """
    kind, colon, target = spec.partition(":")
    if not colon and is_preset(spec):
        kind, target = "simulator", spec
    plugins = _plugins()
    if kind in _BUILT_IN:
        return _open_built_in(kind, target, spec)
    if kind in plugins:
        return _open_plugin(plugins[kind], target)
    if not colon and spec.endswith((".yaml", ".yml")):
        raise UsageError(f"device {spec!r}: write simulator:{spec} to simulate that accelerator")
    kinds = [name if item.is_whole else f"{name}:" for name, item in _BUILT_IN.items()]
    presets = [name for name, _ in list_accelerators()]
    known = [*presets, *kinds, *(f"{name}:" for name in plugins)]
    raise UsageError(
        f"device {spec!r}: not known{_near(spec, kind, known)}; `annette devices` lists them all"
    )


def list_devices() -> tuple[tuple[str, str], ...]:
    """Names and one-line descriptions of the devices at hand; a broken plug-in is listed with its fault."""
    rows = [(f"simulator:{name}", description) for name, description in list_accelerators()]
    for kind, item in _BUILT_IN.items():
        if item.is_whole:
            rows.append((kind, _runtime_description(item)))
        elif kind != "simulator":
            rows.append((f"{kind}:{item.target.partition(' ')[0]}", item.description))
    for kind, entry in sorted(_plugins().items()):
        rows.extend(_plugin_rows(kind, entry))
    return tuple(rows)


def _open_built_in(kind: str, target: str, spec: str) -> Backend:
    item = _BUILT_IN[kind]
    if not target and not item.is_whole:
        near = "; `annette devices` lists the presets" if kind == "simulator" else ""
        raise UsageError(f"device {spec!r}: expected {kind}:{item.target}{near}")
    module, _, function = item.opener.partition(":")
    backend: Backend = getattr(importlib.import_module(module), function)(target)
    return backend


def _runtime_description(item: _BuiltIn) -> str:
    """What the runtime is, with its version, or how to get it; found out without loading it."""
    if importlib.util.find_spec(item.module) is None:
        return f'{item.description}: not installed, pip install "annette[{item.module}]"'
    try:
        release = f" {version(item.module)}"
    except PackageNotFoundError:  # another build of it, under another name
        release = ""
    return f"{item.description}{release}; options as in {item.module}:{item.target}"


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


def _near(name: str, kind: str, known: Sequence[str]) -> str:
    """The nearest names: to the whole text first, then to the part before the colon."""
    systolic = systolic_hint(name)
    if systolic is not None:
        return f", {systolic}"
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    near += difflib.get_close_matches(kind, [item for item in known if item not in near], n=1, cutoff=0.7)
    near = near or [*known[:8]]
    return f", did you mean {' or '.join(near)}?" if near else ""


def _line(err: BaseException) -> str:
    text = " ".join(str(err).split())
    return text if isinstance(err, AnnetteError) else f"{type(err).__name__}: {text}"
