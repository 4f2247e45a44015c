"""Latency in search loops: an objective and a constraint for Optuna, pymoo or a loop of one's own.

Neither optimiser is imported here: trials are whatever has ``suggest_categorical`` and ``params``,
populations are arrays with one architecture a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.errors import UsageError
from annette.estimation.many_networks import models_of
from annette.estimation.network_estimates import require_model
from annette.graph.network import Network
from annette.models.target import LATENCY
from annette.zoo.spaces.space import Encoding, Encodings, SearchSpace, require_space

if TYPE_CHECKING:
    from annette.estimation.platform import Platform

__all__ = [
    "FinishedTrial",
    "LatencyConstraint",
    "LatencyObjective",
    "SpaceEstimator",
    "SuggestingTrial",
    "evaluate_population",
]

_TOO_LARGE = 2.0**62
"""No integer of 64 bits, and no choice of any gene."""
_GENE = "gene_{:02d}"
"""Name of an optimiser's parameter."""

Column = NDArray[np.float64]
"""Of a population, shape (n,)."""
One = Network | str | Encoding
"""One architecture."""
Many = Encodings | Sequence[str] | Sequence[Network] | Sequence[Encoding]
"""Many architectures."""


class SpaceEstimator(Protocol):
    """What predicts the architectures of a space, as a platform does."""

    @property
    def name(self) -> str:
        """Of the device."""
        ...

    @property
    def model_names(self) -> Sequence[str]:
        """What ``model`` may be."""
        ...

    def estimate_many(
        self, networks: Sequence[Network], *, model: str, target: str = "latency", n_jobs: int = 1
    ) -> NDArray[np.float64]:
        """As `Platform.estimate_many`."""
        ...

    def estimate_space(
        self,
        space: SearchSpace,
        encodings: ArrayLike | Sequence[str],
        *,
        model: str,
        target: str = "latency",
        n_jobs: int = 1,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.float64]:
        """As `Platform.estimate_space`."""
        ...


class SuggestingTrial(Protocol):
    """What an Optuna trial can do, as far as it is needed here."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of ``choices``."""
        ...


class FinishedTrial(Protocol):
    """What is known of an Optuna trial once it has run."""

    @property
    def params(self) -> Mapping[str, Any]:
        """The chosen values by name."""
        ...


@dataclass(frozen=True, slots=True)
class LatencyObjective:
    """Seconds (or joules) of one architecture or of many, to be made small.

    Raises
    ------
    UsageError
        For what is no platform or no space, an unknown model or target, and energy of a platform that was
        trained without.

    Examples
    --------
    >>> import annette
    >>> from annette.zoo.spaces.registry import open_space
    >>> space = open_space("nasbench201")
    >>> objective = LatencyObjective(annette.load("zcu102-dpu"), space)
    >>> one_s = objective((3, 3, 3, 3, 3, 3))
    >>> many_s = objective(space.sample(5, seed=0))
    >>> one_s > 0, many_s.shape
    (True, (5,))
    """

    platform: Platform | SpaceEstimator
    """Gives the estimates: a platform, or a model by ``annette calibrate``."""
    space: SearchSpace
    """Of the architectures. Keep it: what is learned about it is kept as long as it lives."""
    _: KW_ONLY
    model: str = "mixed"
    """One of `MODEL_NAMES`."""
    target: str = "latency"
    """``latency`` or ``energy``."""
    n_jobs: int = 1
    """As for `Platform.estimate_space`."""

    def __post_init__(self) -> None:
        _check(self.platform, self.space, self.model, self.target)

    @overload
    def __call__(self, what: One) -> float: ...  # type: ignore[overload-overlap]  # text is a sequence too

    @overload
    def __call__(self, what: Many) -> Column: ...

    def __call__(self, what: One | Many) -> float | Column:
        """Seconds (or joules) of one architecture as a float, of many as an array in their order.

        Parameters
        ----------
        what
            One: an encoding, a text in the space's notation, or a `Network` (of any kind). Many: an array of
            shape (n, n_genes), or a list, an array or a column of a data frame of encodings, texts or
            networks. Whole numbers may be floats.

        Raises
        ------
        UsageError
            For what is no architecture of the space.
        """
        if isinstance(what, Network):
            return float(self._of_networks([what])[0])
        items = _plain(what)
        if isinstance(items, str):
            return float(self._of_rows([items])[0])
        if isinstance(items, Sequence) and len(items) and isinstance(items[0], Network):
            return self._of_networks(items)
        if isinstance(items, Sequence) and len(items) and isinstance(items[0], str):
            return self._of_rows(_texts(items, self.space))
        rows = _whole(items, self.space)
        if rows.ndim == 1 and len(rows):
            return float(self._of_rows(rows[None, :])[0])
        return self._of_rows(rows)

    def suggest(self, trial: SuggestingTrial) -> Encoding:
        """The encoding that an Optuna trial proposes: a categorical parameter for each gene.

        Not every row of choices is an architecture in every space (`SearchSpace.valid_mask`); asking for
        the latency of one that is none raises, which ``study.optimize(..., catch=UsageError)`` turns into a
        failed trial.
        """
        values = (
            trial.suggest_categorical(_GENE.format(gene), list(range(count)))
            for gene, count in enumerate(self.space.choices)
        )
        return tuple(int(value) for value in values)

    def evaluate(self, encodings: ArrayLike) -> Column:
        """Seconds (or joules) of each row of a population; infinite where a row is no architecture.

        Raises
        ------
        UsageError
            If the array is not of shape (n, n_genes), or a value is no whole number within its choices.
        """
        rows = _population(encodings, self.space)
        is_valid = self.space.valid_mask(rows)
        found = np.full(len(rows), np.inf)
        found[is_valid] = self._of_rows(rows[is_valid])
        return found

    def _of_networks(self, networks: Sequence[Network]) -> Column:
        return self.platform.estimate_many(networks, model=self.model, target=self.target, n_jobs=self.n_jobs)

    def _of_rows(self, rows: Encodings | Sequence[str]) -> Column:
        return self.platform.estimate_space(
            self.space, rows, model=self.model, target=self.target, n_jobs=self.n_jobs
        )


