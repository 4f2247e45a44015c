"""Rows of a kernel table as kernels; what could not be read is told, with its place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annette.errors import GraphError, UsageError
from annette.evaluation.table_file import Cell
from annette.graph.builder import NetworkBuilder
from annette.store.strict_json import shorten
from annette.tables.kernel import OPERATORS, TableKernel, add_kernel
from annette.tables.schema import SHAPES, TIME_UNITS, TableSchema, TimeColumn

__all__ = ["Problem", "read_kernels", "read_latencies"]

Columns = Mapping[str, Sequence[Cell]]

_MAX_SIZE = 1 << 20
"""No axis of a tensor of a network is longer: what says so has slipped a column."""
_MAX_ELEMENTS = 1 << 34
_MAX_LATENCY_S = 1e5
_NEGLIGIBLE = 0.02
"""Rows of a network that cannot be read and take no more than this share of its time are not missed."""
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
_RUNNING_NUMBER = re.compile(r"(_\d+)+$")
_SHAPE = re.compile(r"[\s(\[]*(\d{1,9}(?:\s*[x,;*\s]\s*\d{1,9})*)[\s)\]]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a row was left out."""

    row: int
    """Of the file: 1 is the first below the header, and blank lines count."""
    column: str
    """Where in the row."""
    found: str
    """What stands there, shortened."""
    expected: str
    """What should."""
    file: str = ""
    """Name of the file, where several are read."""

    def __str__(self) -> str:
        place = f"{self.file}, row {self.row}" if self.file else f"row {self.row}"
        return f"{place}, {self.column}: found {self.found}, expected {self.expected}"


class _Unreadable(Exception):
    def __init__(self, column: str, found: object, expected: str) -> None:
        super().__init__(column)
        self.column, self.found, self.expected = column, shorten(repr(found), 60), expected

    def at(self, row: int) -> Problem:
        return Problem(row=row, column=self.column, found=self.found, expected=self.expected)


def read_kernels(
    columns: Columns,
    schema: TableSchema,
    device: str,
    *,
    where: str,
    row_numbers: Sequence[int] = (),
    network: str = "table",
) -> tuple[list[TableKernel], list[Problem], frozenset[str]]:
    """The kernels of a table, why the other rows are none, and the networks that lack these.

    A network whose unreadable rows take next to none of its time counts as whole.

    Parameters
    ----------
    columns : mapping
        Cells by column.
    schema : TableSchema
        What the columns hold.
    device : str
        Whose times are read.
    where : str
        The table, for messages.
    row_numbers : sequence of int, optional
        Where each row stands in the file; counted from 1 by default.
    network : str
        The network that rows belong to, where the schema names no column of networks.

    Raises
    ------
    UsageError
        If a column that the schema names is missing.
    """
    reader = _RowReader(columns, schema, device, where, network)
    kernels: list[TableKernel] = []
    problems: list[Problem] = []
    known_s: dict[str, float] = {}
    lost_s: dict[str, float] = {}
    for index in range(reader.n_rows):
        row = row_numbers[index] if row_numbers else index + 1
        try:
            kernel = reader.read(index, row)
        except _Unreadable as err:
            problems.append(err.at(row))
            name = reader.network(index)
            lost_s[name] = lost_s.get(name, 0.0) + reader.lost_s(index)
            continue
        kernels.append(kernel)
        known_s[kernel.network] = known_s.get(kernel.network, 0.0) + (kernel.latency_s or 0.0)
    incomplete = {name for name, lost in lost_s.items() if lost > _NEGLIGIBLE * known_s.get(name, 0.0)}
    return kernels, problems, frozenset(incomplete)


def read_latencies(
    columns: Columns, schema: TableSchema, device: str, *, where: str, row_numbers: Sequence[int] = ()
) -> tuple[dict[str, float], list[Problem]]:
    """End-to-end seconds by network, from a table of whole networks.

    Raises
    ------
    UsageError
        If the schema says nothing of such a table, or a column is missing.
    """
    if schema.networks is None:
        raise UsageError(
            f"schema {schema.where}: has no part 'networks', expected it to read end-to-end times"
        )
    name_column, time = schema.networks
    names = _column(columns, name_column, where)
    cells = _column(columns, schema.column(time.column, device), where)
    found: dict[str, float] = {}
    problems = []
    for row, name, cell in zip(row_numbers or range(1, len(names) + 1), names, cells, strict=True):
        try:
            if _is_missing(name, schema) or str(name) in found:
                raise _Unreadable(name_column, name, "the name of a network, each once")
            latency_s = _latency(cell, schema, time, schema.column(time.column, device))
            if latency_s is not None:
                found[str(name)] = latency_s
        except _Unreadable as err:
            problems.append(err.at(row))
    return found, problems


