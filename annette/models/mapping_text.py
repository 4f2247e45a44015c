"""Mapping rules as sentences for people, and the checks of their JSON text."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from collections.abc import Mapping as MappingType

from annette.errors import ModelError
from annette.models.mapping_moves import MOVED, MoveKey
from annette.models.mapping_rules import MERGED, VANISHES, Key
from annette.models.rule_text import tree_from_json, tree_rules
from annette.models.rule_tree import Leaf, Tree, leaves
from annette.store.strict_json import parse_strict_json, shorten

__all__ = [
    "SCHEMA_VERSION",
    "describe_merges",
    "describe_moves",
    "describe_placement",
    "describe_siblings",
    "describe_vanishing",
    "object_of",
    "parse_document",
    "table_from_json",
    "words_of",
]

SCHEMA_VERSION = 1
_JOIN = " + "
_ANY_OTHER = "any other "
"""Begins the title of a family, whose rules hold for operators that have none of their own."""
_MAX_TEXT = 64 << 20


# Sentences ---------------------------------------------------------------------------------------


def describe_vanishing(rules: MappingType[Key, Tree]) -> Iterator[str]:
    """One line for each operator that vanishes at times."""
    for (name,), tree in rules.items():
        if any(leaf.fraction(VANISHES) > 0 for leaf in leaves(tree)):
            yield f"{_title(name)} -> {_describe(tree, VANISHES)}"


def describe_merges(rules: MappingType[Key, Tree]) -> Iterator[str]:
    """One line for each pair that merges at times, then those that never do, by kernel."""
    apart: dict[str, list[str]] = {}
    for (kernel, layer), tree in rules.items():
        if any(leaf.label == MERGED for leaf in leaves(tree)):
            yield f"{_title(kernel)}{_JOIN}{_title(layer)} -> {_describe(tree, MERGED)}"
        elif not kernel.startswith("family:") and not layer.startswith("family:"):
            apart.setdefault(kernel, []).append(layer)
    yield from (f"{kernel}{_JOIN}{', '.join(layers)} -> never merged" for kernel, layers in apart.items())


def describe_siblings(operators: Iterable[str]) -> Iterator[str]:
    """One line for each operator whose layers are joined where they share a tensor out."""
    for name in sorted(operators):
        yield f"{name}{_JOIN}{name} -> merged if together they take all of one tensor"


def describe_placement(rules: MappingType[Key, Tree]) -> Iterator[str]:
    """The conditions of each unit, then by unit the operators that always run there."""
    placed: dict[str, list[str]] = {}
    for (name,), tree in rules.items():
        if isinstance(tree, Leaf):
            placed.setdefault(tree.label, []).append(_title(name))
        else:
            units = sorted({leaf.label for leaf in leaves(tree)})
            yield from (f"{_title(name)} -> {_describe(tree, unit, f'on {unit}')}" for unit in units)
    for unit, names in sorted(placed.items()):
        for is_family in (False, True):
            titles = [name for name in names if name.startswith(_ANY_OTHER) == is_family]
            if titles:
                yield f"{', '.join(titles)} -> on {unit}"


def describe_moves(rules: MappingType[MoveKey, Tree]) -> Iterator[str]:
    """One line for each kind of move and pair of units."""
    for (move, maker, reader), tree in rules.items():
        yield f"a tensor made on {maker}, read on {reader} -> {_describe(tree, MOVED, move)}"


def _title(part: str) -> str:
    return f"{_ANY_OTHER}{part.removeprefix('family:')}" if part.startswith("family:") else part


def _describe(tree: Tree, label: str, verb: str | None = None) -> str:
    """``always merged (512 of 512)``, ``merged if kernel_h <= 3 (203 of 210)``, ``never merged (9 of 9)``."""
    verb = verb or label
    if isinstance(tree, Leaf):
        counts = dict(tree.counts)
        answer = verb if tree.label == label else f"never {verb}"
        agree = counts.get(label, 0) if tree.label == label else tree.total - counts.get(label, 0)
        sure = "always " if answer == verb and agree == tree.total else ""
        return f"{sure}{answer} ({agree} of {tree.total})"
    paths = [
        f"{path} ({dict(leaf.counts).get(label, 0)} of {leaf.total})"
        for path, leaf in tree_rules(tree, label)
    ]
    return f"{verb} if {'; or '.join(paths)}" if paths else f"never {verb}"


# JSON --------------------------------------------------------------------------------------------


def parse_document(text: str) -> dict[str, object]:
    """The object in a mapping model's file.

    Raises
    ------
    ModelError
        If the text is something else, or of another schema version.
    """
    if len(text) > _MAX_TEXT:
        raise ModelError(f"mapping model: {len(text)} characters, expected at most {_MAX_TEXT}")
    try:
        data = parse_strict_json(text)
    except ValueError as err:
        raise ModelError(f"mapping model: {err}; train the platform again") from err
    if not isinstance(data, dict):
        raise ModelError(
            f"mapping model: {type(data).__name__}, expected an object; train the platform again"
        )
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ModelError(
            f"mapping model: schema_version {shorten(repr(version))}, expected {SCHEMA_VERSION}; "
            "train the platform with this version of annette"
        )
    return data


def table_from_json(
    data: MappingType[str, object], kind: str, parts: int, features: Container[str]
) -> dict[Key, Tree]:
    """The trees of one kind by key, sorted; each key has so many parts.

    Raises
    ------
    ModelError
        If there are none, or one is damaged.
    """
    entries = {tuple(name.split(_JOIN)): item for name, item in object_of(data, kind).items()}
    if any(len(key) != parts for key in entries):
        raise ModelError(f"mapping model: {kind} rules with {parts} names each expected; train it again")
    return {
        key: tree_from_json(item, f"mapping model: {kind} rule {_JOIN.join(key)!r}", features)
        for key, item in sorted(entries.items())
    }


def words_of(data: MappingType[str, object], name: str) -> frozenset[str]:
    """The words listed under a name; ModelError where there is no list."""
    value = data.get(name)
    if not isinstance(value, list):
        raise ModelError(
            f"mapping model: {name!r} is {type(value).__name__}, expected a list; train it again"
        )
    return frozenset(map(str, value))


def object_of(data: MappingType[str, object], name: str) -> dict[str, object]:
    """The object under a name; ModelError where there is none."""
    value = data.get(name)
    if not isinstance(value, dict):
        raise ModelError(f"mapping model: {name!r} is {type(value).__name__}, expected an object")
    return value
