"""Reads SCALE-Sim's files: topologies (CSV, convolutions or matrix products) and configurations (.cfg)."""

from __future__ import annotations

import configparser
import math
import re
from dataclasses import dataclass
from pathlib import Path

from annette.errors import HardwareError
from annette.hardware.systolic_array import DATAFLOWS, MOST_PRODUCT_MACS, SystolicArray
from annette.hardware.yaml_text import read_text

__all__ = ["ScaleSimConfiguration", "ScaleSimLayer", "read_configuration", "read_topology"]

_CONVOLUTION = (
    "IFMAP height", "IFMAP width", "filter height", "filter width", "channels", "filters", "stride",
)  # fmt: skip
_PRODUCT = ("M", "N", "K")
_MOST_LAYERS = 100_000
_MOST = 1 << 40
_MARK = "DP"
"""A convolution with this in its name stands for one layer a channel."""
_MISPLACED_COMMA = re.compile(r",\s*,\s*(\d+)\s+(?=\d)")
_MODES = ("CALC", "USER")
_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSimLayer:
    """One layer of a topology as the matrix product M x K by K x N that it becomes."""

    name: str
    m: int
    """Output pixels, or rows of the left matrix; >= 1."""
    k: int
    """Elements of a window over all channels, or columns of the left matrix; >= 1."""
    n: int
    """Filters, or columns of the right matrix; >= 1."""
    input_elements: int
    """Of the feature map, or of the left matrix; >= 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSimConfiguration:
    """What a configuration says of the array and its buffers."""

    name: str
    """Of the run; empty where the file has none."""
    array: SystolicArray
    input_buffer_bytes: int
    weight_buffer_bytes: int
    output_buffer_bytes: int
    bandwidth_elements_per_cycle: int | None
    """Of the interface to the DRAM; ``None`` where it is to be found (mode CALC) or is not given."""


def read_topology(path: Path) -> tuple[ScaleSimLayer, ...]:
    """The layers of a topology file.

    Convolutions become products in SCALE-Sim's way: no padding, one stride for both axes unless the file has
    a column for each, ``ceil((H - R + s) / s)`` output rows. Columns are parted by commas or by tabs; a comma
    that stands before its number instead of behind it (``, ,1 2,``) is put right. Rows may end in a comma, in
    remarks or in densities (2:4); these, empty rows, rows of commas and titles (a name alone) are passed
    over. The first line says which form a file has, and what its ninth column is.

    Raises
    ------
    HardwareError
        For a file that is none, with its line, what was found, and what was expected.
    """
    text = read_text(path, f"topology {path}", kind="CSV file")
    layers: list[ScaleSimLayer] = []
    header: list[str] = []
    separator, is_product = ",", False
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        where = f"topology {path}: line {number}"
        if not header:
            separator = "," if "," in line else "\t"
        cells = [cell.strip().strip('"') for cell in _MISPLACED_COMMA.sub(r",\1,", line).split(separator)]
        if not any(cells):
            continue
        if not header:
            header, is_product = cells, _is_product(cells, where)
        elif any(cells[1:]):  # else a title
            layers.extend(_product(cells, where) if is_product else _convolutions(cells, header, where))
        if len(layers) > _MOST_LAYERS:
            raise HardwareError(f"{where}: more than {_MOST_LAYERS} layers, expected a smaller network")
    if not layers:
        raise HardwareError(
            f"topology {path}: no layers; expected a first line of names and below it a line a layer: "
            "name, IFMAP height, IFMAP width, filter height, filter width, channels, filters, stride"
        )
    return tuple(layers)


def _is_product(header: list[str], where: str) -> bool:
    """Whether the first line is that of matrix products: layer, M, N, K."""
    names = [cell.lower() for cell in header if cell]
    if len(names) >= 4 and [name.split()[0] for name in names[1:4]] == ["m", "n", "k"]:
        return True
    if len(names) >= 8 and not any(name.lstrip("-").isdigit() for name in names[1:8]):
        return False
    raise HardwareError(
        f"{where}: found {', '.join(header)[:80]!r}, expected the names of the columns: layer, M, N, K, or "
        f"layer, {', '.join(_CONVOLUTION)}"
    )


def _product(cells: list[str], where: str) -> list[ScaleSimLayer]:
    m, n, k = _numbers(cells, _PRODUCT, where)
    return [_layer(cells[0], m, k, n, m * k, where)]


def _convolutions(cells: list[str], header: list[str], where: str) -> list[ScaleSimLayer]:
    in_h, in_w, kernel_h, kernel_w, channels, filters, stride_h = _numbers(cells, _CONVOLUTION, where)
    stride_w = _second_stride(cells, header, where) or stride_h
    out_h = math.ceil((in_h - kernel_h + stride_h) / stride_h)
    out_w = math.ceil((in_w - kernel_w + stride_w) / stride_w)
    if out_h < 1 or out_w < 1:
        raise HardwareError(
            f"{where}: a filter of {kernel_h} x {kernel_w} on {in_h} x {in_w} has no output, expected a "
            "filter no larger than the feature map, its padding included"
        )
    is_split = _MARK in cells[0]
    depth = 1 if is_split else channels
    return [
        _layer(
            f"{cells[0]}Channel_{index}" if is_split else cells[0],
            out_h * out_w,
            kernel_h * kernel_w * depth,
            filters,
            in_h * in_w * depth,
            where,
        )
        for index in range(min(channels, _MOST_LAYERS + 1) if is_split else 1)
    ]


def _second_stride(cells: list[str], header: list[str], where: str) -> int | None:
    """What stands behind the first stride, if it is another: a number under that name or under none."""
    cell, name = (row[8] if len(row) > 8 else "" for row in (cells, header))
    if "batch" in name.lower() and cell not in ("", "1"):
        raise HardwareError(f"{where}: {name}: found {cell[:40]!r}, expected 1: SCALE-Sim has no batches")
    if not cell.isdecimal() or (name and "stride" not in name.lower()):
        return None
    return _whole(cell, f"{where}: second stride")


def _numbers(cells: list[str], names: tuple[str, ...], where: str) -> list[int]:
    return [
        _whole(cells[position] if position < len(cells) else "", f"{where}: {name}")
        for position, name in enumerate(names, start=1)
    ]


def _whole(text: str, where: str) -> int:
    """The whole number from 1 to `_MOST` that ``text`` is."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and 1 <= int(text) <= _MOST):
        raise HardwareError(f"{where}: found {text[:40]!r}, expected a whole number from 1 to {_MOST}")
    return int(text)


