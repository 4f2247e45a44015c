"""``annette evaluate``: predicted beside measured latency and energy on networks never used for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from annette.cli.completion import complete_suite
from annette.cli.console import OutputFormat, print_json, print_line, print_table, progress_bar
from annette.cli.evaluate_kernels import (
    ColumnsOption,
    KernelTableOption,
    NetworksOption,
    evaluate_kernel_table,
)
from annette.cli.evaluate_ranking import MODEL_TITLES, format_rank, print_groups, print_ranking
from annette.cli.evaluate_recorded import (
    ColumnOption,
    QualityOption,
    SpaceOption,
    TableOption,
    UnitIfGiven,
    evaluate_recorded,
    print_table_evaluation,
)
from annette.cli.options import FormatOption, JobsOption, PlatformOption
from annette.errors import UsageError
from annette.units import format_fraction, format_joules, format_number, format_seconds

__all__ = ["evaluate", "print_evaluation"]

_MOST_FAILURES = 12
_MOST_NETWORKS = 40
_SHOWN_OF_MANY = 10
"""Of more networks so many are shown: of a search space single ones say little."""


def evaluate(
    platform: PlatformOption,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            "--suite",
            help="classic12, modern12, nasbench201-all, or SPACE-N: N random networks of a search space; may "
            "be repeated.",
            autocompletion=complete_suite,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            "-d",
            help="The device to measure on; not needed for a platform of a simulated accelerator.",
        ),
    ] = None,
    table: TableOption = None,
    column: ColumnOption = None,
    space: SpaceOption = None,
    unit: UnitIfGiven = None,
    quality: QualityOption = None,
    kernel_table: KernelTableOption = None,
    columns: ColumnsOption = None,
    networks: NetworksOption = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, help="Seed of the device's noise, and of which networks SPACE-N draws."
        ),
    ] = None,
    jobs: JobsOption = 1,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Compare predicted with measured latencies on suites of networks, for all four layer models.

    Energies are compared as well where both the device and the platform know them. With 40 networks or more
    it is also shown what a search that trusts the predictions would find. Instead of measuring a suite,
    latencies that others recorded on a real device can be read from a CSV or Parquet file, and end-to-end
    times from a kernel table as annette import takes it.

    Example: annette evaluate --platform zcu102-dpu --suite classic12
    """
    if kernel_table is None and (columns is not None or networks is not None):
        raise UsageError("--columns and --networks belong to --kernel-table")
    if sum(source is not None for source in (suite, table, kernel_table)) != 1:
        raise UsageError(
            "expected one of --suite, networks to measure, --recorded-table and --kernel-table, files"
        )
    if kernel_table is not None:
        if column or space or quality or unit or seed is not None:
            raise UsageError(
                "--device-column, --space, --unit, --quality-column and --seed say nothing of --kernel-table"
            )
        document = evaluate_kernel_table(platform, kernel_table, columns, networks=networks, device=device)
    elif table is None:
        if column or space or quality or unit:
            raise UsageError(
                "--device-column, --space, --unit and --quality-column belong to --recorded-table"
            )
        suites = suite or []
        twice = next((name for name in suites if suites.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"--suite {twice}: given twice, expected each suite once")
        document = _measured(platform, suites, device, seed, jobs)
    else:
        if device is not None:
            raise UsageError("--device measures: with --recorded-table choose a column by --device-column")
        if seed is not None:
            raise UsageError("--seed belongs to --suite: what --recorded-table holds was measured already")
        document = evaluate_recorded(
            platform, table, column, space=space, unit=unit, quality=quality, jobs=jobs
        )
    if output is OutputFormat.JSON:
        print_json(document)
    elif table is None or kernel_table is not None:
        print_evaluation(document)
    else:
        print_table_evaluation(document)


def _measured(
    platform: str, suite: Sequence[str], device: str | None, seed: int | None, jobs: int
) -> dict[str, object]:
    from annette.estimation.catalogue import load_platform
    from annette.evaluation.suite import evaluate_suite

    trained = load_platform(platform)
    with progress_bar(f"measuring {', '.join(suite)}") as on_progress:
        answer = evaluate_suite(
            trained,
            suite,
            device=device,
            seed=seed or 0,
            sample_seed=seed,
            jobs=jobs,
            on_progress=on_progress,
        )
    return answer.to_dict()


def print_evaluation(document: Mapping[str, Any]) -> None:
    """The networks with measured and predicted latencies, then the figures of merit of each layer model."""
    models = [name for name in MODEL_TITLES if name in document["models"]]
    networks = document["networks"]
    most = _MOST_NETWORKS if len(networks) <= _MOST_NETWORKS else _SHOWN_OF_MANY
    print_line(
        f"{document['suite']} on {document['device']}, platform {document['platform']}: "
        "predicted latency (error against the measurement)",
        bold=True,
    )
    rows = [
        (item["name"], format_seconds(item["measured_s"]), *(_against(item, name) for name in models))
        for item in networks[:most]
    ]
    print_table(("network", "measured", *(MODEL_TITLES[name] for name in models)), rows)
    if len(networks) > most:
        more = format_number(len(networks) - most, "more network")
        print_line(f"... and {more} (--format json has them all)")
    print_line()
    figures = [
        (
            MODEL_TITLES[name],
            *(format_fraction(values[key]) for key in ("mape", "bias", "within_10_percent")),
            *(format_rank(values[key]) for key in ("spearman", "kendall_tau")),
        )
        for name, values in document["models"].items()
        if name in MODEL_TITLES
    ]
    print_table(("layer model", "MAPE", "bias", "within 10 %", "Spearman", "Kendall tau"), figures)
    _print_intervals(document)
    print_groups(document)
    print_ranking(document["models"])
    _print_energy(document, models, most)
    if document.get("spread_fraction") is not None:
        worst = max(networks, key=lambda item: item["spread_fraction"] or 0.0)
        print_line(
            f"measurement: visits of a network differ by {format_fraction(document['spread_fraction'])}, at "
            f"most by {format_fraction(worst['spread_fraction'])} ({worst['name']})"
        )
    exact = document["mapping_accuracy"]
    if exact is None:
        print_line("mapping: not known, the device reports no kernels")
    else:
        print_line(f"mapping: {format_fraction(exact)} of the kernels predicted exactly")
    failed = document.get("failed", ())
    for failure in failed[:_MOST_FAILURES]:
        print_line(f"left out: {failure['name']}: {failure['error']}")
    if len(failed) > _MOST_FAILURES:
        more = format_number(len(failed) - _MOST_FAILURES, "more network")
        print_line(f"left out: {more} (--format json has them all)")


def _against(item: Mapping[str, Any], model: str) -> str:
    predicted, measured = item[f"{model}_s"], item["measured_s"]
    error = f"{100 * (predicted / measured - 1):+.1f} %" if measured > 0 else "-"
    return f"{format_seconds(predicted)} ({error})"


def _print_intervals(document: Mapping[str, Any]) -> None:
    """What the 90 % intervals of each layer model hold, of all networks and of each of several suites."""
    rows = []
    for name, title in MODEL_TITLES.items():
        score = document["models"].get(name, {}).get("interval")
        if score is not None:
            kernels = document["models"][name]["kernel_coverage"]
            rows.append(
                (title, *_interval_cells(score), "-" if kernels is None else format_fraction(kernels))
            )
    groups = document.get("groups", {})
    for group, part in groups.items() if len(groups) > 1 else ():
        score = part["intervals"].get("mixed")
        if score is not None:
            rows.append((f"mixed, {group}", *_interval_cells(score), "-"))
    if rows:
        print_line()
        head = ("networks inside", "median half-width", "kernels inside")
        print_table(("90 % intervals", *head), rows)


def _interval_cells(score: Mapping[str, Any]) -> tuple[str, str]:
    return format_fraction(score["coverage"]), format_fraction(score["median_half_width"])


def _print_energy(document: Mapping[str, Any], models: Sequence[str], most: int) -> None:
    """The same two tables of energy, where device and platform know it."""
    if document.get("energy") is None:
        return
    print_line("\nenergy", bold=True)
    known = [item for item in document["networks"] if item.get("measured_j") and "mixed_j" in item]
    rows = [
        (
            item["name"],
            format_joules(item["measured_j"]),
            *(_error_j(item[f"{name}_j"], item["measured_j"]) for name in models),
        )
        for item in known[:most]
    ]
    print_table(("network", "measured", *(MODEL_TITLES[name] for name in models)), rows)
    print_line()
    figures = [
        (
            MODEL_TITLES[name],
            *(format_fraction(values[key]) for key in ("mape", "bias")),
            format_rank(values["spearman"]),
        )
        for name, values in document["energy"]["models"].items()
        if name in MODEL_TITLES
    ]
    print_table(("layer model", "MAPE", "bias", "Spearman"), figures)


def _error_j(predicted_j: float, measured_j: float) -> str:
    return f"{format_joules(predicted_j)} ({100 * (predicted_j / measured_j - 1):+.1f} %)"