@dataclass(frozen=True, slots=True)
class LatencyConstraint:
    """Whether architectures keep a budget of time, as optimisers want it: at most 0 where they do.

    Raises
    ------
    UsageError
        If the budget is not a positive number, and as `LatencyObjective`.

    Examples
    --------
    >>> import annette
    >>> from annette.zoo.spaces.registry import open_space
    >>> space = open_space("nasbench201")
    >>> constraint = LatencyConstraint(annette.load("zcu102-dpu"), space, budget_s=1e-3)
    >>> small, large = constraint.violation([(0, 0, 0, 1, 0, 0), (3, 3, 3, 3, 3, 3)])
    >>> bool(small <= 0 < large)
    True
    """

    platform: Platform | SpaceEstimator
    """Gives the estimates: a platform, or a model by ``annette calibrate``."""
    space: SearchSpace
    """Of the architectures."""
    _: KW_ONLY
    budget_s: float
    """Seconds that a network may take; > 0."""
    model: str = "mixed"
    """One of `MODEL_NAMES`."""
    n_jobs: int = 1
    """As for `Platform.estimate_space`."""

    def __post_init__(self) -> None:
        _check(self.platform, self.space, self.model, LATENCY.name)
        if not isinstance(self.budget_s, Real) or not 0 < self.budget_s < np.inf:
            raise UsageError(f"budget_s: {self.budget_s!r}, expected a number of seconds > 0")

    @property
    def objective(self) -> LatencyObjective:
        """The latency that is compared with the budget."""
        return LatencyObjective(self.platform, self.space, model=self.model, n_jobs=self.n_jobs)

    @overload
    def __call__(self, what: One) -> float: ...  # type: ignore[overload-overlap]  # text is a sequence too

    @overload
    def __call__(self, what: Many) -> Column: ...

    def __call__(self, what: One | Many) -> float | Column:
        """By which fraction of the budget the latency is above it: > 0 is too slow, -0.2 leaves a fifth.

        Parameters
        ----------
        what
            One architecture or many, as for `LatencyObjective`.

        Raises
        ------
        UsageError
            For what is no architecture of the space.
        """
        return self.objective(what) / self.budget_s - 1.0

    def violation(self, encodings: ArrayLike) -> Column:
        """The same for each row of a population; infinite where a row is no architecture.

        Raises
        ------
        UsageError
            As from `LatencyObjective.evaluate`.
        """
        return self.objective.evaluate(encodings) / self.budget_s - 1.0

    def of_trial(self, trial: FinishedTrial) -> tuple[float]:
        """The violation of what `LatencyObjective.suggest` gave a trial: an Optuna ``constraints_func``.

        Raises
        ------
        UsageError
            If the trial's parameters are not those of `suggest`.
        """
        names = [_GENE.format(gene) for gene in range(len(self.space.choices))]
        lacking = [name for name in names if name not in trial.params]
        if lacking:
            raise UsageError(
                f"trial without the parameter {lacking[0]!r}; expected one whose encoding came from "
                "LatencyObjective.suggest"
            )
        return (float(self.violation([[trial.params[name] for name in names]])[0]),)