def _layer(name: str, m: int, k: int, n: int, input_elements: int, where: str) -> ScaleSimLayer:
    if m * k * n > MOST_PRODUCT_MACS:
        raise HardwareError(
            f"{where}: a product of {m} x {k} by {k} x {n}, expected at most 2**44 multiply-accumulates"
        )
    return ScaleSimLayer(name=name, m=m, k=k, n=n, input_elements=input_elements)


def read_configuration(path: Path) -> ScaleSimConfiguration:
    """The array and the buffers of a configuration file, of any version of SCALE-Sim.

    Sections and keys that say nothing of them (layouts, sparsity, traces) are passed over.

    Raises
    ------
    HardwareError
        For a file that is none, with the key, what was found, and what was expected.
    """
    where = f"configuration {path}"
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(read_text(path, where, kind=".cfg file").removeprefix("\ufeff"))
    except configparser.Error as err:
        reason = " ".join(str(err).split())
        raise HardwareError(f"{where}: {reason[:200]}; expected a .cfg of SCALE-Sim") from err
    section = "architecture_presets"
    if not parser.has_section(section):
        raise HardwareError(f"{where}: no section [{section}], expected a .cfg of SCALE-Sim")
    values = {key: value.strip().strip("'\"") for key, value in parser.items(section)}
    sizes = {
        key: _whole(_value(values, key), f"{where}: {key}")
        for key in ("ArrayHeight", "ArrayWidth", "IfmapSramSzkB", "FilterSramSzkB", "OfmapSramSzkB")
    }
    dataflow = values.get("dataflow", "").upper()
    if dataflow not in DATAFLOWS:
        raise HardwareError(
            f"{where}: Dataflow: found {values.get('dataflow', '')!r}, expected one of {', '.join(DATAFLOWS)}"
        )
    try:
        array = SystolicArray(rows=sizes["ArrayHeight"], columns=sizes["ArrayWidth"], dataflow=dataflow)
    except HardwareError as err:
        raise HardwareError(f"{where}: [{section}]: {err}") from err
    mode = parser.get("run_presets", "InterfaceBandwidth", fallback="CALC").strip().upper()
    if mode not in _MODES:
        raise HardwareError(
            f"{where}: InterfaceBandwidth: found {mode!r}, expected one of {', '.join(_MODES)}"
        )
    bandwidth = None
    if mode == "USER" and "bandwidth" in values:
        bandwidth = _whole(values["bandwidth"].split(",")[0].strip(), f"{where}: Bandwidth")
    return ScaleSimConfiguration(
        name=parser.get("general", "run_name", fallback="").strip().strip("'\""),
        array=array,
        input_buffer_bytes=sizes["IfmapSramSzkB"] * _KIB,
        weight_buffer_bytes=sizes["FilterSramSzkB"] * _KIB,
        output_buffer_bytes=sizes["OfmapSramSzkB"] * _KIB,
        bandwidth_elements_per_cycle=bandwidth,
    )


def _value(values: dict[str, str], key: str) -> str:
    """What stands under a key, with or without the unit that later versions write behind it."""
    name = key.lower()
    return values.get(name) or values.get(name.removesuffix("kb"), "")
