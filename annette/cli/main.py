"""The annette command: collects the sub-commands and turns every error into one line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from annette import __version__
from annette.cli import (
    benchmark,
    calibrate,
    check,
    compare,
    demo,
    diagnose,
    estimate,
    evaluate,
    explain,
    explore,
    import_table,
    listing,
    measure,
    report,
    show,
    store,
    suggest,
    train,
)
from annette.cli.completion import join_bash_words
from annette.cli.console import error_line
from annette.errors import AnnetteError, UsageError

__all__ = ["app", "exit_code", "run"]

app = typer.Typer(
    name="annette",
    help=(
        "Predicts how long a neural network runs on a device, without the device at hand.\n\n"
        "Start with:  annette estimate zoo:resnet50 --platform zcu102-dpu"
    ),
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
_INTERRUPTED = 130
"""What shells expect of a command ended by Ctrl-C; Typer answers the same."""
for command in (
    estimate.estimate, check.check, compare.compare, measure.measure, diagnose.diagnose, explain.explain,
    evaluate.evaluate, benchmark.benchmark, train.train, suggest.suggest, calibrate.calibrate, report.report,
    show.show, listing.networks, listing.devices, listing.platforms, demo.demo,
):  # fmt: skip
    app.command()(command)
app.command("import")(import_table.import_table)
app.add_typer(explore.explore)
app.add_typer(store.store)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"annette {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log to stderr; twice for more.")
    ] = 0,
) -> None:
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    logging.basicConfig(
        level=levels[min(verbose, 2)], format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)


def run() -> None:
    """Run the command line; exit code 0 done, 1 failed, 2 wrong call, 130 interrupted."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    join_bash_words(os.environ)
    sys.exit(exit_code(sys.argv[1:]))


def exit_code(arguments: list[str]) -> int:
    """Run one command and say how it ended, with one line on stderr for every failure."""
    try:
        answer = app(args=arguments, prog_name="annette", standalone_mode=False)
        sys.stdout.flush()
        if answer == _INTERRUPTED:
            raise KeyboardInterrupt
        return answer if isinstance(answer, int) else 0
    except (BrokenPipeError, SystemExit) as error:
        if not isinstance(error.__context__ or error, BrokenPipeError):
            raise
        # The reader of our output has left, which is no failure; rich and Typer make a SystemExit of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (KeyboardInterrupt, typer.Abort) as error:
        command = next((word for word in arguments if not word.startswith("-")), "")
        kept = "what was measured is kept, the same command goes on from there"
        rest = kept if command in ("benchmark", "demo") else "nothing was written"
        if arguments[:2] == ["explore", "sweep"]:
            rest = "nothing was done yet"
        # A command that was interrupted after it has done something says so in its typer.Abort.
        return _failed(f"interrupted; {str(error) or rest}", _INTERRUPTED)
    except TyperException as error:
        text = error.format_message()
        return _failed(f"{text} (see annette --help, annette COMMAND --help)", error.exit_code) if text else 2
    except UsageError as error:
        return _failed(str(error), 2)
    except AnnetteError as error:
        return _failed(str(error), 1)
    except MemoryError:
        return _failed("out of memory: the input asks for more than this machine has", 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(f"{where}{error.strerror or error}", 1)


def _failed(text: str, code: int) -> int:
    error_line(text)
    return code