def evaluate_population(
    encodings: ArrayLike,
    *,
    objectives: Sequence[Callable[[Any], ArrayLike]],
    constraints: Sequence[LatencyConstraint] = (),
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What pymoo wants to know of a population: ``out["F"], out["G"] = evaluate_population(x, ...)``.

    Parameters
    ----------
    encodings : array_like of shape (n, n_genes)
        The population; whole numbers, as ints or floats.
    objectives : sequence of `LatencyObjective` or callable
        To be made small. A `LatencyObjective` is infinite where a row is no architecture; others are called
        with the rows as an int64 array and give shape (n,).
    constraints : sequence of `LatencyConstraint`
        Kept where <= 0.

    Returns
    -------
    F : ndarray of shape (n, n_objectives)
    G : ndarray of shape (n, n_constraints)

    Raises
    ------
    UsageError
        If a value of the population is no whole number, or an objective gives another shape.
    """
    rows = _integers(encodings)
    columns = []
    for number, objective in enumerate(objectives):
        ask = objective.evaluate if isinstance(objective, LatencyObjective) else objective
        column = np.asarray(ask(rows), dtype=np.float64)
        if column.shape != (len(rows),):
            raise UsageError(f"objective {number}: gave shape {column.shape}, expected ({len(rows)},)")
        columns.append(column)
    kept = [constraint.violation(rows) for constraint in constraints]
    shape = (len(rows), 0)
    return np.column_stack([np.empty(shape), *columns]), np.column_stack([np.empty(shape), *kept])


def _check(platform: Any, space: Any, model: Any, target: Any) -> None:
    if isinstance(platform, type) or not hasattr(platform, "estimate_space"):
        raise UsageError(
            f"platform: found {type(platform).__name__}, expected a Platform; annette.load gives one"
        )
    require_space(space)
    if hasattr(platform, "layer_models"):
        require_model(model)
        models_of(platform, target)
    else:  # of no architecture it says at once what it cannot answer
        empty = np.empty((0, len(space.choices)), dtype=np.int64)
        platform.estimate_space(space, empty, model=model, target=target, n_jobs=1)


def _plain(what: Any) -> Any:
    """Columns and arrays of what is no number as lists, whatever they count their rows by."""
    values = what.to_numpy() if hasattr(what, "to_numpy") else what
    return values.tolist() if isinstance(values, np.ndarray) and values.dtype.kind in "OUT" else values


def _texts(items: Sequence[Any], space: SearchSpace) -> list[str]:
    for place, item in enumerate(items):
        if not isinstance(item, str):
            raise UsageError(
                f"{space.name}: architecture {place} is {type(item).__name__}, expected a text as the first"
            )
    return [str(item) for item in items]


def _whole(what: Any, space: SearchSpace) -> NDArray[np.int64]:
    """Numbers of one or two dimensions as integers."""
    if not isinstance(what, Sequence | np.ndarray) or isinstance(what, bytes):
        raise UsageError(
            f"{space.name}: found {type(what).__name__}, expected an encoding, a text in the space's "
            "notation, a Network, or many of one of these"
        )
    return _integers(what)


def _population(encodings: ArrayLike, space: SearchSpace) -> Encodings:
    """Rows whose values are within their choices, whether or not they are architectures."""
    rows = _integers(encodings)
    return space.check_choices(rows if rows.size else rows.reshape(-1))  # empty is no row, of whatever shape


def _integers(values: ArrayLike) -> NDArray[np.int64]:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as err:
        raise UsageError(
            "encodings of different lengths, expected an encoding, or rows of equal length"
        ) from err
    if array.dtype.kind not in "iubf":
        raise UsageError(f"encodings of {array.dtype}, expected whole numbers")
    if array.dtype.kind == "f" and not (np.abs(array) < _TOO_LARGE).all():  # nan is not either
        raise UsageError("encodings with values that are not finite or far too large, expected whole numbers")
    whole = array.astype(np.int64)
    if array.dtype.kind == "f" and not (whole == array).all():
        raise UsageError(
            "encodings with fractions, expected whole numbers: round them first (pymoo: vtype=int)"
        )
    return whole
