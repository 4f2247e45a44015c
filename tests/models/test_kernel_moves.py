"""Rows of moves and of integer kernels: tensors in their own dtypes, shapes and units."""

from __future__ import annotations

from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Layer, Network, Tensor
from annette.measurement import DeviceInfo
from annette.models.kernel_row import UNITS
from annette.models.kernel_table import KernelTable, build_kernel_table

CPU = DeviceInfo(name="cpu", backend="test", cache_bytes=(32768,), vector_bytes=64)


def row(table: KernelTable, number: int, *names: str) -> list[float]:
    return [float(table.column(name)[number]) for name in names]


def quantised() -> Network:
    """x8 -> DQ -> conv -> Q -> DQ -> {relu, pool}: what exporters of QDQ models write."""
    shapes = {"x8": "int8", "xf": "float32", "y": "float32", "y8": "int8", "yf": "float32", "p": "float32",
              "p8": "int8", "r": "float32"}  # fmt: skip
    tensors = {name: Tensor(name=name, shape=(1, 8, 4, 4), dtype=dtype) for name, dtype in shapes.items()}
    tensors["w"] = Tensor(name="w", shape=(8, 8, 1, 1), is_constant=True, stored_dtype="int8")
    tensors["s"] = Tensor(name="s", shape=(), is_constant=True)

    def layer(name: str, op_type: str, source: str, result: str, *more: str) -> Layer:
        return Layer(name=name, op_type=op_type, inputs=(source, *more), outputs=(result,))

    layers = (
        layer("dq", "DequantizeLinear", "x8", "xf", "s"),
        layer("conv", "Conv", "xf", "y", "w"),
        layer("q", "QuantizeLinear", "y", "y8", "s"),
        layer("dq2", "DequantizeLinear", "y8", "yf", "s"),
        layer("pool", "MaxPool", "yf", "p"),
        layer("q2", "QuantizeLinear", "p", "p8", "s"),
        layer("relu", "Relu", "yf", "r"),
    )
    return Network(name="qdq", inputs=("x8",), outputs=("p8", "r"), layers=layers, tensors=tensors)


def test_a_move_is_a_row_of_its_tensor_in_a_family_of_its_own() -> None:
    build = NetworkBuilder("conv")
    network = build.finish(build.conv(build.input("x", (2, 3, 8, 6)), 16, name="conv"))
    tensor = network.layers[0].outputs[0]
    conv = Kernel(layers=("conv",), primary="conv", unit="blocked")
    mapping = Mapping(kernels=(conv, Kernel(tensor=tensor, unit="to_plain")))
    require_complete(network, mapping)
    table = build_kernel_table([(network, mapping)], CPU)
    assert table.families == ("conv@blocked", "move@to_plain")
    assert row(table, 1, "batch", "in_channels", "out_channels", "out_h", "out_w") == [2, 16, 16, 8, 6]
    assert row(table, 1, "input_bytes", "output_bytes", "weight_bytes", "ops") == [6144, 6144, 0, 0]
    assert row(table, 1, "n_layers", "n_inputs", "operator") == [0, 1, 0]
    assert [UNITS[int(code)] for code in table.column("unit")] == ["blocked", "move"]


def test_units_keep_the_numbers_that_platforms_store() -> None:
    assert UNITS[:4] == ("array", "vector", "host", "")


def test_an_integer_kernel_moves_the_quantised_tensors() -> None:
    network = quantised()
    conv = Kernel(layers=("dq", "conv", "q"), primary="conv", unit="integer")
    relu = Kernel(layers=("dq2", "relu"), primary="relu", unit="plain")
    pool = Kernel(layers=("pool",), primary="pool", unit="integer")
    mapping = Mapping(kernels=(conv, relu, pool), eliminated_layers=("q2",))
    require_complete(network, mapping)
    table = build_kernel_table([(network, mapping)], CPU)
    assert table.families == ("conv@integer", "activation@plain", "pool@integer")
    assert row(table, 0, "input_bytes", "output_bytes", "n_outputs") == [128, 128, 1]
    assert row(table, 0, "weight_bytes") == [64 + 8]
    assert row(table, 1, "input_bytes", "output_bytes", "n_outputs") == [
        128,
        512,
        1,
    ]  # its dequantiser is its own
    assert row(table, 2, "input_bytes", "output_bytes") == [128, 128]  # no quantiser around it is work


def test_a_device_with_a_data_sheet_of_bytes_counts_elements() -> None:
    network = quantised()
    names = tuple(layer.name for layer in network.layers)
    mapping = Mapping(kernels=tuple(Kernel(layers=(name,), primary=name, unit="array") for name in names))
    own = DeviceInfo(name="own", backend="test", activation_bytes=1.0, weight_bytes=1.0)
    table = build_kernel_table([(network, mapping)], own)
    assert set(table.column("input_bytes")) == {128.0}
