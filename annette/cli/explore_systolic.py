"""``annette explore systolic``: a network on one systolic array, as SCALE-Sim counts, and its bandwidths."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annette.cli.console import OutputFormat, print_json, print_line, print_table
from annette.cli.explore_options import ConventionOption, SumOption, open_products
from annette.cli.options import BatchOption, FormatOption, ShapeOption, require_writable, write_output
from annette.errors import HardwareError, UsageError
from annette.units import format_bytes, format_count, format_fraction, format_rate

if TYPE_CHECKING:
    from annette.simulator.systolic_report import SystolicSystem

__all__ = ["systolic"]

_SIDES = re.compile(r"(\d{1,6})x(\d{1,6})", flags=re.IGNORECASE)
_BUFFER_KIB = 1536.0
_MOST_CLOCK_MHZ = 1e6
_SAID_BY_CONFIG = ("--dataflow", "--buffer-kib")


_Network = Annotated[
    str,
    typer.Argument(metavar="NETWORK", help="An ONNX file, zoo:NAME, or a topology of SCALE-Sim (.csv)."),
]
_Array = Annotated[
    str | None, typer.Option("--array", help="Rows and columns: 32x32. Or give --config or --device.")
]
_Dataflow = Annotated[str | None, typer.Option("--dataflow", help="With --array: OS (default), WS or IS.")]
_Config = Annotated[
    Path | None, typer.Option("--config", help="Array and buffers out of a .cfg of SCALE-Sim.")
]
_Device = Annotated[
    str | None, typer.Option("--device", "-d", help="A preset such as systolic-32x32-ws, or a YAML file.")
]
_Buffers = Annotated[
    float | None,
    typer.Option(
        "--buffer-kib", min=1e-3, help="With --array: the three buffers together, in KiB [default: 1536]."
    ),
]
_Element = Annotated[
    float | None,
    typer.Option(
        "--element-bytes", min=0.125, max=16, help="Without --device: bytes of an element [default: 1]."
    ),
]
_Clock = Annotated[
    float | None,
    typer.Option(
        "--clock-mhz", min=1e-3, max=_MOST_CLOCK_MHZ, help="Without --device: for bandwidths in B/s."
    ),
]
_Csv = Annotated[
    Path | None,
    typer.Option("--csv", help="Write a row a layer into this file, SCALE-Sim's columns by its names."),
]


def systolic(
    network: _Network,
    array: _Array = None,
    dataflow: _Dataflow = None,
    config: _Config = None,
    device: _Device = None,
    buffer_kib: _Buffers = None,
    element_bytes: _Element = None,
    sum_bytes: SumOption = None,
    clock_mhz: _Clock = None,
    convention: ConventionOption = None,
    csv: _Csv = None,
    shape: ShapeOption = None,
    batch: BatchOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Each layer on one systolic array: cycles and accesses as SCALE-Sim has them, and the DRAM behind it.

    Cycles are the index of the last one, without memory stalls. The average bandwidth is what an operand
    asks for over the whole layer; at the stall-free one no fold ever waits.

    Example: annette explore systolic zoo:resnet18 --array 32x32 --dataflow WS --convention scalesim
    """
    from annette.simulator.systolic_report import report_systolic

    require_writable("--csv", csv)
    given = {
        "--dataflow": dataflow,
        "--buffer-kib": buffer_kib,
        "--element-bytes": element_bytes,
        "--sum-bytes": sum_bytes,
        "--clock-mhz": clock_mhz,
    }
    system = _open_system(array, config, device, given)
    report = report_systolic(open_products(network, convention, shape, batch), system)
    document = report.to_dict()
    if output is OutputFormat.JSON:
        print_json({"schema_version": 1, "network": network, **document})
    else:
        _print_report(network, document)
    if csv is not None:
        text = report.to_csv()
        write_output("--csv", csv, lambda: csv.write_text(text, encoding="utf-8"))


def _open_system(
    array: str | None, config: Path | None, device: str | None, given: dict[str, Any]
) -> SystolicSystem:
    """What one of the three says; ``given`` may add what that one does not say."""
    if sum(item is not None for item in (array, config, device)) != 1:
        raise UsageError("expected one of --array 32x32, --config FILE.cfg and --device NAME")
    said = () if array is not None else _SAID_BY_CONFIG if config is not None else tuple(given)
    for name in said:
        if given[name] is not None:
            source = "--config" if config is not None else "--device"
            raise UsageError(f"{name} {given[name]}: {source} says it already, expected one of the two")
    if device is not None:
        return _device_system(device)
    if config is not None:
        return _config_system(config, given)
    return _array_system(array or "", given)


