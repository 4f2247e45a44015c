"""The shipped platform of a real processor: it loads, and says what was recorded of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annette.estimation.platform import Platform
from annette.zoo.registry import open_network

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "trained_models" / "onnxruntime-epyc"
RESULT = ROOT / "benchmarks" / "results" / "real_cpu.json"


@pytest.mark.parametrize("name", ["mobilenet_v1", "vit_tiny", "tc_resnet8"])
def test_the_shipped_platform_gives_the_estimates_that_were_scored(name: str) -> None:
    networks = json.loads(RESULT.read_text(encoding="utf-8"))["networks"]
    recorded = next(item for item in networks if item["name"] == name)
    estimate = Platform.load(FOLDER).estimate(open_network(f"zoo:{name}"))
    assert estimate.latency_s == pytest.approx(recorded["predicted_s"]["mixed"], rel=1e-9)
