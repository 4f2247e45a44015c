"""Mosaics: benchmark networks of many pieces one after the other, so that kernels are timed in company."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy

from annette.benchmark.growing import GrowingBuilder, kernels_about
from annette.benchmark.micro_matrix import Sampler
from annette.benchmark.quantised import draw_quantised
from annette.benchmark.sampling import Draw, draws
from annette.benchmark.supply import Supply
from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.graph.work import network_work
from annette.store.records import Task

__all__ = ["Limits", "NetworkSizes", "Piece", "draw_pieces", "lay_mosaic", "mosaic_tasks", "pack_pieces"]

_LEADING_KERNELS = 1.3  # layers that lead over to a piece, per tensor that it reads
_MAX_ATTEMPTS = 50
_PIECE_SHARE = 0.5  # of a mosaic's limits that one piece may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest benchmark networks: what is larger is drawn again."""

    macs: int
    """Multiply-accumulates of a network."""
    activation_elements: int
    """Elements of any one activation."""
    weight_elements: int
    """Elements of all constants of a network."""

    def admit(self, network: Network, share: float = 1.0) -> bool:
        """Whether the network is within this share of the limits (whole activations always)."""
        tensors = network.tensors.values()
        if any(tensor.size > self.activation_elements for tensor in tensors if not tensor.is_constant):
            return False
        if sum(tensor.size for tensor in tensors if tensor.is_constant) > share * self.weight_elements:
            return False
        return network_work(network).macs <= share * self.macs


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSizes:
    """How large mosaics and synthetic networks are, in weights and work over orders of magnitude."""

    kernels: int
    """About so many kernels each."""
    least_weight_elements: int
    """Weights of the lightest; the heaviest reach the limits."""
    least_macs: int
    """Work of the lightest; the heaviest reach the limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One draw of a sampler."""

    kind: str
    """The sampler's name."""
    network: Network
    macs: int
    weight_elements: int
    kernels: float
    """Its own, and those that lead over to it."""


def draw_pieces(
    seed: int, stream: str, kind: str, sampler: Sampler, count: int, limits: Limits, taken: Collection[str]
) -> Iterator[Piece]:
    """Up to ``count`` draws of one sampler that are within the limits and not among the ids ``taken``."""
    found, seen = 0, set(taken)
    points = draws(seed, f"{stream}/{kind}")
    for _ in range(count * _MAX_ATTEMPTS):
        if found == count:
            return
        build = NetworkBuilder(kind)
        network = build.finish(*sampler(next(points), build))
        if network.id in seen or not limits.admit(network, _PIECE_SHARE):
            continue
        seen.add(network.id)
        found += 1
        yield Piece(
            kind=kind,
            network=network,
            macs=network_work(network).macs,
            weight_elements=sum(item.size for item in network.tensors.values() if item.is_constant),
            kernels=kernels_about(network) + _LEADING_KERNELS * len(network.inputs),
        )


@dataclass(slots=True, kw_only=True)
class _Room:
    """What a mosaic may still take in."""

    macs: float
    weight_elements: float
    kernels: float
    pieces: list[Piece] = field(default_factory=list)

    def fits(self, piece: Piece) -> bool:
        return (
            piece.macs <= self.macs
            and piece.weight_elements <= self.weight_elements
            and (piece.kernels <= self.kernels or not self.pieces)
        )

    def add(self, piece: Piece) -> None:
        self.macs -= piece.macs
        self.weight_elements -= piece.weight_elements
        self.kernels -= piece.kernels
        self.pieces.append(piece)


def pack_pieces(
    pieces: Sequence[Piece], sizes: NetworkSizes, limits: Limits, seed: int
) -> tuple[tuple[Piece, ...], ...]:
    """The pieces in mosaics, each piece in one, in an order of chance.

    Mosaics differ in the weights and the work that they may take, by orders of magnitude; heavy pieces go
    first, into any that has room for them, the emptier the more likely.
    """
    if not pieces:
        return ()
    rng = numpy.random.default_rng((seed, 0x6D6F73))
    number = max(math.ceil(sum(piece.kernels for piece in pieces) / sizes.kernels), 1)
    steps = (numpy.arange(number) + 0.5) / number
    weights = (
        sizes.least_weight_elements * (0.9 * limits.weight_elements / sizes.least_weight_elements) ** steps
    )
    macs = sizes.least_macs * (0.9 * limits.macs / sizes.least_macs) ** steps
    rng.shuffle(macs)
    rooms = [
        _Room(macs=float(work), weight_elements=float(weight), kernels=1.15 * sizes.kernels)
        for work, weight in zip(macs, weights, strict=True)
    ]
    for piece in sorted(pieces, key=lambda item: -max(item.weight_elements, item.macs / 40)):
        fitting = [room for room in rooms if room.fits(piece)]
        if not fitting:
            fitting = [
                _Room(
                    macs=0.9 * limits.macs,
                    weight_elements=0.9 * limits.weight_elements,
                    kernels=1.15 * sizes.kernels,
                )
            ]
            rooms.append(fitting[0])
        chances = numpy.array([max(room.kernels, 0.1) for room in fitting])
        fitting[int(rng.choice(len(fitting), p=chances / chances.sum()))].add(piece)
    filled = [room.pieces for room in rooms if room.pieces]
    for items in filled:
        rng.shuffle(items)
    return tuple(tuple(items) for items in filled)


def lay_mosaic(name: str, pieces: Sequence[Piece], draw: Draw) -> Network:
    """One network of these pieces in this order, each reading what an earlier one has written if it can."""
    build = GrowingBuilder(name)
    supply = Supply(draw, build)
    for piece in pieces:
        tensors = piece.network.tensors
        inputs: Mapping[str, str] = {
            item: supply.take(tensors[item].shape, tensors[item].dtype) for item in piece.network.inputs
        }
        supply.put(build.graft(piece.network, inputs))
    return build.finish(*supply.unread)


def mosaic_tasks(
    counts: Sequence[tuple[str, int]],
    samplers: Mapping[str, Sampler],
    sizes: NetworkSizes,
    limits: Limits,
    *,
    seed: int,
    stream: str = "mosaic",
    taken: Collection[str] = (),
    quantised: bool = False,
) -> Iterator[Task]:
    """Mosaics of so many pieces of each kind; another ``stream`` draws other pieces.

    ``quantised`` stores activations and weights in eight bits.

    Raises
    ------
    UsageError
        If the limits leave too few pieces of a kind.
    """
    pieces: list[Piece] = []
    for kind, count in counts:
        found = list(draw_pieces(seed, stream, kind, samplers[kind], count, limits, taken))
        if len(found) < count:
            where = "mosaics_int8" if quantised else "mosaics"
            raise UsageError(
                f"{where}: only {len(found)} of {count} {kind!r} pieces fit half of the limits; raise the "
                "limits or ask for fewer"
            )
        pieces.extend(found)
    points = draws(seed, stream)
    for number, items in enumerate(pack_pieces(pieces, sizes, limits, seed)):
        draw = next(points)
        network = lay_mosaic(f"{stream}/{number}", items, draw)
        network = draw_quantised(draw, network) if quantised else network
        kinds = ",".join(sorted(item.kind for item in items))
        yield Task(
            network=network,
            category="block",
            group=f"block/{stream}/{number}",
            tags=(("kind", "mosaic-int8" if quantised else "mosaic"), ("pieces", kinds)),
        )
