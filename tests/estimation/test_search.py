"""Objective and constraint: the platform's numbers, in the forms that search loops ask for."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import annette
from annette.errors import UsageError
from annette.estimation.search import LatencyConstraint, LatencyObjective, evaluate_population
from annette.zoo.spaces.registry import open_space
from annette.zoo.spaces.space import SearchSpace

SPACE = open_space("nasbench201")
PLATFORM = annette.load("zcu102-dpu")
OBJECTIVE = LatencyObjective(PLATFORM, SPACE)
BUDGET_S = 7e-4
CONSTRAINT = LatencyConstraint(PLATFORM, SPACE, budget_s=BUDGET_S)
CELLS = st.tuples(*(st.integers(0, count - 1) for count in SPACE.choices))


@settings(deadline=None)  # the first population of a space takes longer
@given(cells=st.lists(CELLS, min_size=1, max_size=5))
def test_every_form_of_an_architecture_has_the_platforms_latency(cells: list[tuple[int, ...]]) -> None:
    expected_s = PLATFORM.estimate_space(SPACE, cells).tolist()
    forms: tuple[Any, ...] = (
        cells,
        np.array(cells),
        np.array(cells, dtype=np.float64),
        [SPACE.format(cell) for cell in cells],
    )
    assert all(OBJECTIVE(form).tolist() == expected_s for form in forms)
    assert [OBJECTIVE(cell) for cell in cells] == expected_s
    assert [OBJECTIVE(SPACE.format(cell)) for cell in cells] == expected_s
    assert OBJECTIVE.evaluate(cells).tolist() == expected_s
    assert CONSTRAINT.violation(cells).tolist() == [CONSTRAINT(cell) for cell in cells]


def test_networks_are_estimated_too() -> None:
    cells = SPACE.sample(3, seed=1)
    networks = [SPACE.network(cell) for cell in cells]
    assert OBJECTIVE(networks).tolist() == OBJECTIVE(cells).tolist()
    one = OBJECTIVE(networks[0])
    assert isinstance(one, float)
    assert one == OBJECTIVE(cells)[0]
    assert CONSTRAINT(networks).tolist() == CONSTRAINT(cells).tolist()


def test_models_targets_and_jobs_are_passed_on() -> None:
    asked: list[dict[str, Any]] = []

    class Platform:
        name, layer_models, energy_models = "any", "some", "some"

        def estimate_space(self, space: SearchSpace, encodings: Any, **options: Any) -> Any:
            asked.append(options)
            return np.ones(len(encodings))

    objective = LatencyObjective(Platform(), SPACE, model="roofline", target="energy", n_jobs=3)  # type: ignore[arg-type]
    assert objective([(0,) * 6]).tolist() == [1.0]
    constraint = LatencyConstraint(Platform(), SPACE, budget_s=0.5, model="roofline", n_jobs=3)  # type: ignore[arg-type]
    assert constraint.violation([(0,) * 6]).tolist() == [1.0]
    assert asked == [{"model": "roofline", "target": target, "n_jobs": 3} for target in ("energy", "latency")]
    with pytest.raises(UsageError, match="energy"):
        LatencyObjective(PLATFORM, SPACE, target="energy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"platform": "zcu102-dpu"}, "platform: found str, expected a Platform"),
        ({"platform": None}, "platform: found NoneType"),
        ({"space": "nasbench201"}, "space: found str, expected a SearchSpace"),
        ({"model": "mixd"}, "layer model 'mixd'"),
    ],
)
def test_what_cannot_be_asked_is_refused_when_it_is_made(change: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"platform": PLATFORM, "space": SPACE, **change}
    with pytest.raises(UsageError, match=message):
        LatencyObjective(**options)
    with pytest.raises(UsageError, match=message):
        LatencyConstraint(**options, budget_s=1e-3)
    with pytest.raises(UsageError, match="target 'speed'"):
        LatencyObjective(PLATFORM, SPACE, target="speed")


@pytest.mark.parametrize("what", [0, None, 1.5, np.int64(3), np.array(0), np.array(None), {}, b"x"])
def test_what_is_no_architecture_at_all_is_refused(what: Any) -> None:
    with pytest.raises(UsageError):
        OBJECTIVE(what)
    with pytest.raises(UsageError):
        OBJECTIVE.evaluate(what)


@settings(deadline=None)  # the first population of a space takes longer
@given(cells=st.lists(CELLS, min_size=1, max_size=5))
def test_the_budget_is_kept_where_the_violation_is_not_above_0(cells: list[tuple[int, ...]]) -> None:
    latency_s = OBJECTIVE(cells)
    assert ((CONSTRAINT.violation(cells) <= 0) == (latency_s <= BUDGET_S)).all()
    np.testing.assert_allclose(CONSTRAINT.violation(cells), (latency_s - BUDGET_S) / BUDGET_S)


@pytest.mark.parametrize("budget_s", [0.0, -1.0, float("nan"), float("inf"), "x", None, [1.0]])
def test_a_budget_that_is_none_is_refused(budget_s: Any) -> None:
    with pytest.raises(UsageError, match="budget_s"):
        LatencyConstraint(PLATFORM, SPACE, budget_s=budget_s)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("|nonsense|", "nonsense"),
        ((1, 2, 3), "shape"),
        ((9, 0, 0, 0, 0, 0), "expected 0 to 4"),
        ([(0.5, 0, 0, 0, 0, 0)], "fractions"),
        ([("a", 1)], "expected"),
        ([(1, 2), (1, 2, 3)], "expected an encoding"),
        (None, "found NoneType, expected an encoding"),
        (3, "found int, expected an encoding"),
        ({"gene": 3}, "found dict, expected an encoding"),
        (b"12", "found bytes, expected an encoding"),
        ([None], "expected whole numbers"),
        (["|nonsense|", 3], "architecture 1 is int, expected a text"),
        ([(float("nan"), 0, 0, 0, 0, 0)], "not finite"),
        ([(1e30, 0, 0, 0, 0, 0)], "far too large"),
        ((float("-inf"), 0, 0, 0, 0, 0), "not finite"),
    ],
)
def test_what_is_no_architecture_is_refused(what: Any, message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UsageError, match=message) as caught:
            OBJECTIVE(what)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), 1e30, -1e30, float("inf")])
def test_populations_with_values_that_are_no_numbers_are_refused_without_a_warning(value: float) -> None:
    rows = np.full((2, 6), value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ask in (OBJECTIVE.evaluate, CONSTRAINT.violation):
            with pytest.raises(UsageError, match="not finite or far too large"):
                ask(rows)
        with pytest.raises(UsageError, match="not finite or far too large"):
            evaluate_population(rows, objectives=[OBJECTIVE])
    with pytest.raises(UsageError, match="different lengths"):
        OBJECTIVE.evaluate([[1, 2], [3]])


def test_columns_of_data_frames_and_arrays_hold_architectures_too() -> None:
    pandas = pytest.importorskip("pandas")
    cells = SPACE.sample(4, seed=2)
    texts, networks = [SPACE.format(cell) for cell in cells], [SPACE.network(cell) for cell in cells]
    expected_s = OBJECTIVE(cells).tolist()
    index = [9, 7, 5, 3]
    for column in (
        pandas.Series(texts, index=index),
        pandas.Series(texts, index=list("abcd"), dtype="string"),
        pandas.Series(networks, index=index),
        pandas.Series([tuple(cell) for cell in cells.tolist()], index=index),
        pandas.DataFrame(cells, index=index),
        pandas.Index(texts),
        np.array(texts),
        np.array(texts, dtype=object),
        tuple(texts),
    ):
        assert OBJECTIVE(column).tolist() == expected_s
    assert OBJECTIVE(pandas.DataFrame(cells, index=index).iloc[1]) == expected_s[1]
    for one in (np.str_(texts[0]), np.array(texts[0]), np.array(texts[0], dtype=object)):
        assert OBJECTIVE(one) == expected_s[0]


def test_rows_that_are_no_architectures_are_infinitely_slow_for_an_optimiser() -> None:
    space = open_space("nasbench101")
    rows = np.random.default_rng(0).integers(0, space.choices, size=(40, len(space.choices)))
    is_valid = space.valid_mask(rows)
    assert 0 < is_valid.sum() < 40
    objective = LatencyObjective(PLATFORM, space)
    constraint = LatencyConstraint(PLATFORM, space, budget_s=1e-3)
    assert (np.isfinite(objective.evaluate(rows)) == is_valid).all()
    assert (constraint.violation(rows)[~is_valid] == np.inf).all()
    assert objective.evaluate(rows)[is_valid].tolist() == objective(rows[is_valid]).tolist()
    with pytest.raises(UsageError, match="no architecture"):
        objective(rows)


def test_a_population_that_fits_no_space_is_refused() -> None:
    with pytest.raises(UsageError, match=r"shape \(2, 3\), expected \(n, 6\)"):
        OBJECTIVE.evaluate(np.zeros((2, 3), dtype=int))
    with pytest.raises(UsageError, match="encoding 1 has 5 for gene 2, expected 0 to 4"):
        CONSTRAINT.violation([[0] * 6, [0, 0, 5, 0, 0, 0]])
    assert OBJECTIVE.evaluate([]).shape == OBJECTIVE([]).shape == (0,)


class FakeTrial:
    """Chooses the last value of everything."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        assert name not in self.params
        self.params[name] = choices[-1]
        return choices[-1]


