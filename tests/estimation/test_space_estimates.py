"""Estimates of populations: the numbers of one network at a time, from arrays."""

from __future__ import annotations

import dataclasses
import gc
import logging

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config

from annette.errors import UsageError
from annette.estimation import space_estimates
from annette.estimation.catalogue import load_platform
from annette.estimation.platform import Platform
from annette.models.mapping_model import MappingModel
from annette.zoo.spaces.registry import list_spaces, open_space

SPACES = [entry.name for entry in list_spaces()]
PLATFORMS = ("zcu102-dpu", "ncs2")


@pytest.fixture(scope="module")
def dpu() -> Platform:
    return load_platform("zcu102-dpu")


def _one_by_one(platform: Platform, name: str, rows: np.ndarray, model: str = "mixed") -> list[float]:
    space = open_space(name)
    return [platform.estimate(space.network(row), model=model).latency_s for row in rows.tolist()]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", SPACES)
def test_a_population_has_the_seconds_of_its_networks_to_the_last_bit(
    name: str, platform: str, caplog: pytest.LogCaptureFixture
) -> None:
    space = open_space(name)
    rows = space.sample(40, seed=11)
    with caplog.at_level(logging.INFO):
        found = load_platform(platform).estimate_space(space, rows)
    assert "network by network" not in caplog.text
    assert found[:10].tolist() == _one_by_one(load_platform(platform), name, rows[:10])


