"""Names, parameters and specifications of zoo networks."""

from __future__ import annotations

import contextlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import AnnetteError, GraphError, UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.onnx_writer import write_onnx
from annette.zoo.registry import list_networks, open_network, zoo_network, zoo_parameters

NAMES = [entry.name for entry in list_networks()]


@pytest.mark.parametrize("name", NAMES)
def test_every_listed_network_builds_under_its_own_name(name: str) -> None:
    network = zoo_network(name)
    assert network.name == name
    assert network.layers


@pytest.mark.parametrize("name", NAMES)
def test_every_network_has_a_batch_and_typed_defaults(name: str) -> None:
    parameters = zoo_parameters(name)
    assert parameters["batch"] == 1
    assert inspect.Parameter.empty not in parameters.values()
    network = zoo_network(name, batch=2)
    assert all(network.tensors[tensor].shape[0] == 2 for tensor in network.inputs)


def test_descriptions_are_single_lines() -> None:
    assert all(entry.description and "\n" not in entry.description for entry in list_networks())
    assert len(set(NAMES)) == len(NAMES) >= 34


def test_listing_imports_no_network_and_nothing_heavy() -> None:
    code = (
        "import sys; from annette.zoo.registry import list_networks; list_networks();"
        "print([m for m in ('onnx', 'pandas', 'annette.zoo.resnet') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_text_parameters_are_those_of_python() -> None:
    text = open_network("zoo:mobilenet_v2, width=0.5, resolution=160")
    assert text == zoo_network("mobilenet_v2", width=0.5, resolution=160)
    assert text != zoo_network("mobilenet_v2")
    assert open_network("zoo:ssd_mobilenet_v2,lite=True") == zoo_network("ssd_mobilenet_v2", lite=True)
    assert zoo_network("resnet18", width=1) == zoo_network("resnet18")


def test_the_batch_beside_a_zoo_name_is_its_batch_parameter() -> None:
    assert open_network("zoo:lenet5", batch=4) == zoo_network("lenet5", batch=4)
    assert open_network("zoo:lenet5,batch=4", batch=4) == zoo_network("lenet5", batch=4)


def test_an_onnx_file_opens_by_its_path(tmp_path: Path) -> None:
    build = NetworkBuilder("tiny")
    x = build.input("x", (1, 3, 8, 8))
    network = build.finish(build.relu(build.conv(x, 4, kernel=3)))
    path = tmp_path / "tiny.onnx"
    write_onnx(network, path)
    assert open_network(path) == open_network(str(path)) == network


@pytest.mark.parametrize(
    ("spec", "fragments"),
    [
        ("zoo:resnet_50", ["did you mean 'resnet50'", "annette networks"]),
        ("zoo:MobileNet-V2", ["did you mean 'mobilenet_v2'"]),
        ("zoo:", ["no such network"]),
        ("resnet50", ["no such file", "zoo:resnet50"]),
        ("resnet50,width=0.5", ["zoo:resnet50,width=0.5"]),
        ("resnet_50.onnx", ["no such file", "zoo:resnet50"]),
        ("nothing/like/it", ["no such file", "zoo:NAME"]),
        (".", ["not a file"]),
        ("zoo:resnet50,widht=2", ["did you mean 'width'", "resolution=224", "classes=1000"]),
        ("zoo:resnet50,width", ["NAME=VALUE", "width=1.0"]),
        ("zoo:resnet50,width=wide", ["'wide'", "a number"]),
        ("zoo:resnet50,resolution=1.5", ["'1.5'", "a whole number"]),
        ("zoo:ssd_mobilenet_v2,lite=2", ["'2'", "true or false"]),
        ("zoo:resnet50,batch=2,batch=2", ["given twice"]),
    ],
)
def test_a_wrong_call_says_in_one_line_what_there_is(spec: str, fragments: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        open_network(spec)
    message = str(caught.value)
    assert "\n" not in message
    assert all(fragment in message for fragment in fragments), message


@pytest.mark.parametrize(
    "spec",
    [
        "zoo:resnet50,resolution=0",
        "zoo:resnet50,batch=-1",
        "zoo:resnet50,resolution=99999999999999999999",
        "zoo:resnet50,resolution=1000000",
        "zoo:resnet50,width=0",
        "zoo:resnet50,width=nan",
        "zoo:resnet50,width=1e9",
        "zoo:vit_tiny,depth=100000",
        "zoo:openpose,stages=100000",
        "zoo:inception_v3,resolution=20",
    ],
)
def test_an_absurd_size_is_a_graph_error_in_one_line(spec: str) -> None:
    with pytest.raises(GraphError) as caught:
        open_network(spec)
    assert "\n" not in str(caught.value)


def test_wrong_types_from_python_are_usage_errors() -> None:
    for value in ("224", 1.5, True, None):
        with pytest.raises(UsageError, match="resolution"):
            zoo_network("resnet18", resolution=value)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="true or false"):
        zoo_network("ssd_mobilenet_v2", lite=1)


def test_shapes_and_a_second_batch_are_refused_for_zoo_networks() -> None:
    with pytest.raises(UsageError, match="shapes are for ONNX files"):
        open_network("zoo:lenet5", shapes={"image": (1, 1, 32, 32)})
    with pytest.raises(UsageError, match="give it once"):
        open_network("zoo:lenet5,batch=2", batch=4)


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(NAMES),
    resolution=st.integers(-5, 600),
    width=st.floats(-1, 4),
    extra=st.text(max_size=8).filter(lambda text: "\0" not in text),
)
def test_any_specification_gives_a_network_or_a_typed_error(
    name: str, resolution: int, width: float, extra: str
) -> None:
    for spec in (f"zoo:{name},resolution={resolution},width={width}", f"zoo:{name},{extra}"):
        with contextlib.suppress(AnnetteError):
            assert open_network(spec).layers
