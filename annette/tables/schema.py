"""The schema of a kernel table: which column holds what, in which unit and in whose words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any

from annette.errors import HardwareError, UsageError
from annette.hardware.yaml_text import read_text, read_yaml
from annette.store.strict_json import shorten
from annette.tables.kernel import FUSED_OPERATORS, OPERATORS

__all__ = [
    "PROFILE_SCHEMAS",
    "SHAPES",
    "SIZES",
    "TIME_UNITS",
    "KernelNames",
    "TableSchema",
    "TimeColumn",
    "list_schemas",
    "read_schema",
]

SCHEMA_VERSION = 1
TIME_UNITS: Mapping[str, float] = MappingProxyType({"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9})
"""Seconds in each unit of time."""
SIZES = (
    "batch", "in_h", "in_w", "in_channels", "out_h", "out_w", "out_channels", "kernel_h", "kernel_w",
    "stride_h", "stride_w", "groups", "n_inputs",
)  # fmt: skip
"""Sizes that a column may hold."""
SHAPES = ("input_shape", "output_shape", "weight_shape")
"""Whole shapes that a column may hold, as ``1x3x224x224`` or ``[1, 3, 224, 224]``."""
LAYOUTS = ("NCHW", "NHWC")
PROFILE_SCHEMAS: Mapping[str, str] = MappingProxyType(
    {".json": "onnxruntime-profile", ".xml": "openvino-profile"}
)
"""What reads the profiles that runtimes write, by the file's ending."""
_DEVICE = "{device}"
_FOLDER = Path(__file__).parent / "schemas"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeColumn:
    """A column of latencies."""

    column: str
    """Its name; ``{device}`` in it stands for the device that is asked for."""
    unit: str
    """A key of `TIME_UNITS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelNames:
    """How a column names the kernel that ran and what is fused into it."""

    column: str
    """``conv_2d_7_linked_relu_8``, for example; a running number at the end of a part says nothing."""
    separator: str = ""
    """Between the kernel and each fused layer; empty: nothing is fused."""
    fused: Mapping[str, str] = field(default_factory=dict)
    """ONNX operators by the table's words for fused layers."""
    also: str = ""
    """A pattern of further columns: where the column names nothing fused, the first of these that does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSchema:
    """What a kernel table says in which column."""

    where: str
    """Where it was read; for messages."""
    operator: str
    """Column of the operator type."""
    operators: Mapping[str, str]
    """Ours by the table's words; words that are ONNX operators need no entry."""
    latency: TimeColumn
    """Seconds of the kernel; an empty cell: not timed."""
    sizes: Mapping[str, str]
    """Columns by the names of `SIZES` and `SHAPES`."""
    layout: str = "NCHW"
    """Axes of the shapes; one of `LAYOUTS`."""
    network: str | None = None
    """Column of the network that a row belongs to; ``None``: all rows are of one network."""
    kernel: KernelNames | None = None
    """The kernel's name; ``None``: the operator says all."""
    missing: frozenset[str] = frozenset()
    """Further words for an empty cell."""
    networks: tuple[str, TimeColumn] | None = None
    """Of the table of whole networks: the column of names, and that of latencies."""
    activation_bytes: float | None = None
    """Bytes of an activation element on the device; ``None``: 4."""
    weight_bytes: float | None = None
    """Bytes of a weight element."""

    @property
    def needs_device(self) -> bool:
        """Whether a column's name depends on the device."""
        return any(_DEVICE in name for name in self._names())

    def devices(self, columns: Iterable[str]) -> tuple[str, ...]:
        """The devices that a table with these columns has latencies of."""
        before, found, after = self.latency.column.partition(_DEVICE)
        if not found:
            return ()
        fitting = (name for name in columns if name.startswith(before) and name.endswith(after))
        return tuple(name[len(before) : len(name) - len(after)] for name in fitting)

    def column(self, name: str, device: str) -> str:
        """The column's name in the table."""
        return name.replace(_DEVICE, device)

    def further_columns(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Columns that may name fused layers where the device's own does not."""
        pattern = self.kernel.also if self.kernel is not None else ""
        return tuple(name for name in columns if pattern and fnmatchcase(name, pattern))

    def _names(self) -> tuple[str, ...]:
        names = [self.operator, self.latency.column, *self.sizes.values()]
        names.extend([self.kernel.column] if self.kernel is not None else [])
        names.extend([self.networks[1].column] if self.networks is not None else [])
        return tuple(names)


def list_schemas() -> tuple[str, ...]:
    """The names of the schemas that ship with annette.

    Examples
    --------
    >>> list_schemas()
    ('onnxruntime-profile', 'openvino-profile', 'tflite-gpu')
    """
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def read_schema(name: str | Path) -> TableSchema:
    """The schema in a YAML file, or the one of that name that ships.

    Raises
    ------
    UsageError
        If there is none, or it is not a schema; with the place.

    Examples
    --------
    >>> read_schema("tflite-gpu").latency
    TimeColumn(column='{device}_latency_s', unit='s')
    """
    is_shipped = str(name) in list_schemas()
    path = _FOLDER / f"{name}.yaml" if is_shipped else Path(name)
    if not path.is_file():
        raise UsageError(
            f"schema {shorten(name)}: no such file, expected one of {', '.join(list_schemas())}, or YAML"
        )
    try:
        document = read_yaml(read_text(path, str(path), kind="schema of a kernel table"), str(path))
    except HardwareError as err:
        raise UsageError(str(err)) from err
    return _schema(_Place(document, str(name)))


class _Place:
    """A mapping of the document with the way to it; everything in it must be asked for."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise UsageError(f"{where}: found {shorten(repr(value), 60)}, expected names with values")
        self.where = where
        self._left: dict[str, Any] = dict(value)

    def take(self, key: str, default: object = None) -> Any:
        return self._left.pop(key, default)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.take(key, default)
        if not isinstance(value, str) or (not value and default is None):
            raise UsageError(f"{self.where}.{key}: found {shorten(repr(value), 60)}, expected text")
        return value

    def chosen(self, key: str, allowed: Iterable[str], default: str | None = None) -> str:
        value = self.text(key, default)
        if value not in allowed:
            raise UsageError(
                f"{self.where}.{key}: found {shorten(value)!r}, expected one of {', '.join(allowed)}"
            )
        return value

    def number(self, key: str) -> float | None:
        value = self.take(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 16:
            raise UsageError(
                f"{self.where}.{key}: found {shorten(repr(value), 60)}, expected bytes in (0, 16]"
            )
        return float(value)

    def inner(self, key: str) -> _Place:
        return _Place(self.take(key), f"{self.where}.{key}")

    def words(self, key: str, allowed: Iterable[str]) -> dict[str, str]:
        place = _Place(self.take(key, {}), f"{self.where}.{key}")
        return {word: place.chosen(word, allowed) for word in tuple(place._left)}

    def finish(self) -> None:
        if self._left:
            raise UsageError(f"{self.where}: does not know {shorten(', '.join(self._left))}; leave it out")


def _time(place: _Place) -> TimeColumn:
    found = TimeColumn(column=place.text("column"), unit=place.chosen("unit", TIME_UNITS))
    place.finish()
    return found


def _kernel(place: _Place) -> KernelNames:
    found = KernelNames(
        column=place.text("column"),
        separator=place.text("separator", ""),
        fused=MappingProxyType(place.words("fused", FUSED_OPERATORS)),
        also=place.text("also", ""),
    )
    place.finish()
    return found


def _sizes(place: _Place) -> Mapping[str, str]:
    found = {name: place.text(name) for name in (*SIZES, *SHAPES) if name in place._left}
    place.finish()
    if not found:
        raise UsageError(f"{place.where}: names no sizes, expected some of {', '.join((*SIZES, *SHAPES))}")
    return MappingProxyType(found)


def _networks(place: _Place) -> tuple[str, TimeColumn]:
    found = (place.text("network"), _time(place.inner("latency")))
    place.finish()
    return found


def _schema(place: _Place) -> TableSchema:
    version = place.take("schema_version")
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{place.where}.schema_version: found {shorten(repr(version), 40)}, expected {SCHEMA_VERSION}"
        )
    place.text("description", "-")
    operator = place.inner("operator")
    device = place.inner("device") if "device" in place._left else _Place({}, "device")
    missing = place.take("missing", [])
    if not isinstance(missing, list) or not all(isinstance(word, str) for word in missing):
        raise UsageError(
            f"{place.where}.missing: found {shorten(repr(missing), 60)}, expected a list of texts"
        )
    found = TableSchema(
        where=place.where,
        operator=operator.text("column"),
        operators=MappingProxyType(operator.words("names", OPERATORS)),
        latency=_time(place.inner("latency")),
        sizes=_sizes(place.inner("sizes")),
        layout=place.chosen("layout", LAYOUTS, "NCHW"),
        network=place.text("network") if "network" in place._left else None,
        kernel=_kernel(place.inner("kernel")) if "kernel" in place._left else None,
        missing=frozenset(missing),
        networks=_networks(place.inner("networks")) if "networks" in place._left else None,
        activation_bytes=device.number("activation_bytes"),
        weight_bytes=device.number("weight_bytes"),
    )
    for rest in (operator, device, place):
        rest.finish()
    return found
