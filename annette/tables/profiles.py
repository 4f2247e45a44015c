"""Profiles that runtimes write, as columns: ONNX Runtime's trace and OpenVINO's execution graph."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annette.errors import StoreError
from annette.evaluation.table_file import Cell
from annette.store.strict_json import parse_strict_json, shorten

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["PROFILE_SUFFIXES", "Profile", "read_profile"]

PROFILE_SUFFIXES = frozenset({".json", ".xml"})
"""Files with these endings are profiles, all others tables."""

MAX_FILE_BYTES = 64 << 20
MAX_ROWS = 1_000_000
_KERNEL = "_kernel_time"
_WHOLE_RUN = "model_run"
_ENOUGH_RUNS = 3
"""Of so many runs the first, which warms up, does not count."""
_COLUMNS = ("operator", "input_shape", "weight_shape", "output_shape", "n_inputs", "kernel", "time")
_FUSED_INPUTS = 4
"""A convolution of ONNX Runtime with this many inputs adds the last to its result."""
_POOLS = {"avg": "AveragePool", "average": "AveragePool", "globalaverage": "GlobalAveragePool"}
_FUSED_WORDS = frozenset(
    {"add", "clip", "elu", "gelu", "hardsigmoid", "hardswish", "leakyrelu", "mish", "mul", "relu", "sigmoid",
     "tanh"}
)  # fmt: skip
"""Words in the names of fused layers that say what they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a runtime's profile of one network holds."""

    columns: Mapping[str, Sequence[Cell]]
    """By name, a node a row: ``operator``, ``input_shape``, ``weight_shape``, ``output_shape``, ``n_inputs``,
    ``kernel`` and ``time`` (microseconds)."""
    network_s: float | None = None
    """Seconds from end to end; ``None``: the profile does not tell."""


def read_profile(path: str | PathLike[str]) -> Profile:
    """The nodes of a profile as columns.

    ONNX Runtime writes a list of events as JSON, of which those of kernels count, and those of whole runs for
    the network. Of several runs the median is taken, without the first where there are three. OpenVINO writes
    its execution graph as XML, with times if counters were on (``benchmark_app -pc -exec_graph_path FILE``).

    Raises
    ------
    StoreError
        If the file is missing, too large, or neither of the two.
    """
    expected = "expected ONNX Runtime's profile (JSON) or OpenVINO's execution graph with times (XML)"
    network_s = None
    try:
        size = Path(path).stat().st_size
        if size > MAX_FILE_BYTES:
            raise StoreError(f"{path}: {size} bytes, expected at most {MAX_FILE_BYTES}")
        content = Path(path).read_bytes()
        if Path(path).suffix.lower() == ".xml":
            rows = _openvino_rows(content.decode("utf-8"))
        else:
            document = parse_strict_json(content)
            events = document if isinstance(document, list) else []
            rows, network_s = _onnxruntime_rows(events), _whole_run_s(events)
    except (OSError, ValueError) as err:
        if isinstance(err, StoreError):
            raise
        reason = err.strerror or err if isinstance(err, OSError) else err
        raise StoreError(f"{path}: {shorten(reason)}; {expected}") from err
    if not 0 < len(rows) <= MAX_ROWS:
        raise StoreError(f"{path}: {len(rows)} nodes with times; {expected}")
    columns = {name: [row.get(name) for row in rows] for name in _COLUMNS}
    return Profile(columns=columns, network_s=network_s)


def _duration(event: Mapping[str, Any]) -> float | None:
    """Microseconds of an event; ``None``: it has none."""
    value = event.get("dur")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _typical(runs: Sequence[float]) -> float:
    """The median over the runs, without the first where there are enough."""
    return statistics.median(runs[1:] if len(runs) >= _ENOUGH_RUNS else runs)


def _whole_run_s(events: Sequence[Any]) -> float | None:
    """Seconds from end to end."""
    runs = [
        duration
        for event in events
        if isinstance(event, dict) and event.get("cat") == "Session" and event.get("name") == _WHOLE_RUN
        if (duration := _duration(event)) is not None
    ]
    return _typical(runs) * 1e-6 or None if runs else None


def _onnxruntime_rows(events: Sequence[Any]) -> list[dict[str, Cell]]:
    """One row a node in order of its first run."""
    found: dict[str, dict[str, Cell]] = {}
    times: dict[str, list[float]] = {}
    for event in events:
        if not isinstance(event, dict) or event.get("cat") != "Node":
            continue
        name, arguments, duration = event.get("name"), event.get("args"), _duration(event)
        if not (isinstance(name, str) and name.endswith(_KERNEL) and isinstance(arguments, dict)):
            continue
        if duration is None:
            continue
        shapes = _shapes(arguments.get("input_type_shape"))
        key = f"{name} {shapes}"
        times.setdefault(key, []).append(duration)
        if key not in found:
            row = _row(arguments.get("op_name"), shapes, _shapes(arguments.get("output_type_shape")))
            is_sum = str(row["operator"]) in ("Conv", "FusedConv") and len(shapes) == _FUSED_INPUTS
            row["kernel"] = "device+add" if is_sum else "device"
            found[key] = row
    for key, row in found.items():
        row["time"] = _typical(times[key]) or None  # less than the clock's microsecond
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
        names = [_word(name) for name in data.get("originalLayersNames", "").split(",")]
        fused = [name for name in names[1:] if name in _FUSED_WORDS]
        row["kernel"] = "+".join([data.get("primitiveType") or "device", *fused])
        row["time"] = int(time) or None
        if row["operator"] == "Pooling":
            row["operator"] = _POOLS.get(names[0].removesuffix("pool"), "MaxPool")
        found.append((int(order), row))
    return [row for _, row in sorted(found, key=lambda item: item[0])]


def _word(name: str) -> str:
    """What the name of a layer says that it is: ``/layer1/relu_2/Relu_1`` a relu."""
    return re.sub(r"[\W\d_]+", "", name.rpartition("/")[2]).lower()


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
