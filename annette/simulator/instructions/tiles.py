"""Nests of tiles as programs: each tile loaded one ahead while the one before is at work, or all in turn.

A front-end issues in order, and the bus serves its users in that order: what is to overlap with the work on
a tile must stand before it in the program. A tile in the midst is: synchronise with what was loaded for it,
load for the next, store the results of the one before, work. The store comes after the load, since it may
have to wait for the post-processor, and would keep the load from the bus meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from annette.simulator.instructions.machine import Block, Loop

__all__ = ["Group", "Repeat", "Tile", "TileNest", "pipelined", "repeat", "serial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One tile; any of its parts may be empty."""

    load: Block
    sync: Block
    """Waits for all that is loaded by now, and takes room for the results."""
    work: Block
    store: Block = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tiles that share an operand: loaded along with the first of them, freed after the last."""

    load: Block
    body: TileNest
    free: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """Equal tiles or groups, so many times; >= 1."""

    count: int
    body: TileNest


TileNest: TypeAlias = tuple[Tile | Group | Repeat, ...]
"""What runs one after the other; not empty."""


def repeat(count: int, body: Block) -> Block:
    """``body`` so many times, with as few loops as that takes."""
    if count == 1 or not body:
        return body
    if len(body) == 1 and isinstance(body[0], Loop):
        return (Loop(count=count * body[0].count, body=body[0].body),)
    return (Loop(count=count, body=body),)


def serial(nest: TileNest) -> Block:
    """Every tile loaded, computed and stored before the next is loaded."""
    items: list[Block] = []
    for item in nest:
        if isinstance(item, Tile):
            items.append((*item.load, *item.sync, *item.work, *item.store))
        elif isinstance(item, Group):
            items.append((*item.load, *serial(item.body), *item.free))
        else:
            items.append(repeat(item.count, serial(item.body)))
    return _joined(items)


def pipelined(nest: TileNest) -> Block:
    """Every tile loaded right after the tile before it has begun, and stored right after the next has."""
    return (*_first_load(nest), *_scheduled(nest, (), ()), *_last_store(nest))


def _scheduled(nest: TileNest, before: Block, after: Block) -> Block:
    """``nest`` without its first load and last store.

    Its first tile stores ``before``, the results of what comes before it; its last tile loads ``after``, for
    what follows it.
    """
    items: list[Block] = []
    for index, item in enumerate(nest):
        store = _last_store(nest[:index]) if index else before
        load = _first_load(nest[index + 1 :]) if index + 1 < len(nest) else after
        if isinstance(item, Tile):
            items.append((*item.sync, *load, *store, *item.work))
        elif isinstance(item, Group):
            items.append((*_scheduled(item.body, store, load), *item.free))
        else:
            items.append(_repeated(item, store, load))
    return _joined(items)


def _repeated(item: Repeat, before: Block, after: Block) -> Block:
    """The first and the last time apart from the others, as far as they differ."""
    load, store = _first_load(item.body), _last_store(item.body)
    if item.count == 1:
        return _scheduled(item.body, before, after)
    is_first_other, is_last_other = before != store, after != load
    middle = item.count - is_first_other - is_last_other
    return (
        *(_scheduled(item.body, before, load) if is_first_other else ()),
        *(repeat(middle, _scheduled(item.body, store, load)) if middle else ()),
        *(_scheduled(item.body, store, after) if is_last_other else ()),
    )


def _last_store(nest: TileNest) -> Block:
    """What is left to be stored after the last tile of ``nest``."""
    last = nest[-1]
    return last.store if isinstance(last, Tile) else _last_store(last.body)


def _first_load(nest: TileNest) -> Block:
    """What must be loaded before the first tile of ``nest``."""
    first = nest[0]
    if isinstance(first, Tile):
        return first.load
    if isinstance(first, Group):
        return (*_first_load(first.body), *first.load)
    return _first_load(first.body)


def _joined(blocks: Sequence[Block]) -> Block:
    return tuple(item for block in blocks for item in block)
