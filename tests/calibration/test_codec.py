"""Calibrated models on disk: what comes back, and what is refused."""

from __future__ import annotations

import json
import math
import os
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annette.calibration.calibrate import calibrate_space
from annette.calibration.calibrated import CalibratedModel
from annette.calibration.codec import load_calibrated, save_calibrated
from annette.errors import AnnetteError, StoreError
from annette.store.calibrated_folder import is_calibrated
from annette.zoo.spaces.registry import open_space

SPACE = open_space("fbnet")
ROWS = SPACE.sample(12, seed=0)


@cache
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
        ("device", "toy\nforged: 1.00 us", "device: found 'toy"),
        ("device", "x" * 300, "expected 1 to 200 letters"),
        ("notes", ["all is well\nforged line"], "notes: found"),
        ("operators", "Conv", "operators: found 'Conv', expected a list of names"),
        ("operators", ["Conv\nforged line"], "operators: found"),
        ("operators", ["Conv"] * 1001, "operators: found 1001"),
        ("held_out_error", "9" * 300_000, "held_out_error: found '9999"),
        ("graph", ["9" * 300_000], "damaged|graph: found"),
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


def test_a_text_in_place_of_numbers_is_not_repeated_in_full(tmp_path: Path) -> None:
    document = saved_document(tmp_path)
    document["terms"]["means"][0] = "9" * 300_000 + "x"
    with pytest.raises(StoreError, match="calibrate again") as caught:
        reload(document, tmp_path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_member_that_costs_nothing_is_refused(tmp_path: Path, place: int) -> None:
    document = saved_document(tmp_path)
    member = document["members"][place]
    for key in ("costs_s", "source_costs_s"):
        member[key] = [0.0] * len(member[key])
    with pytest.raises(StoreError, match=rf"members\[{place}\].costs_s: found 0"):
        reload(document, tmp_path)


def test_an_interval_over_no_latency_is_refused(tmp_path: Path) -> None:
    document = saved_document(tmp_path)
    document["interval"]["unit_s"] = 0
    with pytest.raises(StoreError, match=r"interval.unit_s: found 0, expected a number"):
        reload(document, tmp_path)


def test_a_name_that_would_be_refused_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="device: found"):
        save_calibrated(replace(model(), device="a\nb"), tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


def test_a_write_that_fails_leaves_the_earlier_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_calibrated(model(), tmp_path)
    before = (tmp_path / "calibrated.json").read_bytes()

    def fail(self: Path, text: str, **_: object) -> int:
        self.write_bytes(text.encode()[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fail)
        with pytest.raises(StoreError, match="No space left"):
            save_calibrated(replace(model(), device="other"), tmp_path)
    assert (tmp_path / "calibrated.json").read_bytes() == before
    assert os.listdir(tmp_path) == ["calibrated.json"]


def test_what_is_loaded_answers_with_numbers_or_one_line(tmp_path: Path) -> None:
    whole, rng = saved_document(tmp_path), np.random.default_rng(4)
    answered, refused = 0, []
    for _ in range(60):
        document = json.loads(json.dumps(whole))
        damage(document, rng)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = reload(document, tmp_path)
                assert math.isfinite(found.mean_network_width())
                answer = found.estimate(ROWS[0].tolist())
        except AnnetteError as err:
            refused.append(str(err))
            continue
        assert 0 < answer.low_s <= answer.latency_s <= answer.high_s < math.inf
        assert sum(answer.term_s.values()) == pytest.approx(answer.latency_s)
        answered += 1
    assert min(answered, len(refused)) > 10
    assert not any("\n" in text for text in refused)


def saved_document(folder: Path) -> dict[str, Any]:
    save_calibrated(model(), folder)
    document: dict[str, Any] = json.loads((folder / "calibrated.json").read_text())
    return document


def reload(document: dict[str, Any], folder: Path) -> CalibratedModel:
    (folder / "calibrated.json").write_text(json.dumps(document))
    return load_calibrated(folder)


def damage(document: Any, rng: np.random.Generator) -> None:
    """Put a number in place of another one somewhere, or of all in a list."""
    value = float(rng.choice([0.0, 5e-324, 1e-300, 1e-30, 1e15]))
    while True:
        key = rng.choice(sorted(document)) if isinstance(document, dict) else int(rng.integers(len(document)))
        item = document[key]
        is_numbers = isinstance(item, list) and item and all(isinstance(number, float) for number in item)
        if is_numbers and rng.random() < 0.5:
            document[key] = [value] * len(item)
            return
        if not isinstance(item, dict | list) or not item:
            document[key] = value if isinstance(item, int | float) else item
            return
        document = item
