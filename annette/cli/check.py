"""``annette check``: whether a network keeps a budget, as a command for continuous integration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from annette.cli.console import OutputFormat, print_json, print_line, print_table, verdict_tone
from annette.cli.options import (
    BatchOption,
    FormatOption,
    ModelOption,
    NetworkArgument,
    PlatformOption,
    ShapeOption,
    check_model,
    open_network_argument,
    parse_quantity,
)
from annette.errors import AnnetteError, UsageError
from annette.units import format_fraction, format_joules, format_seconds, parse_joules, parse_seconds

if TYPE_CHECKING:
    from annette.estimation.budget import BudgetCheck

__all__ = ["check"]


def check(
    network: NetworkArgument,
    platform: PlatformOption,
    max_latency: Annotated[
        str | None,
        typer.Option(
            "--max-latency", metavar="TIME", help="What it may take, with a unit: 30ms, 0.03s, 500us."
        ),
    ] = None,
    max_energy: Annotated[
        str | None,
        typer.Option(
            "--max-energy",
            metavar="ENERGY",
            help="The same for the energy, where the platform knows it: 2mJ.",
        ),
    ] = None,
    at_least: Annotated[
        str,
        typer.Option(
            "--at-least",
            metavar="VERDICT",
            help="The worst verdict that passes: solid, or check, which fails what is not to be relied on.",
        ),
    ] = "check",
    upper_end: Annotated[
        bool,
        typer.Option(
            "--upper-end", help="The upper end of the 90 % interval must keep the latency, not the estimate."
        ),
    ] = False,
    model: ModelOption = "mixed",
    shape: ShapeOption = None,
    batch: BatchOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Check that NETWORK keeps a budget: exit code 1 if not.

    The same if the estimate is not sure enough to say so.

    Example: annette check zoo:resnet18 --platform zcu102-dpu --max-latency 30ms
    """
    from annette.estimation.budget import AT_LEAST, Budget, check_budget
    from annette.estimation.catalogue import load_platform

    check_model(model)
    if max_latency is None and max_energy is None:
        raise UsageError(
            "nothing to check: expected --max-latency, as in --max-latency 30ms, or --max-energy"
        )
    if at_least not in AT_LEAST:
        raise UsageError(f"--at-least {at_least}: expected {' or '.join(AT_LEAST)}")
    if upper_end and max_latency is None:
        raise UsageError("--upper-end is about the latency: expected --max-latency beside it")
    budget = Budget(
        max_latency_s=parse_quantity("--max-latency", max_latency, parse_seconds),
        max_energy_j=parse_quantity("--max-energy", max_energy, parse_joules),
        at_least=at_least,
        upper_end=upper_end,
    )
    graph = open_network_argument(network, shape, batch)
    answer = check_budget(load_platform(platform).estimate(graph, model=model), budget)
    if output is OutputFormat.JSON:
        print_json(answer.to_dict())
    else:
        _print(answer)
    if not answer.passed:
        raise AnnetteError(
            f"{answer.estimate.network} on {answer.estimate.platform}: {'; '.join(answer.failures)}"
        )


def _print(answer: BudgetCheck) -> None:
    found, budget = answer.estimate, answer.budget
    outcome = "within the budget" if answer.passed else "NOT within the budget"
    print_line(
        f"{found.network} on {found.platform}: {outcome}", bold=True, tone="good" if answer.passed else "bad"
    )
    interval = "-"
    if found.interval is not None:
        interval = f"{format_seconds(found.interval.low_s)} to {format_seconds(found.interval.high_s)}"
    compared_s = found.interval.high_s if budget.upper_end and found.interval else found.latency_s
    rows = [
        _row("latency", found.latency_s, compared_s, interval, budget.max_latency_s, format_seconds),
        _row("energy", found.energy_j, found.energy_j, "-", budget.max_energy_j, format_joules),
    ]
    print_table(("", "predicted", "90 % interval", "limit", "used"), [row for row in rows if row])
    if budget.upper_end:
        print_line("the upper end of the interval is what is compared")
    verdict = found.verdict
    print_line(f"verdict: {' '.join((verdict.title, *verdict.reasons))}", tone=verdict_tone(verdict.level))


def _row(
    name: str,
    value: float | None,
    compared: float | None,
    interval: str,
    limit: float | None,
    text: Callable[[float], str],
) -> tuple[str, ...]:
    """One line of the table; nothing for what is neither known nor limited."""
    if value is None or compared is None:
        return ()
    if limit is None:
        return (name, text(value), interval, "-", "-")
    return (name, text(value), interval, text(limit), format_fraction(compared / limit))
