"""``annette networks``, ``annette devices``, ``annette platforms``: what there is."""

from __future__ import annotations

from collections.abc import Iterable

from annette.cli.console import OutputFormat, print_json, print_line, print_table
from annette.cli.options import FormatOption

__all__ = ["devices", "networks", "platforms"]


def networks(output: FormatOption = OutputFormat.TABLE) -> None:
    """List the networks of the zoo and the suites used for evaluation."""
    from annette.zoo.registry import list_networks
    from annette.zoo.suites import list_suites

    _print(((entry.name, entry.description) for entry in list_networks()), output)
    if output is OutputFormat.TABLE:
        print_line("\nUse one as zoo:NAME or zoo:NAME,width=0.5. Suites for annette evaluate:")
        print_table(("suite", "networks"), list_suites(), left=2)


def devices(output: FormatOption = OutputFormat.TABLE) -> None:
    """List the devices that networks can be timed on."""
    from annette.backends.registry import list_devices

    _print(list_devices(), output)


def platforms(output: FormatOption = OutputFormat.TABLE) -> None:
    """List the trained platforms that ship with annette."""
    from annette.estimation.catalogue import list_platforms

    _print(list_platforms(), output)


def _print(entries: Iterable[tuple[str, str]], output: OutputFormat) -> None:
    rows = tuple(entries)
    if output is OutputFormat.JSON:
        print_json([{"name": name, "description": description} for name, description in rows])
    else:
        print_table(("name", "description"), rows, left=2)
