"""A systolic array as a data sheet describes it: its sides, and which operand stays in it."""

from __future__ import annotations

from dataclasses import dataclass

from annette.hardware.checks import FieldFault, check_fields, quantity

__all__ = ["DATAFLOWS", "MOST_PRODUCT_MACS", "SystolicArray"]

DATAFLOWS = ("OS", "WS", "IS")
"""What stays in the array: outputs, weights, inputs."""
MOST_PRODUCT_MACS = 1 << 44
"""Multiply-accumulates of one matrix product; with arrays of 2**16 on a side all counts still fit 64 bits."""
_MAX_SIDE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SystolicArray:
    """An array of multiply-accumulate cells that pass operands on to their neighbours."""

    rows: int = quantity(at_least=1, at_most=_MAX_SIDE)
    """Cells in a column; 1 to 2**16."""
    columns: int = quantity(at_least=1, at_most=_MAX_SIDE)
    """Cells in a row; 1 to 2**16."""
    dataflow: str
    """One of `DATAFLOWS`."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.dataflow not in DATAFLOWS:
            raise FieldFault("dataflow", f"found {self.dataflow!r}, expected one of {', '.join(DATAFLOWS)}")

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates a cycle when every cell is at work."""
        return self.rows * self.columns
