"""``annette suggest``: which networks to time on a device, before anything is timed."""

from __future__ import annotations

import csv
import io
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from annette.cli.console import print_json, print_line, print_table
from annette.cli.options import SeedOption, open_network_argument
from annette.errors import UsageError
from annette.units import format_count

__all__ = ["EMPTY_COLUMN", "suggest"]

EMPTY_COLUMN = "latency"
"""What the column to fill in is called: no device's name."""

_SCHEMA_VERSION = 1


class _Form(StrEnum):
    """How the networks are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def suggest(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NETWORK]...",
            help="Without --space: ONNX files or zoo:NAME, out of which some are chosen.",
        ),
    ] = None,
    space: Annotated[
        str | None, typer.Option("--space", help="The search space: nasbench201, fbnet, ofa,width=1.2, ...")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many networks to time.")] = 10,
    measured: Annotated[
        Path | None,
        typer.Option(
            "--measured",
            help="A table as annette calibrate reads it: its architectures are timed already, and what is "
            "suggested goes with them.",
        ),
    ] = None,
    seed: SeedOption = 0,
    output: Annotated[
        _Form, typer.Option("--format", "-f", help="A table, CSV to fill in, or one JSON document.")
    ] = _Form.TABLE,
) -> None:
    """Say which networks to time on a device so that ten of them tell what all others take.

    The networks are chosen by what they are made of alone (kernels, multiply-accumulates, bytes): together
    they tell the cost of each best. Time them with whatever runs on the device, write the latencies beside
    them, and let annette calibrate make a model of the device.

    Example: annette suggest --space nasbench201 -n 10 --format csv > ten.csv
    """
    if (space is None) == (not networks):
        raise UsageError("suggest: expected either --space NAME or networks, as in --space nasbench201")
    rows = (
        _of_space(space, count, measured, seed)
        if space is not None
        else _of_networks(networks or [], count, measured)
    )
    label = "arch" if space is not None else "network"
    if output is _Form.JSON:
        document = [{label: name, "macs": macs} for name, macs in rows]
        print_json({"schema_version": _SCHEMA_VERSION, "space": space, "seed": seed, "networks": document})
    elif output is _Form.CSV:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [(label, EMPTY_COLUMN), *((name, "") for name, _ in rows)]
        )
        print_line(text.getvalue().rstrip("\n"))
    else:
        print_table((label, "MACs"), [(name, format_count(macs, "MAC")) for name, macs in rows])
        print_line(
            "\ntime these on the device, write their latencies into a table (--format csv gives an empty "
            "one), then: annette calibrate TABLE" + (f" --space {space}" if space else "")
        )


def _of_space(spec: str, count: int, measured: Path | None, seed: int) -> list[tuple[str, int]]:
    from annette.calibration.design import suggest_architectures
    from annette.evaluation.latency_table import read_latency_table
    from annette.evaluation.space_work import count_macs
    from annette.zoo.spaces.registry import open_space

    opened = open_space(spec)
    known = None if measured is None else read_latency_table(measured, space=spec).encodings
    found = suggest_architectures(opened, count, measured=known, seed=seed)
    names = map(opened.format, found.tolist())
    return list(zip(names, count_macs(opened, found).tolist(), strict=True))


def _of_networks(specs: list[str], count: int, measured: Path | None) -> list[tuple[str, int]]:
    from annette.calibration.design import suggest_networks
    from annette.graph.work import network_work

    if measured is not None:
        raise UsageError("--measured: goes with --space; name the networks that are not timed yet")
    opened = [open_network_argument(spec, None, None) for spec in specs]
    return [(specs[place], network_work(opened[place]).macs) for place in suggest_networks(opened, count)]
