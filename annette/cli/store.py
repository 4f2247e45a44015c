"""``annette store``: checks campaign stores, and saves what can be read of damaged or old ones."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annette.cli.console import OutputFormat, note_line, print_json, print_line
from annette.cli.options import FormatOption
from annette.errors import StoreError
from annette.units import format_number

if TYPE_CHECKING:
    from annette.store.salvage import StoreCheck

__all__ = ["check", "export", "store"]

_StoreArgument = Annotated[
    Path, typer.Argument(metavar="STORE", help="What annette benchmark --store FILE wrote.")
]


def check(store: _StoreArgument, output: FormatOption = OutputFormat.TABLE) -> None:
    """Read every row of a campaign store; exit code 1 if one is damaged.

    Example: annette store check run.db
    """
    from annette.store.salvage import check_store

    found = check_store(store)
    _show(found, output)
    if not found.is_sound:
        lost = format_number(found.damaged_tasks, "task"), format_number(found.damaged_visits, "measurement")
        raise StoreError(
            f"store {store}: damaged: {lost[0]} and {lost[1]} cannot be read; restore a copy, or save the "
            f"rest with `annette store export {shlex.quote(str(store))} NEW.db`"
        )


def export(
    store: _StoreArgument,
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The new store.")],
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Write what can be read of a damaged store, or of one of an older version, into a new store.

    The campaign goes on with the new one: annette benchmark measures again what was lost.

    Example: annette store export damaged.db saved.db
    """
    from annette.store.salvage import export_store

    found = export_store(store, new)
    _show(found, output)
    note_line(f"wrote {new}")
    if found.damaged_tasks or found.damaged_visits:
        note_line(
            f"{format_number(found.damaged_tasks, 'task')} and "
            f"{format_number(found.damaged_visits, 'measurement')} are lost; run the same annette benchmark "
            f"command with --store {shlex.quote(str(new))} to measure them again"
        )


def _show(found: StoreCheck, output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        print_json({"schema_version": 1, **found.to_dict()})
        return
    print_line(f"{found.path}: schema version {found.schema_version}", bold=True)
    print_line(
        f"{format_number(found.tasks, 'task')} and {format_number(found.visits, 'measurement')} can be read"
    )
    for fault in found.faults:
        print_line(f"- {fault}")


store = typer.Typer(
    name="store",
    help="Check campaign stores, and save what can be read of damaged or old ones.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
store.command()(check)
store.command()(export)


@store.callback()
def _store(context: typer.Context) -> None:
    """Check campaign stores, and save what can be read of damaged or old ones.

    Start with:  annette store check run.db
    """
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)
