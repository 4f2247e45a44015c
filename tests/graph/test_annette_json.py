"""JSON graphs of the original ANNETTE: read by hand-written example, and every fault told in one line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import annette
from annette.errors import AnnetteError, GraphError, UsageError
from annette.graph.annette_json import read_annette_json
from annette.graph.network import Network
from annette.graph.work import layer_work, network_work
from annette.zoo.registry import open_network

SMALL = Path(__file__).parents[1] / "data" / "annette_json" / "small.json"
"""Made by hand for this test; none of the published graphs."""


@pytest.fixture(scope="module")
def small() -> Network:
    return read_annette_json(SMALL)


def _document() -> dict[str, Any]:
    return dict(json.loads(SMALL.read_text(encoding="utf-8")))


def _layer(network: Network, name: str) -> Any:
    return next(layer for layer in network.layers if layer.name == name)


def test_layers_get_onnx_names_and_shapes_of_channels_first(small: Network) -> None:
    assert small.name == "small"
    assert small.tensors["image"].shape == (1, 3, 32, 48)
    found = {layer.name: (layer.op_type, small.output_tensors(layer)[0].shape) for layer in small.layers}
    assert found["conv1"] == ("Conv", (1, 16, 16, 24))
    assert found["relu1"] == ("Clip", (1, 16, 16, 24))
    assert found["up"] == ("ConvTranspose", (1, 8, 16, 24))
    assert found["cat"] == ("Concat", (1, 40, 8, 12))
    assert found["mean"][0] == "GlobalAveragePool"
    assert found["fc"] == ("Gemm", (1, 10))


def test_work_is_that_of_the_kernels_of_the_file(small: Network) -> None:
    macs = {layer.name: layer_work(small, layer).macs for layer in small.layers}
    assert macs["conv1"] == 16 * 24 * 3 * 5 * 3 * 16
    assert macs["dw"] == 8 * 12 * 3 * 3 * 16
    assert macs["group"] == 8 * 12 * 4 * 32  # four groups of four channels
    assert macs["fc"] == 20 * 10


def test_pads_that_do_not_lead_to_the_sizes_of_the_file_are_put_right(small: Network) -> None:
    assert _layer(small, "same").ints_attribute("pads") == (1, 1, 1, 1)  # zero in the file
    assert _layer(small, "conv1").ints_attribute("pads") == (1, 2, 1, 2)
    assert _layer(small, "dw").ints_attribute("pads") == (0, 0, 1, 1)


def test_a_type_without_a_rule_is_kept_with_its_shape(small: Network) -> None:
    odd = _layer(small, "odd")
    assert (odd.op_type, odd.domain) == ("Yolo", "annette.json")
    assert small.output_tensors(odd)[0].shape == (1, 20, 8, 12)
    coverage = annette.load("zcu102-dpu").estimate(small).coverage
    assert any("Yolo" in name for name in coverage.unseen_operators)


def test_a_type_without_a_rule_and_without_a_shape_keeps_that_of_its_parent(tmp_path: Path) -> None:
    document = _document()
    del document["layers"]["odd"]["output_shape"]
    path = tmp_path / "small.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    network = read_annette_json(path)
    assert network.output_tensors(_layer(network, "odd"))[0].shape == (1, 20, 8, 12)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_multiplies_the_work(small: Network, batch: int) -> None:
    bound = open_network(SMALL, batch=batch)
    assert network_work(bound).macs == batch * network_work(small).macs


def test_parents_may_come_later_in_the_file(small: Network, tmp_path: Path) -> None:
    document = _document()
    document["layers"] = dict(reversed(document["layers"].items()))
    path = tmp_path / "small.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert network_work(read_annette_json(path)) == network_work(small)


def test_shapes_of_inputs_are_not_for_these_files() -> None:
    with pytest.raises(UsageError, match="shapes are for ONNX files"):
        open_network(SMALL, shapes={"image": (1, 3, 8, 8)})


def _set(layer: str, **fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["layers"][layer].update(fields)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_set("conv1", parents=["nobody"]), "'conv1'.*nobody.*no layer"),
        (_set("conv1", parents=["prob"]), "own ancestor"),
        (_set("conv1", parents=[]), "Conv without parents"),
        (_set("conv1", kernel_shape=["k_size", 3, 3, 16]), "placeholder 'k_size'.*template"),
        (_set("conv1", kernel_shape=[3, 5, 7, 16]), "channels in equal groups"),
        (_set("conv1", kernel_shape=None), "kernel_shape None"),
        (_set("conv1", output_shape=[-1, 99, 24, 16]), "99 positions from 32"),
        (_set("conv1", output_shape=[-1, 16, 24, 17]), "output_shape .* from its inputs"),
        (_set("conv1", type=7), "no 'type'"),
        (_set("image", output_shape=[-1, -1, 48, 3]), "sizes above 0"),
        (_set("image", output_shape=[-1, 2**31, 2**31, 3]), "more than .* elements"),
        (_set("add", output_shape=[True]), "whole numbers"),
        (_set("odd", output_shape=[-1, -1, 12, 20]), "type 'Yolo' without a whole output_shape"),
        (_set("fc", parents=["image"], output_shape=None), "no whole output_shape"),
        (_set("image", output_shape=[]), "sizes above 0|axes"),
        (lambda document: document.update(layers=[]), "found name, layers, expected a graph"),
        (lambda document: document.update(layers={}), "0 layers"),
    ],
)
def test_a_bad_graph_is_told_in_one_line(
    change: Callable[[dict[str, Any]], object], told: str, tmp_path: Path
) -> None:
    document = _document()
    change(document)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(GraphError, match=told) as caught:
        read_annette_json(path)
    assert str(caught.value).startswith("bad.json: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        (b'{"name": NaN}', "NaN is not a finite number"),
        (b'{"layers": {"a": {}, "a": {}}}', "'a' is there twice"),
        (b"[" * 100_000, "nested too deep"),
        (b"[1]", "found a list"),
        (b'{"conv": {"attr": {}, "inbounds": [], "outbounds": []}}', "nn-Meter.*ONNX"),
        (b'{"\\u001b[31m": 1}', r"found \\x1b"),
    ],
)
def test_what_is_no_graph_is_told_in_one_line(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(GraphError, match=told) as caught:
        read_annette_json(path)
    assert str(caught.value).isprintable()


def test_a_name_that_is_there_twice_behind_many_others_is_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "twice.json"
    items = [f'"{number}": 0' for number in range(20_000)]
    path.write_text(f"{{{', '.join([*items, items[-1]])}}}", encoding="utf-8")
    start = time.process_time()
    with pytest.raises(GraphError, match="'19999' is there twice"):
        read_annette_json(path)
    assert time.process_time() - start < 1  # to count each name among all takes some four seconds


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_field_of_any_other_kind_is_an_error_of_ours_or_a_network(data: Any, tmp_path: Path) -> None:
    document = _document()
    layer = document["layers"][data.draw(st.sampled_from(sorted(document["layers"])))]
    key = data.draw(st.sampled_from(sorted({*layer, "axis", "dilations", "global_pooling"})))
    number = st.integers(-2, 40) | st.integers()
    layer[key] = data.draw(
        st.none() | st.booleans() | number | st.text(max_size=5) | st.floats(0, 9)
        | st.lists(number | st.text(max_size=3), max_size=9)
    )  # fmt: skip
    path = tmp_path / "any.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    told = ""
    try:
        assert network_work(read_annette_json(path)).output_bytes > 0
    except AnnetteError as err:
        told = str(err)
    assert told.isprintable()
