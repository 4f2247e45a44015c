"""Writes a quantised .tflite model (int8, random weights) from a list of operators in JSON.

    VENV/bin/python benchmarks/studies/tflite_writer.py OPERATORS.json MODEL.tflite

Runs in an environment with `ethos-u-vela`, whose package brings flatbuffers and the classes of the schema;
the rest of the project does not need it. `ethos_vela.py` beside this file writes the JSON: tensors with NHWC
shapes (constants are marked), and operators with inputs, output and options. Weights are drawn from a normal
distribution, so that the compiler's compression finds about what trained weights give it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-not-found,unused-ignore]
import numpy as np
from ethosu.vela import tflite  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
from ethosu.vela.tflite import (  # type: ignore[import-not-found,unused-ignore]
    AddOptions,
    Buffer,
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Model,
    Operator,
    OperatorCode,
    Pool2DOptions,
    QuantizationParameters,
    ReshapeOptions,
    SubGraph,
    Tensor,
)
from ethosu.vela.tflite.ActivationFunctionType import (  # type: ignore[import-not-found,unused-ignore]
    ActivationFunctionType,
)
from ethosu.vela.tflite.BuiltinOperator import (  # type: ignore[import-not-found,unused-ignore]
    BuiltinOperator,
)
from ethosu.vela.tflite.BuiltinOptions import (  # type: ignore[import-not-found,unused-ignore]
    BuiltinOptions,
)
from ethosu.vela.tflite.Padding import Padding  # type: ignore[import-not-found,unused-ignore]
from ethosu.vela.tflite.TensorType import TensorType  # type: ignore[import-not-found,unused-ignore]

_MODEL_VERSION = 3
_SIGMA = 28.0
"""Spread of int8 weights whose largest is near 127."""
_KINDS = {
    "conv": (BuiltinOperator.CONV_2D, BuiltinOptions.Conv2DOptions, 3),
    "depthwise": (BuiltinOperator.DEPTHWISE_CONV_2D, BuiltinOptions.DepthwiseConv2DOptions, 3),
    "fully_connected": (BuiltinOperator.FULLY_CONNECTED, BuiltinOptions.FullyConnectedOptions, 4),
    "add": (BuiltinOperator.ADD, BuiltinOptions.AddOptions, 2),
    "max_pool": (BuiltinOperator.MAX_POOL_2D, BuiltinOptions.Pool2DOptions, 2),
    "average_pool": (BuiltinOperator.AVERAGE_POOL_2D, BuiltinOptions.Pool2DOptions, 2),
    "concat": (BuiltinOperator.CONCATENATION, BuiltinOptions.ConcatenationOptions, 2),
    "reshape": (BuiltinOperator.RESHAPE, BuiltinOptions.ReshapeOptions, 1),
}
"""Operator code, kind of options and version by name."""
_ACTIVATIONS = {
    None: ActivationFunctionType.NONE,
    "relu": ActivationFunctionType.RELU,
    "relu6": ActivationFunctionType.RELU6,
}


def _vector(builder: Any, start: Any, values: list[int]) -> Any:
    """A vector of offsets."""
    start(builder, len(values))
    for value in reversed(values):
        builder.PrependUOffsetTRelative(value)
    return builder.EndVector()


def _numbers(builder: Any, values: list[int]) -> Any:
    return builder.CreateNumpyVector(np.asarray(values, dtype=np.int32))


def _window_options(builder: Any, module: Any, name: str, options: dict[str, Any]) -> None:
    """Padding, strides and activation, which convolutions and pools share."""
    for field, value in (
        ("Padding", getattr(Padding, options["padding"])),
        ("StrideH", options["stride"][0]),
        ("StrideW", options["stride"][1]),
        ("FusedActivationFunction", _ACTIVATIONS[options["activation"]]),
    ):
        getattr(module, f"{name}Add{field}")(builder, value)


def _options(builder: Any, kind: str, options: dict[str, Any]) -> Any:
    """The table of options of one operator."""
    if kind == "conv":
        Conv2DOptions.Conv2DOptionsStart(builder)
        _window_options(builder, Conv2DOptions, "Conv2DOptions", options)
        Conv2DOptions.Conv2DOptionsAddDilationHFactor(builder, 1)
        Conv2DOptions.Conv2DOptionsAddDilationWFactor(builder, 1)
        return Conv2DOptions.Conv2DOptionsEnd(builder)
    if kind == "depthwise":
        DepthwiseConv2DOptions.DepthwiseConv2DOptionsStart(builder)
        _window_options(builder, DepthwiseConv2DOptions, "DepthwiseConv2DOptions", options)
        DepthwiseConv2DOptions.DepthwiseConv2DOptionsAddDepthMultiplier(builder, 1)
        DepthwiseConv2DOptions.DepthwiseConv2DOptionsAddDilationHFactor(builder, 1)
        DepthwiseConv2DOptions.DepthwiseConv2DOptionsAddDilationWFactor(builder, 1)
        return DepthwiseConv2DOptions.DepthwiseConv2DOptionsEnd(builder)
    if kind in ("max_pool", "average_pool"):
        Pool2DOptions.Pool2DOptionsStart(builder)
        _window_options(builder, Pool2DOptions, "Pool2DOptions", options)
        Pool2DOptions.Pool2DOptionsAddFilterHeight(builder, options["kernel"][0])
        Pool2DOptions.Pool2DOptionsAddFilterWidth(builder, options["kernel"][1])
        return Pool2DOptions.Pool2DOptionsEnd(builder)
    if kind == "reshape":
        shape = _numbers(builder, options["shape"])
        ReshapeOptions.ReshapeOptionsStart(builder)
        ReshapeOptions.ReshapeOptionsAddNewShape(builder, shape)
        return ReshapeOptions.ReshapeOptionsEnd(builder)
    if kind == "concat":
        ConcatenationOptions.ConcatenationOptionsStart(builder)
        ConcatenationOptions.ConcatenationOptionsAddAxis(builder, options["axis"])
        return ConcatenationOptions.ConcatenationOptionsEnd(builder)
    module, name = {
        "add": (AddOptions, "AddOptions"),
        "fully_connected": (FullyConnectedOptions, "FullyConnectedOptions"),
    }[kind]
    getattr(module, f"{name}Start")(builder)
    getattr(module, f"{name}AddFusedActivationFunction")(builder, _ACTIVATIONS[options["activation"]])
    return getattr(module, f"{name}End")(builder)


def _buffer(builder: Any, data: bytes | None) -> Any:
    vector = builder.CreateByteVector(data) if data is not None else None
    Buffer.BufferStart(builder)
    if vector is not None:
        Buffer.BufferAddData(builder, vector)
    return Buffer.BufferEnd(builder)


def _contents(tensor: dict[str, Any], rng: np.random.Generator) -> bytes | None:
    """Random weights, biases of zero; nothing for activations."""
    if not tensor["is_constant"]:
        return None
    if tensor["dtype"] == "int32":
        return np.zeros(tensor["shape"], dtype=np.int32).tobytes()
    drawn = rng.normal(0.0, _SIGMA, tensor["shape"])
    return np.clip(np.round(drawn), -127, 127).astype(np.int8).tobytes()


def _tensor(builder: Any, tensor: dict[str, Any], buffer: int) -> Any:
    """One tensor with its scale; biases have the product of the others'."""
    scale = builder.CreateNumpyVector(
        np.array([0.02 * 0.02 if tensor["dtype"] == "int32" else 0.02], np.float32)
    )
    zero = builder.CreateNumpyVector(np.array([0], dtype=np.int64))
    QuantizationParameters.QuantizationParametersStart(builder)
    QuantizationParameters.QuantizationParametersAddScale(builder, scale)
    QuantizationParameters.QuantizationParametersAddZeroPoint(builder, zero)
    quantization = QuantizationParameters.QuantizationParametersEnd(builder)
    shape, name = _numbers(builder, tensor["shape"]), builder.CreateString(tensor["name"])
    Tensor.TensorStart(builder)
    Tensor.TensorAddShape(builder, shape)
    Tensor.TensorAddType(builder, getattr(TensorType, tensor["dtype"].upper()))
    Tensor.TensorAddBuffer(builder, buffer)
    Tensor.TensorAddName(builder, name)
    Tensor.TensorAddQuantization(builder, quantization)
    return Tensor.TensorEnd(builder)


