"""Arguments and options that several commands share, and how a network argument is opened."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annette.cli.completion import (
    complete_device,
    complete_model,
    complete_network,
    complete_plan,
    complete_platform,
)
from annette.cli.console import OutputFormat, note_line
from annette.errors import AnnetteError, HardwareError, UsageError
from annette.graph.network import Network
from annette.resources import resource_folder

if TYPE_CHECKING:
    from annette.hardware.accelerator import Accelerator
    from annette.hardware.settings import Setting

__all__ = [
    "BatchOption",
    "DeviceOption",
    "FormatOption",
    "JobsOption",
    "ModelOption",
    "NetworkArgument",
    "PlanOption",
    "PlatformOption",
    "SeedOption",
    "SetOption",
    "ShapeOption",
    "StoreOption",
    "change_by_settings",
    "check_model",
    "open_accelerator_argument",
    "open_network_argument",
    "parse_quantity",
    "parse_settings",
    "parse_shapes",
    "require_writable",
    "write_output",
]

NetworkArgument = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK",
        help="An ONNX file, zoo:NAME with parameters (zoo:mobilenet_v2,width=0.5), or a JSON graph of the "
        "original ANNETTE.",
        autocompletion=complete_network,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        help="A device: zcu102-dpu, simulator:FILE.yaml, onnxruntime, replay:RUN.db (see annette devices).",
        autocompletion=complete_device,
    ),
]
PlatformOption = Annotated[
    str,
    typer.Option(
        "--platform",
        "-p",
        help="A trained platform: a name (see annette platforms) or a folder.",
        autocompletion=complete_platform,
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="roofline, refined_roofline, statistical or mixed.",
        autocompletion=complete_model,
    ),
]
FormatOption = Annotated[
    OutputFormat, typer.Option("--format", "-f", help="Tables for people, or one JSON document, in seconds.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random; it is recorded.")]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes to work with.")]
# The names as the folder has them: what `list_plans` lists, without reading every plan for each command.
_PLANS = ", ".join(sorted(path.stem for path in resource_folder("plans").glob("*.yaml")))
PlanOption = Annotated[
    str,
    typer.Option("--plan", help=f"A campaign plan: {_PLANS}, or a YAML file.", autocompletion=complete_plan),
]
StoreOption = Annotated[
    Path, typer.Option("--store", "-s", help="The campaign's file; an existing one is continued.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change a number of the device's description by its path in the YAML, as in "
        "external_memory.bandwidth_bytes_per_s=10e9; may be repeated.",
    ),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME=D,D,...", help="Bind an ONNX input's dimensions; may be repeated."),
]
BatchOption = Annotated[
    int | None, typer.Option("--batch", min=1, help="Bind the batch dimension of every input.")
]


def open_network_argument(spec: str, shapes: Sequence[str] | None, batch: int | None) -> Network:
    """The network a command was asked about.

    Raises
    ------
    UsageError
        For a malformed ``--shape``, a missing file or an unknown zoo name.
    GraphError
        If the file cannot be read.
    """
    from annette.zoo.registry import open_network

    network = open_network(spec, shapes=parse_shapes(shapes or ()), batch=batch)
    if network.name.isprintable():
        return network
    printable = "".join(letter if letter.isprintable() else "?" for letter in network.name)
    return replace(network, name=printable)


def open_accelerator_argument(spec: str) -> Accelerator:
    """The simulated accelerator that ``--device`` names.

    Raises
    ------
    UsageError
        If it is none: what is asked needs a description of the device.
    HardwareError
        If its description is wrong.
    """
    from annette.hardware.codec import load_accelerator

    kind, colon, target = spec.partition(":")
    if colon and kind == "simulator":
        return load_accelerator(target)
    if colon or kind in ("onnxruntime", "openvino"):
        raise UsageError(
            f"device {spec!r}: only of simulated accelerators it is known what they are made of; expected a "
            "preset (annette devices lists them) or simulator:FILE.yaml, a description of the device"
        )
    return load_accelerator(spec)


def parse_settings(texts: Sequence[str]) -> dict[str, Setting]:
    """``PATH=VALUE`` to a dictionary; the paths and values of a description's YAML.

    Raises
    ------
    UsageError
        For another form, a path that is there twice, or a number that is not finite.

    Examples
    --------
    >>> parse_settings(["clock_hz=1e9", "array.systolic.rows=64"])
    {'clock_hz': 1000000000.0, 'array.systolic.rows': 64}
    """
    from annette.hardware.settings import parse_setting

    found: dict[str, Setting] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not path.strip() or not value.strip():
            raise UsageError(f"--set {text}: expected PATH=VALUE, as in clock_hz=1e9")
        if path.strip() in found:
            raise UsageError(f"--set {text}: {path.strip()} is set twice, expected each path once")
        try:
            found[path.strip()] = parse_setting(value)
        except UsageError as err:
            raise UsageError(f"--set {text}: {err}") from err
    return found


def parse_quantity(option: str, text: str | None, parse: Callable[[str], float]) -> float | None:
    """The number that a person wrote with its unit, read by a parser of `annette.units`; ``None`` stays.

    Raises
    ------
    UsageError
        If it is none; names the option.

    Examples
    --------
    >>> from annette.units import parse_seconds
    >>> parse_quantity("--max-latency", "30ms", parse_seconds)
    0.03
    """
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as err:
        raise UsageError(f"{option}: {err}") from err


def change_by_settings(accelerator: Accelerator, texts: Sequence[str] | None) -> Accelerator:
    """The accelerator with what ``--set`` says, if anything.

    Raises
    ------
    UsageError
        For another form, a path that leads nowhere, or a value that the description cannot have.
    """
    from annette.hardware.settings import change_accelerator

    if not texts:
        return accelerator
    try:
        return change_accelerator(accelerator, parse_settings(texts))
    except HardwareError as err:
        raise UsageError(f"--set {', '.join(texts)}: {err}") from err


def require_writable(option: str, path: Path | None) -> None:
    """Nothing, if a file can be written to ``path``, or none is asked for: before work that takes long.

    Raises
    ------
    UsageError
        If the path is a folder, its folder does not exist, or one of the two may not be written.
    """
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"{option} {path}: found a folder, expected the name of a file to write")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: no folder {path.parent}; expected one that exists")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{option} {path}: may not be written; expected another place")


def write_output(option: str, path: Path, write: Callable[[], object]) -> None:
    """Let ``write`` write the file at ``path``, and say so on stderr.

    Raises
    ------
    AnnetteError
        If it cannot be written; names the file.
    """
    try:
        write()
    except OSError as err:
        raise AnnetteError(f"{option} {path}: cannot be written: {err.strerror or err}") from err
    note_line(f"wrote {path}")


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """``NAME=1,3,224,224`` to a dictionary.

    Examples
    --------
    >>> parse_shapes(["image=1,3,224,224"])
    {'image': (1, 3, 224, 224)}
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, dims = text.rpartition("=")
        sizes = dims.replace("x", ",").split(",") if dims else []
        if not equals or not name or not all(size.strip().isdigit() for size in sizes):
            raise UsageError(
                f"--shape {text}: expected NAME=D,D,... with whole numbers, as in image=1,3,224,224"
            )
        shapes[name] = tuple(int(size) for size in sizes)
    return shapes


def check_model(model: str) -> str:
    """``model`` if it is one of the four layer models.

    Raises
    ------
    UsageError
        Otherwise.
    """
    from annette.models.layer_models import MODEL_NAMES

    if model not in MODEL_NAMES:
        near = difflib.get_close_matches(model, MODEL_NAMES, n=1)
        hint = f"did you mean {near[0]}? There are" if near else "expected one of"
        raise UsageError(f"--model {model}: no such layer model; {hint} {', '.join(MODEL_NAMES)}")
    return model
