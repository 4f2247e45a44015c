"""Pages about presets: nothing is left out, what is assumed says so, and the pages in docs are up to date."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from annette.hardware.codec import accelerator_to_dict, list_accelerators, load_accelerator
from annette.hardware.preset_page import preset_page

ROOT = Path(__file__).resolve().parents[2]
PRESETS = [name for name, _ in list_accelerators()]


def section(page: str, title: str) -> str:
    """What stands under a heading."""
    return page.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("name", PRESETS)
def test_each_number_stands_once_under_what_it_is(name: str) -> None:
    accelerator = load_accelerator(name)
    page = preset_page(accelerator, [])
    for item in accelerator.provenance:
        row = f"| `{item.path}` |"
        unused = item.source == "no rule places such layers here"
        assert section(page, "What is assumed").count(row) == (item.assumed and not unused)
        assert section(page, "What is published").count(row) == (not item.assumed)
        assert unused or item.source in page
    assert section(page, "What it was compared with").strip().startswith("Nothing: no measured")


def test_values_are_those_of_the_description() -> None:
    accelerator = load_accelerator("tpu-v1")
    page = preset_page(accelerator, ["One thing.", "Another."])
    assert "| `memories[2].size_bytes` | 4,194,304 |" in page
    assert f"| `clock_hz` | {accelerator.clock_hz:.6g} |" in page
    assert "| `array.alternative_unrolls[0].in_channels` | 16 |" in page
    assert page.endswith("One thing.\n\nAnother.\n")
    assert accelerator_to_dict(accelerator)["memories"][2]["size_bytes"] == 4_194_304


def test_a_description_without_sources_has_a_page_too() -> None:
    accelerator = dataclasses.replace(load_accelerator("ncs2"), provenance=())
    page = preset_page(accelerator, [])
    assert section(page, "What is published").strip() == "Nothing is marked as published."
    assert section(page, "What is assumed").strip() == "Nothing is marked as assumed."
    assert "host" not in re.findall(r"- Units: (.*)", page)[0]


def test_the_pages_in_docs_are_up_to_date() -> None:
    answer = subprocess.run(
        [sys.executable, "benchmarks/studies/preset_pages.py", "--check"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
