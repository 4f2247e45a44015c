"""A device as known from the latencies of a few whole networks: predicts, with intervals, and says how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.calibration.features import Contents, count_networks
from annette.calibration.graphs import open_view
from annette.calibration.intervals import Interval
from annette.calibration.member import Member, population_of
from annette.calibration.prior import PRIOR_COLUMNS, Prior
from annette.calibration.terms import Terms
from annette.errors import UsageError
from annette.graph.network import Network
from annette.zoo.spaces.registry import open_space
from annette.zoo.spaces.space import Encodings, SearchSpace

__all__ = ["CalibratedModel", "Prediction", "Source"]

_CHUNK = 4096

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """Latencies of networks with 90 % intervals; each of shape (n,), in seconds."""

    latency_s: Floats
    low_s: Floats
    high_s: Floats

    def __post_init__(self) -> None:
        for array in (self.latency_s, self.low_s, self.high_s):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.latency_s)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Another device whose latencies of the same space help."""

    model: CalibratedModel | Prior
    mean_s: float
    """Mean of its predictions over the architectures that terms are scaled by."""

    @property
    def width(self) -> int:
        """Columns that it gives."""
        return PRIOR_COLUMNS if isinstance(self.model, Prior) else 1

    def columns(self, space: SearchSpace, encodings: Encodings, contents: Contents) -> Floats:
        """What it says of architectures over its mean, shape (n, `width`); contents are of their graphs."""
        if isinstance(self.model, Prior):
            return self.model.columns(contents)
        ratios: Floats = self.model.predict_space(space, encodings).latency_s / self.mean_s
        return ratios[:, None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibratedModel:
    """A device, fitted to a few latencies of whole networks.

    A latency is a sum of physical terms, each an amount (kernels, multiply-accumulates, bytes or parameters
    of a group of layers) times a cost >= 0, times a factor close to 1 for kinds of kernels that are quicker
    or slower than their terms say. Where other devices help, the mean (of logarithms) is taken with
    the same sum that has their predictions among its terms.
    """

    device: str
    """What was measured, in the user's words."""
    space: str | None
    """As `open_space` takes it; ``None`` for a model of networks out of no space."""
    graph: str
    """Which graphs the device runs: a key of `annette.calibration.graphs.GRAPHS`."""
    terms: Terms
    members: tuple[Member, ...]
    """The first uses no sources; a second one does."""
    weights: tuple[float, ...]
    """Of each member, adding up to 1."""
    sources: tuple[Source, ...]
    interval: Interval
    samples: int
    """Latencies that it was fitted to."""
    held_out_error: float
    """Root mean square of the relative error of samples that were left out."""
    notes: tuple[str, ...]
    """What to be aware of, one line each."""

    def predict_space(self, space: SearchSpace, encodings: ArrayLike) -> Prediction:
        """The latencies of a space's architectures.

        Raises
        ------
        UsageError
            If a row is no architecture of the space, or the model is of another one.
        """
        self._require_space(space)
        rows = space.check(encodings)
        view = open_view(space, self.graph)
        parts = []
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            contents = view.contents(chunk)
            sources = [item.columns(space, chunk, contents) for item in self.sources]
            parts.append(self.predict_contents(contents, np.hstack([np.empty((len(chunk), 0)), *sources])))
        return Prediction(
            latency_s=np.concatenate([np.empty(0), *(part.latency_s for part in parts)]),
            low_s=np.concatenate([np.empty(0), *(part.low_s for part in parts)]),
            high_s=np.concatenate([np.empty(0), *(part.high_s for part in parts)]),
        )

    def predict_networks(self, networks: Sequence[Network]) -> Prediction:
        """The latencies of networks.

        Raises
        ------
        UsageError
            If the model is of a search space: its terms are those in which that space's networks differ.
        """
        if self.space is not None:
            raise UsageError(
                f"{self.device}: was calibrated on {self.space}, expected its architectures; calibrate with "
                "networks to predict networks"
            )
        contents = count_networks(networks)
        return self.predict_contents(contents, np.empty((len(contents), 0)))

    def predict_contents(self, contents: Contents, sources: Floats) -> Prediction:
        """The latencies of networks that are made of this.

        ``sources`` has `Source.columns` of each source side by side, shape (n_networks, n_columns).
        """
        networks = population_of(contents, self.terms, sources)
        log_s = np.zeros(len(contents))
        for member, weight in zip(self.members, self.weights, strict=True):
            log_s += weight * np.log(member.predict_s(networks))
        latency_s = np.exp(log_s)
        width = np.exp(self.interval.log_half_width(networks.columns, latency_s))
        return Prediction(latency_s=latency_s, low_s=latency_s / width, high_s=latency_s * width)

    def open_space(self) -> SearchSpace:
        """The search space that the model is of.

        Raises
        ------
        UsageError
            If it is of networks, or of a space that has no name in the registry.
        """
        if self.space is None:
            raise UsageError(f"{self.device}: was calibrated on networks, expected a model of a search space")
        return open_space(self.space)

    def term_shares(self) -> dict[str, float]:
        """Share of each term in the first member's mean latency, the greatest first; they add up to 1."""
        costs = self.members[0].costs
        total = float(costs.sum()) or 1.0
        pairs = sorted(zip(self.terms.names, costs / total, strict=True), key=lambda pair: -pair[1])
        return {name: float(share) for name, share in pairs if share > 0}

    def _require_space(self, space: SearchSpace) -> None:
        if self.space != space.name:
            raise UsageError(
                f"{self.device}: was calibrated on {self.space or 'networks'}, found architectures of "
                f"{space.name}"
            )
