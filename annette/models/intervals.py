"""Prediction intervals: how far measured latencies lie from predicted ones, of kernels and of networks.

A kernel's *spread* is the scale of log(measured / predicted) that is expected of it: that of its family at
its latency, more beyond the measured range, and that of families left out for what was never measured. Errors
of one family do not average out in a network: its kernels resemble each other, and so do their errors. The
variance of a sum is therefore that of correlated terms; docs/intervals.md has the formulas. How many spreads
an interval reaches was calibrated on held-out measurements of the campaign.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.models.kernel_table import KernelTable
from annette.models.ranges import octaves_outside
from annette.store.strict_json import parse_strict_json, shorten

if TYPE_CHECKING:
    from annette.models.layer_models import LayerModels

__all__ = ["INTERVALS_FILE", "LEVEL", "ErrorSpread", "FamilySpread", "Intervals"]

INTERVALS_FILE = "intervals.json"
SCHEMA_VERSION = 1
LEVEL = 0.9
"""Share of the measurements that intervals are to hold."""
_Pair = tuple[NDArray[np.float64], NDArray[np.float64]]
_MAX_FAMILIES = 4096
_MAX_SPREAD = 10.0
"""Of log-ratios: more than this is damage rather than doubt."""
_MAX_MULTIPLE = 1e3
"""Spreads that an interval may reach: many where a few networks are far off and most are not."""
_MAX_REACH = 12.0
"""An interval reaches at most so far, in log-ratio: six figures to either side say all there is to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilySpread:
    """How far the kernels of one family lie from their predictions: short kernels are often less certain.

    The spread at a latency t is ``spread * (t / latency_s) ** slope``, with t held within what was measured.
    """

    spread: float
    """At `latency_s`; > 0."""
    slope: float
    """Power of the latency; 0 where it does not matter, negative where short kernels are less certain."""
    latency_s: float
    """Seconds; the geometric mean of what was measured."""
    least_s: float
    """Seconds; the shortest latency at which errors were seen."""
    most_s: float
    """Seconds; the longest."""

    def __post_init__(self) -> None:
        values = (self.spread, self.slope, self.latency_s, self.least_s, self.most_s)
        if not all(math.isfinite(value) for value in values) or not 0.0 < self.spread <= _MAX_SPREAD:
            raise ModelError(f"intervals: spread {self.spread}, expected a number in 0..{_MAX_SPREAD:.0f}")
        if abs(self.slope) > 2.0 or not 0.0 < self.least_s <= self.latency_s <= self.most_s:
            raise ModelError("intervals: slope beyond 2, or latencies that do not rise from the least on")

    def at(self, latency_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """The spread of kernels of these latencies, in their shape."""
        ratio = np.clip(latency_s, self.least_s, self.most_s) / self.latency_s
        return np.asarray(self.spread * ratio**self.slope)

    def to_json(self) -> dict[str, float]:
        """Plain values for a JSON file."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> FamilySpread:
        """What `to_json` wrote."""
        return cls(**{name: float(document[name]) for name in cls.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSpread:
    """How far measurements lie from what one layer model says."""

    families: Mapping[str, FamilySpread]
    """By family key, of its kernels in range."""
    unseen: float
    """Spread of kernels of families and operators that were never measured; > 0."""
    per_octave: float
    """How much each octave beyond the measured range adds to the spread, >= 0."""
    same_family: float
    """Correlation of the errors of two kernels of one family in one network, in [0, 1]."""
    other_family: float
    """Correlation of those of two families, in [0, `same_family`]."""
    whole: float
    """Spread of a whole network that its kernels do not explain, >= 0."""
    kernel_down: float
    """Spreads that the interval of a kernel reaches below its latency, >= 0."""
    kernel_up: float
    """Spreads that it reaches above it, >= 0."""
    network_down: float
    """Spreads that the interval of a network reaches below its latency, >= 0."""
    network_up: float
    """Spreads that it reaches above it, >= 0."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "families", MappingProxyType(dict(self.families)))
        sizes = {name: getattr(self, name) for name in _NUMBERS}
        for name, value in sizes.items():
            most = _MAX_MULTIPLE if name in _MULTIPLES else _MAX_SPREAD
            if not 0.0 <= value <= most:
                raise ModelError(f"intervals: {name} is {value}, expected a number in 0..{most:.0f}")
        if not self.other_family <= self.same_family <= 1.0:
            raise ModelError("intervals: correlations are not 0 <= other families <= same family <= 1")

    def kernel_spread(
        self, table: KernelTable, latency_s: NDArray[np.float64], models: LayerModels
    ) -> NDArray[np.float64]:
        """The spread of each kernel, shape (n_kernels,), > 0; a row does not depend on the others.

        Parameters
        ----------
        table : KernelTable
            The kernels.
        latency_s : ndarray of shape (n_kernels,)
            Seconds that the layer model says.
        models : LayerModels
            Tell what was measured.
        """
        spread = np.full(len(table), self.unseen)
        for code, name in enumerate(table.family_names):
            family = self.families.get(name)
            if family is not None:
                rows = np.flatnonzero(table.family_index == code)
                spread[rows] = family.at(latency_s[rows])
        unseen = models.generic_mask(table) | models.unseen_mask(table)
        spread = np.where(unseen, np.maximum(spread, self.unseen), spread)
        spread = spread + self.per_octave * octaves_outside(table, models.ranges)
        return np.asarray(np.minimum(spread, _MAX_SPREAD))

    def network_spread(
        self,
        latency_s: NDArray[np.float64],
        family_sums_s: NDArray[np.float64],
        squares_s2: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """The spread of each network, shape (n_networks,); of one without kernels that of the whole alone.

        Parameters
        ----------
        latency_s : ndarray of shape (n_networks,)
            Seconds, >= 0.
        family_sums_s : ndarray of shape (n_networks, n_families)
            Sums over a network's kernels of each family of latency times spread; columns of zeros do not
            matter.
        squares_s2 : ndarray of shape (n_networks,)
            Sums over a network's kernels of the squares of latency times spread.
        """
        total, within = np.zeros(len(latency_s)), np.zeros(len(latency_s))
        for column in range(family_sums_s.shape[1]):  # not sum(axis=1): the same for one as for many
            total = total + family_sums_s[:, column]
            within = within + family_sums_s[:, column] ** 2
        variance = (
            self.other_family * total**2
            + (self.same_family - self.other_family) * within
            + (1.0 - self.same_family) * squares_s2
        )
        spread = np.sqrt(variance / np.maximum(latency_s, 1e-30) ** 2 + self.whole**2)
        return np.asarray(np.fmin(spread, _MAX_SPREAD))  # of what overflows too

    def kernel_factors(self, spread: NDArray[np.float64]) -> _Pair:
        """What times a kernel's latency gives the lower and the upper end, in the shape of ``spread``."""
        return _factors(spread, self.kernel_down, self.kernel_up)

    def network_factors(self, spread: NDArray[np.float64]) -> _Pair:
        """The same of networks."""
        return _factors(spread, self.network_down, self.network_up)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        families = {name: item.to_json() for name, item in sorted(self.families.items())}
        return {"families": families, **{name: getattr(self, name) for name in _NUMBERS}}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ErrorSpread:
        """What `to_json` wrote; KeyError, TypeError, ValueError or ModelError for anything else."""
        families = document["families"]
        if len(families) > _MAX_FAMILIES:
            raise ModelError(f"intervals: {len(families)} families, expected at most {_MAX_FAMILIES}")
        return cls(
            families={str(name): FamilySpread.from_json(item) for name, item in families.items()},
            **{name: float(document[name]) for name in _NUMBERS},
        )


_MULTIPLES = ("kernel_down", "kernel_up", "network_down", "network_up")
_NUMBERS = ("unseen", "per_octave", "same_family", "other_family", "whole", *_MULTIPLES)


def _factors(spread: NDArray[np.float64], down: float, up: float) -> _Pair:
    return np.exp(-np.minimum(down * spread, _MAX_REACH)), np.exp(np.minimum(up * spread, _MAX_REACH))


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """What a platform knows of its own errors, by layer model."""

    models: Mapping[str, ErrorSpread]
    """By layer model; models that are missing have no intervals."""
    calibration: Mapping[str, Mapping[str, float]]
    """By layer model what the calibration rests on and what it reached on the campaign."""

    def __post_init__(self) -> None:
        for name in ("models", "calibration"):  # in one order, whether fitted or read
            object.__setattr__(self, name, MappingProxyType(dict(sorted(getattr(self, name).items()))))

    def to_bytes(self) -> bytes:
        """The content of a file; equal intervals give equal bytes."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "level": LEVEL,
            "models": {name: item.to_json() for name, item in sorted(self.models.items())},
            "calibration": {name: dict(item) for name, item in sorted(self.calibration.items())},
        }
        return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Intervals:
        """The intervals that `to_bytes` wrote.

        Raises
        ------
        ModelError
            If they are damaged or of another version.
        """
        try:
            document = parse_strict_json(content)
            version, level = document["schema_version"], document["level"]
            if version != SCHEMA_VERSION or level != LEVEL:
                raise ModelError(
                    f"{INTERVALS_FILE}: schema version {shorten(repr(version))} and level "
                    f"{shorten(repr(level))}, expected {SCHEMA_VERSION} and {LEVEL}; train the platform again"
                )
            return cls(
                models={str(name): ErrorSpread.from_json(item) for name, item in document["models"].items()},
                calibration={
                    str(name): {str(key): float(value) for key, value in item.items()}
                    for name, item in document["calibration"].items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as err:
            if isinstance(err, ModelError):
                raise
            raise ModelError(
                f"{INTERVALS_FILE}: {shorten(repr(err))}; restore a copy or train the platform again"
            ) from err
