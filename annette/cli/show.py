"""``annette show``: what is known of a platform, a network or an accelerator."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annette.cli.calibrated import show_calibrated
from annette.cli.completion import complete_target
from annette.cli.console import OutputFormat, print_json, print_line, print_table
from annette.cli.options import BatchOption, FormatOption, ShapeOption, open_network_argument
from annette.errors import UsageError
from annette.units import (
    format_bytes,
    format_count,
    format_fraction,
    format_joules,
    format_rate,
    format_seconds,
)

if TYPE_CHECKING:
    from annette.estimation.platform import Platform
    from annette.graph.network import Network
    from annette.models.network_residual import NetworkResidual
    from annette.models.parameters import FamilyParameters

__all__ = ["platform_document", "print_platform", "show"]


def show(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A platform (name or folder), a network (zoo:NAME, ONNX file), or simulator:NAME_OR_FILE.",
            autocompletion=complete_target,
        ),
    ],
    shape: ShapeOption = None,
    batch: BatchOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Print what is known of a platform, a network or an accelerator.

    A platform shows its parameters and mapping rules, a network its layers and work, an accelerator every
    number of its description with its source.

    Examples: annette show zcu102-dpu; annette show zoo:resnet18; annette show simulator:ncs2
    """
    from annette.estimation.catalogue import load_platform
    from annette.store.calibrated_folder import is_calibrated

    if what.startswith("simulator:"):
        if shape or batch is not None:
            raise UsageError(f"{what}: --shape and --batch are for networks, this names a device")
        _show_accelerator(what.removeprefix("simulator:"), output)
    elif what.endswith((".yaml", ".yml", ".db")) and Path(what).is_file():
        hint = (
            f"simulator:{what}"
            if not what.endswith(".db")
            else f"a platform: annette train {what} --output DIR"
        )
        raise UsageError(f"{what}: neither a platform nor a network; write {hint}")
    elif what.startswith("zoo:") or Path(what).is_file():
        _show_network(open_network_argument(what, shape, batch), output)
    else:
        if shape or batch is not None:
            raise UsageError(f"{what}: --shape and --batch are for networks, this names a platform")
        if is_calibrated(what):
            show_calibrated(what, output)
            return
        platform = load_platform(what)
        if output is OutputFormat.JSON:
            print_json(platform_document(platform))
        else:
            print_platform(platform)


def platform_document(platform: Platform) -> dict[str, Any]:
    """All that a platform knows, as JSON types; ``energy_parameters`` is ``None`` where it predicts none."""
    energy = platform.energy_models
    return {
        "schema_version": 1,
        "name": platform.name,
        "description": platform.description,
        "device": platform.device.name,
        "provenance": dict(platform.provenance),
        "metrics": dict(platform.metrics),
        "parameters": platform.layer_models.parameters.to_json(),
        "energy_parameters": None if energy is None else energy.parameters.to_json(),
        **({} if platform.overhead is None else {"overhead": platform.overhead.to_json()}),
        "mapping_rules": list(platform.describe()),
    }


def print_platform(platform: Platform, *, rules: bool = True) -> None:
    """The parameters of each kernel family, the cross-validated figures and, if wanted, the mapping rules."""
    parameters = platform.layer_models.parameters
    print_line(f"{platform.name}: {platform.description}", bold=True)
    print_line(
        f"measured peak {format_rate(parameters.peak_ops_per_s, 'ops')}, "
        f"bandwidth {format_rate(parameters.bandwidth_bytes_per_s, 'B')}"
    )
    made = platform.provenance
    print_line(
        f"made by annette {made.get('annette')} with seed {made.get('seed')} from plan {made.get('plan')}: "
        f"{platform.metrics.get('measured_networks')} networks, "
        f"{platform.metrics.get('measured_kernels')} kernels measured"
    )
    planned, tried = platform.metrics.get("planned_networks"), platform.metrics.get("measured_networks")
    if planned is not None and tried is not None and tried < planned:
        print_line(
            f"unfinished campaign: {tried} of {planned} planned networks were measured; expect larger errors"
        )
    mapping = platform.metrics.get("mapping")
    if isinstance(mapping, dict) and isinstance(mapping.get("exact_fraction"), int | float):
        print_line(
            f"mapping, cross-validated on held-out blocks: {format_fraction(mapping['exact_fraction'])} of "
            f"{mapping.get('kernels')} kernels exact"
        )
    print_line()
    print_table(
        ("kernel family", "peak", "bandwidth", "overhead", "error", "kernels"),
        [_family_row(item) for item in parameters.families],
    )
    print_line("error: median relative error of the refined roofline on these kernels")
    _print_unrolls(parameters.families)
    _print_overhead(platform)
    _print_energy(platform)
    if rules:
        _print_rules(platform)


