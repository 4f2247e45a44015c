"""``annette suggest``: what to time on a device next, whole networks or micro-kernels."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Callable
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annette.cli.completion import complete_model, complete_network, complete_platform
from annette.cli.console import print_json, print_line, print_table, stages
from annette.cli.options import (
    check_model,
    open_network_argument,
    require_writable,
    write_output,
)
from annette.errors import UsageError
from annette.units import format_count, format_fraction, format_number, format_seconds

if TYPE_CHECKING:
    from annette.evaluation.suggestion import SuggestedKernel, Suggestion

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
            help="Without --space: ONNX files or zoo:NAME, out of which some are chosen; with --platform the "
            "networks whose intervals are to be narrowed.",
            autocompletion=complete_network,
        ),
    ] = None,
    space: Annotated[
        str | None, typer.Option("--space", help="The search space: nasbench201, fbnet, ofa,width=1.2, ...")
    ] = None,
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, help="How many networks, or micro-kernels, to time.")
    ] = 10,
    measured: Annotated[
        Path | None,
        typer.Option(
            "--measured",
            help="A table as annette calibrate reads it: its architectures are timed already, and what is "
            "suggested goes with them.",
        ),
    ] = None,
    platform: Annotated[
        str | None,
        typer.Option(
            "--platform",
            "-p",
            help="Suggest micro-kernels for this platform's campaign: those that narrow its intervals most, "
            "of the networks named, of --space, or overall.",
            autocompletion=complete_platform,
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            "-s",
            help="With --platform: the campaign that it was trained on; what it has is not suggested again.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="With --platform: the layer model whose intervals are to be narrowed; mixed by default.",
            autocompletion=complete_model,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, help="Seed of what is drawn, with --space or --platform; 0 by default."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="With --platform: write the file for annette benchmark --suggested."
        ),
    ] = None,
    output: Annotated[
        _Form, typer.Option("--format", "-f", help="A table, CSV to fill in, or one JSON document.")
    ] = _Form.TABLE,
) -> None:
    """Say what to time on a device next: whole networks, or micro-kernels for a platform's campaign.

    Without --platform: networks, chosen by what they are made of alone (kernels, multiply-accumulates,
    bytes), so that ten of them tell what all others take. Time them with whatever runs on the device, write
    the latencies beside them, and let annette calibrate make a model of the device.

    With --platform: the micro-kernels that narrow the intervals of the networks named most, of the
    architectures of --space, or of random networks. annette benchmark --suggested measures them, and annette
    train learns from them.

    Examples: annette suggest --space nasbench201 -n 10 --format csv > ten.csv;
    annette suggest zoo:mobilenet_v2 --platform ./mine --store run.db -n 40 -o suggested.json
    """
    if platform is not None:
        model = check_model(model or "mixed")
        _suggest_kernels(
            platform, networks or [], space, count, measured, store, model, seed or 0, file, output
        )
        return
    for option, value in (("--store", store), ("--output", file), ("--model", model)):
        if value is not None:
            raise UsageError(f"{option} {value}: goes with --platform, for micro-kernels of its campaign")
    if (space is None) == (not networks):
        raise UsageError("suggest: expected either --space NAME or networks, as in --space nasbench201")
    if space is None and seed is not None:
        raise UsageError(f"--seed {seed}: nothing is drawn where networks are named; leave it out")
    seed = seed or 0
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


# Micro-kernels --------------------------------------------------------------------------------------


def _suggest_kernels(
    platform: str,
    networks: list[str],
    space: str | None,
    count: int,
    measured: Path | None,
    store: Path | None,
    model: str,
    seed: int,
    file: Path | None,
    output: _Form,
) -> None:
    """What `suggest` does for a platform."""
    if measured is not None:
        raise UsageError(
            f"--measured {measured}: a table of whole networks; with --platform name its --store"
        )
    if output is _Form.CSV:
        raise UsageError("--format csv: micro-kernels are no table to fill in; use -o FILE or --format json")
    if networks and space is not None:
        raise UsageError(f"--space {space}: expected networks or a space, not both")
    require_writable("--output", file)
    with stages(f"suggesting for {platform}") as on_stage:
        found = _found_kernels(platform, networks, space, count, store, model, seed, on_stage)
    content = found.to_tasks().to_bytes()
    if file is not None:
        write_output("--output", file, lambda: file.write_bytes(content))
    if output is _Form.JSON:
        print_json(json.loads(content))
    else:
        _print_kernels(found, store, file)


def _found_kernels(
    name: str,
    networks: list[str],
    space: str | None,
    count: int,
    store: Path | None,
    model: str,
    seed: int,
    on_stage: Callable[[str], None],
) -> Suggestion:
    """The suggestion that was asked for."""
    from annette.estimation.catalogue import load_platform
    from annette.evaluation.suggestion import space_targets, suggest_kernels, typical_targets
    from annette.store.campaign import CampaignStore
    from annette.zoo.spaces.registry import open_space

    platform = load_platform(name)
    on_stage("reading the networks")
    if networks:
        targets, names = [open_network_argument(spec, None, None) for spec in networks], networks
    elif space is not None:
        targets, names = list(space_targets(open_space(space), seed=seed)), [f"space {space}"]
    else:
        targets, names = list(typical_targets(seed=seed)), ["random networks"]
    with nullcontext() if store is None else CampaignStore.open(store) as kept:
        on_stage("choosing micro-kernels")
        return suggest_kernels(platform, targets, count, model=model, seed=seed, store=kept, targets=names)


def _print_kernels(found: Suggestion, store: Path | None, file: Path | None) -> None:
    now, then = format_fraction(found.half_width), format_fraction(found.kernels[-1].half_width)
    print_line(f"{format_number(len(found.kernels), 'micro-kernel')} to measure on {found.device}", bold=True)
    print_line(
        f"for {', '.join(found.targets)}: 90 % intervals reach {now} to either side (median), {then} if "
        "these go as hoped"
    )
    rows = [
        (
            str(place),
            item.family,
            _shapes(item),
            format_seconds(item.latency_s),
            ("near " if item.is_varied else "") + item.source,
            format_fraction(item.half_width),
        )
        for place, item in enumerate(found.kernels, start=1)
    ]
    print_table(("", "family", "inputs", "predicted", "from", "interval then"), rows)
    if found.not_cut:
        print_line(f"{format_number(found.not_cut, 'kernel')} cannot be measured alone and are left out")
    print_line(
        "\nkernels of these networks become part of the training: do not judge the platform by them "
        "afterwards"
    )
    kept = shlex.quote(str(store)) if store is not None else "RUN.db"
    if file is None:
        print_line("next: the same with -o suggested.json, then annette benchmark --suggested suggested.json")
    else:
        print_line(
            f"next: annette benchmark --device {found.device} --store {kept} --suggested "
            f"{shlex.quote(str(file))}, then annette train {kept} --output my-platform --force"
        )


def _shapes(item: SuggestedKernel) -> str:
    network = item.task.network
    return ", ".join("x".join(map(str, network.tensors[name].shape)) for name in network.inputs)
