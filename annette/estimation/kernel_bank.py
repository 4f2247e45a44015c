"""The kernels that a platform has met, each once, with what its models said of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from annette.models.kernel_row import COLUMNS
from annette.models.kernel_table import KernelTable
from annette.models.target import LATENCY

if TYPE_CHECKING:
    from annette.models.intervals import ErrorSpread
    from annette.models.layer_models import LayerModels

__all__ = ["KernelBank", "KernelFlags"]

Numbers = NDArray[np.int64]
_Item = TypeVar("_Item")
_LEAST_CAPACITY = 256
_SPREAD = "spread"
"""Of the latency, beside the two targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFlags:
    """What a platform says of one kernel beside its price."""

    bound: str
    """What limits it."""
    is_generic: bool
    """Whether the generic model prices it."""
    is_out_of_range: bool
    """Whether a size lies outside what was measured."""
    is_unseen: bool
    """Whether its operator was never measured on its unit."""


class KernelBank:
    """Rows of kernels by number, equal rows under one number, with prices by model and target.

    It holds about ``limit`` rows: `make_room` forgets those that were not asked for in the longest time.
    Numbers hold until then. Prices are those of `LayerModels`, bit by bit: a row's price does not depend on
    other rows.
    """

    def __init__(self, limit: int) -> None:
        """An empty bank that keeps ``limit`` rows."""
        self.limit = limit
        self.hits = 0
        """Prices that were known when they were asked for."""
        self.misses = 0
        """Prices that were asked of a model."""
        self.clear()

    def clear(self) -> None:
        """Forget all rows; the counts stay."""
        self._by_key: dict[Hashable, int] = {}
        self._by_content: dict[tuple[int, bytes], int] = {}
        self._families: dict[str, int] = {}
        self._size = 0
        self._values = np.empty((_LEAST_CAPACITY, len(COLUMNS)))
        self._codes = np.empty(_LEAST_CAPACITY, dtype=np.int64)
        self._used = np.zeros(_LEAST_CAPACITY, dtype=np.int64)
        self._tick = 0
        self._prices: dict[tuple[str, str], NDArray[np.float64]] = {}
        self._flags: dict[int, KernelFlags] = {}

    def __len__(self) -> int:
        return self._size

    # Rows --------------------------------------------------------------------------------------------

    def number(self, key: Hashable, read: Callable[[_Item], tuple[str, Sequence[float]]], item: _Item) -> int:
        """The number of the kernel with that key; ``read(item)`` gives family key and row of a new one."""
        found = self._by_key.get(key)
        if found is None:
            family, row = read(item)
            found = self._by_key[key] = self.add(family, np.array(row, dtype=np.float64))
        return found

    def add(self, family: str, row: NDArray[np.float64]) -> int:
        """The number of a kernel with this family key and row."""
        code = self._families.setdefault(family, len(self._families))
        content = code, row.tobytes()
        found = self._by_content.get(content)
        if found is None:
            found = self._by_content[content] = self._size
            if found == len(self._values):
                self._grow()
            self._values[found], self._codes[found], self._used[found] = row, code, self._tick
            self._size += 1
        return found

    def add_table(self, table: KernelTable) -> Numbers:
        """The numbers of a table's rows."""
        pairs = zip(table.families, table.values, strict=True)
        return np.array([self.add(family, row) for family, row in pairs], dtype=np.int64)

    def rows(self, numbers: Numbers) -> NDArray[np.float64]:
        """A copy of the rows, shape (n, n_columns)."""
        self._used[numbers] = self._tick
        return self._values[numbers]

    def families(self, numbers: Numbers) -> list[str]:
        """The family key of each row."""
        names = tuple(self._families)
        return [names[code] for code in self._codes[numbers].tolist()]

    def table(self, numbers: Numbers) -> KernelTable:
        """The rows as a table of one network."""
        codes, index = np.unique(self._codes[numbers], return_inverse=True)
        names = tuple(self._families)
        return KernelTable(
            values=self._values[numbers],
            family_names=tuple(names[code] for code in codes.tolist()),
            family_index=index.astype(np.int64),
            network_index=np.zeros(len(numbers), dtype=np.int64),
            n_networks=1,
        )

    def _grow(self) -> None:
        capacity = 2 * len(self._values)
        self._values = _longer(self._values, capacity, 0.0)
        self._codes = _longer(self._codes, capacity, 0)
        self._used = _longer(self._used, capacity, 0)
        self._prices = {key: _longer(prices, capacity, np.nan) for key, prices in self._prices.items()}

    # What models say ---------------------------------------------------------------------------------

    def prices(self, numbers: Numbers, models: LayerModels, model: str) -> NDArray[np.float64]:
        """Seconds or joules of the rows, as ``models`` predict them, shape (n,)."""
        missing = self._missing((model, models.target.name), numbers)
        if len(missing):
            predict = models.predict_s if models.target is LATENCY else models.predict_j
            self._prices[model, models.target.name][missing] = predict(self.table(missing), model)
        self.misses += len(missing)
        self.hits += len(numbers) - len(missing)
        return self._prices[model, models.target.name][numbers]

    def spreads(
        self, numbers: Numbers, models: LayerModels, model: str, spread: ErrorSpread
    ) -> NDArray[np.float64]:
        """How far off the seconds of the rows may be, as ``spread`` tells, shape (n,)."""
        missing = self._missing((model, _SPREAD), numbers)
        if len(missing):
            latency_s = self.prices(missing, models, model)
            found = spread.kernel_spread(self.table(missing), latency_s, models)
            self._prices[model, _SPREAD][missing] = found
        return self._prices[model, _SPREAD][numbers]

    def _missing(self, key: tuple[str, str], numbers: Numbers) -> Numbers:
        """The rows of which that number is not known yet, each once; there is room for it then."""
        known = self._prices.get(key)
        if known is None:
            known = self._prices[key] = np.full(len(self._values), np.nan)
        self._used[numbers] = self._tick
        is_missing = np.isnan(known[numbers])
        return np.unique(numbers[is_missing]) if is_missing.any() else numbers[:0]

    def flags(self, numbers: Numbers, models: LayerModels) -> list[KernelFlags]:
        """What ``models`` say of the rows beside their price; the same models each time."""
        wanted = numbers.tolist()
        missing = np.array(sorted(set(wanted).difference(self._flags)), dtype=np.int64)
        if len(missing):
            table = self.table(missing)
            generic, outside = models.generic_mask(table), models.out_of_range_mask(table)
            masks = generic.tolist(), outside.tolist(), models.unseen_mask(table).tolist()
            columns = zip(models.bounds(table), *masks, strict=True)
            for number, (bound, is_generic, is_outside, is_unseen) in zip(
                missing.tolist(), columns, strict=True
            ):
                self._flags[number] = KernelFlags(
                    bound=bound,
                    is_generic=is_generic,
                    is_out_of_range=is_outside,
                    is_unseen=is_unseen,
                )
        return [self._flags[number] for number in wanted]

    # Forgetting --------------------------------------------------------------------------------------

    def make_room(self) -> None:
        """Forget the rows that were not asked for in the longest time, where there are more than `limit`.

        To be called between two questions: numbers change.
        """
        self._tick += 1
        if len(self._by_key) > 8 * self.limit:  # many keys of few rows
            self._by_key.clear()
        if self._size <= self.limit:
            return
        order = np.argsort(self._used[: self._size], kind="stable")
        kept = np.sort(order[-(self.limit // 2) :]) if self.limit > 1 else order[:0]
        new = np.full(self._size, -1, dtype=np.int64)
        new[kept] = np.arange(len(kept))
        renumber = new.tolist()
        for name in ("_by_key", "_by_content"):
            old: dict[Any, int] = getattr(self, name)
            setattr(self, name, {key: renumber[at] for key, at in old.items() if renumber[at] >= 0})
        self._flags = {renumber[at]: item for at, item in self._flags.items() if renumber[at] >= 0}
        self._values, self._codes, self._used = self._values[kept], self._codes[kept], self._used[kept]
        self._prices = {key: prices[kept] for key, prices in self._prices.items()}
        self._size = len(kept)
        self._grow()


def _longer(array: NDArray[Any], capacity: int, filling: float) -> NDArray[Any]:
    longer = np.full((max(capacity, _LEAST_CAPACITY), *array.shape[1:]), filling, dtype=array.dtype)
    longer[: len(array)] = array
    return longer
