"""Profiles that runtimes write as JSON, as columns: ONNX Runtime's trace and OpenVINO's counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from annette.errors import StoreError
from annette.evaluation.table_file import Cell
from annette.store.strict_json import parse_strict_json, shorten

__all__ = ["read_profile"]

MAX_FILE_BYTES = 256 << 20
MAX_ROWS = 1_000_000
_KERNEL = "_kernel_time"


def read_profile(path: str | PathLike[str]) -> dict[str, Sequence[Cell]]:
    """The nodes of a profile as columns: ``operator``, ``input_shape``, ``weight_shape``, ``output_shape``,
    ``n_inputs``, ``kernel`` and ``time`` (microseconds).

    ONNX Runtime writes a list of events, of which those of kernels count; a node that ran several times gives
    the mean. OpenVINO's benchmark_app writes ``detailed_performance`` with ``nodes``.

    Raises
    ------
    StoreError
        If the file is missing, too large, no JSON, or neither of the two.
    """
    try:
        size = Path(path).stat().st_size
        if size > MAX_FILE_BYTES:
            raise StoreError(f"{path}: {size} bytes, expected at most {MAX_FILE_BYTES}")
        document = parse_strict_json(Path(path).read_bytes())
    except ValueError as err:
        raise StoreError(f"{path}: {shorten(err)}; expected a runtime's profile") from err
    if isinstance(document, list):
        rows = _onnxruntime_rows(document)
    elif isinstance(document, dict):
        rows = _openvino_rows(document)
    else:
        rows = []
    if not 0 < len(rows) <= MAX_ROWS:
        raise StoreError(
            f"{path}: {len(rows)} nodes with times, expected a profile of ONNX Runtime (a list of events) or "
            "of OpenVINO (detailed_performance with nodes)"
        )
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


def _openvino_rows(document: Mapping[str, Any]) -> list[dict[str, Cell]]:
    """One row a node that ran, from the first report of ``detailed_performance`` or from ``nodes`` itself."""
    reports = document.get("detailed_performance", [document])
    first = reports[0] if isinstance(reports, list) and reports else {}
    nodes = first.get("nodes") if isinstance(first, dict) else None
    rows = []
    for node in nodes if isinstance(nodes, list) else ():
        if not isinstance(node, dict) or node.get("status") not in (None, "EXECUTED", "Status.EXECUTED"):
            continue
        time = node.get("real_time", node.get("exec_time"))
        row: dict[str, Cell] = {
            name: node.get(name) for name in ("input_shape", "weight_shape", "output_shape")
        }
        is_number = isinstance(time, int | float) and not isinstance(time, bool)
        row["time"] = float(time) if is_number and time else None
        row["operator"], row["kernel"] = node.get("node_type"), node.get("exec_type")
        row["n_inputs"] = node.get("n_inputs")
        rows.append(row)
    return rows
