"""Takes the pictures of docs/reports.md: the page of an estimate, light and dark, in a headless browser.

    python benchmarks/studies/report_pictures.py [--chromium /usr/bin/chromium]

Needs Playwright (extra ``test``), a chromium and Pillow (comes with matplotlib, extra ``notebook``). Writes
docs/assets/report-*.png.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

import annette
from annette.report.device import find_accelerator
from annette.report.estimate_summary import summarise_estimate
from annette.report.page import render_page
from annette.zoo.registry import zoo_network

ASSETS = Path(__file__).resolve().parents[2] / "docs" / "assets"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
COLOURS, MOST_BYTES = 256, 150_000


def save(png: bytes, name: str) -> None:
    """The picture with few colours, which is all that it has."""
    path = ASSETS / name
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(
        path, optimize=True
    )
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"{path}: {size} bytes, expected at most {MOST_BYTES}")
    print(f"{path.name}: {size} bytes")


def take(page: Page) -> None:
    """The head of the page with the graph, then what-if sliders and roofline in dark."""
    page.locator("#graph").click(position={"x": 95, "y": 160})
    page.mouse.move(5, 5)
    page.evaluate("() => scrollTo(0, 0)")
    save(page.screenshot(), "report-graph.png")
    page.click("#details-close")
    page.click("#theme")
    page.locator("#bandwidth").evaluate(
        "(slider) => { slider.value = '1'; slider.dispatchEvent(new Event('input')); }"
    )
    box = page.locator("section", has=page.locator("#roofline")).bounding_box()
    after = page.locator("#what-if").bounding_box()
    if box is None or after is None:
        raise SystemExit("the page has no roofline or no sliders")
    for part, name in ((box, "report-roofline.png"), (after, "report-what-if.png")):
        clip = {"x": 0, "y": part["y"], "width": 1280, "height": min(part["height"] + 10, 620)}
        save(page.screenshot(clip=clip, full_page=True), name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    chromium = parser.parse_args().chromium
    platform, network = annette.load("ncs2"), zoo_network("resnet50")
    document = summarise_estimate(
        network, platform, platform.estimate(network), accelerator=find_accelerator(platform.device)
    )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        path = Path(folder) / "report.html"
        path.write_text(render_page(document), encoding="utf-8")
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1260}, color_scheme="light")
        page.goto(path.as_uri())
        take(page)
        browser.close()


if __name__ == "__main__":
    main()
