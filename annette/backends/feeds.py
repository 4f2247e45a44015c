"""Random contents for a network's inputs: token ids inside their vocabulary, masks, normal floats."""

from __future__ import annotations

import numpy

from annette.errors import MeasurementError
from annette.graph.network import Layer, Network, Tensor
from annette.graph.onnx_values import NUMPY_DTYPES, Array

__all__ = ["index_limit", "random_feeds"]

_VIEWS = frozenset(
    (
        "Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze",
        "Tile", "Transpose", "Unsqueeze",
    )
)  # fmt: skip
"""Operators that hand on the numbers of their first input unchanged (of any, for Concat)."""
_INDEXED = {"Gather": 0, "GatherElements": 0, "ScatterElements": 0, "Scatter": 0}
"""Operators whose second input are indices along one axis of the first, and that axis' default."""
_POSITIVE = frozenset(("Acosh", "Log", "Pow", "Reciprocal", "Rsqrt", "Sqrt"))
_WITHIN_ONE = frozenset(("Acos", "Asin", "Atanh"))
_LEAST = 2.0**-10
"""Magnitude of a float at least: far above the denormal numbers of any format, which are slow to compute."""
_MASK_ONES = 0.9
"""Share of ones among whole numbers that index nothing: most tokens of a sentence are not masked."""
_FLOAT8_FINITE = 0x70


def random_feeds(network: Network, seed: int = 0) -> dict[str, Array]:
    """Contents of each input of ``network``, by its name; the same for the same seed.

    Floats are normal, or positive where a layer takes their logarithm or root; never denormal. Whole numbers
    that index a table lie inside it; of others, those of 8 bits fill their range and the rest are 0 or 1.
    bfloat16 comes as its upper 16 bits in uint16, float8 as uint8.

    Raises
    ------
    MeasurementError
        For an input of a dtype that cannot be made up; names it.

    Examples
    --------
    >>> from annette.graph.builder import NetworkBuilder
    >>> build = NetworkBuilder("one")
    >>> network = build.finish(build.relu(build.input("x", (1, 3))))
    >>> random_feeds(network)["x"].shape
    (1, 3)
    """
    return {
        name: _contents(network, network.tensors[name], numpy.random.default_rng([abs(seed), index]))
        for index, name in enumerate(network.inputs)
    }


def index_limit(network: Network, name: str) -> int | None:
    """How many values the indices in a tensor may take: the least table they index; ``None`` if none.

    The tensor is followed through casts and views.
    """
    limits: list[int] = []
    seen, waiting = {name}, [name]
    while waiting:
        tensor = waiting.pop()
        for layer in network.consumers(tensor):
            limits.extend(_limits(network, layer, tensor))
            if layer.op_type in _VIEWS and (layer.op_type == "Concat" or layer.inputs[0] == tensor):
                new = [output for output in layer.outputs if output and output not in seen]
                seen.update(new)
                waiting.extend(new)
    return min(limits) if limits else None


def _limits(network: Network, layer: Layer, tensor: str) -> list[int]:
    inputs = layer.inputs
    if layer.op_type in _INDEXED and len(inputs) > 1 and inputs[1] == tensor:
        shape = network.tensors[inputs[0]].shape
        axis = layer.int_attribute("axis", _INDEXED[layer.op_type])
        return [shape[axis]] if -len(shape) <= axis < len(shape) else []
    if layer.op_type in ("GatherND", "ScatterND") and len(inputs) > 1 and inputs[1] == tensor:
        depth = network.tensors[tensor].shape[-1:] or (0,)
        start = layer.int_attribute("batch_dims", 0)
        return list(network.tensors[inputs[0]].shape[start : start + depth[0]])
    if layer.op_type == "EmbedLayerNormalization":
        tables = {0: 2, 1: 4, 7: 3}  # of words, segments and positions, by the input that indexes them
        return [
            network.tensors[inputs[table]].shape[0]
            for position, table in tables.items()
            if max(position, table) < len(inputs) and inputs[position] == tensor and inputs[table]
        ]
    return []


def _contents(network: Network, tensor: Tensor, rng: numpy.random.Generator) -> Array:
    if tensor.dtype in ("float16", "float32", "float64", "bfloat16"):
        return _floats(network, tensor, rng)
    if tensor.dtype == "float8":
        return rng.integers(0x20, _FLOAT8_FINITE, size=tensor.shape, dtype=numpy.uint8)
    kind = NUMPY_DTYPES.get(tensor.dtype)
    if kind is None:
        raise MeasurementError(
            f"network {network.name!r}: input {tensor.name!r} is of dtype {tensor.dtype}, expected floats, "
            "whole numbers of 8 bits or more, or booleans; cut the network behind it"
        )
    limit = index_limit(network, tensor.name)
    if limit is not None:
        most = min(max(limit, 1), numpy.iinfo(kind).max) if kind.kind in "iu" else 1
        return rng.integers(0, most, size=tensor.shape).astype(kind)
    if kind.itemsize == 1 and kind.kind in "iu":
        info = numpy.iinfo(kind)
        return rng.integers(info.min, info.max + 1, size=tensor.shape, dtype=kind)
    mask = rng.random(tensor.shape) < _MASK_ONES
    if mask.ndim:
        mask[..., :1] = True  # a row that is masked as a whole has no softmax
    return mask.astype(kind)


def _floats(network: Network, tensor: Tensor, rng: numpy.random.Generator) -> Array:
    readers = {layer.op_type for layer in network.consumers(tensor.name)}
    if readers & _POSITIVE:
        values = rng.uniform(0.5, 1.5, size=tensor.shape).astype(numpy.float32)
    elif readers & _WITHIN_ONE:
        values = rng.uniform(0.1, 0.9, size=tensor.shape).astype(numpy.float32)
    else:
        values = rng.standard_normal(size=tensor.shape, dtype=numpy.float32)
        values = numpy.where(numpy.abs(values) < _LEAST, numpy.float32(_LEAST), values)
    if tensor.dtype == "bfloat16":
        return (values.view(numpy.uint32) >> 16).astype(numpy.uint16)
    return values.astype(NUMPY_DTYPES[tensor.dtype])
