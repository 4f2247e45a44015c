"""Pages in a real browser without a window: no errors, nothing loaded, all that pointer and keys can do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annette.report.what_if import interpolate_s
from annette.units import format_seconds

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
COUNT_COLOURS = """() => {
  const canvas = document.getElementById("graph"), seen = new Set();
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  for (let i = 0; i < pixels.length; i += 4) seen.add([pixels[i], pixels[i + 1], pixels[i + 2]].join());
  return seen.size;
}"""
CHOOSE_ARRAY = """(list, value) => {
  list.selectedIndex = [...list.options].findIndex((option) => Number(option.value) === value);
  list.dispatchEvent(new Event("input"));
}"""
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
pytest.importorskip("playwright", reason="playwright is not installed (extra test)")
if CHROMIUM is None:
    pytest.skip("no chromium on this machine: apt-get install chromium", allow_module_level=True)


@dataclass
class Opened:
    page: Any
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def text(self, where: str) -> str:
        return str(self.page.text_content(where)).strip()

    def count(self, where: str) -> int:
        return int(self.page.locator(where).count())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        context = play.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("browser")),
            executable_path=CHROMIUM,
            args=FLAGS.split(),
            color_scheme="light",
            viewport={"width": 1280, "height": 900},
        )
        yield context
        context.close()


@pytest.fixture(scope="module")
def open_page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Any], Opened]]:
    """Opens a page; in the end nothing went wrong on any, and none asked for more than its own file."""
    every: list[Opened] = []

    def start(page: Any) -> Opened:
        path: Path = tmp_path_factory.mktemp("page") / "report.html"
        path.write_text(page.html, encoding="utf-8")
        opened = Opened(browser.new_page())
        opened.page.set_default_timeout(10_000)
        opened.page.on("console", lambda message: opened.problems.append(message.text))
        opened.page.on("pageerror", lambda error: opened.problems.append(str(error)))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.goto(path.as_uri())
        every.append(opened)
        return opened

    yield start
    for opened in every:
        assert opened.problems == []
        assert [url for url in opened.requests if url != "data:,"] == opened.requests[:1]


@pytest.fixture(scope="module")
def estimate(open_page: Callable[[Any], Opened], estimate_page: Any) -> Iterator[Opened]:
    opened = open_page(estimate_page)
    yield opened
    opened.page.close()


def test_a_kernel_is_chosen_by_pointer_in_every_figure(estimate: Opened) -> None:
    for place, where in enumerate(("#timeline rect", "#roofline circle", "#kernels tbody tr")):
        estimate.page.locator(f'{where}[data-row="{place}"]').click()
        assert estimate.text("#details-name").startswith(f"{place + 1}. ")
        assert estimate.count(".chosen") == 3  # in the two figures and in the table
    estimate.page.click("#details-close")
    assert estimate.page.is_hidden("#details")
    assert estimate.count(".chosen") == 0


def test_the_graph_is_a_picture_with_a_kernel_under_the_pointer(estimate: Opened, estimate_page: Any) -> None:
    canvas = estimate.page.locator("#graph")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    at = estimate.page.evaluate(
        "() => { const v = graphView.view(), [x, y] = data.graph.nodes[1];"
        " return [x * v.scale + v.x, y * v.scale + v.y]; }"
    )
    estimate.page.mouse.move(box["x"] + at[0], box["y"] + at[1])
    assert estimate.text("#tip").startswith("2. ")
    estimate.page.mouse.click(box["x"] + at[0], box["y"] + at[1])
    assert estimate.text("#details-name").startswith("2. ")
    layers = estimate_page.document["kernels"][1]["layers"]
    assert estimate.count("#details-layers li") == len(layers)
    estimate.page.keyboard.press("Escape")
    assert estimate.page.evaluate(COUNT_COLOURS) > 10


def test_the_graph_is_moved_and_zoomed(estimate: Opened) -> None:
    view: Callable[[], dict[str, float]] = lambda: estimate.page.evaluate("() => graphView.view()")  # noqa: E731
    estimate.page.click("#graph-fit")
    first = view()
    estimate.page.click("#graph-in")
    assert view()["scale"] == pytest.approx(1.25 * first["scale"])
    box = estimate.page.locator("#graph").bounding_box()
    estimate.page.mouse.move(box["x"] + 20, box["y"] + 20)
    estimate.page.mouse.down()
    estimate.page.mouse.move(box["x"] + 80, box["y"] + 50, steps=3)
    before = view()
    estimate.page.mouse.move(box["x"] + 120, box["y"] + 50)
    estimate.page.mouse.up()
    assert view()["x"] == pytest.approx(before["x"] + 40)
    assert estimate.page.is_hidden("#details")  # moving is not choosing
    estimate.page.click("#graph-fit")
    assert view() == first


def test_keys_do_what_the_pointer_does(estimate: Opened) -> None:
    estimate.page.focus("#graph")
    for key, place in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowUp", 1),
        ("ArrowDown", 2),
        ("ArrowLeft", 1),
    ):
        estimate.page.keyboard.press(key)
        assert estimate.text("#details-name").startswith(f"{place}. ")
    estimate.page.focus("#roofline")
    estimate.page.keyboard.press("ArrowRight")
    assert estimate.text("#details-name").startswith("2. ")
    estimate.page.keyboard.press("Escape")
    assert estimate.page.is_hidden("#details")
    estimate.page.focus('#kernels tr[data-row="3"] .choose')
    estimate.page.keyboard.press("Enter")
    assert estimate.text("#details-name").startswith("4. ")
    estimate.page.keyboard.press("Escape")


def test_the_table_is_sorted_and_filtered(estimate: Opened, estimate_page: Any) -> None:
    kernels = estimate_page.document["kernels"]
    head = estimate.page.locator("#kernels thead th", has_text="latency")
    for direction in ("descending", "ascending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == direction
        order = estimate.page.eval_on_selector_all(
            "#kernels tbody tr", "rows => rows.map((row) => +row.dataset.row)"
        )
        times = [kernels[number]["latency_s"] for number in order]
        assert times == sorted(times, reverse=direction == "descending")
    estimate.page.fill("#filter", "softmax")
    shown = estimate.page.eval_on_selector_all(
        "#kernels tbody tr", "rows => rows.filter((row) => !row.hidden).length"
    )
    assert shown == sum("softmax" in f"{item['name']} {item['family']}" for item in kernels)
    assert estimate.text("#filter-count") == f"{shown} of {len(kernels)}"
    estimate.page.fill("#filter", "")


def test_the_sliders_say_what_python_says(estimate: Opened, estimate_page: Any) -> None:
    grid, document = estimate_page.document["what_if"], estimate_page.document
    now_s = sum(interpolate_s(grid, clock=1.0, bandwidth=1.0))
    for clock, bandwidth, array in ((0.0, 0.0, 1), (0.85, -1.3, 1), (-2.0, 2.0, 2), (2.0, 2.0, 0.5)):
        for name, value in (("clock", clock), ("bandwidth", bandwidth)):
            estimate.page.locator(f"#{name}").evaluate(
                "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
                str(value),
            )
        estimate.page.locator("#array").evaluate(CHOOSE_ARRAY, array)
        then_s = sum(interpolate_s(grid, clock=2**clock, bandwidth=2**bandwidth, array=array))
        assert estimate.text("#what-if-latency") == format_seconds(then_s)
        assert estimate.text("#what-if-estimate") == format_seconds(document["latency_s"] * then_s / now_s)
        assert estimate.text("#what-if-speed").startswith(f"{now_s / then_s:.2f}x")
    estimate.page.click("#what-if-reset")
    assert estimate.text("#what-if-speed") == "1.00x as fast as it is"


def test_light_and_dark_by_preference_and_by_the_switch(estimate: Opened) -> None:
    ground: Callable[[], str] = lambda: estimate.page.evaluate(  # noqa: E731
        "() => getComputedStyle(document.body).backgroundColor"
    )
    assert ground() == "rgb(255, 255, 255)"
    estimate.page.click("#theme")
    dark = ground()
    assert dark != "rgb(255, 255, 255)"
    assert estimate.page.get_attribute("#theme", "aria-pressed") == "true"
    estimate.page.click("#theme")
    assert ground() == "rgb(255, 255, 255)"
    estimate.page.evaluate("() => delete document.documentElement.dataset.theme")
    estimate.page.emulate_media(color_scheme="dark")
    assert ground() == dark
    estimate.page.emulate_media(color_scheme="light")


def test_an_evaluation_shows_one_layer_model_at_a_time(
    open_page: Callable[[Any], Opened], evaluation_page: Any
) -> None:
    opened = open_page(evaluation_page)
    assert opened.page.is_visible("#scatter-mixed")
    assert opened.page.is_hidden("#scatter-roofline")
    opened.page.select_option("#model", "roofline")
    assert opened.page.is_visible("#ranks-roofline")
    assert opened.page.is_hidden("#scatter-mixed")
    opened.page.locator("#scatter-roofline circle").nth(3).hover(force=True)
    assert opened.text("#tip").startswith("net 3: measured 4.00 ms, predicted 5.20 ms (+30.0 %)")
    opened.page.fill("#filter", "second")
    assert opened.text("#filter-count") == "12 of 24"
    opened.page.close()


def test_a_narrow_window_is_enough(estimate: Opened) -> None:
    estimate.page.set_viewport_size({"width": 390, "height": 800})
    assert estimate.page.evaluate("() => document.documentElement.scrollWidth") <= 390
    assert estimate.page.locator("#graph").bounding_box()["height"] <= 400
    estimate.page.set_viewport_size({"width": 1280, "height": 900})


def test_what_changed_is_chosen_in_every_figure_of_a_comparison(
    open_page: Callable[[Any], Opened], comparison_page: Any
) -> None:
    opened = open_page(comparison_page)
    opened.page.locator('#scatter circle[data-row="2"]').click()
    assert opened.text("#details-name").startswith("3. layer_layer_")
    assert opened.count("#details-layers li") == 3  # one kernel in A, two in B
    assert opened.count(".chosen") == 4  # in both timelines, the scatter and the table
    opened.page.focus("#timelines")
    opened.page.keyboard.press("ArrowRight")
    assert opened.text("#details-name") == "4. gone"
    opened.page.close()