def test_answers_keep_their_order_across_chunks(dpu: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    space = open_space("ofa")
    rows = space.sample(30, seed=2)
    whole = dpu.estimate_space(space, rows)
    monkeypatch.setattr(space_estimates, "CHUNK", 11)
    backwards = dpu.estimate_space(open_space("ofa"), rows[::-1])
    assert backwards[::-1].tolist() == whole.tolist()


def test_a_few_architectures_and_many_are_told_the_same(dpu: Platform) -> None:
    space = open_space("nasbench101")
    rows = space.sample(20, seed=4)
    many = dpu.estimate_space(space, rows)
    assert [float(dpu.estimate_space(space, row[None])[0]) for row in rows[:5]] == many[:5].tolist()


def test_every_cell_of_a_small_space_is_told_alike_whatever_was_asked_before(dpu: Platform) -> None:
    space = open_space("nasbench201")
    rows = space.sample(300, seed=5)
    first = dpu.estimate_space(space, rows[:200])
    both = dpu.estimate_space(space, np.concatenate([rows, rows]))
    assert both[:200].tolist() == first.tolist()
    assert both[:300].tolist() == both[300:].tolist()
    assert both[200:206].tolist() == _one_by_one(dpu, "nasbench201", rows[200:206])


def test_repeated_cells_do_not_change_an_answer(dpu: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = open_space("nasbench201").sample(400, seed=6)
    folded = dpu.estimate_space(open_space("nasbench201"), rows)
    monkeypatch.setattr(space_estimates, "fold", lambda pieces: None)
    assert dpu.estimate_space(open_space("nasbench201,batch=1"), rows).tolist() == folded.tolist()


@pytest.mark.parametrize("model", ["roofline", "refined_roofline", "statistical"])
def test_every_layer_model_prices_populations(model: str, dpu: Platform) -> None:
    rows = open_space("fbnet").sample(12, seed=1)
    found = dpu.estimate_space(open_space("fbnet"), rows, model=model)
    assert found[:3].tolist() == _one_by_one(dpu, "fbnet", rows[:3], model)


def test_notations_serve_as_well_as_rows(dpu: Platform) -> None:
    space = open_space("fbnet")
    rows = space.sample(10, seed=1)
    texts = [space.format(row) for row in rows.tolist()]
    assert dpu.estimate_space(space, texts).tolist() == dpu.estimate_space(space, rows).tolist()


def test_several_processes_tell_what_one_does(dpu: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    space = open_space("ofa")
    rows = space.sample(24, seed=8)
    monkeypatch.setattr(space_estimates, "TASK", 12)
    calls: list[tuple[int, int]] = []
    found = dpu.estimate_space(
        space, rows, n_jobs=2, on_progress=lambda done, to_do: calls.append((done, to_do))
    )
    assert found.tolist() == dpu.estimate_space(space, rows).tolist()
    assert calls == [(12, 24), (24, 24)]


def test_a_runtime_that_moves_tensors_is_asked_network_by_network(caplog: pytest.LogCaptureFixture) -> None:
    platform, space = load_platform("onnxruntime-epyc"), open_space("fbnet")
    rows = space.sample(space_estimates.FEW + 1, seed=1)
    with caplog.at_level(logging.INFO):
        found = platform.estimate_space(space, rows)
    assert "network by network" in caplog.text
    assert found[:2].tolist() == _one_by_one(platform, "fbnet", rows[:2])


def test_a_rule_that_arrays_do_not_know_is_obeyed_all_the_same(dpu: Platform) -> None:
    text = dpu.mapping_model.to_json().replace('"producer_readers"', '"rejoins"')
    odd = dataclasses.replace(dpu, mapping_model=MappingModel.from_json(text))
    rows = open_space("nasbench201").sample(20, seed=3)
    found = odd.estimate_space(open_space("nasbench201"), rows)
    assert found[:3].tolist() == _one_by_one(odd, "nasbench201", rows[:3])


def test_nothing_asked_is_nothing_told(dpu: Platform) -> None:
    space = open_space("darts")
    assert dpu.estimate_space(space, []).shape == (0,)
    assert dpu.estimate_space(space, np.empty((0, len(space.choices)), dtype=np.int64)).shape == (0,)


@pytest.mark.parametrize(
    ("encodings", "options", "message"),
    [
        ([[9, 0, 0, 0, 0, 0]], {}, "encoding 0 has 9 for gene 0, expected 0 to 4"),
        ([[0, 1]], {}, r"shape \(1, 2\)"),
        ([[0.5] * 6], {}, "expected whole numbers"),
        (["|nonsense|"], {}, "is no architecture"),
        ("|nonsense|", {}, "one text, expected a sequence"),
        (np.empty((3, 0)), {}, r"shape \(3, 0\)"),
        ([[0] * 6], {"n_jobs": 0}, "n_jobs: 0"),
        ([[0] * 6], {"n_jobs": 1.5}, "n_jobs: 1.5"),
        ([[0] * 6], {"model": "best"}, "layer model 'best'"),
        ([[0] * 6], {"target": "energy"}, "trained on measurements without energy"),
        ([[0] * 6], {"target": "area"}, "target 'area'"),
    ],
)
def test_bad_calls_are_told_in_a_line(
    encodings: list[object], options: dict[str, str], message: str, dpu: Platform
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        dpu.estimate_space(open_space("nasbench201"), encodings, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_what_is_known_of_a_space_goes_with_it(dpu: Platform) -> None:
    space = open_space("fbnet")
    dpu.estimate_space(space, space.sample(12, seed=1))
    known = id(space)
    assert known in space_estimates._KNOWN
    del space
    gc.collect()
    assert known not in space_estimates._KNOWN


def test_clearing_forgets_spaces_and_changes_no_answer(dpu: Platform) -> None:
    space = open_space("fbnet")
    rows = space.sample(12, seed=1)
    first = dpu.estimate_space(space, rows)
    assert dpu.cache_info().space_kernels > 0
    dpu.clear_cache()
    assert dpu.cache_info().space_kernels == 0
    assert dpu.estimate_space(space, rows).tolist() == first.tolist()


def test_columns_of_text_are_read(dpu: Platform) -> None:
    space = open_space("nasbench201")
    texts = [space.format(row) for row in space.sample(3, seed=2).tolist()]
    expected = dpu.estimate_space(space, texts).tolist()
    assert dpu.estimate_space(space, np.array(texts)).tolist() == expected
    assert dpu.estimate_space(space, pd.Series(texts, index=[7, 8, 9])).tolist() == expected


def test_a_space_is_not_its_name(dpu: Platform) -> None:
    with pytest.raises(UsageError, match="open_space"):
        dpu.estimate_space("nasbench201", [[0] * 6])  # type: ignore[arg-type]


def test_tasks_in_threads_and_questions_from_progress_do_not_wait_for_each_other(
    dpu: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space_estimates, "TASK", 12)
    monkeypatch.setattr(space_estimates, "CHUNK", 12)
    space = open_space("ofa")
    rows = space.sample(40, seed=3)
    expected = dpu.estimate_space(open_space("ofa"), rows).tolist()
    with parallel_config(backend="threading"):
        assert dpu.estimate_space(space, rows, n_jobs=2).tolist() == expected
    asked: list[float] = []
    found = dpu.estimate_space(
        space, rows, on_progress=lambda done, to_do: asked.extend(dpu.estimate_space(space, rows[:1]))
    )
    assert found.tolist() == expected
    assert set(asked) == {expected[0]}


@pytest.mark.parametrize("count", [20, 300])
def test_progress_reaches_the_end_whatever_was_known(count: int, dpu: Platform) -> None:
    space = open_space("nasbench201")
    rows = space.sample(count, seed=7)
    for _ in range(2):
        calls: list[tuple[int, int]] = []
        dpu.estimate_space(space, rows, on_progress=lambda done, to_do: calls.append((done, to_do)))  # noqa: B023
        assert calls[-1] == (count, count)
        assert [done for done, _ in calls] == sorted(done for done, _ in calls)
