"""Made-up contents for weights that a network does not hold: zeros, or seeded random numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy

from annette.errors import GraphError
from annette.graph.network import Layer, Network, Tensor
from annette.graph.onnx_values import NUMPY_DTYPES, Array

__all__ = ["WeightFill", "known_bytes", "made_up_bytes", "weight_fills"]

Mode = Literal["zero", "random"]

_POSITIVE: Mapping[str, frozenset[int]] = MappingProxyType(
    {
        "BatchNormalization": frozenset((1, 4)),
        "DequantizeLinear": frozenset((1,)),
        "Div": frozenset((1,)),
        "GroupNormalization": frozenset((1,)),
        "InstanceNormalization": frozenset((1,)),
        "LayerNormalization": frozenset((1,)),
        "Pow": frozenset((1,)),
        "QGemm": frozenset((1, 4, 7)),
        "QLinearAdd": frozenset((1, 4, 6)),
        "QLinearConv": frozenset((1, 4, 6)),
        "QLinearMatMul": frozenset((1, 4, 6)),
        "QLinearMul": frozenset((1, 4, 6)),
        "QuantizeLinear": frozenset((1,)),
        "RMSNormalization": frozenset((1,)),
    }
)
"""Inputs that must be positive: scales, variances, divisors, exponents."""
_STEPS: Mapping[str, int] = MappingProxyType({"DequantizeLinear": 1, "QuantizeLinear": 1})
"""Inputs that are the step between two quantised numbers."""
_STEP_RANGE = (0.01, 6 / 255)
"""Steps of activations: 8 bits then reach no farther than a ReLU6, which so is no work beside them."""
_RECTIFIERS = frozenset(("Clip", "Relu"))
_CONVOLUTIONS = frozenset(("Conv", "ConvInteger", "DeformConv", "FusedConv"))
_RECURRENT = frozenset(("GRU", "LSTM", "RNN"))
_PRODUCTS = frozenset(("FusedMatMul", "MatMul", "MatMulInteger"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFill:
    """How to make up one weight."""

    is_positive: bool = False
    """It divides, or scales what must not vanish."""
    is_step: bool = False
    """It is the step between two quantised numbers."""
    is_lowest: bool = False
    """It is the zero of quantised numbers that are never negative: their lowest one."""
    fan_in: int | None = None
    """Products that are summed into one output element, for the weights of such layers."""


def weight_fills(network: Network) -> dict[str, WeightFill]:
    """How to make up each constant of the network whose contents are not known, from its uses."""
    fills = {
        name: WeightFill()
        for name, tensor in network.tensors.items()
        if tensor.is_constant and tensor.value is None
    }
    for layer in network.layers:
        for position, name in enumerate(layer.inputs):
            if name in fills:
                found, fan_in = fills[name], _fan_in(layer, position, network.tensors[name])
                fills[name] = WeightFill(
                    is_positive=found.is_positive or position in _POSITIVE.get(layer.op_type, ()),
                    is_step=found.is_step or position == _STEPS.get(layer.op_type),
                    is_lowest=found.is_lowest or _is_zero_of_rectified(network, layer, position),
                    fan_in=fan_in if found.fan_in is None else found.fan_in,
                )
    return fills


def _fan_in(layer: Layer, position: int, tensor: Tensor) -> int | None:
    shape = tensor.shape
    if len(shape) < 2:
        return None
    if layer.op_type in _CONVOLUTIONS and position == 1:
        return math.prod(shape[1:])
    if layer.op_type == "ConvTranspose" and position == 1:
        return shape[0] * math.prod(shape[2:])
    if layer.op_type == "Gemm" and position == 1:
        return shape[1] if layer.attribute("transB", 0) else shape[0]
    if layer.op_type in _PRODUCTS:
        return shape[-2] if position else shape[-1]
    if layer.op_type in _RECURRENT and position in (1, 2):
        return shape[-1]
    return None


def _is_zero_of_rectified(network: Network, layer: Layer, position: int) -> bool:
    """Whether an input is the zero point of what a ReLU computes: calibration makes it the lowest."""
    if layer.op_type != "QuantizeLinear" or position != 2:
        return False
    producer = network.producer(layer.inputs[0])
    return producer is not None and producer.op_type in _RECTIFIERS


def made_up_bytes(tensor: Tensor, fill: WeightFill, mode: Mode, rng: numpy.random.Generator) -> bytes:
    """Contents of ``tensor`` in ONNX's raw little-endian form.

    With ``zero``, all zeros but for what must be positive (ones) and booleans (true: masks then let
    everything through). With ``random``, weights are normal with variance ``2 / fan_in``, so that
    activations behind ReLUs keep their scale; other vectors are small.

    References
    ----------
    He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 10.
    """
    kind = NUMPY_DTYPES.get(tensor.dtype)
    if tensor.dtype == "bool":
        return b"\x01" * tensor.size
    is_float = tensor.dtype in ("float16", "float32", "float64", "bfloat16")
    if fill.is_lowest and tensor.dtype == "int8":
        return b"\x80" * tensor.size
    if mode == "zero" or (not is_float and len(tensor.shape) < 2):
        if not fill.is_positive:
            return bytes(tensor.size_bytes)
        return _raw(numpy.ones(tensor.shape, numpy.float32), tensor)
    if is_float:
        return _raw(_random_floats(tensor, fill, rng), tensor)
    if kind is None or kind.itemsize > 1:  # packed formats, and integers that may be indices
        return bytes(tensor.size_bytes)
    low, high = (-127, 128) if kind.kind == "i" else (0, 256)
    return rng.integers(low, high, size=tensor.size, dtype=kind).tobytes()


def _random_floats(tensor: Tensor, fill: WeightFill, rng: numpy.random.Generator) -> Array:
    if fill.is_step:
        return rng.uniform(*_STEP_RANGE, size=tensor.shape).astype(numpy.float32)
    if fill.is_positive:
        return rng.uniform(0.5, 1.5, size=tensor.shape).astype(numpy.float32)
    deviation = 0.02 if fill.fan_in is None else math.sqrt(2.0 / max(fill.fan_in, 1))
    result = rng.standard_normal(size=tensor.shape, dtype=numpy.float32)
    result *= numpy.float32(deviation)
    return result


def known_bytes(tensor: Tensor) -> bytes:
    """The known contents of ``tensor`` in ONNX's raw little-endian form.

    Raises
    ------
    GraphError
        If the contents are not known, or do not fit the dtype.
    """
    if tensor.value is None:
        raise GraphError(
            f"tensor {tensor.name!r}: its contents are not known, expected a constant with value"
        )
    kind = NUMPY_DTYPES.get(tensor.dtype, numpy.dtype("float32"))
    try:
        with numpy.errstate(over="ignore"):  # beyond the largest number of the dtype is infinity
            return _raw(numpy.array(tensor.value, dtype=kind), tensor)
    except (OverflowError, TypeError, ValueError) as err:
        raise GraphError(f"tensor {tensor.name!r}: its contents do not fit {tensor.dtype} ({err})") from err


def _raw(array: Array, tensor: Tensor) -> bytes:
    if tensor.dtype == "bfloat16":
        return (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    kind = NUMPY_DTYPES.get(tensor.dtype)
    if kind is None:  # float8, int4 and the like: nothing but zeros can be said here
        return bytes(tensor.size_bytes)
    return array.astype(kind.newbyteorder("<")).tobytes()
