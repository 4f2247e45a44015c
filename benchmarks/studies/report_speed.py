"""How fast the report of a network of a thousand kernels is made, opens and moves in a browser.

    python benchmarks/studies/report_speed.py [--chromium /usr/bin/chromium] [--runs 5]

Needs Playwright (extra ``test``) and a chromium. The browser draws without a graphics processor, which is the
slowest way there is. Writes benchmarks/results/report_speed.json.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright
from provenance import record

import annette
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.report.device import find_accelerator
from annette.report.estimate_summary import summarise_estimate
from annette.report.page import render_page

PLATFORM, BLOCKS = "ncs2", 250
OPEN_TARGET_S, FRAME_TARGET_S = 2.0, 1 / 30
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
PAINTED = """() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => {
  const [entry] = performance.getEntriesByType("navigation"), [paint] = performance.getEntriesByType("paint");
  done({ complete: entry.domComplete, paint: paint ? paint.startTime : null, ready: performance.now() });
}, 0)))"""
DRAG = """async () => {
  const graph = document.getElementById("graph"), times = [];
  graph.scrollIntoView();
  document.getElementById("graph-in").click();
  const box = graph.getBoundingClientRect(), at = (kind, x, y) =>
    graph.dispatchEvent(new PointerEvent(kind, { pointerId: 1, clientX: box.x + x, clientY: box.y + y }));
  graph.setPointerCapture = () => {};
  at("pointerdown", 300, 200);
  let last = performance.now();
  for (let step = 0; step < 120; step += 1) {
    at("pointermove", 300 + 3 * step, 200 + (step % 40));
    await new Promise((done) => requestAnimationFrame(done));
    times.push(performance.now() - last);
    last = performance.now();
  }
  at("pointerup", 0, 0);
  return times;
}"""


def deep_network() -> Network:
    """Residual blocks of three convolutions, of 23 widths."""
    build = NetworkBuilder("deep")
    x = build.relu(build.conv(build.input("x", (1, 3, 64, 64)), 64, kernel=3, padding=1))
    for block in range(BLOCKS):
        width = 16 * (1 + block % 23)
        y = build.relu(build.conv(x, width, kernel=1))
        y = build.conv(build.relu(build.conv(y, width, kernel=3, padding=1)), 64, kernel=1)
        x = build.relu(build.add("Add", y, x))
    return build.finish(build.softmax(build.linear(build.flatten(build.global_avg_pool(x)), 1000)))


def timed(action: Any) -> tuple[Any, float]:
    """The answer of ``action`` and its seconds."""
    start_s = time.perf_counter()
    answer = action()
    return answer, time.perf_counter() - start_s


def open_once(browser: Browser, path: Path) -> dict[str, float]:
    """Seconds until the page is there, and those of the frames while the graph is dragged."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    _, goto_s = timed(lambda: page.goto(path.as_uri()))
    marks = page.evaluate(PAINTED)
    frames = sorted(value / 1e3 for value in page.evaluate(DRAG))
    page.close()
    return {
        "open_s": max(goto_s, marks["ready"] / 1e3),
        "first_paint_s": marks["paint"] / 1e3,
        "frame_median_s": statistics.median(frames),
        "frame_p95_s": frames[round(0.95 * (len(frames) - 1))],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    load_before = os.getloadavg()
    platform, network = annette.load(PLATFORM), deep_network()
    estimate, estimate_s = timed(lambda: platform.estimate(network))
    _, summary_s = timed(lambda: summarise_estimate(network, platform, estimate))
    accelerator = find_accelerator(platform.device)
    document, what_if_s = timed(
        lambda: summarise_estimate(network, platform, estimate, accelerator=accelerator)
    )
    html, render_s = timed(lambda: render_page(document))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        path = Path(folder) / "report.html"
        path.write_text(html, encoding="utf-8")
        browser = play.chromium.launch(executable_path=options.chromium, args=FLAGS.split())
        opened = [open_once(browser, path) for _ in range(options.runs)]
        version = browser.version
        browser.close()
    typical = {key: statistics.median(run[key] for run in opened) for key in opened[0]}
    result = {
        "kernels": len(estimate.kernels),
        "page_bytes": len(html.encode()),
        "estimate_s": estimate_s,
        "summary_s": summary_s,
        "summary_with_what_if_s": what_if_s,
        "render_s": render_s,
        "browser": f"chromium {version}, headless, without a graphics processor",
        "opened": opened,
        **typical,
        "open_target_s": OPEN_TARGET_S,
        "frame_target_s": FRAME_TARGET_S,
        "met": typical["open_s"] < OPEN_TARGET_S and typical["frame_median_s"] < FRAME_TARGET_S,
        "machine_load": {"before": list(load_before), "after": list(os.getloadavg())},
    }
    for key, value in result.items():
        print(f"{key}: {value}")
    print(f"written to {record('report_speed', result, seed=None).name}")


if __name__ == "__main__":
    main()
