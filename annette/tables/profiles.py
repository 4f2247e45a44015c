"""Profiles that runtimes write, as columns: ONNX Runtime's trace and OpenVINO's execution graph."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annette.errors import StoreError
from annette.evaluation.table_file import Cell
from annette.store.strict_json import parse_strict_json, shorten

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["PROFILE_SUFFIXES", "read_profile"]

PROFILE_SUFFIXES = frozenset({".json", ".xml"})
"""Files with these endings are profiles, all others tables."""

MAX_FILE_BYTES = 64 << 20
MAX_ROWS = 1_000_000
_KERNEL = "_kernel_time"


def read_profile(path: str | PathLike[str]) -> dict[str, Sequence[Cell]]:
    """The nodes of a profile as columns: ``operator``, ``input_shape``, ``weight_shape``, ``output_shape``,
    ``n_inputs``, ``kernel`` and ``time`` (microseconds).

    ONNX Runtime writes a list of events as JSON, of which those of kernels count; a node that ran several
    times gives the mean. OpenVINO writes its execution graph as XML, with times if counters were on
    (``benchmark_app -pc -exec_graph_path FILE``).

    Raises
    ------
    StoreError
        If the file is missing, too large, or neither of the two.
    """
    expected = "expected ONNX Runtime's profile (JSON) or OpenVINO's execution graph with times (XML)"
    try:
        size = Path(path).stat().st_size
        if size > MAX_FILE_BYTES:
            raise StoreError(f"{path}: {size} bytes, expected at most {MAX_FILE_BYTES}")
        content = Path(path).read_bytes()
        if Path(path).suffix.lower() == ".xml":
            rows = _openvino_rows(content.decode("utf-8"))
        else:
            document = parse_strict_json(content)
            rows = _onnxruntime_rows(document if isinstance(document, list) else [])
    except ValueError as err:
        raise StoreError(f"{path}: {shorten(err)}; {expected}") from err
    if not 0 < len(rows) <= MAX_ROWS:
        raise StoreError(f"{path}: {len(rows)} nodes with times; {expected}")
    names = ("operator", "input_shape", "weight_shape", "output_shape", "n_inputs", "kernel", "time")
    return {name: [row.get(name) for row in rows] for name in names}


def _onnxruntime_rows(events: Sequence[Any]) -> list[dict[str, Cell]]:
    """One row a node in order of its first run; times of further runs are averaged."""
    found: dict[str, dict[str, Cell]] = {}
    times: dict[str, list[float]] = {}
    for event in events:
        if not isinstance(event, dict) or event.get("cat") != "Node":
            continue
        name, arguments, duration = event.get("name"), event.get("args"), event.get("dur")
        if not (isinstance(name, str) and name.endswith(_KERNEL) and isinstance(arguments, dict)):
            continue
        if isinstance(duration, bool) or not isinstance(duration, int | float):
            continue
        shapes = _shapes(arguments.get("input_type_shape"))
        key = f"{name} {shapes}"
        times.setdefault(key, []).append(float(duration))
        found.setdefault(
            key, _row(arguments.get("op_name"), shapes, _shapes(arguments.get("output_type_shape")))
        )
    for key, row in found.items():
        row["time"] = sum(times[key]) / len(times[key]) or None  # less than the clock's microsecond
    return list(found.values())


def _shapes(value: object) -> list[list[object]]:
    """Shapes of a node: ONNX Runtime writes a list of ``{dtype: shape}``."""
    if not isinstance(value, list):
        return []
    shapes: list[object] = [next(iter(item.values()), []) for item in value if isinstance(item, dict)]
    return [list(shape) for shape in shapes if isinstance(shape, list)]


def _row(
    operator: object, inputs: Sequence[list[object]], outputs: Sequence[list[object]]
) -> dict[str, Cell]:
    return {
        "operator": operator if isinstance(operator, str) else None,
        "input_shape": inputs[0] if inputs else None,
        "weight_shape": inputs[1] if len(inputs) > 1 else None,
        "output_shape": outputs[0] if outputs else None,
        "n_inputs": len(inputs) or None,
    }


def _openvino_rows(text: str) -> list[dict[str, Cell]]:
    """One row a layer that ran, in order of execution."""
    from xml.etree import ElementTree

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("declares entities, which no execution graph does")
    try:
        layers = ElementTree.fromstring(text).iter("layer")  # without entities it cannot grow
    except ElementTree.ParseError as err:
        raise ValueError(f"not readable as XML ({shorten(err)})") from None
    found = []
    for layer in layers:
        data = layer.find("data")
        time = "" if data is None else data.get("execTimeMcs", "")
        order = "" if data is None else data.get("execOrder", "")
        if data is None or not (time.isdecimal() and order.isdecimal() and len(time + order) < 18):
            continue
        row = _row(layer.get("type"), _ports(layer.find("input")), _ports(layer.find("output")))
        row["kernel"], row["time"] = data.get("primitiveType"), int(time) or None
        found.append((int(order), row))
    return [row for _, row in sorted(found, key=lambda item: item[0])]


def _ports(side: Element | None) -> list[list[object]]:
    """The shapes of a layer's inputs or outputs; of grouped weights those of ONNX, groups not apart."""
    shapes = [] if side is None else [[dim.text for dim in port.iter("dim")] for port in side.iter("port")]
    found: list[list[object]] = []
    for number, shape in enumerate(shapes):
        is_grouped = number == 1 and len(shape) == 5 and all(text and text.isdecimal() for text in shape[:2])
        if is_grouped and len(str(shape[0]) + str(shape[1])) < 18:
            found.append([int(str(shape[0])) * int(str(shape[1])), *shape[2:]])
        else:
            found.append(list(shape))
    return found
