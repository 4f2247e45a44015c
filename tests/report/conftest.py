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


@pytest.fixture(scope="session")
def evaluation_page() -> Page:
    document = summarise_evaluation(_evaluation_document(24))
    return Page(document, render_page(document))
