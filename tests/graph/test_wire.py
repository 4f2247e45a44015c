"""The wire-format walker: weights stay out, everything else stays in, damage is named."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from annette.errors import GraphError
from annette.graph import wire
from annette.graph.wire import read_without_weights, strip_weights

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def varint(number: int) -> bytes:
    result = b""
    while number > 0x7F:
        result += bytes([number & 0x7F | 0x80])
        number >>= 7
    return result + bytes([number])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def weight(name: str, *shape: int, dtype: type = numpy.float32) -> TensorProto:
    return numpy_helper.from_array(numpy.ones(shape, dtype), name)


def gemm_model(*weights: TensorProto, nodes: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes or [helper.make_node("Gemm", ["x", "w"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", 1, [1, 100])],
        [helper.make_tensor_value_info("y", 1, [1, 200])],
        initializer=list(weights),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(strip_weights(model.SerializeToString(), "model.onnx"))


def test_large_weights_lose_their_data_and_small_ones_keep_it() -> None:
    model = stripped(gemm_model(weight("w", 100, 200), weight("axes", 3, dtype=numpy.int64)))
    large, small = model.graph.initializer
    assert (large.name, list(large.dims), large.data_type) == ("w", [100, 200], TensorProto.FLOAT)
    assert not large.raw_data
    assert numpy_helper.to_array(small).tolist() == [1, 1, 1]


@pytest.mark.parametrize("kind", ["float", "double", "int64", "int32", "uint64", "string"])
def test_data_in_typed_fields_is_left_out_too(kind: str) -> None:
    number = getattr(TensorProto, kind.upper())
    values = [b"text"] * 6000 if kind == "string" else list(range(6000))
    model = stripped(gemm_model(helper.make_tensor("w", number, [6000], values)))
    assert model.graph.initializer[0].ByteSize() < 50


def test_data_that_is_not_packed_is_left_out() -> None:
    header = TensorProto(name="w", dims=[3000], data_type=TensorProto.FLOAT).SerializeToString()
    unpacked = b"".join(varint(4 << 3 | 5) + b"\0\0\x80\x3f" for _ in range(3000))
    data = field(7, field(5, header + unpacked))
    assert strip_weights(data, "model") == field(7, field(5, header))


def test_tensors_in_attributes_and_subgraphs_are_stripped() -> None:
    constant = helper.make_node("Constant", [], ["c"], value=weight("v", 100, 200))
    inner = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("c", 1, [100, 200])])
    node = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    model = stripped(gemm_model(nodes=[node, constant]))
    assert model.ByteSize() < 500
    branch = next(item.g for item in model.graph.node[0].attribute if item.name == "then_branch")
    assert list(branch.node[0].attribute[0].t.dims) == [100, 200]


def test_sparse_weights_and_functions_are_stripped() -> None:
    constant = helper.make_node("Constant", [], ["c"], value=weight("v", 100, 200))
    function = helper.make_function("local", "f", [], ["c"], [constant], [helper.make_opsetid("", 18)])
    model = gemm_model()
    sparse = helper.make_sparse_tensor(weight("w", 5000), weight("i", 5000, dtype=numpy.int64), [100, 200])
    model.graph.sparse_initializer.append(sparse)
    model.functions.append(function)
    assert stripped(model).ByteSize() < 500


@pytest.mark.parametrize("path", sorted(LIGHT.glob("*.onnx")), ids=lambda path: path.stem)
def test_files_without_large_weights_stay_as_they_are(path: Path) -> None:
    original, result = onnx.load(path), onnx.ModelProto.FromString(read_without_weights(path))
    assert result.graph.node == original.graph.node
    assert result.graph.initializer == original.graph.initializer


def test_stripping_twice_is_stripping_once() -> None:
    once = strip_weights(gemm_model(weight("w", 100, 200)).SerializeToString(), "model")
    assert strip_weights(once, "model") == once


def write_with_hole(path: Path, hole: int) -> None:
    """A model whose weight of ``hole`` bytes is a hole in the file."""
    head = TensorProto(name="w", dims=[100, hole // 400], data_type=TensorProto.FLOAT).SerializeToString()
    raw_tag = varint(9 << 3 | 2) + varint(hole)
    tensor_length = len(head) + len(raw_tag) + hole
    model = gemm_model()
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = hole // 400
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    weight_tag = varint(5 << 3 | 2) + varint(tensor_length)
    graph_tag = varint(7 << 3 | 2) + varint(len(graph) + len(weight_tag) + tensor_length)
    with open(path, "wb") as file:
        file.write(model.SerializeToString() + graph_tag + graph + weight_tag + head + raw_tag)
        file.truncate(file.tell() + hole)


MEMORY_PROBE = """
import resource, sys
import onnx
from annette.graph.onnx_reader import read_onnx
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
network = read_onnx(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, network.tensors["w"].size_bytes)
"""


def test_a_file_of_400_megabytes_costs_memory_for_its_graph_only(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    write_with_hole(path, 400_000_000)
    answer = subprocess.run(
        [sys.executable, "-c", MEMORY_PROBE, str(path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    grown, weight_bytes = map(int, answer.stdout.split())
    unit = 1 if sys.platform == "darwin" else 1024
    assert weight_bytes == 400_000_000
    assert grown * unit < 20_000_000


def test_a_cut_off_file_says_where_it_ends_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    data = gemm_model(weight("w", 100, 200)).SerializeToString()
    path.write_bytes(data[:40_000])
    with pytest.raises(
        GraphError, match=r"^model\.onnx: the file ends at byte 40000 inside .*seems cut off.*again$"
    ):
        read_without_weights(path)


def test_every_cut_is_an_error_or_a_smaller_model() -> None:
    data = gemm_model(weight("w", 100, 200)).SerializeToString()
    for end in [*range(0, 300), *range(300, len(data), 997), len(data) - 1]:
        with contextlib.suppress(GraphError):
            strip_weights(data[:end], "model.onnx")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"model:\n  layers: 3\n", "does not fit|no graph|damaged|cut off"),
        (b"<html><body>404</body></html>", "XML or HTML"),
        (b'{"a": 1}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"\x1c\0\0\0TFL3\0\0", "TensorFlow Lite"),
        (b"\x20\0\0\0ORTM\0\0", "ONNX Runtime's own"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x80\x02}q\0.", "pickle"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"\0" * 100, "does not fit"),
        (b"\xff" * 100, "does not fit"),
        (b"\x08\x07", "no graph"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "does not fit|cut off"),
        (b"\x3a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "does not fit"),
    ],
)
def test_what_is_no_onnx_gets_one_clear_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "thing.onnx"
    path.write_bytes(content)
    with pytest.raises(GraphError, match=words) as caught:
        read_without_weights(path)
    assert str(caught.value).startswith("thing.onnx: ")
    assert "\n" not in str(caught.value)


def test_zip_archives_directories_and_missing_files_are_named(tmp_path: Path) -> None:
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.pkl", b"x")
    for path, words in (
        (archive, "zip archive"),
        (tmp_path, "directory"),
        (tmp_path / "absent.onnx", "cannot be read"),
        (Path("/dev/null"), "not a regular file"),
        ("a\0b", "no path of a file"),
    ):
        with pytest.raises(GraphError, match=words):
            read_without_weights(path)


def test_graphs_nested_without_end_are_refused() -> None:
    graph = field(10, b"x" * 5000)
    for _ in range(200):
        graph = field(1, field(5, field(6, graph)))
    with pytest.raises(GraphError, match="nested more than"):
        strip_weights(field(7, graph), "bomb.onnx")


def test_absurd_amounts_of_structure_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_NODES", 100)
    monkeypatch.setattr(wire, "MAX_STRUCTURE_BYTES", 10_000)
    with pytest.raises(GraphError, match="more than 100 nodes"):
        strip_weights(field(7, field(1, b"") * 101), "many.onnx")
    monkeypatch.setattr(wire, "MAX_ENTRIES", 50)
    with pytest.raises(GraphError, match="more than 50 entries"):
        strip_weights(field(7, field(13, b"") * 101), "many.onnx")
    monkeypatch.setattr(wire, "MAX_ENTRIES", 5_000)
    with pytest.raises(GraphError, match="besides the weights"):
        strip_weights(field(7, field(2, b"x" * 20_000)), "wide.onnx")


def test_string_attributes_that_hold_blobs_lose_them() -> None:
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", blob=b"\1" * 100_000)
    assert stripped(gemm_model(nodes=[node])).ByteSize() < 500
