"""``annette explore scale``: one large systolic array or many small ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from annette.cli.completion import complete_network
from annette.cli.console import OutputFormat, print_json, print_line, print_table
from annette.cli.explore_options import ConventionOption, SumOption, open_products
from annette.cli.options import BatchOption, FormatOption, ShapeOption, require_writable, write_output
from annette.errors import UsageError
from annette.units import format_bytes, format_count, format_fraction

__all__ = ["scale"]

_LEAST_BANDWIDTH, _MOST_BANDWIDTH = 1e-6, 1e12
_DEFAULT_BANDWIDTHS = "16,32,64,128,256,512,1024,free"


_Networks = Annotated[
    list[str],
    typer.Option(
        "--network",
        "-n",
        help="An ONNX file, zoo:NAME, or a topology of SCALE-Sim (.csv); may be repeated.",
        autocompletion=complete_network,
    ),
]
_Macs = Annotated[
    int, typer.Option("--macs", help="Budget: multiply-accumulates a cycle of all arrays together.")
]
_Dataflow = Annotated[
    str, typer.Option("--dataflow", help="OS, WS or IS: which operand stays in the arrays; all: the best.")
]
_Bandwidth = Annotated[
    str,
    typer.Option(
        "--bandwidth", help="DRAM bytes a cycle, in commas; 'free' leaves the memory out, as the paper does."
    ),
]
_Buffers = Annotated[float, typer.Option("--buffer-kib", min=1e-3, help="All buffers of all arrays, in KiB.")]
_Element = Annotated[
    float, typer.Option("--element-bytes", min=0.125, max=16, help="Bytes of an operand's element.")
]
_LeastSide = Annotated[
    int, typer.Option("--least-side", min=1, help="The smallest rows or columns of an array.")
]
_Sides = Annotated[
    str, typer.Option("--sides", help="Rows, columns and numbers of arrays: powers (of two), or all sizes.")
]
_LikePaper = Annotated[
    bool,
    typer.Option("--like-paper", help="Cycles by the paper's formula, 2R + C + T - 2 for every dataflow."),
]
_Layers = Annotated[bool, typer.Option("--layers", help="Also the best partition of each layer.")]
_Plot = Annotated[
    Path | None,
    typer.Option("--plot", help="Draw cycles over the number of arrays into this file (.png, .svg or .pdf)."),
]


def scale(
    networks: _Networks,
    macs: _Macs,
    dataflow: _Dataflow = "OS",
    bandwidth: _Bandwidth = _DEFAULT_BANDWIDTHS,
    buffer_kib: _Buffers = 1536.0,
    element_bytes: _Element = 1.0,
    sum_bytes: SumOption = None,
    least_side: _LeastSide = 8,
    sides: _Sides = "powers",
    like_paper: _LikePaper = False,
    convention: ConventionOption = None,
    show_layers: _Layers = False,
    plot: _Plot = None,
    shape: ShapeOption = None,
    batch: BatchOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """One large systolic array or many small ones? Tries every partition of a budget of MACs.

    With a free memory many small arrays always win: they are filled faster and used better. But each keeps
    copies of operands in its share of the buffers and fetches them itself, so that at a given bandwidth
    there is a best number of arrays.

    Example: annette explore scale --macs 16384 --network zoo:resnet50
    """
    from annette.explore.partitions import list_partitions
    from annette.explore.scale_out import study_scale
    from annette.explore.scale_plot import draw_scale, require_picture_path
    from annette.hardware.systolic_array import DATAFLOWS

    if plot is not None:
        require_picture_path(plot)
    require_writable("--plot", plot)
    bandwidths = _parse_bandwidths(bandwidth)
    partitions = list_partitions(macs, least_side=least_side, sides=sides)
    studies = {
        spec: study_scale(
            open_products(spec, convention, shape, batch),
            partitions,
            dataflows=DATAFLOWS if dataflow.lower() == "all" else (dataflow.upper(),),
            buffer_bytes=1024 * buffer_kib,
            bandwidths_bytes_per_cycle=bandwidths,
            element_bytes=element_bytes,
            sum_bytes=sum_bytes,
            like_paper=like_paper,
        )
        for spec in dict.fromkeys(networks)
    }
    documents = [{"network": spec, **study.to_dict()} for spec, study in studies.items()]
    if output is OutputFormat.JSON:
        print_json({"schema_version": 1, "macs": macs, "studies": documents})
    else:
        for document in documents:
            _print_study(document, macs, show_layers=show_layers)
    if plot is not None:
        write_output("--plot", plot, lambda: draw_scale(studies, plot))


def _parse_bandwidths(text: str) -> tuple[float, ...]:
    found = []
    for word in text.split(","):
        is_free = word.strip().lower() == "free"
        try:
            value = math.inf if is_free else float(word)
        except ValueError:
            value = math.nan
        if not (is_free or _LEAST_BANDWIDTH <= value <= _MOST_BANDWIDTH):
            raise UsageError(
                f"--bandwidth {text}: found {word.strip()!r}, expected bytes a cycle from "
                f"{_LEAST_BANDWIDTH:g} to {_MOST_BANDWIDTH:g}, or 'free'"
            )
        found.append(value)
    return tuple(dict.fromkeys(found))


def _print_study(document: dict[str, Any], macs: int, *, show_layers: bool) -> None:
    title = (
        f"{document['network']} on {macs} MACs, {document['dataflow']}: the best of "
        f"{document['partitions']} partitions"
    )
    rows = []
    for item in document["bandwidths"]:
        single = item["single_array_cycles"]
        rows.append(
            (
                _bandwidth(item),
                _best_name(item["best"], document["dataflow"]),
                str(item["best"]["macs_per_cycle"]),
                format_count(item["cycles"]),
                format_bytes(item["dram_bytes"]),
                format_fraction(item["memory_bound_fraction"]),
                "-" if single is None else _best_name(item["best_single_array"], document["dataflow"]),
                "-" if single is None else f"{single / item['cycles']:.2f}x",
                f"{item['cycles'] / item['cycles_with_the_best_of_each_layer']:.2f}x",
            )
        )
    columns = (
        "bandwidth", "best", "MACs", "cycles", "DRAM", "memory-bound", "best single", "gain over it",
        "by layer",
    )  # fmt: skip
    print_table(columns, rows, left=2, title=title)
    print_line(
        "best: fewest cycles, then fewest bytes; memory-bound: time of layers that the DRAM holds up; "
        "by layer: gain if each layer had its own best"
    )
    print_line()
    if show_layers:
        for item in document["bandwidths"]:
            _print_layers(item, document["dataflow"])


def _best_name(best: dict[str, Any], dataflow: str) -> str:
    """The partition, and its dataflow where several were tried."""
    return f"{best['name']} {best['dataflow']}" if dataflow == "all" else str(best["name"])


def _bandwidth(item: dict[str, Any]) -> str:
    value = item["bandwidth_bytes_per_cycle"]
    return "free" if value is None else f"{value:g} B/cycle"


def _print_layers(item: dict[str, Any], dataflow: str) -> None:
    rows = [
        (
            layer["layer"],
            _best_name(layer["best"], dataflow),
            format_count(layer["cycles"]),
            f"{layer['cycles_on_the_networks_best'] / layer['cycles']:.2f}x",
            format_bytes(layer["dram_bytes"]),
            f"{layer['stall_free_bytes_per_cycle']:.1f}",
        )
        for layer in item["layers"]
    ]
    columns = ("layer", "best", "cycles", "gain over the network's", "DRAM", "stall-free B/cycle")
    print_table(columns, rows, left=2, title=f"by layer at {_bandwidth(item)}")
    print_line()
