"""Evaluates a platform on the networks of a kernel table that it was not trained on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from annette.errors import UsageError
from annette.estimation.platform import Platform
from annette.evaluation.comparison import FailedNetwork, MeasuredNetwork, NetworkResult, compare_networks
from annette.evaluation.suite import Evaluation
from annette.graph.builder import NetworkBuilder
from annette.measurement import KernelMeasurement, Measurement
from annette.models.trained_networks import (
    TRAINED_CONTENTS,
    TRAINED_NETWORKS,
    content_of_kernels,
    noted,
)
from annette.tables.importing import ImportedTable, table_networks
from annette.tables.kernel import TableKernel, add_kernel
from annette.units import format_number

__all__ = ["evaluate_table"]

_LOG = logging.getLogger(__name__)


def evaluate_table(platform: Platform, table: ImportedTable) -> Evaluation:
    """The platform against a kernel table: networks that it was trained on are left out.

    They are known by their names and, whatever they are called, by their timed kernels. A platform of another
    device is evaluated all the same; the log says so.

    A network's latency is its end-to-end time. Where the table has none, it is the sum of its kernels for a
    platform that knows of nothing beyond these. Which kernels run is predicted and compared as well.

    Parameters
    ----------
    platform : Platform
        What predicts.
    table : ImportedTable
        What was measured; see `annette.tables.importing.read_table`.

    Raises
    ------
    UsageError
        If no network is left, none can be compared, or the platform is of a kernel table and does not say
        which networks it was trained on.
    """
    names = list(dict.fromkeys(kernel.network for kernel in table.kernels))
    trained = _trained(platform, table)
    left = [name for name in names if name not in trained]
    if not left:
        raise UsageError(
            f"table of {table.device}: platform {platform.name!r} was trained on all of its networks; leave "
            "some out when you import it, as in --leave-out 10, and train again"
        )
    if platform.device.name != table.device:
        _LOG.warning(
            "platform %r was trained on %s, the table is of %s",
            platform.name,
            platform.device.name,
            table.device,
        )
    answers = _results(platform, table, left)
    results = [item for item in answers if isinstance(item, NetworkResult)]
    failed = [item for item in answers if isinstance(item, FailedNetwork)]
    if not results:
        raise UsageError(f"table of {table.device}: {failed[0].name}: {failed[0].error}")
    seen = len(names) - len(left)
    return Evaluation(
        platform=platform.name,
        suite=f"{format_number(len(left), 'network')} of the table"
        + (f" ({seen} more, trained on, left out)" if seen else ""),
        device=table.device,
        seed=0,
        networks=tuple(results),
        failed=tuple(failed),
    )


def _trained(platform: Platform, table: ImportedTable) -> frozenset[str]:
    """Which networks of the table the platform was trained on."""
    if platform.device.backend == "table" and not {TRAINED_NETWORKS, TRAINED_CONTENTS} <= set(
        platform.metrics
    ):
        raise UsageError(
            f"platform {platform.name!r}: was trained on a kernel table and does not say on which networks, "
            "so none can be told from them; train it again"
        )
    contents = noted(platform.metrics, TRAINED_CONTENTS)
    by_name = noted(platform.metrics, TRAINED_NETWORKS)
    if not contents:
        return by_name
    known: dict[TableKernel, str] = {}
    ids: dict[str, list[str]] = {}
    for kernel in table.timed:
        content = replace(kernel, row=1, network="", unit="", latency_s=None)
        if content not in known:
            build = NetworkBuilder("kernel")
            known[content] = build.finish(add_kernel(build, content)[1]).id
        ids.setdefault(kernel.network, []).append(known[content])
    return by_name | {name for name, own in ids.items() if content_of_kernels(own) in contents}


def _results(
    platform: Platform, table: ImportedTable, names: list[str]
) -> list[NetworkResult | FailedNetwork]:
    wholes = table.whole_networks()
    by_network: dict[str, list[TableKernel]] = {name: [] for name in names}
    for kernel in table.kernels:
        if kernel.network in by_network:
            by_network[kernel.network].append(kernel)
    networks = table_networks([kernel for kernels in by_network.values() for kernel in kernels])
    items: list[MeasuredNetwork] = []
    failed: list[NetworkResult | FailedNetwork] = []
    for name, kernels in by_network.items():
        times = [kernel.latency_s for kernel in kernels]
        seconds = wholes.get(name)
        if (
            seconds is None
            and platform.overhead is None
            and name not in table.incomplete
            and None not in times
        ):
            seconds = sum(time for time in times if time is not None)
        if seconds is None:
            lack = "rows that could not be read" if name in table.incomplete else "no end-to-end time"
            failed.append(FailedNetwork(name=name, error=f"{lack}, expected all that it takes"))
            continue
        network = networks[name]
        measurement = Measurement(
            network_id=network.id,
            device=platform.device,
            values_s=(seconds,),
            kernels=tuple(_kernels(kernels)),
        )
        items.append(MeasuredNetwork(network=network, measurement=measurement, group="table"))
    return [*compare_networks(platform, items), *failed]


def _kernels(kernels: list[TableKernel]) -> Iterator[KernelMeasurement]:
    """What ran, with its time; 0 where it was not timed, which no error is counted of."""
    for kernel in kernels:
        mapped, _ = add_kernel(NetworkBuilder(kernel.network), kernel)
        yield KernelMeasurement(kernel=mapped, values_s=(kernel.latency_s or 0.0,))
