"""Pages about presets: nothing is left out, what is assumed says so, and the pages in docs are up to date."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

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


RULES = re.compile(
    r"the rule|by the square of|um2 a byte|as a read|scaled from|multiply-accumulate for 16 bits|1 mW a mm2"
)
"""What sources of numbers say that a rule makes of others."""


@pytest.mark.parametrize("name", PRESETS)
def test_nothing_that_a_rule_makes_of_other_numbers_is_published(name: str) -> None:
    accelerator = load_accelerator(name)
    made = [item for item in accelerator.provenance if RULES.search(item.source)]
    assert len(made) > 5 or accelerator.energy is None
    assert [item.path for item in made if not item.assumed] == []
    published = {item.path for item in accelerator.provenance if not item.assumed}
    derived = {"energy.register_j_per_byte", "energy.vector_op_j", "energy.vector_buffer_j_per_byte"}
    derived |= {
        item
        for item in published
        if re.search(r"\]\.(read_j|write_j|area)|memory\.(read_j|write_j|area)", item)
    }
    assert published.isdisjoint(derived)


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        (
            "tpu-v1",
            ["array.weight_load_cycles", "memories[1].size_bytes", "activation_memory.bandwidth_bytes_per_s"],
        ),
        ("eyeriss-v1", ["memories[0].size_bytes", "external_memory.bandwidth_bytes_per_s"]),
        ("nvdla-full", ["external_memory.channel_alignment"]),
    ],
)
def test_what_no_publication_at_hand_says_is_assumed(name: str, paths: list[str]) -> None:
    assert set(paths) <= set(load_accelerator(name).assumed_fields)


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


def recorded(study: str) -> dict[str, Any]:
    path = ROOT / "benchmarks" / "results" / f"{study}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def docs_page(name: str) -> str:
    text = (ROOT / "docs" / "presets" / f"{name}.md").read_text(encoding="utf-8")
    return section(text, "What it was compared with")


def test_the_page_of_nvdla_shows_all_conditions_and_which_lie_between() -> None:
    alexnet = recorded("nvdla_published")["alexnet"]
    found = {(row["dram_gb_per_s"], row["fully_connected_batch"]): row for row in alexnet["conditions"]}
    assert {key for key, row in found.items() if row["is_between"]} == {(64.0, 1), (10.0, 16)}
    assert found.keys() == {(64.0, 1), (64.0, 16), (10.0, 16), (10.0, 1)}
    text = docs_page("nvdla-full")
    for (bandwidth, batch), row in found.items():
        inside = alexnet["sheet_cycles"] < row["tile_pipeline_cycles"] < alexnet["rtl_cycles"]
        assert row["is_between"] == inside
        line = re.search(
            rf"\| {bandwidth:g} \| {batch} \| {row['tile_pipeline_cycles']:,} \|.*\| (\w+) \|", text
        )
        assert line is not None
        assert line[1] == ("yes" if inside else "no")


def test_the_page_of_eyeriss_shows_how_far_off_bytes_and_power_are() -> None:
    study, text = recorded("energy_sanity")["eyeriss"], docs_page("eyeriss-v1")
    compared = [row for row in study["layers"] if "measured" in row]
    assert len(compared) == 5
    for row in compared:
        for key, value in row["measured"].items():
            assert f"{value:g} | {row[key]:.4g} |" in text
    assert ", ".join(f"{value:.3g}" for value in study["over_measured"]["buffer_mb"]) in text
    assert "CONV1" in text
    assert "not left out of the bandwidth" in text


def test_levels_are_ordered_by_the_energy_that_was_simulated() -> None:
    study = recorded("energy_sanity")["eyeriss"]
    for kind, prefix in (("convolutions", "CONV"), ("fully connected", "FC")):
        joules: dict[str, float] = {}
        for row in study["layers"]:
            if row["layer"].startswith(prefix):
                for level, share in row["fractions"].items():
                    joules[level] = joules.get(level, 0.0) + share * row["energy_mj"]
        found = study["simulated_energy"][kind]
        assert found["order"] == sorted(joules, key=lambda level: -joules[level])
        assert sum(found["fractions"].values()) == pytest.approx(1, abs=1e-3)
