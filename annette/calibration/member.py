"""One way of predicting: costs of terms, what they leave over, and other devices' predictions beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from annette.calibration.features import Contents
from annette.calibration.residual import Residual, correct, fit_residual
from annette.calibration.terms import Terms, fit_costs

__all__ = [
    "Costs",
    "Member",
    "Population",
    "base_s",
    "fit_member",
    "fit_member_costs",
    "kernel_shares",
    "population_of",
]

_BROAD = 0.15
"""Share of the time that is spread over all terms before kinds of kernels get theirs, so that a kind whose
terms seem to cost nothing can still be found to take long."""
_SOURCE_SIZE = 3.0
"""Sources are that many times as large as the terms before costs are fitted: the same latency needs a smaller
cost, so that it is rather laid to them than to terms."""
_LEAST_SHARE = 1e-4
"""Of the time of the mean network that every one takes."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Population:
    """Networks with all that a member looks at."""

    contents: Contents
    columns: Floats
    """Shape (n_networks, n_terms): `Terms.columns` of the contents."""
    per_kind: Floats
    """Shape (n_kinds, n_terms): `Terms.per_kind` of the contents' kinds."""
    sources: Floats
    """Shape (n_networks, n_source_columns): what each source says over its mean."""

    def some(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Population:
        """Some of the networks."""
        return replace(
            self,
            contents=self.contents.rows(which),
            columns=self.columns[which],
            sources=self.sources[which],
        )


def population_of(contents: Contents, terms: Terms, sources: Floats | None = None) -> Population:
    """Networks in the given terms, without sources by default."""
    return Population(
        contents=contents,
        columns=terms.columns(contents),
        per_kind=terms.per_kind(contents.kinds),
        sources=np.empty((len(contents), 0)) if sources is None else sources,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """Costs of terms and sources, and the residual of kinds of kernels."""

    costs: Floats
    """Shape (n_terms,): seconds for the mean amount, >= 0."""
    source_costs: Floats
    """Shape (n_source_columns,): seconds for the mean prediction, >= 0; empty without sources."""
    kind_costs: Floats
    """Shape (n_terms,): by which kernels get their share of the time; 0 for what all networks pay."""
    residual: Residual

    def predict_s(self, networks: Population) -> Floats:
        """Latencies, shape (n_networks,)."""
        base = base_s(networks, self.costs, self.source_costs)
        shares = kernel_shares(networks, self.kind_costs, base)
        found: Floats = base * correct(shares, self.residual.log_ratios(networks.contents.kinds))
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Costs:
    """What terms and sources cost, before kinds of kernels are looked at."""

    terms: Floats
    """Shape (n_terms,): as `Member.costs`."""
    sources: Floats
    """Shape (n_source_columns,): as `Member.source_costs`."""
    kinds: Floats
    """Shape (n_terms,): as `Member.kind_costs`."""


def fit_member_costs(
    samples: Population,
    latency_s: Floats,
    used: NDArray[np.bool_] | None = None,
    start: Costs | None = None,
) -> Costs:
    """Costs by non-negative least squares of the relative error; ``used`` is as for `fit_member`.

    ``start`` are the costs of about the same samples, from which these are found sooner.
    """
    n_terms = samples.columns.shape[1]
    design = np.hstack([samples.columns, _SOURCE_SIZE * samples.sources])
    near = None if start is None else np.concatenate([start.terms, start.sources / _SOURCE_SIZE])
    fitted = fit_costs(design if used is None else design * used, latency_s, start=near)
    costs, source_costs = fitted[:n_terms], fitted[n_terms:] * _SOURCE_SIZE
    broad = np.full(n_terms, float(np.median(latency_s)) / max(n_terms - 1, 1))
    kind_costs = (1 - _BROAD) * costs + _BROAD * broad
    kind_costs[0] = 0.0
    return Costs(terms=costs, sources=source_costs, kinds=kind_costs)


def fit_member(samples: Population, latency_s: Floats, used: NDArray[np.bool_] | None = None) -> Member:
    """Costs by non-negative least squares of the relative error, then the residual of kinds of kernels.

    Parameters
    ----------
    samples : Population
        The measured networks.
    latency_s : ndarray of shape (n_samples,)
        Seconds, > 0.
    used : ndarray of shape (n_terms + n_source_columns,), optional
        Which terms and columns of sources may cost anything; all by default.
    """
    costs = fit_member_costs(samples, latency_s, used)
    base = base_s(samples, costs.terms, costs.sources)
    residual = fit_residual(
        kernel_shares(samples, costs.kinds, base), np.log(latency_s / base), samples.contents.kinds
    )
    return Member(costs=costs.terms, source_costs=costs.sources, kind_costs=costs.kinds, residual=residual)


def kernel_shares(networks: Population, kind_costs: Floats, base: Floats) -> Floats:
    """The share of each kind of kernel in each network's time, shape (n_networks, n_kinds)."""
    shares: Floats = networks.contents.times * (networks.per_kind @ kind_costs) / base[:, None]
    return shares


def base_s(networks: Population, costs: Floats, source_costs: Floats) -> Floats:
    """What the terms and the sources say, shape (n_networks,); > 0.

    It is never less than `_LEAST_SHARE` of the mean network's: few samples may find that all terms of an
    almost empty network cost nothing.
    """
    base: Floats = networks.columns @ costs
    if len(source_costs):
        base = base + networks.sources @ source_costs
    least = _LEAST_SHARE * float(costs.sum() + source_costs.sum())
    return np.maximum(base, max(least, np.finfo(np.float64).tiny))