def _print_overhead(platform: Platform) -> None:
    """What networks take beyond their kernels, where that was learned."""
    from annette.models.network_residual import NetworkResidual

    overhead = platform.overhead
    if overhead is None:
        return
    if isinstance(overhead, NetworkResidual):
        print_line(f"\n{_residual(overhead)}")
        return
    constant, per_kernel, *_, share = overhead.coefficients["mixed"]
    print_line(
        f"\na network takes {share:.3g} times its kernels and {format_seconds(constant)} more, "
        f"{format_seconds(per_kernel)} a kernel and what moving its bytes costs: learned from "
        f"{overhead.n_networks} networks, error {format_fraction(overhead.error['mixed'])} on those "
        "(mixed model)"
    )
    shares = sorted(overhead.shares.get("mixed", {}).items(), key=lambda item: (-item[1], item[0]))
    if shares:
        print_line(
            "times its kernels, by family: " + ", ".join(f"{key} {value:.3g}" for key, value in shares)
        )


def _residual(residual: NetworkResidual) -> str:
    """What networks take beyond their kernels, as blocks of the campaign showed it."""
    least, most = (100 * math.expm1(value) for value in (residual.least, residual.most))
    return (
        f"a network takes {least:+.1f} to {most:+.1f} % of its kernels' time beyond them, by the number of "
        f"kernels and joins and by the bytes that cross between them ({residual.model} model): learned from "
        f"{residual.n_networks} blocks, error {format_fraction(residual.error)} on held-out ones and "
        f"{format_fraction(residual.additive_error)} without"
    )


def _print_energy(platform: Platform) -> None:
    """What an operation, a byte and a kernel take, by family; or why energy is not predicted."""
    seen = platform.metrics.get("energy")
    models = platform.energy_models
    if models is None:
        if isinstance(seen, dict):
            print_line(f"\nenergy is not predicted: only {seen.get('measured_networks')} networks carry it")
        return
    print_line("\nenergy: joules = ops * per op + bytes * per byte + per kernel", bold=True)
    rows = [
        (
            "all others" if item.family == "*" else item.family,
            "-" if item.peak_ops_per_s is None else format_joules(1.0 / item.peak_ops_per_s),
            format_joules(1.0 / item.bandwidth_bytes_per_s),
            format_joules(item.overhead_s),
            format_fraction(item.error),
            str(item.n_rows),
        )
        for item in models.parameters.families
    ]
    print_table(("kernel family", "per op", "per byte", "per kernel", "error", "kernels"), rows)


def _print_unrolls(families: Iterable[FamilyParameters]) -> None:
    """The unroll factors of the families that have some."""
    from annette.models.unroll import DIMENSIONS

    found = {item.family: {fit.dimension: fit for fit in item.unrolls if fit.factor > 1} for item in families}
    names = [name for name in DIMENSIONS if any(name in fits for fits in found.values())]
    if not names:
        return
    print_line("\nunroll factors (share of the staircase that shows)", bold=True)
    cells = {
        family: [
            f"{fits[name].factor} ({fits[name].softness:.2f})" if name in fits else "-" for name in names
        ]
        for family, fits in found.items()
        if fits
    }
    print_table(("kernel family", *names), [(family, *row) for family, row in cells.items()])


def _print_rules(platform: Platform) -> None:
    """The mapping rules, those for operators never seen apart, and what the words in them mean."""
    fallback = "any other "
    lines = platform.describe()
    print_line("\nmapping rules (right answers of all observations)", bold=True)
    for line in lines:
        if fallback not in line.partition(" -> ")[0]:
            print_line(f"  {line}")
    print_line("\nrules for operators and pairs that were hardly ever seen, by family", bold=True)
    for line in lines:
        if fallback in line.partition(" -> ")[0]:
            print_line(f"  {line}")
    print_line(
        "\nwords in these rules (A + B: a kernel whose main layer is an A takes in a layer B)", bold=True
    )
    print_table(("word", "meaning"), platform.mapping_model.glossary(), left=2)


