"""``annette explore``: design-space studies on accelerators."""

from __future__ import annotations

import sys

import typer

from annette.cli.explore_scale import scale
from annette.cli.explore_sweep import sweep
from annette.cli.explore_systolic import systolic
from annette.cli.explore_tradeoff import tradeoff

__all__ = ["explore"]

explore = typer.Typer(
    name="explore",
    help="Design-space studies on accelerators.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
for command in (scale, sweep, systolic, tradeoff):
    explore.command()(command)


@explore.callback()
def _explore(context: typer.Context) -> None:
    """Design-space studies on accelerators.

    Start with:  annette explore scale --macs 16384 --network zoo:resnet50
    """
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)
