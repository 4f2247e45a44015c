"""The shipped platforms keep what benchmarks/golden.json promises, and fit their devices as they are now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import annette
from annette.backends.registry import open_device
from annette.estimation.platform import Platform
from annette.evaluation.suite import evaluate_suite
from annette.hardware.codec import accelerator_id
from annette.models.layer_models import MODEL_NAMES
from annette.report.device import find_accelerator

GOLDEN = json.loads(
    (Path(__file__).resolve().parents[2] / "benchmarks" / "golden.json").read_text(encoding="utf-8")
)
CASES = [
    (platform, suite)
    for platform, suites in GOLDEN["platforms"].items()
    for suite in suites
    if suite != "nasbench101-500"  # in the study only: half a minute
]


@pytest.mark.parametrize(("platform", "suite"), CASES)
def test_accuracy_on_held_out_networks_keeps_its_promise(platform: str, suite: str) -> None:
    document: dict[str, Any] = evaluate_suite(annette.load(platform), suite, seed=GOLDEN["seed"]).to_dict()
    models = document["models"]
    for key, target in GOLDEN["platforms"][platform][suite].items():
        reached = document[key] if key == "mapping_accuracy" else models["mixed"][key]
        assert reached <= target if key.endswith("mape") else reached >= target, (key, reached)
    key = "kernel_mape" if suite.startswith("nasbench") else "mape"
    assert models["mixed"][key] < min(
        models[name][key] for name in ("roofline", "refined_roofline", "statistical")
    )
    assert models["roofline"]["mape"] > 0.1  # else the device is too tame to be a reference


@pytest.mark.parametrize("platform", list(GOLDEN["spaces"]))
def test_networks_of_a_search_space_are_ranked_among_neighbours(platform: str) -> None:
    for suite, promise in GOLDEN["spaces"][platform].items():
        document: dict[str, Any] = evaluate_suite(
            annette.load(platform), suite, seed=GOLDEN["seed"]
        ).to_dict()
        mixed = document["models"]["mixed"]
        assert document["mapping_accuracy"] >= promise["mapping_accuracy"]
        assert mixed["spearman"] >= promise["spearman"]
        reached = [item["spearman"] for item in mixed["ranking"]["quartiles"]]
        assert min(reached) >= promise["quartile_spearman"], reached


@pytest.mark.parametrize("name", [name for name, _ in annette.list_platforms()])
def test_a_shipped_platform_knows_its_accelerator_and_how_sure_it_is(name: str) -> None:
    platform = annette.load(name)
    assert isinstance(platform, Platform)
    assert platform.intervals is not None
    assert set(platform.intervals.models) == set(MODEL_NAMES)
    if platform.device.backend == "simulator":
        accelerator = find_accelerator(platform.device)  # None once its preset has changed
        assert accelerator is not None
        assert dict(platform.device.environment)["accelerator"] == accelerator_id(accelerator)


@pytest.mark.parametrize("name", list(GOLDEN["platforms"]))
def test_a_shipped_platform_was_trained_on_the_device_as_it_is_now(name: str) -> None:
    assert annette.load(name).device == open_device(name).info