def _device_system(device: str) -> SystolicSystem:
    from annette.hardware.codec import load_accelerator
    from annette.simulator.systolic_report import accelerator_system

    accelerator = load_accelerator(device.removeprefix("simulator:"))
    try:
        return accelerator_system(accelerator)
    except HardwareError as err:
        raise UsageError(f"--device {device}: {err}") from err


def _config_system(config: Path, given: dict[str, Any]) -> SystolicSystem:
    from annette.hardware.scalesim_files import read_configuration
    from annette.simulator.systolic_report import configuration_system

    return configuration_system(read_configuration(config), **_widths_and_clock(given))


def _array_system(array: str, given: dict[str, Any]) -> SystolicSystem:
    from annette.hardware.checks import FieldFault
    from annette.hardware.systolic_array import DATAFLOWS, SystolicArray
    from annette.simulator.systolic_report import SystolicSystem
    from annette.simulator.systolic_traffic import BufferSizes

    dataflow = (given["--dataflow"] or "OS").upper()
    if dataflow not in DATAFLOWS:
        raise UsageError(f"--dataflow {given['--dataflow']}: expected one of {', '.join(DATAFLOWS)}")
    sides = _SIDES.fullmatch(array.strip())
    if sides is None:
        raise UsageError(f"--array {array}: expected rows and columns, as in 32x32")
    try:
        described = SystolicArray(rows=int(sides[1]), columns=int(sides[2]), dataflow=dataflow)
    except FieldFault as err:
        raise UsageError(f"--array {array}: {err}") from err
    each, widths = 1024 * (given["--buffer-kib"] or _BUFFER_KIB) / 3, _widths_and_clock(given)
    return SystolicSystem(
        array=described,
        buffers=BufferSizes(input_bytes=each, weight_bytes=each, output_bytes=each),
        weight_bytes=widths["element_bytes"],
        **widths,
    )


def _widths_and_clock(given: dict[str, Any]) -> dict[str, Any]:
    from annette.simulator.systolic_traffic import default_sum_bytes

    element_bytes, clock_mhz = given["--element-bytes"] or 1.0, given["--clock-mhz"]
    return {
        "element_bytes": element_bytes,
        "sum_bytes": given["--sum-bytes"] or default_sum_bytes(element_bytes),
        "clock_hz": None if clock_mhz is None else 1e6 * clock_mhz,
    }


def _print_report(network: str, document: dict[str, Any]) -> None:
    array, total = document["array"], document["total"]
    rows = [(item["layer"], *_cells(item)) for item in document["layers"]]
    rows.append(("total", *_cells({"mapping_efficiency": None, "compute_efficiency": None, **total})))
    columns = (
        "layer", "cycles", "overall", "mapping", "compute", "SRAM in", "weights", "out", "DRAM",
        "in B/cycle", "weights", "out", "stall-free B/cycle",
    )  # fmt: skip
    title = f"{network} on {array['rows']}x{array['columns']}, {array['dataflow']}"
    print_table(columns, rows, title=title, bold_last=1)
    print_line(
        "overall, mapping, compute: SCALE-Sim's utilisations; SRAM: elements read and written; "
        "in, weights, out B/cycle: average bandwidth that each asks the DRAM for"
    )
    if document["clock_hz"] is not None:
        average = format_rate(sum(total["average_bytes_per_s"].values()), "B")
        most = format_rate(total["stall_free_bytes_per_s"], "B")
        print_line(f"at {document['clock_hz'] / 1e6:g} MHz: {average} on average, {most} without stalls")


def _cells(item: dict[str, Any]) -> tuple[str, ...]:
    shares = (
        "-" if item[name] is None else format_fraction(item[name])
        for name in ("overall_efficiency", "mapping_efficiency", "compute_efficiency")
    )
    return (
        str(item["total_cycles"]),
        *shares,
        *(format_count(value) for value in item["sram_accesses"].values()),
        format_bytes(sum(item["dram_bytes"].values())),
        *(f"{value:.2f}" for value in item["average_bytes_per_cycle"].values()),
        f"{item['stall_free_bytes_per_cycle']:.1f}",
    )
