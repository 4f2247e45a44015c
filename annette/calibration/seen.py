"""Which operators the samples of a calibration had, and how much of a network is of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annette.calibration.features import operator_of
from annette.graph.network import Network
from annette.graph.work import layer_work

__all__ = ["Unseen", "seen_operators", "unseen_in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """What of a network no sample had."""

    operators: tuple[str, ...]
    """Names as of `annette.calibration.features.operator_of`, sorted."""
    fraction: float
    """Share of the network's bytes or of its multiply-accumulates, whichever is greater; 0 to 1. Without
    samples nobody knows what share of the latency it is."""
    is_all: bool
    """Whether no operator of the network was in a sample."""


def seen_operators(networks: Sequence[Network]) -> tuple[str, ...]:
    """The operators of networks, sorted, each once.

    Examples
    --------
    >>> from annette.zoo.registry import open_network
    >>> seen_operators([open_network("zoo:lenet5")])
    ('AveragePool', 'Conv', 'Gemm', 'Tanh')
    """
    names = {operator_of(network, layer) for network in networks for layer in network.layers}
    return tuple(sorted(name for name in names if name is not None))


def unseen_in(network: Network, seen: Sequence[str]) -> Unseen:
    """What of a network is of operators that are not among those seen.

    Examples
    --------
    >>> from annette.zoo.registry import open_network
    >>> unseen_in(open_network("zoo:lenet5"), ("AveragePool", "Conv", "Gemm")).operators
    ('Tanh',)
    """
    known, unseen = set(seen), set()
    is_all, totals, missed = True, [0, 0], [0, 0]
    for layer in network.layers:
        name = operator_of(network, layer)
        if name is None:
            continue
        work = layer_work(network, layer)
        amounts = (work.input_bytes + work.output_bytes, work.macs)
        totals = [total + amount for total, amount in zip(totals, amounts, strict=True)]
        if name in known:
            is_all = False
            continue
        unseen.add(name)
        missed = [total + amount for total, amount in zip(missed, amounts, strict=True)]
    shares = [part / total for part, total in zip(missed, totals, strict=True) if total]
    return Unseen(operators=tuple(sorted(unseen)), fraction=max(shares, default=0.0), is_all=is_all)
