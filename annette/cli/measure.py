"""``annette measure``: times one network on a device, and tells its energy where the device knows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annette.cli.console import OutputFormat, print_json, print_line, progress_bar
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
from annette.units import format_fraction, format_joules, format_number, format_seconds

if TYPE_CHECKING:
    from annette.graph.network import Network
    from annette.measurement import KernelMeasurement, Measurement

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
    """Time NETWORK on a device: latency, how well it repeats, and the kernels that were executed.

    A device that knows the energy of its kernels tells that as well.

    Example: annette measure zoo:resnet18 --device zcu102-dpu
    """
    from annette.backends.registry import open_device
    from annette.benchmark.campaign import measure_visits
    from annette.store.visits import combine_visits

    backend = open_device(device)
    graph = open_network_argument(network, shape, batch)
    with progress_bar(f"measuring {graph.name}") as on_progress:
        visits = measure_visits(backend, graph, seed, on_progress)
    references = [item.conditions["reference_s"] for item in visits if "reference_s" in item.conditions]
    measurement = combine_visits(visits, reference_s=statistics.median(references) if references else None)
    if measurement.error is not None:
        raise MeasurementError(f"{network} on {device}: {measurement.error}")
    document = _document(graph, measurement, visits, seed)
    if output is OutputFormat.JSON:
        print_json(document)
        return
    _print_measurement(graph, document, measurement, show_all=show_all)


def _document(
    graph: Network, measurement: Measurement, visits: Sequence[Measurement], seed: int
) -> dict[str, Any]:
    """The measurement as JSON types."""
    from annette.store.visits import check_stability

    stability = check_stability(measurement)
    return {
        "schema_version": 1,
        "network": graph.name,
        "device": measurement.device.name,
        "latency_s": measurement.latency_s,
        "energy_j": measurement.energy_j,
        "values_s": list(measurement.values_s or ()),
        "seed": seed,
        "stability": {
            "verdict": stability.verdict,
            "spread_fraction": stability.spread_fraction,
            "visits_known": stability.visits_known,
            "text": stability.text,
        },
        "conditions": dict(measurement.conditions),
        "visits": [
            {"values_s": list(item.values_s or ()), "conditions": dict(item.conditions), "seed": item.seed}
            for item in visits
        ],
        "kernels": [_kernel_document(graph, item) for item in measurement.kernels or ()],
        "eliminated_layers": list(measurement.eliminated_layers),
    }


def _kernel_document(graph: Network, item: KernelMeasurement) -> dict[str, Any]:
    from annette.graph.families import layer_family

    kernel = item.kernel
    return {
        "name": kernel.name,
        "family": "move" if kernel.is_move else layer_family(graph, graph.layer(kernel.primary)),
        "unit": kernel.unit,
        "layers": list(kernel.layers),
        **({"tensor": kernel.tensor} if kernel.is_move else {}),
        "latency_s": item.latency_s,
        "bound": item.bound,
        **item.counters,
    }


def _print_measurement(
    graph: Network, document: dict[str, Any], measurement: Measurement, *, show_all: bool
) -> None:
    device, kernels = measurement.device, document["kernels"]
    energy = "" if measurement.energy_j is None else f", {format_joules(measurement.energy_j)}"
    print_line(f"{graph.name} on {device.name}: {format_seconds(document['latency_s'])}{energy}", bold=True)
    if device.description and device.visits > 1:
        print_line(device.description)
    print_line(_repeatability(measurement))
    for line in (_visit_line(document["visits"]), _conditions_line(measurement)):
        if line:
            print_line(line)
    if measurement.kernels is None:
        layers = format_number(len(graph.layers), "layer")
        print_line(f"{layers}; this device does not tell which kernels it executes")
        return
    moves = sum(item.kernel.is_move for item in measurement.kernels)
    print_line(
        f"{format_number(len(graph.layers), 'layer')} in {format_number(len(kernels) - moves, 'kernel')}"
        + (f" and {format_number(moves, 'move')} of tensors" if moves else "")
        + f", {format_number(len(measurement.eliminated_layers), 'layer')} eliminated\n"
    )
    print_kernels(kernels, sum(item["latency_s"] for item in kernels), show_all=show_all)


def _repeatability(measurement: Measurement) -> str:
    from annette.store.visits import check_stability

    values_s = measurement.values_s or ()
    if measurement.spread_fraction is not None or measurement.device.visits > 1:
        return check_stability(measurement).text
    if len(values_s) < 2:
        return "one run"
    spread = (max(values_s) - min(values_s)) / statistics.median(values_s) if max(values_s) > 0 else 0.0
    return (
        f"median of {len(values_s)} runs, {format_seconds(min(values_s))} to {format_seconds(max(values_s))} "
        f"(spread {format_fraction(spread)})"
    )


def _visit_line(visits: Sequence[dict[str, Any]]) -> str:
    """Each visit's own time as the clock said it; empty for one visit, and for a record's combined ones."""
    times = ", ".join(format_seconds(min(item["values_s"])) for item in visits)
    if all(item == visits[0] for item in visits):
        return ""
    is_corrected = all("reference_s" in item["conditions"] for item in visits)
    return f"least of {len(visits)} visits{', drift divided out' if is_corrected else ''}; as timed: {times}"


def _conditions_line(measurement: Measurement) -> str:
    known = measurement.conditions
    parts = []
    if "reference_s" in known:
        parts.append(f"reference network {format_seconds(known['reference_s'])}")
    if "load_fraction" in known:
        parts.append(f"load of the machine {format_fraction(known['load_fraction'])}")
    if "clock_hz" in known:
        parts.append(f"clock {known['clock_hz'] / 1e9:.2f} GHz")
    return "; ".join(parts)
