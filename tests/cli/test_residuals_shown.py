"""Platforms with a residual on the command line: what it is, and the additive number beside each estimate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from annette.cli.main import exit_code
from annette.estimation.platform import Platform
from annette.models.network_residual import NetworkResidual


@pytest.fixture(scope="module")
def folder(small_platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    residual = NetworkResidual(
        coefficients=(4e-6, 0.0, 0.0, 0.0),
        least=0.0,
        most=0.1,
        cache_bytes=(),
        n_networks=77,
        additive_error=0.08,
        error=0.05,
    )
    path: Path = tmp_path_factory.mktemp("residual") / "platform"
    replace(small_platform, overhead=residual).save(path)
    return str(path)


def test_show_tells_what_the_residual_is_and_what_it_gained(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["show", folder]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "a network takes +0.0 to +10.5 % of its kernels' time beyond them" in text
    assert "learned from 77 blocks, error 5.0 % on held-out ones and 8.0 % without" in text
    assert exit_code(["show", folder, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["overhead"]["residual"]["n_networks"] == 77


def test_estimate_prints_the_sum_of_the_kernels_beside_the_latency(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["estimate", "zoo:lenet5", "--platform", folder, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    alone_s = sum(kernel["latency_s"] for kernel in document["kernels"])
    assert document["overhead_s"] > 0
    assert document["latency_s"] - document["overhead_s"] == pytest.approx(alone_s, rel=1e-12)
    assert exit_code(["estimate", "zoo:lenet5", "--platform", folder]) == 0
    assert "of the latency; their sum is" in " ".join(capsys.readouterr().out.split())
