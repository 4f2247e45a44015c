"""Completion in shells: what a word may become, without loading anything heavy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path

__all__ = [
    "complete_device",
    "complete_model",
    "complete_network",
    "complete_plan",
    "complete_platform",
    "complete_side",
    "complete_store",
    "complete_suite",
    "complete_target",
    "join_bash_words",
]

_VARIABLE = "_ANNETTE_COMPLETE"
"""Set by the shell's script, which `annette --install-completion` installs."""
_PREFIX = "_ANNETTE_COMPLETE_PREFIX"
"""What stands before the word in bash, which takes a colon for the end of one: ``zoo:``."""
_MOST_FILES = 200


def join_bash_words(environment: MutableMapping[str, str]) -> None:
    """Put right what bash makes of ``zoo:res``: three words, of which the last is completed.

    Nothing happens unless bash asks for a completion.

    Parameters
    ----------
    environment : mapping
        That of the process; the words in it, their number and what stands before the last are changed.

    Examples
    --------
    >>> asked = {"COMP_WORDS": "annette show zoo : res", "COMP_CWORD": "4"}
    >>> asked["_ANNETTE_COMPLETE"] = "complete_bash"
    >>> join_bash_words(asked)
    >>> asked["COMP_WORDS"].split(), asked["COMP_CWORD"], asked["_ANNETTE_COMPLETE_PREFIX"]
    (['annette', 'show', 'res'], '2', 'zoo:')
    """
    environment.pop(_PREFIX, None)
    if environment.get(_VARIABLE) != "complete_bash" or not environment.get("COMP_CWORD", "").isdigit():
        return
    separator = "\n" if "\n" in environment.get("COMP_WORDS", "") else " "
    words = environment.get("COMP_WORDS", "").split(separator)
    at = int(environment["COMP_CWORD"])
    before, last = words[:at], words[at] if at < len(words) else ""
    if last == ":":
        before, last = [*before, ":"], ""
    prefix = ""
    while len(before) > 2 and before[-1] == ":":
        prefix = f"{before[-2]}:{prefix}"
        del before[-2:]
    if prefix:
        environment.update(
            {_PREFIX: prefix, "COMP_WORDS": separator.join([*before, last]), "COMP_CWORD": str(len(before))}
        )


def complete_network(incomplete: str) -> list[str]:
    """Networks of the zoo behind ``zoo:``, else ONNX files, JSON graphs and folders."""
    from annette.zoo.registry import list_networks

    return _answer(incomplete, [f"zoo:{entry.name}" for entry in list_networks()], (".onnx", ".json"))


def complete_platform(incomplete: str) -> list[str]:
    """Platforms that ship with annette, and folders."""
    from annette.resources import resource_folder

    shipped = resource_folder("trained_models")
    names = [item.name for item in shipped.iterdir() if item.is_dir()] if shipped.is_dir() else []
    return _answer(incomplete, sorted(names), ())


def complete_device(incomplete: str) -> list[str]:
    """Simulated accelerators by name, the runtimes, and what stands before a file's name."""
    from annette.hardware.codec import list_accelerators

    kinds = ("onnxruntime", "openvino", "simulator:", "command:", "replay:")
    names = [name for name, _ in list_accelerators()]
    full = [*names, *kinds, *(f"simulator:{name}" for name in names)]
    return _answer(incomplete, full, (".yaml", ".yml", ".db", ".parquet"))


def complete_target(incomplete: str) -> list[str]:
    """What can be shown: platforms, networks and accelerators."""
    from annette.hardware.codec import list_accelerators

    accelerators = [f"simulator:{name}" for name, _ in list_accelerators()]
    found = [*complete_platform(incomplete), *complete_network(incomplete)]
    return list(dict.fromkeys([*found, *_answer(incomplete, accelerators, ())]))


def complete_model(incomplete: str) -> list[str]:
    """The four layer models."""
    return _answer(incomplete, ("roofline", "refined_roofline", "statistical", "mixed"))


def complete_side(incomplete: str) -> list[str]:
    """What can be compared: platforms, networks, and files with measurements."""
    files = _answer(incomplete, (), (".db", ".parquet"))
    return list(dict.fromkeys([*complete_platform(incomplete), *complete_network(incomplete), *files]))


def complete_store(incomplete: str) -> list[str]:
    """Campaigns: stores and their Parquet files."""
    return _answer(incomplete, (), (".db", ".parquet"))


def complete_plan(incomplete: str) -> list[str]:
    """Plans that ship with annette, and YAML files."""
    from annette.resources import resource_folder

    names = sorted(path.stem for path in resource_folder("plans").glob("*.yaml"))
    return _answer(incomplete, names, (".yaml", ".yml"))


def complete_suite(incomplete: str) -> list[str]:
    """Suites by name."""
    from annette.zoo.suites import list_suites

    return _answer(incomplete, [name for name, _ in list_suites()])


def _answer(incomplete: str, names: Iterable[str], endings: tuple[str, ...] | None = None) -> list[str]:
    """The names that the word may become, and the files with one of the endings (``()``: folders only).

    Of many names that share what stands before a colon, only that is offered until it has been typed.
    """
    prefix = os.environ.get(_PREFIX, "")
    word = prefix + incomplete
    found = [name for name in names if name.startswith(word)]
    if ":" not in word:
        found = list(dict.fromkeys(f"{name.split(':')[0]}:" if ":" in name else name for name in found))
    found = [name.removeprefix(prefix) for name in found]
    if endings is not None and (not prefix or prefix in ("simulator:", "command:", "replay:")):
        found += _files(incomplete, endings)
    return found


def _files(incomplete: str, endings: tuple[str, ...]) -> Iterator[str]:
    """Folders and files that the word may become; hidden ones only where a dot was typed."""
    folder, _, start = incomplete.rpartition("/")
    base = Path(f"{folder}/" if "/" in incomplete else ".")
    try:
        entries = sorted(item for item in base.iterdir() if item.name.startswith(start))[:_MOST_FILES]
    except OSError:
        return
    for item in entries:
        if item.name.startswith(".") and not start.startswith("."):
            continue
        name = f"{folder}/{item.name}" if "/" in incomplete else item.name
        if item.is_dir():
            yield f"{name}/"
        elif item.suffix.lower() in endings:
            yield name
