"""Measured beside predicted latencies of many networks as columns, and every figure of merit of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from annette.errors import UsageError
from annette.evaluation.metrics import Accuracy, accuracy
from annette.evaluation.ranking import LEAST_RANKED, Ranking, latency_quartiles, rank_architectures

__all__ = ["PredictionTable"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictionTable:
    """Networks in columns.

    Raises
    ------
    UsageError
        If the columns differ in length or there is no network.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    """The suite or the space that each network belongs to."""
    identities: tuple[str, ...]
    """Equal for networks that are the same one, whatever they are called."""
    measured_s: NDArray[np.float64]
    """Shape (n_networks,): seconds, > 0."""
    predicted_s: Mapping[str, NDArray[np.float64]]
    """By layer model, shape (n_networks,): seconds, > 0."""
    quality: NDArray[np.float64]
    """Shape (n_networks,): what a search would maximise; more is better."""
    quality_name: str
    """What that is: ``macs``, or the name of a column."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "predicted_s", MappingProxyType(dict(self.predicted_s)))
        columns = (self.groups, self.identities, self.measured_s, self.quality, *self.predicted_s.values())
        if not self.names or any(len(column) != len(self.names) for column in columns):
            raise UsageError(f"predictions: columns of other lengths than {len(self.names)} networks")
        for array in (self.measured_s, self.quality, *self.predicted_s.values()):
            array.setflags(write=False)

    def accuracy(self, model: str) -> Accuracy:
        """The figures of merit of one layer model."""
        return accuracy(self.measured_s, self.predicted_s[model])

    def ranking(self, model: str) -> Ranking | None:
        """The figures of choice of one layer model; ``None`` of fewer than `LEAST_RANKED` networks.

        Networks that are the same one count once in what would be chosen: among them only the noise of the
        measurement decides. The quartiles are of all networks.
        """
        if len(self.names) < LEAST_RANKED:
            return None
        distinct = self.distinct()
        found = rank_architectures(distinct.measured_s, distinct.predicted_s[model], distinct.quality)
        return replace(found, quartiles=latency_quartiles(self.measured_s, self.predicted_s[model]))

    def distinct(self) -> PredictionTable:
        """Each network once: under the name of the first, with the mean of the measured latencies."""
        numbers: dict[str, int] = {}
        which = np.array([numbers.setdefault(item, len(numbers)) for item in self.identities], dtype=np.int64)
        first = np.unique(which, return_index=True)[1]
        mean_s = np.bincount(which, self.measured_s) / np.bincount(which)
        return replace(self._take(first), measured_s=mean_s)

    def with_predictions(self, predicted_s: Mapping[str, NDArray[np.float64]]) -> PredictionTable:
        """The same networks with other predictions."""
        return replace(self, predicted_s=predicted_s)

    def of_group(self, group: str) -> PredictionTable:
        """The networks of one group.

        Raises
        ------
        UsageError
            If there is none.
        """
        rows = np.array([number for number, name in enumerate(self.groups) if name == group], dtype=np.int64)
        return self._take(rows)

    def _take(self, rows: NDArray[np.int64]) -> PredictionTable:
        return PredictionTable(
            names=tuple(self.names[row] for row in rows),
            groups=tuple(self.groups[row] for row in rows),
            identities=tuple(self.identities[row] for row in rows),
            measured_s=self.measured_s[rows],
            predicted_s={model: values[rows] for model, values in self.predicted_s.items()},
            quality=self.quality[rows],
            quality_name=self.quality_name,
        )

    def models_to_dict(self) -> dict[str, dict[str, object]]:
        """By layer model all figures as JSON types; ``ranking`` is ``None`` of too few networks."""
        return {
            model: {**self.accuracy(model).to_dict(), "ranking": self._ranking_to_dict(model)}
            for model in self.predicted_s
        }

    def groups_to_dict(self) -> dict[str, dict[str, object]]:
        """By group the number of networks and the figures of each layer model, as JSON types."""
        parts = {group: self.of_group(group) for group in dict.fromkeys(self.groups)}
        return {
            group: {"networks": len(part.names), "models": part.models_to_dict()}
            for group, part in parts.items()
        }

    def _ranking_to_dict(self, model: str) -> dict[str, object] | None:
        found = self.ranking(model)
        if found is None:
            return None
        names = self.distinct().names
        budgets = [
            {**item.to_dict(), "best": names[item.best], "chosen": names[item.chosen]}
            for item in found.budgets
        ]
        return {
            "quality": self.quality_name,
            "distinct_networks": len(names),
            **found.to_dict(),
            "budgets": budgets,
        }
