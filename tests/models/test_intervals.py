"""Prediction intervals: sums of correlated errors, calibration that covers, files that are not trusted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annette.errors import AnnetteError, ModelError
from annette.estimation.platform import Platform
from annette.models.held_out_networks import HeldOutNetworks
from annette.models.interval_fit import conformal_quantile, fit_intervals
from annette.models.intervals import LEVEL, ErrorSpread, FamilySpread, Intervals
from annette.models.kernel_table import KernelTable, concatenate_tables
from annette.models.layer_fit import HeldOut
from annette.models.ranges import measure_ranges, octaves_outside, unseen_mask
from annette.models.training import TrainingData


def spread_of(**changes: Any) -> ErrorSpread:
    family = FamilySpread(spread=0.02, slope=-0.5, latency_s=1e-4, least_s=1e-6, most_s=1e-2)
    values: dict[str, Any] = {
        "families": {"conv": family}, "unseen": 0.5, "per_octave": 0.1, "same_family": 0.4,
        "other_family": 0.1, "whole": 0.0, "kernel_down": 2.0, "kernel_up": 2.2, "network_down": 2.5,
        "network_up": 2.4,
    }  # fmt: skip
    return ErrorSpread(**{**values, **changes})


# Values --------------------------------------------------------------------------------------------

sums = st.lists(st.floats(1e-7, 1e-2), min_size=1, max_size=5)


@given(doubts=sums, same=st.floats(0, 1), other=st.floats(0, 1))
def test_a_network_is_no_surer_than_independent_errors_and_no_less_than_equal_ones(
    doubts: list[float], same: float, other: float
) -> None:
    families, squares = np.array([doubts]), np.array([sum(value**2 for value in doubts)])
    spread = spread_of(same_family=max(same, other), other_family=min(same, other))
    (found,) = spread.network_spread(np.ones(1), families, squares)
    assert math.sqrt(squares[0]) * (1 - 1e-9) <= found <= sum(doubts) * (1 + 1e-9)


@given(doubts=sums, zeros=st.integers(0, 4))
def test_families_that_a_network_lacks_do_not_change_a_bit(doubts: list[float], zeros: int) -> None:
    squares = np.array([sum(value**2 for value in doubts)])
    alone = spread_of().network_spread(np.ones(1), np.array([doubts]), squares)
    among = [item for value in doubts for item in (value, *[0.0] * zeros)]
    assert spread_of().network_spread(np.ones(1), np.array([among]), squares).tolist() == alone.tolist()


def test_errors_of_one_family_do_not_average_out() -> None:
    n, doubt = 100, 1e-6  # kernels of 1 us of doubt each, in a network of 1 ms
    squares = np.array([n * doubt**2])
    one = spread_of().network_spread(np.array([1e-3]), np.array([[n * doubt]]), squares)
    ten = spread_of().network_spread(np.array([1e-3]), np.full((1, 10), n * doubt / 10), squares)
    apart = spread_of(same_family=0.0, other_family=0.0)
    none = apart.network_spread(np.array([1e-3]), np.array([[n * doubt]]), squares)
    assert none[0] == pytest.approx(0.1 / math.sqrt(n))
    assert one[0] > ten[0] > 3 * none[0]


def test_short_kernels_are_less_certain_within_what_was_measured() -> None:
    family = spread_of().families["conv"]
    at = family.at(np.array([1e-9, 1e-6, 1e-4, 1e-2, 1.0]))
    assert at.tolist() == sorted(at, reverse=True)
    assert (at[0], at[2], at[-1]) == (at[1], pytest.approx(0.02), at[-2])


def test_a_wider_spread_needs_more_octaves_or_an_unseen_operator(small_platform: Platform) -> None:
    models = small_platform.layer_models
    table = _kernels(small_platform)
    latency_s = models.predict_s(table, "mixed")
    assert small_platform.intervals is not None
    spread = small_platform.intervals.models["mixed"]
    inside = spread.kernel_spread(table, latency_s, models)
    columns = table.values.copy()
    columns[:, _column("out_channels")] *= 1e4
    large = KernelTable(
        values=columns, family_names=table.family_names, family_index=table.family_index,
        network_index=table.network_index, n_networks=table.n_networks,
    )  # fmt: skip
    known = ~(models.generic_mask(table) | unseen_mask(table, models.ranges))
    assert known.any()
    assert (octaves_outside(large, models.ranges)[known] > 3).all()
    assert (
        spread_of(families=spread.families).kernel_spread(large, latency_s, models)[known] > inside[known]
    ).all()
    strange = table.renamed(dict.fromkeys(table.family_names, "strange"))
    assert (spread.kernel_spread(strange, latency_s, models) >= spread.unseen).all()


def _column(name: str) -> int:
    from annette.models.kernel_row import COLUMNS

    return COLUMNS.index(name)


def _kernels(platform: Platform) -> KernelTable:
    from annette.models.kernel_table import build_kernel_table
    from annette.zoo.registry import zoo_network

    network = zoo_network("resnet18")
    return build_kernel_table([(network, platform.mapping_model.predict(network))], platform.device)


# Calibration ---------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), n=st.integers(30, 400))
def test_a_conformal_quantile_holds_its_share_of_what_it_saw(seed: int, n: int) -> None:
    values = np.random.default_rng(seed).exponential(size=n)
    bound = conformal_quantile(values, LEVEL)
    assert bound in values
    assert LEVEL <= np.mean(values <= bound) <= LEVEL + 2 / n + 1e-12


def _campaign(
    platform: Platform, seed: int, n_networks: int
) -> tuple[TrainingData, HeldOut, HeldOutNetworks]:
    """Kernels with errors of 5 %, of which a part is the same for a network's kernels of one family."""
    rng, table = np.random.default_rng(seed), _kernels(platform)
    tables = concatenate_tables([table.take(rng.integers(0, len(table), 12)) for _ in range(n_networks)])
    predicted = platform.layer_models.predict_s(tables, "mixed")
    shared = rng.laplace(scale=0.03, size=(n_networks, len(tables.family_names)))
    errors = shared[tables.network_index, tables.family_index] + rng.laplace(scale=0.03, size=len(tables))
    data = TrainingData(
        table=tables, latency_s=predicted * np.exp(errors), groups=tables.network_index.copy(),
        sweeps=("",) * len(tables), dimensions=("",) * len(tables),
    )  # fmt: skip
    measured = np.bincount(tables.network_index, data.latency_s, n_networks)
    networks = HeldOutNetworks(
        table=tables, rows=np.arange(len(tables)), measured_s=measured, end_to_end_s=measured,
        groups=np.arange(n_networks), are_blocks=np.ones(n_networks, dtype=bool),
        n_kernels=np.full(n_networks, 12),
    )  # fmt: skip
    return data, HeldOut(predicted={"mixed": predicted}, unseen=0.4, per_octave=0.05), networks


