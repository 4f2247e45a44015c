"""The summary of an estimate: all that its report shows, as JSON types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from annette.errors import HardwareError
from annette.graph.work import network_work
from annette.report.kernel_graph import kernel_edges
from annette.report.layout import lay_out
from annette.report.what_if import simulate_grid

if TYPE_CHECKING:
    from annette.estimation.estimate import Estimate, KernelEstimate
    from annette.estimation.platform import Platform
    from annette.graph.network import Network
    from annette.hardware.accelerator import Accelerator

__all__ = ["summarise_estimate"]


def summarise_estimate(
    network: Network, platform: Platform, estimate: Estimate, *, accelerator: Accelerator | None = None
) -> dict[str, Any]:
    """The document behind the report of an estimate.

    Parameters
    ----------
    network, platform, estimate
        What was estimated, by what, and the answer.
    accelerator : Accelerator, optional
        The description of the platform's device, where it is a simulated one: gives the what-if grid.

    Examples
    --------
    >>> import annette
    >>> from annette.zoo.registry import zoo_network
    >>> platform, network = annette.load("zcu102-dpu"), zoo_network("lenet5")
    >>> document = summarise_estimate(network, platform, platform.estimate(network))
    >>> document["kind"], len(document["kernels"]) == len(document["graph"]["nodes"])
    ('estimate', True)
    """
    work = network_work(network)
    edges = kernel_edges(network, estimate.kernels)
    drawing = lay_out(len(estimate.kernels), edges)
    document = estimate.to_dict()
    kernels_s = sum(item.latency_s for item in estimate.kernels)
    starts_s = accumulate((item.latency_s for item in estimate.kernels), initial=0.0)
    sources: dict[int, list[int]] = {}
    for source, target in edges:
        sources.setdefault(target, []).append(source)
    return {
        **document,
        "kind": "estimate",
        "network_id": estimate.network_id,
        "work": {
            "layers": len(network.layers),
            "macs": work.macs,
            "params": work.params,
            "weight_bytes": work.weight_bytes,
        },
        "kernels_s": kernels_s,
        "kernels": [
            {
                **item.to_dict(),
                "start_s": start_s,
                "fraction": item.latency_s / kernels_s if kernels_s else 0.0,
                "after": sources.get(number, []),
            }
            for number, (item, start_s) in enumerate(zip(estimate.kernels, starts_s, strict=False))
        ],
        "layers": _layers(network),
        "graph": {
            "width": drawing.width,
            "height": drawing.height,
            "nodes": [list(map(_short, point)) for point in drawing.nodes],
            "edges": [[list(map(_short, point)) for point in line] for line in drawing.edges],
            "ends": [list(edge) for edge in edges],
        },
        "shares": {
            "family": _shares(estimate.kernels, [item.family for item in estimate.kernels]),
            "bound": _shares(estimate.kernels, [item.bound for item in estimate.kernels]),
            "unit": _shares(estimate.kernels, [item.unit for item in estimate.kernels]),
        },
        "roofs": _roofs(platform),
        "what_if": None if accelerator is None else _what_if(network, accelerator),
        "is_simulated": platform.device.backend == "simulator",
        "device_description": platform.device.description,
        "provenance": _provenance(platform),
    }


def _short(value: float) -> float:
    return round(value, 1)


def _layers(network: Network) -> dict[str, str]:
    """What each layer is: its operator and the shape that it writes."""
    found = {}
    for layer in network.layers:
        shapes = [network.tensors[name].shape for name in layer.outputs if name]
        shape = f" {'x'.join(map(str, shapes[0]))}" if shapes and shapes[0] else ""
        found[layer.name] = f"{layer.op_type}{shape}"
    return found


def _shares(kernels: Sequence[KernelEstimate], names: Sequence[str]) -> list[dict[str, Any]]:
    """Kernels and seconds by name, the most seconds first."""
    whole_s = sum(item.latency_s for item in kernels)
    found: dict[str, list[float]] = {}
    for item, name in zip(kernels, names, strict=True):
        found.setdefault(name, []).append(item.latency_s)
    rows = [
        {
            "name": name,
            "kernels": len(parts),
            "latency_s": sum(parts),
            "fraction": sum(parts) / whole_s if whole_s else 0.0,
        }
        for name, parts in found.items()
    ]
    return sorted(rows, key=lambda row: (-row["latency_s"], row["name"]))


def _roofs(platform: Platform) -> dict[str, Any]:
    """Peak and bandwidth: those of the data sheet, where it is known, and those that were measured."""
    device, measured = platform.device, platform.layer_models.parameters
    return {
        "data_sheet": {
            "peak_ops_per_s": device.peak_ops_per_s,
            "bandwidth_bytes_per_s": device.bandwidth_bytes_per_s,
        },
        "measured": {
            "peak_ops_per_s": measured.peak_ops_per_s,
            "bandwidth_bytes_per_s": measured.bandwidth_bytes_per_s,
        },
    }


def _what_if(network: Network, accelerator: Accelerator) -> dict[str, Any] | None:
    try:
        return simulate_grid(network, accelerator)
    except HardwareError:
        return None  # the platform prices what its device itself cannot run


def _provenance(platform: Platform) -> dict[str, str]:
    """Where the platform comes from, by name."""
    made: Mapping[str, Any] = platform.provenance
    known = {name: str(value) for name, value in made.items() if isinstance(value, str | int | float)}
    environment = {f"device {name}": value for name, value in platform.device.environment}
    metrics = {
        name.replace("_", " "): str(platform.metrics[name])
        for name in ("planned_networks", "measured_networks", "measured_kernels")
        if name in platform.metrics
    }
    return {**known, **metrics, **environment}
