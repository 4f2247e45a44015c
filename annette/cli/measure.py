"""``annette measure``: times one network on a device."""

from __future__ import annotations

import statistics
from typing import Annotated, Any

import typer

from annette.cli.console import OutputFormat, print_json, print_line
from annette.cli.kernels import print_kernels
from annette.cli.options import (
    BatchOption,
    DeviceOption,
    FormatOption,
    NetworkArgument,
    SeedOption,
    ShapeOption,
    open_network_argument,
)
from annette.errors import MeasurementError
from annette.units import format_fraction, format_seconds

__all__ = ["measure"]


def measure(
    network: NetworkArgument,
    device: DeviceOption,
    seed: SeedOption = 0,
    shape: ShapeOption = None,
    batch: BatchOption = None,
    show_all: Annotated[bool, typer.Option("--all", "-a", help="Print every kernel.")] = False,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Time NETWORK on a device: latency, kernels, and what limits each.

    Example: annette measure zoo:resnet18 --device zcu102-dpu
    """
    from annette.backends.registry import open_device
    from annette.graph.families import layer_family

    backend = open_device(device)
    graph = open_network_argument(network, shape, batch)
    measurement = backend.measure(graph, seed=seed)
    if measurement.error is not None or measurement.values_s is None:
        raise MeasurementError(f"{network} on {device}: {measurement.error}")
    kernels: list[dict[str, Any]] = [
        {
            "name": item.kernel.name,
            "family": layer_family(graph, graph.layer(item.kernel.primary)),
            "unit": item.kernel.unit,
            "layers": list(item.kernel.layers),
            "latency_s": item.latency_s,
            "bound": item.bound,
            **item.counters,
        }
        for item in measurement.kernels or ()
    ]
    document = {
        "schema_version": 1,
        "network": graph.name,
        "device": backend.info.name,
        "latency_s": measurement.latency_s,
        "values_s": list(measurement.values_s),
        "seed": seed,
        "kernels": kernels,
        "eliminated_layers": list(measurement.eliminated_layers),
    }
    if output is OutputFormat.JSON:
        print_json(document)
        return
    print_line(f"{graph.name} on {backend.info.name}: {format_seconds(measurement.latency_s)}", bold=True)
    print_line(_repeatability(measurement.values_s))
    print_line(
        f"{len(graph.layers)} layers in {len(kernels)} kernels, "
        f"{len(measurement.eliminated_layers)} layers eliminated\n"
    )
    print_kernels(kernels, sum(item["latency_s"] for item in kernels), show_all=show_all)


def _repeatability(values_s: tuple[float, ...]) -> str:
    if len(values_s) < 2:
        return "one run"
    spread = (max(values_s) - min(values_s)) / statistics.median(values_s) if max(values_s) > 0 else 0.0
    return (
        f"median of {len(values_s)} runs, {format_seconds(min(values_s))} to {format_seconds(max(values_s))} "
        f"(spread {format_fraction(spread)})"
    )