def _ratios(
    platform: Platform, campaign: tuple[TrainingData, HeldOut, HeldOutNetworks], spread: ErrorSpread
) -> NDArray[np.float64]:
    """Log-ratios of networks over the ends of their intervals: inside from -1 to 1."""
    data, held_out, networks = campaign
    latency_s = held_out.predicted["mixed"]
    doubt = latency_s * spread.kernel_spread(data.table, latency_s, platform.layer_models)
    family_s = np.stack(
        [
            np.bincount(
                data.table.network_index, doubt * (data.table.family_index == code), networks.table.n_networks
            )
            for code in range(len(data.table.family_names))
        ],
        axis=1,
    )
    total_s = np.bincount(data.table.network_index, latency_s)
    squares = np.bincount(data.table.network_index, doubt**2)
    width = spread.network_spread(total_s, family_s, squares)
    low, high = np.log(spread.network_factors(width))
    ratio = np.log(networks.measured_s / total_s)
    return np.where(ratio < 0, -ratio / low, ratio / high)


def test_intervals_cover_other_networks_of_the_same_kind(small_platform: Platform) -> None:
    campaign = _campaign(small_platform, 1, 300)
    found = fit_intervals(campaign[0], small_platform.layer_models, campaign[1], campaign[2])
    spread = found.models["mixed"]
    assert 0.15 < spread.same_family <= 1.0  # half of the variance of each error is its family's
    standing = _ratios(small_platform, _campaign(small_platform, 2, 2000), spread)
    assert 0.87 < np.mean(np.abs(standing) <= 1) < 0.94
    assert 0.02 < np.mean(standing < -1) < 0.08  # either side is passed by half of them
    again = fit_intervals(campaign[0], small_platform.layer_models, campaign[1], campaign[2])
    assert again.to_bytes() == found.to_bytes()


def test_few_networks_leave_the_calibration_to_kernels(small_platform: Platform) -> None:
    data, held_out, _ = _campaign(small_platform, 3, 40)
    spread = fit_intervals(data, small_platform.layer_models, held_out, None).models["mixed"]
    assert spread.network_up == spread.kernel_up > 0
    assert spread.network_down == spread.kernel_down > 0
    assert spread.same_family > spread.other_family > 0