def _operator(builder: Any, item: dict[str, Any], index: dict[str, int], codes: list[str]) -> Any:
    options = _options(builder, item["kind"], item["options"])
    inputs = _numbers(builder, [index[name] for name in item["inputs"]])
    outputs = _numbers(builder, [index[item["output"]]])
    Operator.OperatorStart(builder)
    Operator.OperatorAddOpcodeIndex(builder, codes.index(item["kind"]))
    Operator.OperatorAddInputs(builder, inputs)
    Operator.OperatorAddOutputs(builder, outputs)
    Operator.OperatorAddBuiltinOptionsType(builder, _KINDS[item["kind"]][1])
    Operator.OperatorAddBuiltinOptions(builder, options)
    return Operator.OperatorEnd(builder)


def _operator_code(builder: Any, kind: str) -> Any:
    code, _, version = _KINDS[kind]
    OperatorCode.OperatorCodeStart(builder)
    OperatorCode.OperatorCodeAddDeprecatedBuiltinCode(builder, code)
    OperatorCode.OperatorCodeAddBuiltinCode(builder, code)
    OperatorCode.OperatorCodeAddVersion(builder, version)
    return OperatorCode.OperatorCodeEnd(builder)


def write_model(document: dict[str, Any], path: Path) -> None:
    """Write the model that ``document`` describes."""
    builder, rng = flatbuffers.Builder(1 << 20), np.random.default_rng(0)
    tensors, items = document["tensors"], document["operators"]
    index = {tensor["name"]: position for position, tensor in enumerate(tensors)}
    codes = sorted({item["kind"] for item in items})
    buffers = [_buffer(builder, None), *(_buffer(builder, _contents(tensor, rng)) for tensor in tensors)]
    made = [_tensor(builder, tensor, position + 1) for position, tensor in enumerate(tensors)]
    tensor_vector = _vector(builder, SubGraph.SubGraphStartTensorsVector, made)
    operators = [_operator(builder, item, index, codes) for item in items]
    operator_vector = _vector(builder, SubGraph.SubGraphStartOperatorsVector, operators)
    inputs = _numbers(builder, [index[name] for name in document["inputs"]])
    outputs = _numbers(builder, [index[name] for name in document["outputs"]])
    SubGraph.SubGraphStart(builder)
    SubGraph.SubGraphAddTensors(builder, tensor_vector)
    SubGraph.SubGraphAddInputs(builder, inputs)
    SubGraph.SubGraphAddOutputs(builder, outputs)
    SubGraph.SubGraphAddOperators(builder, operator_vector)
    graphs = _vector(builder, Model.ModelStartSubgraphsVector, [SubGraph.SubGraphEnd(builder)])
    made_codes = [_operator_code(builder, kind) for kind in codes]
    code_vector = _vector(builder, Model.ModelStartOperatorCodesVector, made_codes)
    buffer_vector = _vector(builder, Model.ModelStartBuffersVector, buffers)
    description = builder.CreateString(document["name"])
    Model.ModelStart(builder)
    Model.ModelAddVersion(builder, _MODEL_VERSION)
    Model.ModelAddOperatorCodes(builder, code_vector)
    Model.ModelAddSubgraphs(builder, graphs)
    Model.ModelAddDescription(builder, description)
    Model.ModelAddBuffers(builder, buffer_vector)
    builder.Finish(Model.ModelEnd(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


if __name__ == "__main__":
    write_model(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
