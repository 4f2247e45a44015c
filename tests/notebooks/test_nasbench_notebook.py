"""The notebook on NAS-Bench runs with the public API alone; its searches and tables are as its text says."""

from __future__ import annotations

from collections.abc import Callable

import nbformat

NAME = "nasbench"


def test_it_uses_nothing_but_what_is_promised(private_uses: Callable[[str], set[str]]) -> None:
    assert private_uses(NAME) == set()


def test_it_shows_nine_figures_and_no_error(outputs: list[nbformat.NotebookNode]) -> None:
    assert not [output for output in outputs if output.output_type == "error"]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == 9


def test_what_the_searches_found_is_as_fast_as_predicted(text: str) -> None:
    mean = text.partition("errors on the front: mean ")[2].partition("%")[0]
    assert float(mean) < 5


def test_ranks_tell_which_platform_stands_for_which_board(
    text: str, notebook_words: Callable[[str], str]
) -> None:
    assert "Ranks tell which platform stands for which board" in notebook_words(NAME)
    table = text.rpartition("Spearman of zcu102-dpu")[2].splitlines()
    found = {line.partition(",")[0]: [float(item) for item in line.split()[-2:]] for line in table[1:3]}
    assert found["board A"][1] > found["board A"][0]
    assert found["board B"][0] > found["board B"][1]
