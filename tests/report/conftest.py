"""One small network with awkward names, and the documents of its reports, made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

import annette
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.codec import load_accelerator
from annette.report.comparison_summary import summarise_comparison
from annette.report.estimate_summary import summarise_estimate
from annette.report.evaluation_summary import summarise_evaluation
from annette.report.page import render_page

HOSTILE = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
LONG = "layer_" * 1700
MODELS = ("roofline", "refined_roofline", "statistical", "mixed")


@dataclass(frozen=True)
class Page:
    document: Mapping[str, Any]
    html: str


@pytest.fixture(scope="session")
def hostile_network() -> Network:
    """Two branches, a layer that vanishes, and names that nobody should trust."""
    build = NetworkBuilder(f"net {HOSTILE}")
    x = build.relu(build.conv(build.input("x", (1, 3, 32, 32)), 32, kernel=3, padding=1, name=HOSTILE))
    left = build.relu(build.conv(x, 32, kernel=3, padding=1, name=LONG))
    right = build.max_pool(x, kernel=3, stride=1, padding=1)
    joined = build.concat(left, right)
    x = build.conv(joined, 64, kernel=1, name="quote\"'& {{ 7 * 7 }}")
    return build.finish(build.softmax(build.linear(build.flatten(build.global_avg_pool(x)), 10)))


@pytest.fixture(scope="session")
def evaluation_document() -> Callable[[int], dict[str, Any]]:
    """Documents of so many networks."""
    return _evaluation_document


def _evaluation_document(count: int) -> dict[str, Any]:
    """What ``annette evaluate --format json`` prints, in short."""
    networks = [
        {
            "name": f"net {place}{HOSTILE if not place else ''}",
            "group": "first" if place % 2 else "second",
            "measured_s": 0.001 * (1 + place),
            **{f"{model}_s": 0.001 * (1 + place) * (1.3 - 0.09 * rank) for rank, model in enumerate(MODELS)},
        }
        for place in range(count)
    ]
    figures = {"mape": 0.1, "bias": 0.05, "within_10_percent": 0.5, "spearman": 0.9, "kendall_tau": None}
    return {
        "schema_version": 1,
        "platform": "ncs2",
        "suite": "first, second",
        "device": "ncs2",
        "seed": 0,
        "models": {model: dict(figures) for model in MODELS},
        "groups": {
            name: {"networks": 12, "models": {"mixed": dict(figures)}} for name in ("first", "second")
        },
        "networks": networks,
        "failed": [{"name": "broken", "error": f"does not fit {HOSTILE}"}],
        "mapping_accuracy": 0.97,
    }


@pytest.fixture(scope="session")
def estimate_page(hostile_network: Network) -> Page:
    network, platform = hostile_network, annette.load("ncs2")
    document = summarise_estimate(
        network, platform, platform.estimate(network), accelerator=load_accelerator("ncs2")
    )
    return Page(document, render_page(document))


def _kernel(name: str, latency_s: float) -> dict[str, Any]:
    return {
        "name": name, "family": "conv", "unit": "array", "bound": "compute", "layers": [name],
        "latency_s": latency_s,
    }  # fmt: skip


@pytest.fixture(scope="session")
def comparison_document() -> dict[str, Any]:
    """What ``annette compare --format json`` prints, in short: one faster, one alike, one split, one gone."""
    changes = [
        ("same", [_kernel(HOSTILE, 2e-3)], [_kernel("faster", 1e-3)], ""),
        ("same", [_kernel("alike", 1e-3)], [_kernel("alike", 1.001e-3)], ""),
        ("split", [_kernel(LONG, 1e-3)], [_kernel("left", 1e-3), _kernel("right", 2e-3)], ""),
        ("only_a", [_kernel("gone", 5e-4)], [], "vanishes in B"),
    ]
    side = {"kind": "estimate", "on": "ncs2", "interval_s": [4e-3, 5e-3], "verdict": "solid", "kernels": 4}
    return {
        "schema_version": 1,
        "a": {**side, "network": "before", "latency_s": 4.5e-3},
        "b": {**side, "network": f"after {HOSTILE}", "latency_s": 5.001e-3},
        "difference_s": 0.501e-3,
        "ratio": 5.001 / 4.5,
        "ranges_apart": False,
        "aligned_by": "names",
        "beyond_kernels_s": 0.0,
        "families": [
            {
                "family": "conv",
                "a_kernels": 4,
                "b_kernels": 4,
                "a_s": 4.5e-3,
                "b_s": 5.001e-3,
                "difference_s": 5e-4,
            }
        ],
        "changes": [
            {"kind": kind, "family": "conv", "a": a, "b": b, "remark": remark}
            for kind, a, b, remark in changes
        ],
    }


@pytest.fixture(scope="session")
def comparison_page(comparison_document: dict[str, Any]) -> Page:
    document = summarise_comparison(comparison_document)
    return Page(document, render_page(document))


@pytest.fixture(scope="session")
def evaluation_page() -> Page:
    document = summarise_evaluation(_evaluation_document(24))
    return Page(document, render_page(document))
