"""Pages: nothing from elsewhere, nothing slipped in by a name, a table behind each plot, enough contrast."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import annette
from annette.errors import UsageError
from annette.estimation.estimate import Interval
from annette.graph.network import Network
from annette.report import page as page_module
from annette.report.comparison_summary import summarise_comparison
from annette.report.estimate_summary import summarise_estimate
from annette.report.evaluation_summary import summarise_evaluation
from annette.report.page import render_page
from annette.units import format_seconds

Evaluations = Callable[[int], dict[str, Any]]
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("\ud800</script>"),
    st.just([1]), st.just({"mixed": 1}), st.just({"a": {"models": {}}}), st.just(["x" * 3000]),
    st.just(1e308), st.just(1e-320),
)  # fmt: skip
LONG = "layer_" * 1700
STYLE = (Path(page_module.__file__).parent / "assets" / "page.css").read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Tags, ids, texts and what addresses point to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.classes: Counter[str] = Counter()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.labels: list[str] = []
        self.handlers: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            if name == "class":
                self.classes.update((value or "").split())
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "action"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
            if name in ("aria-labelledby", "aria-describedby", "for"):
                self.labels += (value or "").split()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(params=["estimate_page", "evaluation_page", "comparison_page"])
def some_page(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_names_slip_nothing_into_a_page(some_page: Any) -> None:
    read = Reader(some_page.html)
    assert read.tags["img"] == 0
    assert read.tags["script"] == (2 if 'id="data"' in some_page.html else 1)
    assert read.handlers == []
    assert "alert(" not in re.sub(r"(?s)<[^>]*>|&[^;]*;", "", some_page.html).split('"use strict"')[1]
    assert "</script><script>alert" in "".join(read.text)


def test_a_page_loads_nothing_from_elsewhere(some_page: Any) -> None:
    read = Reader(some_page.html)
    assert read.addresses == ["data:,"]
    assert "Content-Security-Policy" in some_page.html
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_ids_are_there_once_and_labels_lead_to_them(some_page: Any) -> None:
    read = Reader(some_page.html)
    assert [name for name, count in Counter(read.ids).items() if count > 1] == []
    assert set(read.labels) <= set(read.ids)


def test_the_same_document_gives_the_same_bytes(some_page: Any) -> None:
    assert render_page(json.loads(json.dumps(some_page.document))) == some_page.html


def test_each_kernel_is_in_each_figure_and_in_the_table(estimate_page: Any) -> None:
    rows = Counter(re.findall(r'<(rect|circle|tr)[^>]* data-row="(\d+)"', estimate_page.html))
    count = len(estimate_page.document["kernels"])
    assert rows == {(tag, str(number)): 1 for tag in ("rect", "circle", "tr") for number in range(count)}


def test_what_the_script_reads_is_the_document(estimate_page: Any) -> None:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', estimate_page.html)
    assert found is not None
    data = json.loads(found[1])
    names = [item["name"] for item in data["kernels"]]
    assert names == [item["name"] for item in estimate_page.document["kernels"]]
    assert any(LONG in name for name in names)  # the details show it whole
    assert data["latency_s"] == estimate_page.document["latency_s"]


def test_ten_thousand_letters_stand_in_no_cell(estimate_page: Any) -> None:
    html = re.sub(r'(?s)<script type="application/json".*?</script>', "", estimate_page.html)
    assert LONG[:600] not in html


def test_control_characters_are_not_shown(evaluation_document: Evaluations) -> None:
    document = evaluation_document(2)
    document["networks"][0]["name"] = "a\x1b[31mb\u202ec"
    html = render_page(summarise_evaluation(document))
    assert "a?[31mb?c" in html


def test_a_network_of_no_kernels_has_a_page() -> None:
    platform = annette.load("ncs2")
    network = Network(name="nothing", layers=(), tensors={}, inputs=(), outputs=())
    html = render_page(summarise_estimate(network, platform, platform.estimate(network)))
    assert "No kernel is expected to run" in html
    assert "NaN" not in html


def test_intervals_and_reasons_stand_on_the_page_where_they_are_known(hostile_network: Network) -> None:
    platform = annette.load("ncs2")
    estimate = platform.estimate(hostile_network)
    interval = Interval(low_s=0.5 * estimate.latency_s, high_s=2.5 * estimate.latency_s)
    kernels = tuple(
        replace(item, interval=Interval(low_s=item.latency_s / 2, high_s=item.latency_s * 2), energy_j=1e-6)
        for item in estimate.kernels
    )
    wide = replace(estimate, interval=interval, kernels=kernels, energy_j=7e-6, overhead_s=-1e-5)
    read = Reader(render_page(summarise_estimate(hostile_network, platform, wide)))
    low, high = format_seconds(interval.low_s), format_seconds(interval.high_s)
    assert f"90 % interval {low} to {high}" in read.text
    assert {"do not rely", "7.00 uJ", "-10.0 us", "beyond the kernels"} <= set(read.text)
    assert any("The 90 % interval is wide" in text for text in read.text)
    assert read.text.count("1.00 uJ") == len(kernels)


def test_a_simulated_device_of_another_description_has_no_sliders_and_says_so(
    hostile_network: Network,
) -> None:
    platform, network = annette.load("ncs2"), hostile_network
    html = render_page(summarise_estimate(network, platform, platform.estimate(network)))
    assert "No what-if sliders" in html
    assert 'id="what-if"' not in html


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": []}, "evaluation: found no networks or no layer models, expected at least one of each"),
        ({"networks": [3]}, "evaluation: networks[0]: found int, expected an object by name"),
        (
            {"models": {"mixed": {"mape": "small"}}},
            "models: mixed: mape: found 'small', expected a finite number",
        ),
        ({"networks": [{"measured_s": -1.0}]}, "networks[0]: measured_s: found '-1.0', expected seconds > 0"),
        ({"networks": [{"measured_s": 1.0}]}, "networks[0]: roofline_s: found 'None', expected seconds > 0"),
    ],
)
def test_a_wrong_evaluation_is_refused_in_a_line(
    evaluation_document: Evaluations, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        summarise_evaluation({**evaluation_document(2), **change})
    assert message in str(caught.value)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_an_evaluation_holds_it_is_a_page_or_one_line(
    evaluation_document: Evaluations, data: st.DataObject
) -> None:
    _require_page_or_line(_with_anything(evaluation_document(2), data), summarise_evaluation)


def _with_anything(document: Any, data: st.DataObject) -> Any:
    """The document with something else in one place."""
    document = json.loads(json.dumps(document))
    place, key = document, data.draw(st.sampled_from(sorted(document)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(ANYTHING)
    return document


def _require_page_or_line(document: Any, summarise: Callable[[Any, str], dict[str, Any]]) -> None:
    html, refusal = "", ""
    try:
        html = render_page(summarise(document, "answer.json"))
    except UsageError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert len(refusal) < 300
    assert bool(refusal) != bool(html.encode("utf-8"))
    assert Reader(html).tags["script"] == bool(html) + html.count('id="data"')


def test_a_recorded_table_is_scaled_by_its_factors(evaluation_document: Evaluations) -> None:
    document = evaluation_document(3)
    for figures in document["models"].values():
        figures.update(scale_factor=2.0, scaled_mape=0.05)
    table = {
        "table": "phones.csv",
        **{key: document[key] for key in ("platform", "device", "models", "networks")},
    }
    found = summarise_evaluation(table)
    first = document["networks"][0]
    assert found["networks"][0]["predicted_s"]["mixed"] == 2.0 * first["mixed_s"]
    assert "multiplied by one factor" in render_page(found)


def test_intervals_are_drawn_and_judged_where_they_are_known(evaluation_document: Evaluations) -> None:
    document = evaluation_document(4)
    assert "whisker" not in Reader(render_page(summarise_evaluation(document))).classes
    for place, item in enumerate(document["networks"]):
        item["mixed_interval_s"] = [0.9 * item["mixed_s"], (1.1 if place else 0.95) * item["mixed_s"]]
    document["models"]["mixed"]["interval"] = {"coverage": 0.75, "median_half_width": 0.1, "networks": 4}
    read = Reader(render_page(summarise_evaluation(document)))
    assert read.classes["whisker"] == 4
    assert {"75.0 %", "in 90 % interval"} <= set(read.text)
    inside = ["yes" if 0.9 * ratio <= 1 <= 1.1 * ratio else "no" for ratio in [1.3 - 0.09 * 3] * 3]
    assert [text for text in read.text if text in ("yes", "no")] == ["no", *inside]


def test_many_networks_are_drawn_in_part_and_counted_whole(evaluation_document: Evaluations) -> None:
    html = render_page(summarise_evaluation(evaluation_document(2600)))
    assert "600 of the networks are drawn" in html
    assert "600 more are in the JSON document" in html


def test_a_document_of_no_known_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="report of kind 'other': not known, expected one of estimate"):
        render_page({"kind": "other"})


# Comparisons -----------------------------------------------------------------------------------------


def test_a_comparison_says_what_changed_and_how_sure_that_is(comparison_page: Any) -> None:
    text = " ".join(" ".join(Reader(comparison_page.html).text).split())
    assert (
        "B takes 501 us more, 1.11x as long as A. The ranges of the two overlap: the order may be the other"
        in text
    )
    assert "in A only: vanishes in B" in text
    assert "one becomes several" in text
    shades = re.findall(r'<rect class="mark (b-\w+)"[^>]* data-row="(\d)"', comparison_page.html)
    of_a = [("b-host", "0"), ("b-other", "1"), ("b-memory", "2"), ("b-overhead", "3")]
    assert shades == [*of_a, *of_a[:3]]  # the last kernel is not in B
    assert comparison_page.html.count("<circle") == 3


def test_sides_without_kernels_compare_by_their_latencies(comparison_document: dict[str, Any]) -> None:
    document = {
        **comparison_document,
        "changes": [],
        "families": [],
        "aligned_by": None,
        "ranges_apart": None,
    }
    html = render_page(summarise_comparison(document))
    assert "One side does not tell its kernels" in html
    assert "How sure that is, is not known." in html


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_comparison_holds_it_is_a_page_or_one_line(
    comparison_document: dict[str, Any], data: st.DataObject
) -> None:
    _require_page_or_line(_with_anything(comparison_document, data), summarise_comparison)


# Contrast --------------------------------------------------------------------------------------------


def _themes() -> list[dict[str, str]]:
    blocks = re.findall(r":root[^{]*\{\s*color-scheme[^}]*\}", STYLE)
    return [dict(re.findall(r"--([\w-]+): ([^;]+);", block)) for block in blocks]


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(first: str, second: str) -> float:
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_text_and_marks_stand_out_in_light_and_dark() -> None:
    themes = _themes()
    assert len(themes) == 3
    assert themes[1] == themes[2]  # dark by preference and dark by choice
    for colours in themes:
        for ground in (colours["ground"], colours["raised"]):
            for name in ("ink", "soft", "accent", "good", "fair", "bad"):
                assert _contrast(colours[name], ground) >= 4.5, (name, ground)
            for name in ("compute", "memory", "overhead", "host", "other"):
                assert _contrast(colours[name], ground) >= 3.0, (name, ground)
                assert _contrast(colours[name], colours["ground"]) >= 4.5, (
                    name
                )  # letters in boxes of that colour