def _column(columns: Columns, name: str, where: str) -> Sequence[Cell]:
    if name not in columns:
        raise UsageError(
            f"{where}: no column {shorten(name)!r}, expected it as the schema says; the table has "
            f"{shorten(', '.join(columns))}"
        )
    return columns[name]


def _is_missing(cell: Cell, schema: TableSchema) -> bool:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return isinstance(cell, str) and (cell.strip().lower() in _MISSING or cell.strip() in schema.missing)


def _number(cell: Cell) -> float | None:
    """The finite number in a cell; ``None``: there is none."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    try:
        value = float(cell)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _latency(cell: Cell, schema: TableSchema, time: TimeColumn, column: str) -> float | None:
    if _is_missing(cell, schema):
        return None
    value = _number(cell)
    seconds = math.nan if value is None else value * TIME_UNITS[time.unit]
    if not 0 < seconds <= _MAX_LATENCY_S:
        raise _Unreadable(column, cell, f"a time > 0 in {time.unit}, or nothing")
    return seconds


class _RowReader:
    """Reads row after row of one table."""

    def __init__(self, columns: Columns, schema: TableSchema, device: str, where: str, network: str) -> None:
        self._schema = schema
        self._network = network
        self._operators = _column(columns, schema.operator, where)
        self._time_column = schema.column(schema.latency.column, device)
        self._latencies = _column(columns, self._time_column, where)
        self._sizes = {
            name: (column, _column(columns, column, where)) for name, column in schema.sizes.items()
        }
        self._networks = None if schema.network is None else _column(columns, schema.network, where)
        self._names: list[tuple[str, Sequence[Cell]]] = []
        if schema.kernel is not None:
            own = schema.column(schema.kernel.column, device)
            names = [own, *(name for name in schema.further_columns(columns) if name != own)]
            self._names = [(name, _column(columns, name, where)) for name in names]
        self.n_rows = len(self._operators)

    def network(self, index: int) -> str:
        """The network of a row."""
        cell = None if self._networks is None else self._networks[index]
        return self._network if cell is None else shorten(cell, 100)

    def lost_s(self, index: int) -> float:
        """Seconds of a row that is no kernel; infinite where they are not known."""
        try:
            found = _latency(self._latencies[index], self._schema, self._schema.latency, self._time_column)
        except _Unreadable:
            return math.inf
        return math.inf if found is None else found

    def read(self, index: int, row: int) -> TableKernel:
        """The row as a kernel; `_Unreadable` if it is none."""
        schema = self._schema
        word = self._operators[index]
        operator = schema.operators.get(str(word), str(word))
        if operator not in OPERATORS:
            raise _Unreadable(schema.operator, word, "an operator that the schema or annette knows")
        unit, fused = self._name(index)
        input_shape, output_shape = self._shape(index, "input_shape"), self._shape(index, "output_shape")
        weight = self._shape(index, "weight_shape")
        if input_shape is None:
            input_shape, output_shape = self._shapes_of_sizes(index, operator)
        window, groups = self._window(index, operator, input_shape, weight)
        kernel = TableKernel(
            row=row,
            network=self.network(index),
            operator=operator,
            input_shape=input_shape,
            output_shape=output_shape,
            kernel=window,
            stride=self._stride(index),
            groups=groups,
            n_inputs=self._size(index, "n_inputs") or 1 if operator == "Concat" else 1,
            fused=fused,
            unit=unit,
            latency_s=_latency(self._latencies[index], schema, schema.latency, self._time_column),
        )
        try:
            add_kernel(NetworkBuilder("row"), kernel)
        except GraphError as err:
            raise _Unreadable("sizes", input_shape, f"sizes that fit {operator}: {shorten(err)}") from err
        return kernel

    def _name(self, index: int) -> tuple[str, tuple[str, ...]]:
        """The kernel that ran, and what is fused behind it."""
        names = self._schema.kernel
        if names is None or _is_missing(self._names[0][1][index], self._schema):
            return "device", ()
        unit, fused = "device", tuple[str, ...]()
        for number, (column, cells) in enumerate(self._names):
            if _is_missing(cells[index], self._schema):
                continue
            text = str(cells[index])
            parts = text.split(names.separator) if names.separator else [text]
            parts = [_RUNNING_NUMBER.sub("", part.strip()) for part in parts]
            if number == 0:
                unit = re.sub(r"[^\w.-]+", "_", parts[0])[:60] or "device"
            if len(parts) > 1:
                fused = tuple(self._fused(column, part) for part in parts[1:])
                break
        return unit, fused

    def _fused(self, column: str, word: str) -> str:
        names = self._schema.kernel
        if names is None or word not in names.fused:
            raise _Unreadable(column, word, "a fused layer that the schema knows (kernel.fused)")
        return names.fused[word]

    def _shape(self, index: int, name: str) -> tuple[int, ...] | None:
        """A whole shape, channels second; ``None`` if the table has none."""
        if name not in self._sizes or name not in SHAPES:
            return None
        column, cells = self._sizes[name]
        cell = cells[index]
        if _is_missing(cell, self._schema):
            return None
        text = ",".join(map(str, cell)) if isinstance(cell, list) else str(cell)
        found = _SHAPE.fullmatch(text) if len(text) < 200 else None
        sizes = tuple(map(int, re.findall(r"\d+", found[1]))) if found else ()
        if not 0 < len(sizes) <= 8 or not all(0 < size <= _MAX_SIZE for size in sizes):
            raise _Unreadable(column, cell, "a shape like 1x3x224x224")
        if math.prod(sizes) > _MAX_ELEMENTS:
            raise _Unreadable(column, cell, f"at most {_MAX_ELEMENTS} elements")
        if self._schema.layout == "NHWC" and name != "weight_shape" and len(sizes) > 2:
            return (sizes[0], sizes[-1], *sizes[1:-1])
        return sizes

    def _size(self, index: int, name: str) -> int | None:
        """One size; ``None`` where the table says nothing."""
        column, cells = self._sizes.get(name, ("", ()))
        if not column or _is_missing(cells[index], self._schema):
            return None
        value = _number(cells[index])
        if value is None or value != int(value) or not 0 < value <= _MAX_SIZE:
            raise _Unreadable(column, cells[index], f"a whole number from 1 to {_MAX_SIZE}")
        return int(value)

    def _needed(self, index: int, name: str) -> int:
        value = self._size(index, name)
        if value is None:
            raise _Unreadable(self._sizes.get(name, (name, ()))[0], None, f"the size {name}")
        return value

    def _shapes_of_sizes(self, index: int, operator: str) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
        """Shapes of input and output from single sizes."""
        batch, channels = self._size(index, "batch") or 1, self._needed(index, "in_channels")
        if operator in ("Gemm", "MatMul"):
            return (batch, channels), (batch, self._needed(index, "out_channels"))
        in_h = self._needed(index, "in_h")
        in_w = self._size(index, "in_w") or in_h
        if batch * channels * in_h * in_w > _MAX_ELEMENTS:
            raise _Unreadable("sizes", (batch, channels, in_h, in_w), f"at most {_MAX_ELEMENTS} elements")
        if operator.startswith("Global"):
            return (batch, channels, in_h, in_w), None
        out_channels = self._size(index, "out_channels") or channels
        if operator == "DepthwiseConv" and out_channels < channels:  # TFLite's multiplier
            out_channels *= channels
        out_h = self._size(index, "out_h")
        out_w = self._size(index, "out_w") or out_h
        output = None if out_h is None or out_w is None else (batch, out_channels, out_h, out_w)
        return (batch, channels, in_h, in_w), output

    def _window(
        self, index: int, operator: str, shape: tuple[int, ...], weight: tuple[int, ...] | None
    ) -> tuple[tuple[int, int] | None, int]:
        """The window and the groups; what a weight's shape says comes first. Of a pool it may be unknown."""
        if operator in ("Gemm", "MatMul", "Concat") or operator.startswith("Global"):
            return (1, 1), 1
        if weight is not None and len(weight) == 4 and len(shape) == 4:
            return (weight[2], weight[3]), max(shape[1] // weight[1], 1)
        height = self._size(index, "kernel_h")
        if height is None and operator.endswith("Pool"):
            return None, 1
        height = height or 1
        groups = shape[1] if operator == "DepthwiseConv" else self._size(index, "groups") or 1
        return (height, self._size(index, "kernel_w") or height), groups

    def _stride(self, index: int) -> tuple[int, int] | None:
        height = self._size(index, "stride_h")
        width = self._size(index, "stride_w") or height
        return None if height is None or width is None else (height, width)
