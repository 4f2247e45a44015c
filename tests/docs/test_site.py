"""The documentation site: nothing missing, no dead link or anchor, generated pages as they should be."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from pages import DOCS, HOOKS, ROOT, all_pages, blocks, prose, read_page

sys.path.insert(0, str(HOOKS))
import generated
import links

_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*?) *$", flags=re.MULTILINE)


@pytest.fixture(scope="module")
def generated_pages() -> dict[str, str]:
    return generated.pages()


@pytest.fixture(scope="module")
def site(generated_pages: dict[str, str]) -> dict[str, str]:
    """Every page of the site by its place."""
    written = {path.relative_to(DOCS).as_posix(): path.read_text("utf-8") for path in DOCS.rglob("*.md")}
    assert not written.keys() & generated_pages.keys()
    return {**written, **generated_pages}


def _anchor(heading: str) -> str:
    """As MkDocs makes it of a heading."""
    words = re.sub(r"[^\w\s-]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading)).strip().lower()
    return re.sub(r"[-\s]+", "-", words)


def _resolved(place: str, target: str) -> tuple[Path, str]:
    """Where in the repository a link of a page leads, and the anchor there."""
    source = generated.COPIED.get(place)
    folder = ROOT / PurePosixPath(source).parent if source else (DOCS / place).parent
    path, _, anchor = unquote(target).partition("#")
    own = ROOT / source if source else DOCS / place
    return ((folder / path).resolve() if path else own), anchor


def test_no_link_or_anchor_is_dead(site: dict[str, str]) -> None:
    by_path = {
        (ROOT / generated.COPIED[place] if place in generated.COPIED else DOCS / place).resolve(): text
        for place, text in site.items()
    }
    dead = []
    for place, text in site.items():
        for match in _LINK.finditer(prose(text)):
            if ":" in match["target"]:
                continue
            path, anchor = _resolved(place, match["target"])
            page = by_path.get(path)
            anchors = {_anchor(heading) for heading in _HEADING.findall(prose(page or ""))}
            if (page is None and not path.is_file()) or (
                anchor and page is not None and anchor not in anchors
            ):
                dead.append(f"{place}: {match['target']}")
    assert dead == []


def test_in_the_site_every_link_leads_to_a_page_or_to_a_copy_of_a_file(site: dict[str, str]) -> None:
    copied = {
        f"{links.FILES}/{path.relative_to(ROOT).as_posix()}"
        for place, text in site.items()
        for path in links.linked_files(place, text)
    }
    assert any(name.endswith(".ipynb") for name in copied)
    own = {path.relative_to(DOCS).as_posix() for path in (DOCS / "assets").rglob("*")}
    astray = []
    for place, text in site.items():
        for match in _LINK.finditer(prose(links.rewritten(place, text))):
            target = match["target"].partition("#")[0]
            if target and ":" not in target:
                there = os.path.normpath(PurePosixPath(place).parent / unquote(target))
                if there not in {*site, *copied, *own}:
                    astray.append(f"{place}: {there}")
    assert astray == []


def test_links_in_code_are_left_alone() -> None:
    text = "[a](../README.md#try-it)\n\n```text\n[a](../README.md)\n```\n"
    assert links.rewritten("method.md", text) == text.replace("../README.md#try-it", "index.md#try-it")


def test_folders_of_the_navigation_are_listed_without_their_overview() -> None:
    known = ["results/b.md", "results/a.md", "results/index.md", "results/more/c.md", "other.md"]
    assert links.expanded([{"Results": ["results/index.md", "results/*"]}], known) == [
        {"Results": ["results/index.md", "results/a.md", "results/b.md"]}
    ]


def test_every_page_is_in_the_navigation_and_the_other_way_round(site: dict[str, str]) -> None:
    def entries(item: Any) -> list[str]:
        if isinstance(item, dict):
            return [name for value in item.values() for name in entries(value)]
        return [name for entry in item for name in entries(entry)] if isinstance(item, list) else [str(item)]

    found = entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert len(found) == len(set(found))
    folders = tuple(name.removesuffix("*") for name in found if name.endswith("/*"))
    assert not {name for name in found if not name.endswith("/*")} - set(site)
    assert not {name for name in site if name not in found and not name.startswith(folders)}


def test_the_site_needs_nothing_from_the_network() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert config["theme"]["font"] is False
    assert not [item for item in config["extra_css"] if ":" in item]


def test_every_command_and_option_is_in_the_reference(generated_pages: dict[str, str]) -> None:
    page = generated_pages["reference/cli.md"]
    found = generated.commands()
    assert {("estimate",), ("check",), ("explore", "sweep")} <= set(found)
    for words in found:
        assert f"\n## {' '.join(('annette', *words))}\n" in page
    assert "--max-latency" in page
    assert "\x1b" not in page


def test_every_module_of_the_reference_exists(generated_pages: dict[str, str]) -> None:
    named = re.findall(r"^::: (\S+)$", "\n".join(generated_pages.values()), flags=re.MULTILINE)
    assert len(named) == len(set(named)) > 30
    for name in named:
        assert importlib.import_module(name).__all__


def test_what_pages_import_is_in_the_reference() -> None:
    named = {name for modules in generated.MODULES.values() for name in modules}
    used = {
        match
        for page in all_pages()
        for block in blocks(read_page(page), "python")
        for match in re.findall(r"^(?:from|import) (annette\S*)", block.text, flags=re.MULTILINE)
    }
    assert {"annette", "annette.estimation.budget"} <= used
    assert used <= named


def test_every_recorded_result_has_a_page_with_its_provenance(generated_pages: dict[str, str]) -> None:
    results = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    assert results
    for path in results:
        made = json.loads(path.read_text(encoding="utf-8"))["provenance"]
        page = generated_pages[f"results/{path.stem}.md"]
        assert made["commit"] in page
        assert made["command"].split()[1] in page
        assert made["machine"]["cpu"] in page


def test_numbers_of_a_result_are_on_its_page(generated_pages: dict[str, str]) -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "accuracy.json").read_text(encoding="utf-8"))
    for platform in result["platforms"].values():
        for suite in platform["suites"].values():
            assert f"{suite['models']['mixed']['mape']:.4g}" in generated_pages["results/accuracy.md"]


def test_the_picture_is_drawn_from_the_recorded_result() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "real_cpu.json").read_text(encoding="utf-8"))
    picture = (DOCS / "assets" / "predicted-measured.svg").read_text(encoding="utf-8")
    assert f"real_cpu.json, commit {result['provenance']['commit']}" in picture


def test_commands_whose_output_is_shown_are_run_when_the_site_is_built() -> None:
    shown = generated.console_output("$ annette platforms\n")
    assert shown.startswith("$ annette platforms\n")
    assert "zcu102-dpu" in shown
    assert any("```console output" in (DOCS / name).read_text("utf-8") for name in all_pages())
