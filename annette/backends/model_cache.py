"""A bounded memory of what was made for networks that a campaign comes back to, round after round."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from annette.graph.network import Network

__all__ = ["ModelCache", "network_key"]

Value = TypeVar("Value")


class ModelCache(Generic[Value]):
    """Keeps values up to a number of bytes; where room is short, what was used last has to go.

    A campaign asks for its networks in turn, so the one just used is the one that is wanted last. (To forget
    the one unused the longest would forget each network shortly before it is asked for.)

    Examples
    --------
    >>> cache = ModelCache[str](max_bytes=2)
    >>> for name in "abc":
    ...     cache.put(name, name.upper(), size_bytes=1)
    >>> cache.get("a"), cache.get("b"), cache.get("c")
    ('A', None, 'C')
    """

    def __init__(self, max_bytes: int) -> None:
        """
        Parameters
        ----------
        max_bytes
            Sizes of what is kept, in sum.
        """
        self._max_bytes = max_bytes
        self._bytes = 0
        self._items: dict[Hashable, tuple[Value, int]] = {}  # in the order of their last use

    @property
    def size_bytes(self) -> int:
        """Sizes of what is kept just now, in sum."""
        return self._bytes

    def get(self, key: Hashable) -> Value | None:
        """The value of that key; ``None`` if it is not kept."""
        found = self._items.pop(key, None)
        if found is None:
            return None
        self._items[key] = found
        return found[0]

    def put(self, key: Hashable, value: Value, *, size_bytes: int) -> None:
        """Keep the value, unless it alone is larger than all the room."""
        if key in self._items:
            self._bytes -= self._items.pop(key)[1]
        if size_bytes > self._max_bytes:
            return
        while self._bytes + size_bytes > self._max_bytes:
            _, (_, freed) = self._items.popitem()
            self._bytes -= freed
        self._items[key] = (value, size_bytes)
        self._bytes += size_bytes


def network_key(network: Network) -> Hashable:
    """Equal only for networks whose content and names are equal: mappings speak of names."""
    names = tuple((layer.name, layer.inputs, layer.outputs) for layer in network.layers)
    return network.id, network.inputs, network.outputs, names
