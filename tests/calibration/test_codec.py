"""Calibrated models on disk: what comes back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from annette.calibration.calibrate import calibrate_space
from annette.calibration.calibrated import CalibratedModel
from annette.calibration.codec import load_calibrated, save_calibrated
from annette.errors import StoreError
from annette.store.calibrated_folder import is_calibrated
from annette.zoo.spaces.registry import open_space

SPACE = open_space("fbnet")
ROWS = SPACE.sample(12, seed=0)


def model() -> CalibratedModel:
    rng = np.random.default_rng(1)
    twin = calibrate_space(SPACE, ROWS, 1 + (ROWS == 7).sum(1) * 0.1, device="twin")
    latency_s = (1 + (ROWS == 7).sum(1) * 0.1) * rng.uniform(0.99, 1.01, len(ROWS))
    return calibrate_space(SPACE, ROWS, latency_s, device="toy", sources=[twin])


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    saved = model()
    save_calibrated(saved, tmp_path / "toy")
    assert is_calibrated(tmp_path / "toy")
    found = load_calibrated(tmp_path / "toy")
    rows = SPACE.sample(50, seed=3)
    np.testing.assert_array_equal(
        found.predict_space(SPACE, rows).high_s, saved.predict_space(SPACE, rows).high_s
    )
    assert (found.device, found.space, found.graph, found.notes) == ("toy", "fbnet", "needed", saved.notes)
    assert len(found.sources) == len(saved.sources)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    assert not is_calibrated(tmp_path)
    with pytest.raises(StoreError, match="expected a model written by annette calibrate -o"):
        load_calibrated(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema_version", 99, "schema_version 99, expected 1"),
        ("graph", "other", "graph: found 'other'"),
        ("terms", {"names": ["fixed", "magic"], "means": [1, 1]}, "terms.names"),
        ("terms", {"names": ["fixed"], "means": [1, 1]}, "terms.means"),
        ("members", [], "members: found 0"),
        ("interval", {}, "damaged"),
    ],
)
def test_a_damaged_model_is_refused_in_one_line(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    save_calibrated(model(), tmp_path)
    path = tmp_path / "calibrated.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(StoreError, match=message) as caught:
        load_calibrated(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "calibrated.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read as JSON"):
        load_calibrated(tmp_path)