@pytest.mark.parametrize("name", ["nasbench201", "ofa", "fbnet"])
def test_a_trial_chooses_each_gene_among_its_values(name: str) -> None:
    space: SearchSpace = open_space(name)
    trial = FakeTrial()
    encoding = LatencyObjective(PLATFORM, space).suggest(trial)
    assert encoding == tuple(count - 1 for count in space.choices)
    constraint = LatencyConstraint(PLATFORM, space, budget_s=1e-3)
    assert constraint.of_trial(trial) == (constraint(encoding),)


def test_a_trial_without_the_genes_is_refused() -> None:
    with pytest.raises(UsageError, match=r"gene_00.*suggest"):
        CONSTRAINT.of_trial(SimpleNamespace(params={"other": 1}))


def test_objectives_and_constraints_are_columns_of_a_population() -> None:
    cells = SPACE.sample(7, seed=3)
    values, violations = evaluate_population(
        cells.astype(np.float64),  # as an optimiser of real numbers hands them over
        objectives=(OBJECTIVE, lambda rows: -(rows == 3).sum(axis=1)),
        constraints=(CONSTRAINT,),
    )
    assert values.shape == (7, 2)
    assert values[:, 0].tolist() == OBJECTIVE(cells).tolist()
    assert values[:, 1].tolist() == (-(cells == 3).sum(axis=1)).tolist()
    assert violations[:, 0].tolist() == CONSTRAINT.violation(cells).tolist()
    assert evaluate_population(cells, objectives=(OBJECTIVE,))[1].shape == (7, 0)
    with pytest.raises(UsageError, match=r"objective 0: gave shape \(7, 6\)"):
        evaluate_population(cells, objectives=(lambda rows: rows,))


