"""``annette train``: fits a platform to a campaign's measurements."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annette.cli.console import OutputFormat, note_line, print_json, print_line, stages
from annette.cli.options import FormatOption, SeedOption
from annette.cli.show import platform_document, print_platform
from annette.errors import UsageError

if TYPE_CHECKING:
    from annette.estimation.platform import Platform

__all__ = ["train", "train_platform"]


def train(
    store: Annotated[
        Path,
        typer.Argument(
            metavar="STORE", help="What annette benchmark wrote: a store, or a campaign recorded as .parquet."
        ),
    ],
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder of the new platform.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the platform; the device's if not given.")
    ] = None,
    seed: SeedOption = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a platform that is in the folder already.")
    ] = False,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Fit the mapping model and the four layer models to the measurements in STORE.

    Example: annette train run.db --output my-platform
    """
    platform = train_platform(store, folder, name=name, seed=seed, force=force)
    if output is OutputFormat.JSON:
        print_json({"folder": str(folder), **platform_document(platform)})
        return
    print_platform(platform, rules=False)
    print_line(
        f"\nkept in {folder}; next: annette estimate zoo:resnet50 --platform {shlex.quote(str(folder))}"
    )


def train_platform(
    store: Path, folder: Path, *, name: str | None = None, seed: int = 0, force: bool = False
) -> Platform:
    """Fit a platform to the measurements in ``store`` and keep it in ``folder``.

    Raises
    ------
    UsageError
        If the folder is taken and ``force`` is not given, or the name is none for a platform.
    StoreError
        If the folder cannot be written, before anything is fitted.
    """
    from annette.estimation.platform import Platform, is_platform_name
    from annette.models.generator import generate_platform
    from annette.store.bundle import require_replaceable
    from annette.store.campaign import CampaignStore

    if folder.exists() and not force:
        raise UsageError(f"{folder}: exists already; name a new folder, or replace the platform with --force")
    if name is not None and not is_platform_name(name):
        raise UsageError(
            f"--name {name!r}: expected up to 64 letters, digits, dots, _ and -, the first a letter or digit"
        )
    require_replaceable(folder)
    if not store.is_file():
        found = "a folder" if store.is_dir() else "no such file"
        raise UsageError(
            f"store {store}: {found}, expected the file that annette benchmark --store FILE writes"
        )
    with stages(f"training on {store}") as on_stage, CampaignStore.open(store) as kept:
        summary = kept.summary()
        if summary.pending:
            note_line(
                f"{store}: {summary.pending} of {summary.planned} benchmarks are not measured yet, so expect "
                "larger errors; run the same annette benchmark command again to finish"
            )
        parts = generate_platform(kept, seed=seed, name=name, on_progress=on_stage)
    platform = Platform.from_parts(parts)
    platform.save(folder)
    return platform
