"""Makes a model of a device from the latencies of a few whole networks, and of other devices' too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.calibration.calibrated import CalibratedModel, Source
from annette.calibration.design import candidate_rows
from annette.calibration.features import Contents, count_networks
from annette.calibration.graphs import GRAPHS, graph_views
from annette.calibration.intervals import fit_interval
from annette.calibration.member import Population, fit_member, population_of
from annette.calibration.prior import Prior
from annette.calibration.seen import seen_operators
from annette.calibration.terms import FIXED, Terms, terms_of
from annette.calibration.validation import held_out_log_errors, middle_error, typical_error
from annette.errors import ModelError
from annette.graph.network import Network
from annette.zoo.spaces.space import Encodings, SearchSpace

__all__ = [
    "LEAST_SAMPLES",
    "MOST_SAMPLES",
    "REFERENCE",
    "REFERENCE_SEED",
    "calibrate_contents",
    "calibrate_networks",
    "calibrate_space",
    "unidentified_terms",
]

LEAST_SAMPLES = 4
"""With fewer nothing can be left out to see how wrong a model is."""
MOST_SAMPLES = 1000
"""Of more latencies so many are drawn: the time to fit them grows with the third power."""
REFERENCE = 1000
"""Architectures that terms are scaled by."""
REFERENCE_SEED = 0
_SHARPNESS = 4
"""Weights of members go with the held-out error to the power of minus this. The error is the geometric mean
of the typical and the middle one: the first is made by corners of a design, where terms extrapolate."""
_LEAST_GAIN = 0.05
"""Sources are left out unless they lower held-out errors by this share: of ten samples less is chance."""
_CLEARLY = 0.1
"""Graphs that are less likely must have an error smaller by this share."""
_DOUBTFUL = 1.5
"""Graphs whose error is less than so many times that of the chosen ones may be the right ones too."""
_SHOWN = 3
"""Terms that a note names."""
_ALIKE = 0.999
"""Correlation over the samples above which two terms cannot be told apart."""

Floats = NDArray[np.float64]


def calibrate_space(
    space: SearchSpace,
    encodings: ArrayLike,
    latency_s: ArrayLike,
    *,
    device: str,
    sources: Sequence[CalibratedModel | Prior] = (),
) -> CalibratedModel:
    """A model of a device from latencies of a space's architectures.

    Which graphs the device runs, and how much sources count, is chosen by the errors of samples that are left
    out; with sources it is never worse on these than without.

    Parameters
    ----------
    space : SearchSpace
        The architectures' space.
    encodings : array_like of shape (k, n_genes)
        What was measured; `annette.calibration.design.suggest_architectures` chooses well.
    latency_s : array_like of shape (k,)
        Seconds, > 0.
    device : str
        Its name, for people.
    sources : sequence of CalibratedModel or Prior
        Models of other devices on the same space, or platforms' kernels, which are rescaled by group
        (`annette.calibration.sources`).

    Raises
    ------
    UsageError
        If a row is no architecture of the space, or a source is of another space.
    ModelError
        If there are fewer than `LEAST_SAMPLES` latencies, or one is not > 0.

    Examples
    --------
    >>> from annette.zoo.spaces.registry import open_space
    >>> from annette.calibration.design import suggest_architectures
    >>> space = open_space("nasbench201")
    >>> rows = suggest_architectures(space, 10)
    >>> kernels = (rows == 3).sum(axis=1) + 1.0
    >>> model = calibrate_space(space, rows, kernels * 1e-3, device="toy")
    >>> bool(abs(model.predict_space(space, rows[:1]).latency_s[0] / (kernels[0] * 1e-3) - 1) < 0.05)
    True
    """
    rows = space.check(encodings)
    measured = _checked(latency_s, len(rows))
    if len(rows) > MOST_SAMPLES:
        chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST_SAMPLES])
        model = calibrate_space(space, rows[chosen], measured[chosen], device=device, sources=sources)
        note = f"fitted to {MOST_SAMPLES:,} of {len(rows):,} latencies, drawn at random"
        return replace(model, notes=(note, *model.notes))
    reference = candidate_rows(space, seed=REFERENCE_SEED, count=REFERENCE)
    graphs = {view.name: (view.contents(reference), view.contents(rows)) for view in graph_views(space)}
    helpers = tuple(Source(model=model, mean_s=_mean_s(model, space, reference)) for model in sources)

    def columns(graph: str) -> Floats:
        return np.hstack([item.columns(space, rows, graphs[graph][1]) for item in helpers])

    return calibrate_contents(
        graphs, measured, device=device, space=space.name, sources=helpers, source_columns=columns
    )


def calibrate_contents(
    graphs: Mapping[str, tuple[Contents, Contents]],
    latency_s: Floats,
    *,
    device: str,
    space: str | None,
    sources: Sequence[Source] = (),
    source_columns: Callable[[str], Floats] | None = None,
) -> CalibratedModel:
    """A model of a device from what measured networks are made of; what `calibrate_space` does with it.

    Parameters
    ----------
    graphs : mapping of pairs of Contents
        By sort of graphs, likelier ones first: networks that terms are scaled by, and the measured ones.
    latency_s : ndarray of shape (k,)
        Seconds, > 0.
    device, space : str
        Names.
    sources : sequence of Source
        Other devices.
    source_columns : callable
        `Source.columns` of all sources side by side, of the measured networks as graphs of one sort; needed
        with sources.
    """
    fits = {name: _fit(samples, population, latency_s) for name, (population, samples) in graphs.items()}
    errors = {name: typical_error(fit.errors) for name, fit in fits.items()}
    graph = _likeliest(errors)
    fit = fits[graph]
    notes = _graph_notes(errors, graph)
    plain = _plain_model(fit, latency_s, device=device, space=space, graph=graph, notes=notes)
    if not sources or source_columns is None:
        return plain
    return _with_sources(plain, fit, latency_s, tuple(sources), source_columns(graph))


def calibrate_networks(networks: Sequence[Network], latency_s: ArrayLike, *, device: str) -> CalibratedModel:
    """A model of a device from latencies of networks out of no particular space.

    Raises
    ------
    ModelError
        As `calibrate_space`.
    """
    measured = _checked(latency_s, len(networks))
    contents = count_networks(networks)
    model = calibrate_contents({"needed": (contents, contents)}, measured, device=device, space=None)
    return replace(model, operators=seen_operators(networks))


def unidentified_terms(columns: Floats, terms: Terms) -> dict[str, tuple[str, ...]]:
    """Terms that the samples do not tell from others, and from which ones.

    A term that is the same in all samples cannot be told from `FIXED`; one that grows with another in all
    samples not from that. What cannot be told apart in any network of the space costs nothing in accuracy:
    what counts is whether networks that are asked about have the same proportion.

    Parameters
    ----------
    columns : ndarray of shape (k, n_terms)
        The samples' amounts over the mean ones.
    terms : Terms
        Their names.
    """
    centred = columns - columns.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    constant = size <= 1e-9 * np.maximum(np.abs(columns).max(axis=0), 1.0)
    alike = np.abs(centred.T @ centred) >= _ALIKE * np.outer(size, size)
    found: dict[str, tuple[str, ...]] = {}
    for place, name in enumerate(terms.names):
        if name == FIXED:
            continue
        if constant[place]:
            found[name] = (FIXED,)
            continue
        others = np.flatnonzero(alike[place] & ~constant)
        if len(others) > 1:
            found[name] = tuple(terms.names[other] for other in others if other != place)
    return found


@dataclass(frozen=True, slots=True)
class _Fit:
    """Samples as graphs of one sort, and the log errors of each by a model without it."""

    terms: Terms
    samples: Population
    errors: Floats
    reference: Floats
    """Shape (n, n_terms): the amounts of networks that may be asked about."""


def _plain_model(
    fit: _Fit, measured: Floats, *, device: str, space: str | None, graph: str, notes: tuple[str, ...]
) -> CalibratedModel:
    """A model without sources."""
    member = fit_member(fit.samples, measured)
    fitted = np.log(member.predict_s(fit.samples) / measured)
    return CalibratedModel(
        device=device,
        space=space,
        graph=graph,
        terms=fit.terms,
        members=(member,),
        weights=(1.0,),
        sources=(),
        interval=fit_interval(fit.samples.columns, measured, fit.errors, fitted),
        samples=len(measured),
        held_out_error=typical_error(fit.errors),
        notes=(*notes, *_term_notes(fit)),
    )


def _with_sources(
    plain: CalibratedModel, fit: _Fit, measured: Floats, helpers: tuple[Source, ...], columns: Floats
) -> CalibratedModel:
    """The model with sources beside it, if that makes errors of samples left out smaller.

    Sources stand beside all terms in one member, and by themselves in another one: a constant and what they
    say of the whole network, each times a factor.
    """
    samples = replace(fit.samples, sources=columns)
    alone = _whole_columns(samples.columns.shape[1], helpers)
    errors = np.array([fit.errors, *(held_out_log_errors(samples, measured, used) for used in (None, alone))])
    powers = np.array([np.sqrt(typical_error(row) * middle_error(row)) for row in errors])
    weights = (powers / powers.min()) ** -_SHARPNESS
    weights /= weights.sum()
    mean = weights @ errors
    before, after = typical_error(fit.errors), typical_error(mean)
    names = ", ".join(item.model.device for item in helpers)
    if after > (1 - _LEAST_GAIN) * before:
        note = f"left out {names}: errors of samples left out are {after:.1%} with and {before:.1%} without"
        return replace(plain, notes=(*plain.notes, note))
    members = (*plain.members, *(fit_member(samples, measured, used=used) for used in (None, alone)))
    fitted = weights @ np.array([np.log(member.predict_s(samples) / measured) for member in members])
    verb = "counts" if len(helpers) == 1 else "count"
    note = (
        f"{names} {verb} {1 - weights[0]:.0%} ({weights[2]:.0%} by a factor and a constant alone): errors of "
        f"samples left out fall from {before:.1%} to {after:.1%}"
    )
    return replace(
        plain,
        members=members,
        weights=tuple(weights.tolist()),
        sources=helpers,
        interval=fit_interval(fit.samples.columns, measured, mean, fitted),
        held_out_error=after,
        notes=(*plain.notes, note),
    )


def _whole_columns(n_terms: int, helpers: Sequence[Source]) -> NDArray[np.bool_]:
    """Of all terms and columns of sources the constant, and the first column of each source."""
    widths = [item.width for item in helpers]
    found = np.zeros(n_terms + sum(widths), dtype=bool)
    found[[0, *(n_terms + np.cumsum([0, *widths[:-1]]))]] = True
    return found


def _likeliest(errors: Mapping[str, float]) -> str:
    """The graphs with the least error; earlier ones are left only for ones that are clearly better."""
    best = next(iter(errors))
    for name, error in errors.items():
        if error < (1 - _CLEARLY) * errors[best]:
            best = name
    return best


def _graph_notes(errors: Mapping[str, float], graph: str) -> tuple[str, ...]:
    """Why this sort of graphs, where there is a choice."""
    if len(errors) == 1:
        return ()
    figures = ", ".join(f"{name} {error:.1%}" for name, error in errors.items())
    others = [name for name in errors if name != graph and errors[name] < _DOUBTFUL * errors[graph]]
    if others:
        return (
            f"which graphs the device runs is not clear, {graph} are taken: errors of samples left out by "
            f"graph are {figures}; time architectures with dead edges too",
        )
    return (f"the device runs {GRAPHS[graph]}: errors of samples left out by graph are {figures}",)


def _term_notes(fit: _Fit) -> tuple[str, ...]:
    """A line about terms that samples cannot tell apart though networks of the space do."""
    here = unidentified_terms(fit.samples.columns, fit.terms)
    there = unidentified_terms(fit.reference, fit.terms)
    lost = {name: others for name, others in here.items() if set(others) - set(there.get(name, ()))}
    if not lost:
        return ()
    some = [f"{name} from {others[0]}" for name, others in list(lost.items())[:_SHOWN]]
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    return (
        f"samples do not tell {'; '.join(some)}{more}: time networks that differ in these (annette suggest "
        "--measured)",
    )


def _mean_s(model: CalibratedModel | Prior, space: SearchSpace, rows: Encodings) -> float:
    if isinstance(model, Prior):
        return model.mean_s
    return float(model.predict_space(space, rows).latency_s.mean())


def _checked(latency_s: ArrayLike, count: int) -> Floats:
    measured = np.asarray(latency_s, dtype=np.float64)
    if measured.shape != (count,):
        raise ModelError(f"calibration: {measured.size} latencies of {count} networks, expected one of each")
    if count < LEAST_SAMPLES:
        raise ModelError(
            f"calibration: found {count} latencies, expected {LEAST_SAMPLES} or more; time others too"
        )
    if not (np.isfinite(measured).all() and (measured > 0).all()):
        raise ModelError("calibration: a latency is not a number above 0, expected seconds")
    return measured


def _fit(contents: Contents, population: Contents, measured: Floats) -> _Fit:
    """Samples in the terms of a population."""
    terms = terms_of(population)
    samples = population_of(contents.used(), terms)
    errors = held_out_log_errors(samples, measured)
    return _Fit(terms, samples, errors, terms.columns(population))
