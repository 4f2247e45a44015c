"""Intervals of a handful of samples: where their numbers come from, and what they are of odd input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from annette.calibration.intervals import FEW_COUNT, FEW_FITTED, FEW_HELD_OUT, FEW_LEVEL, Interval

RECORD = Path(__file__).parents[2] / "benchmarks" / "results" / "few_intervals.json"


def test_numbers_are_those_that_the_study_fitted() -> None:
    fitted = json.loads(RECORD.read_text(encoding="utf-8"))["fitted"]
    assert [fitted["level"], *fitted["powers"]] == [FEW_LEVEL, FEW_HELD_OUT, FEW_FITTED, FEW_COUNT]


def test_numbers_were_fitted_without_test_devices() -> None:
    coverage = json.loads(RECORD.read_text(encoding="utf-8"))["coverage"]
    sources = {key.split("/")[1].rstrip("0123456789") for key, item in coverage.items() if item["is_source"]}
    others = {
        key.split("/")[1].rstrip("0123456789") for key, item in coverage.items() if not item["is_source"]
    }
    assert {"titanx_", "titan_rtx_", "gold_"} < others
    assert not sources & others


def test_an_interval_that_cannot_be_reckoned_is_as_wide_as_can_be() -> None:
    interval = Interval(quantile=0.1, spread=np.array([[1.0, 0.0], [0.0, 0.0]]), unit_s=1.0)
    with np.errstate(all="ignore"):
        widths = interval.log_half_width(np.array([[1.0, 1.0], [1e200, np.inf]]), np.ones(2))
    assert widths[0] < 0.15
    assert widths[1] == 20.0