def _family_row(item: FamilyParameters) -> tuple[str, ...]:
    return (
        "all others" if item.family == "*" else item.family,
        "-" if item.peak_ops_per_s is None else format_rate(item.peak_ops_per_s, "ops"),
        format_rate(item.bandwidth_bytes_per_s, "B"),
        format_seconds(item.overhead_s),
        format_fraction(item.error),
        str(item.n_rows),
    )


def _show_network(network: Network, output: OutputFormat) -> None:
    from annette.graph.families import layer_family
    from annette.graph.work import layer_work, network_work

    total = network_work(network)
    layers = [(layer, layer_work(network, layer)) for layer in network.layers]
    if output is OutputFormat.JSON:
        names = ("macs", "ops", "params", "input_bytes", "weight_bytes", "output_bytes")
        print_json(
            {
                "schema_version": 1,
                "network": network.name,
                "id": network.id,
                "inputs": {name: list(network.tensors[name].shape) for name in network.inputs},
                "outputs": {name: list(network.tensors[name].shape) for name in network.outputs},
                **{name: getattr(total, name) for name in names},
                "layers": [
                    {
                        "name": layer.name,
                        "op_type": layer.op_type,
                        "family": layer_family(network, layer),
                        "output_shapes": [list(tensor.shape) for tensor in network.output_tensors(layer)],
                        **{name: getattr(work, name) for name in names},
                    }
                    for layer, work in layers
                ],
            }
        )
        return
    print_line(
        f"{network.name}: {format_count(total.macs, 'MAC')}, {format_count(total.params)} parameters, "
        f"{len(layers)} layers",
        bold=True,
    )
    rows = [
        (
            layer.name,
            layer.op_type,
            " ".join(
                "x".join(map(str, tensor.shape)) or "scalar" for tensor in network.output_tensors(layer)
            ),
            format_count(work.macs) if work.macs else "-",
            format_count(work.ops) if work.ops else "-",
            format_count(work.params) if work.params else "-",
            format_bytes(work.input_bytes + work.weight_bytes + work.output_bytes),
        )
        for layer, work in layers
    ]
    print_table(("layer", "operator", "output", "MACs", "ops", "parameters", "moved"), rows, left=3)


def _show_accelerator(name: str, output: OutputFormat) -> None:
    from annette.hardware.codec import accelerator_to_yaml, load_accelerator
    from annette.hardware.yaml_text import read_yaml

    accelerator = load_accelerator(name)
    origin = {item.path: item for item in accelerator.provenance}
    rows = []
    for path, value in _flatten(read_yaml(accelerator_to_yaml(accelerator), name), ""):
        found = origin.get(path) or origin.get(path.rpartition(".")[0])  # an unroll has one for all loops
        rows.append(
            {
                "field": path,
                "value": value,
                "source": None if found is None else found.source,
                "assumed": found is not None and found.assumed,
            }
        )
    if output is OutputFormat.JSON:
        print_json({"schema_version": 1, "accelerator": accelerator.name, "fields": rows})
        return
    print_line(f"{accelerator.name}: {accelerator.description}", bold=True)
    print_line(f"{len(accelerator.assumed_fields)} numbers are assumed, not published\n")
    print_table(
        ("field", "value", "source"),
        [
            (
                str(row["field"]),
                str(row["value"]),
                ("assumed: " if row["assumed"] else "") + (row["source"] or ""),
            )
            for row in rows
            if not str(row["field"]).startswith("compiler.")
            and not ("unroll" in str(row["field"]) and row["value"] == 1)
        ],
        left=3,
    )
    print_line("\ncompiler rules", bold=True)
    for row in rows:
        if str(row["field"]).startswith("compiler."):
            print_line(f"  {str(row['field']).removeprefix('compiler.')}: {row['value']}")


def _flatten(data: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every number and rule with its path; a list of scalars, or a compiler rule, stays one value."""
    if isinstance(data, dict) and not path.startswith("compiler."):
        for key, value in data.items():
            yield from _flatten(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, list) and any(isinstance(item, dict) for item in data):
        for index, item in enumerate(data):
            yield from _flatten(item, f"{path}[{index}]")
    else:
        yield path, data
