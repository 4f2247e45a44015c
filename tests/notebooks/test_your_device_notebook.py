"""The notebook of one's own device measures, trains and predicts, and finds what was put into the device."""

from __future__ import annotations

from collections.abc import Callable

import nbformat

NAME = "your_device"


def test_it_uses_nothing_but_what_is_promised(private_uses: Callable[[str], set[str]]) -> None:
    assert private_uses(NAME) == set()


def test_it_shows_four_figures_and_no_error(outputs: list[nbformat.NotebookNode]) -> None:
    assert not [output for output in outputs if output.output_type == "error"]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == 4


def test_what_was_put_into_the_device_is_learned_from_its_measurements(
    text: str, notebook_words: Callable[[str], str]
) -> None:
    assert "unrolled by the array: {'out_w': 2, 'in_channels': 8, 'out_channels': 8}" in text
    assert "a sum can only be merged into the operand that is computed last" in notebook_words(NAME)
    assert "Conv + Add -> merged if is_latest" in text


def test_networks_are_predicted_and_the_mixed_model_is_best(text: str) -> None:
    table = text.partition("MAPE of latency, %")[2].splitlines()
    mape = {name.strip(): float(row[0]) for name, *row in (line.rsplit(maxsplit=3) for line in table[1:5])}
    assert list(mape) == ["roofline", "refined roofline", "statistical", "mixed"]
    assert min(mape, key=mape.__getitem__) == "mixed"
    assert mape["mixed"] < 5


def test_the_classifier_takes_most_of_the_time(text: str, notebook_words: Callable[[str], str]) -> None:
    assert "Most of the time of this small MobileNet v2 goes into the last layer" in notebook_words(NAME)
    row = next(line for line in text.splitlines() if " gemm_1 " in line)
    total_ms = float(text.partition("mobilenet_v2: ")[2].partition(" ms")[0])
    assert 1e3 * float(row.split()[-2]) > 0.5 * total_ms


def test_the_board_s_mapping_is_found_by_timing(text: str) -> None:
    found = text.partition("digits on my-board")[2].split()
    assert found[-3:] == ["conv_1+batchnormalization_1+relu_1", "maxpool_1", "gemm_1"]