def test_networks_of_one_kernel_tell_no_correlations(small_platform: Platform) -> None:
    data, held_out, networks = _campaign(small_platform, 5, 60)
    single = replace(networks, n_kernels=np.ones(60, dtype=np.int64))  # though more were predicted
    found, without = (
        fit_intervals(data, small_platform.layer_models, held_out, item) for item in (single, None)
    )
    assert found.models == without.models
    assert found.calibration["mixed"]["single_kernel_networks"] == 60
    assert found.calibration["mixed"]["networks"] == 0


def test_suggested_kernels_calibrate_nothing(small_platform: Platform) -> None:
    data, held_out, _ = _campaign(small_platform, 6, 60)
    drawn = np.arange(len(data)) % 3 > 0
    worse = replace(data, latency_s=np.where(drawn, data.latency_s, 5.0 * data.latency_s))
    found = [
        fit_intervals(item, small_platform.layer_models, held_out, None, drawn=drawn).models["mixed"]
        for item in (data, worse)
    ]
    assert found[0] == found[1]
    assert found[0] != fit_intervals(worse, small_platform.layer_models, held_out, None).models["mixed"]
    family = data.table.family_names[0]  # one that was only suggested has its own spread
    unseen = ~np.isin(np.arange(len(data)), data.table.rows_of(family))
    spread = fit_intervals(data, small_platform.layer_models, held_out, None, drawn=unseen).models["mixed"]
    assert spread.families[family].spread < spread.unseen


def test_what_could_not_be_held_out_has_no_intervals(small_platform: Platform) -> None:
    data, held_out, networks = _campaign(small_platform, 4, 30)
    nothing = HeldOut(predicted={"mixed": held_out.predicted["mixed"] * np.nan}, unseen=0.4, per_octave=0.1)
    assert not fit_intervals(data, small_platform.layer_models, nothing, networks).models


def test_training_calibrates_all_four_models(small_platform: Platform) -> None:
    intervals = small_platform.intervals
    assert intervals is not None
    assert set(intervals.models) == {"roofline", "refined_roofline", "statistical", "mixed"}
    notes = intervals.calibration["mixed"]
    assert notes["kernels"] == small_platform.metrics["measured_kernels"]
    assert notes["networks"] >= 20
    assert LEVEL <= notes["network_coverage"] <= LEVEL + 4 / notes["networks"]
    assert notes["network_half_width"] < intervals.calibration["roofline"]["network_half_width"]


# Distance ------------------------------------------------------------------------------------------


def test_octaves_count_from_the_edge_of_the_range(small_platform: Platform) -> None:
    table = _kernels(small_platform)
    assert octaves_outside(table, measure_ranges(table)).tolist() == [0.0] * len(table)
    wider = table.values.copy()
    wider[:, _column("out_h")] = 8 * (wider[:, _column("out_h")].max() + 1) - 1
    moved = KernelTable(
        values=wider, family_names=table.family_names, family_index=table.family_index,
        network_index=table.network_index, n_networks=1,
    )  # fmt: skip
    assert (octaves_outside(moved, measure_ranges(table)) >= 3 - 1e-9).all()
    assert octaves_outside(moved, {}).tolist() == [0.0] * len(table)


# Files ---------------------------------------------------------------------------------------------


def intervals() -> Intervals:
    return Intervals(models={"mixed": spread_of()}, calibration={"mixed": {"kernels": 7.0}})


def test_files_hold_all_there_is() -> None:
    again = Intervals.from_bytes(intervals().to_bytes())
    assert again.models == intervals().models
    assert again.to_bytes() == intervals().to_bytes()


_PATHS = ["schema_version", "level", "models", "calibration"]
_INNER = [
    "families",
    "unseen",
    "per_octave",
    "same_family",
    "other_family",
    "whole",
    "kernel_down",
    "network_up",
]
values = st.sampled_from(
    [None, True, -1, 10**400, 1e308, float("nan"), "x", "1e9", [], {}, [1], {"a": 1}, 11.0]
)


@settings(max_examples=60)
@given(place=st.sampled_from([*_PATHS, *_INNER, "spread", "slope", "latency_s"]), value=values)
def test_damaged_files_are_refused_in_one_line_or_hold_numbers(place: str, value: Any) -> None:
    document = json.loads(intervals().to_bytes())
    model = document["models"]["mixed"]
    at = document if place in _PATHS else model if place in _INNER else model["families"]["conv"]
    at[place] = value
    refusal, found = "", intervals()
    try:
        found = Intervals.from_bytes(json.dumps(document).encode())
    except AnnetteError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert len(refusal) < 400
    for spread in found.models.values():
        assert np.isfinite(spread.network_factors(np.array([0.0, 5.0]))).all()


def test_another_version_says_so() -> None:
    document = {**json.loads(intervals().to_bytes()), "schema_version": 99}
    with pytest.raises(ModelError, match="schema version 99"):
        Intervals.from_bytes(json.dumps(document).encode())
