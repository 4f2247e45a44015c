"""Options of the studies of systolic arrays, and how their networks are opened as matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annette.cli.options import open_network_argument
from annette.errors import UsageError

if TYPE_CHECKING:
    from annette.simulator.products import MatrixProducts

__all__ = ["ConventionOption", "SumOption", "open_products"]

ConventionOption = Annotated[
    str | None,
    typer.Option(
        help="onnx (default for networks): padding, groups and batch as in the network; scalesim: as "
        "SCALE-Sim counts, as topologies always are."
    ),
]
SumOption = Annotated[
    float | None,
    typer.Option(
        "--sum-bytes",
        min=0.125,
        max=16,
        help="Bytes of a partial sum that waits, spills or goes to another array; results have an element's "
        "[default: 4, or an element's if wider].",
    ),
]


def open_products(
    spec: str, convention: str | None, shapes: Sequence[str] | None, batch: int | None
) -> MatrixProducts:
    """The matrix products of an ONNX file, of ``zoo:NAME`` or of a topology of SCALE-Sim (.csv).

    Without a convention a network is taken by that of ONNX; a topology is always one of SCALE-Sim's.

    Raises
    ------
    UsageError
        For an unknown convention, or sizes or another convention beside a topology, which has its own.
    """
    from annette.hardware.scalesim_files import read_topology
    from annette.simulator.products import CONVENTIONS, network_products, topology_products

    if convention is not None and convention not in CONVENTIONS:
        raise UsageError(f"--convention {convention}: expected one of {', '.join(CONVENTIONS)}")
    if spec.lower().endswith(".csv"):
        if shapes or batch is not None:
            raise UsageError(f"{spec}: a topology has its sizes, expected no --shape and no --batch with it")
        if convention not in (None, "scalesim"):
            raise UsageError(
                f"{spec}: a topology is by SCALE-Sim's convention, expected no --convention {convention}"
            )
        return topology_products(read_topology(Path(spec)))
    return network_products(open_network_argument(spec, shapes, batch), convention or "onnx")
