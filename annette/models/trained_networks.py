"""Which networks a platform is no longer unseen by: what training notes, and what an evaluation asks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from annette.store.records import SUGGESTED_FOR, TIMED_IN, WHOLE_NETWORK, Record

__all__ = [
    "TRAINED_CONTENTS",
    "TRAINED_NETWORKS",
    "content_of_kernels",
    "noted",
    "trained_networks",
    "was_suggested_for",
]

TRAINED_NETWORKS = "trained_networks"
"""Among the metrics: names of the networks whose kernels were timed inside them, or that were timed whole."""
TRAINED_CONTENTS = "trained_contents"
"""Among the metrics: the same networks whatever they are called, by `content_of_kernels`."""
_DIGITS = 16


def trained_networks(records: Iterable[Record]) -> dict[str, object]:
    """What the metrics say of the networks behind measured records; nothing where no task names any.

    Parameters
    ----------
    records : iterable of Record
        Measured ones.

    Returns
    -------
    dict
        `TRAINED_NETWORKS` and `TRAINED_CONTENTS` of a kernel table, and under `SUGGESTED_FOR` the networks
        that micro-kernels were suggested for, by the first digits of their `Network.id`.
    """
    names: set[str] = set()
    kernels: dict[str, list[str]] = {}
    targets: set[str] = set()
    for record in records:
        timed_in, whole = record.task.tag(TIMED_IN), record.task.tag(WHOLE_NETWORK)
        names.update(name for name in (timed_in or whole,) if name is not None)
        if timed_in is not None:
            kernels.setdefault(timed_in, []).append(record.task.network.id)
        targets.update((record.task.tag(SUGGESTED_FOR) or "").split())
    found: dict[str, object] = {}
    if names:
        found[TRAINED_NETWORKS] = sorted(names)
        found[TRAINED_CONTENTS] = sorted({content_of_kernels(ids) for ids in kernels.values()})
    if targets:
        found[SUGGESTED_FOR] = sorted(targets)
    return found


def content_of_kernels(network_ids: Sequence[str]) -> str:
    """16 hexadecimal digits of a network as a bag of timed kernels, each by its `Network.id` alone.

    Examples
    --------
    >>> content_of_kernels(["b", "a"]) == content_of_kernels(["a", "b"]) != content_of_kernels(["a"])
    True
    """
    return hashlib.sha256("\n".join(sorted(network_ids)).encode()).hexdigest()[:_DIGITS]


def noted(metrics: Mapping[str, object], key: str) -> frozenset[str]:
    """The texts that the metrics, out of a file, list under a key; none for anything else."""
    known = metrics.get(key)
    return frozenset(map(str, known)) if isinstance(known, list | tuple) else frozenset()


def was_suggested_for(metrics: Mapping[str, object], network_id: str) -> bool:
    """Whether micro-kernels that the platform was trained on were suggested for this network."""
    return any(network_id.startswith(item) for item in noted(metrics, SUGGESTED_FOR) if item)