@pytest.mark.parametrize("is_told_by_trial", [True, False])
@pytest.mark.filterwarnings("ignore:.*constraints_func.*:FutureWarning")  # of Optuna 5, gone in 7
def test_optuna_searches_under_the_budget(is_told_by_trial: bool) -> None:
    optuna = pytest.importorskip("optuna")
    if is_told_by_trial and not hasattr(optuna.trial.Trial, "set_constraint"):
        pytest.skip("Optuna before 5")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    told_after = {} if is_told_by_trial else {"constraints_func": CONSTRAINT.of_trial}
    sampler = optuna.samplers.NSGAIISampler(population_size=10, seed=0, **told_after)
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)

    def ask(trial: Any) -> tuple[float, int]:
        cell = OBJECTIVE.suggest(trial)
        if is_told_by_trial:
            trial.set_constraint("latency", CONSTRAINT(cell))
        return OBJECTIVE(cell), cell.count(3)

    study.optimize(ask, n_trials=40)
    assert len(study.trials) == 40
    assert study.best_trials
    assert all(trial.values[0] <= BUDGET_S for trial in study.best_trials)
    assert any(trial.values[0] > BUDGET_S for trial in study.trials)


def test_pymoo_searches_under_the_budget() -> None:
    pytest.importorskip("pymoo", reason="pymoo is not installed; the columns it asks for are tested above")
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    class Cells(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            last = np.array(SPACE.choices) - 1
            super().__init__(n_var=len(last), n_obj=2, n_ieq_constr=1, xl=0 * last, xu=last, vtype=int)

        def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            objectives = (OBJECTIVE, lambda rows: -(rows == 3).sum(axis=1))
            out["F"], out["G"] = evaluate_population(x, objectives=objectives, constraints=(CONSTRAINT,))

    algorithm = NSGA2(
        pop_size=12, sampling=IntegerRandomSampling(), crossover=SBX(vtype=float, repair=RoundingRepair()),
        mutation=PM(vtype=float, repair=RoundingRepair()),
    )  # fmt: skip
    found = minimize(Cells(), algorithm, ("n_gen", 5), seed=1)
    assert len(found.F)
    assert (found.F[:, 0] <= BUDGET_S).all()
