"""ONNX's own shape inference, as the judge of annette's shape rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from annette.errors import GraphError
from annette.graph.network import AttributeValue, Layer, Tensor
from annette.graph.shapes import ONNX_DTYPES, infer_outputs

OnnxOutputs = Callable[..., list[tuple[tuple[int, ...], str]] | None]


@pytest.fixture(scope="session")
def onnx_outputs() -> OnnxOutputs:
    """Shapes and dtypes that ONNX infers for one node; ``None`` where it refuses."""
    onnx = pytest.importorskip("onnx")
    codes = {name: code for code, name in reversed(ONNX_DTYPES.items())}

    def infer(
        op_type: str,
        inputs: Sequence[Tensor | None],
        attributes: dict[str, AttributeValue],
        *,
        outputs: int = 1,
        opset: int = 21,
    ) -> list[tuple[tuple[int, ...], str]] | None:
        names = [item.name if item else "" for item in inputs]
        node = onnx.helper.make_node(op_type, names, [f"y{i}" for i in range(outputs)], **attributes)
        given = [item for item in inputs if item is not None]
        graph = onnx.helper.make_graph(
            [node],
            "one",
            [onnx.helper.make_tensor_value_info(t.name, codes[t.dtype], t.shape) for t in given],
            [onnx.helper.make_empty_tensor_value_info(f"y{i}") for i in range(outputs)],
            [
                onnx.helper.make_tensor(t.name, codes[t.dtype], t.shape, t.value)
                for t in given
                if t.value is not None
            ],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
        try:
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except onnx.shape_inference.InferenceError:
            return None
        results = []
        for output in inferred.graph.output:
            kind = output.type.tensor_type
            dims = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim]
            results.append((tuple(dims), ONNX_DTYPES[kind.elem_type]))
        return results

    return infer


@pytest.fixture(scope="session")
def rule_outputs() -> OnnxOutputs:
    """What annette's rule says of the same node; ``None`` where it refuses."""

    def infer(
        op_type: str,
        inputs: Sequence[Tensor | None],
        attributes: dict[str, AttributeValue],
        *,
        outputs: int = 1,
        opset: int = 21,
        domain: str = "",
    ) -> list[tuple[tuple[int, ...], str]] | None:
        layer = Layer(
            name="node",
            op_type=op_type,
            domain=domain,
            inputs=tuple(item.name if item else "" for item in inputs),
            outputs=tuple(f"y{index}" for index in range(outputs)),
            attributes=tuple(attributes.items()),
        )
        try:
            found = infer_outputs(layer, {item.name: item for item in inputs if item is not None})
        except GraphError:
            return None
        return [(tensor.shape, tensor.dtype) for tensor in found]

    return infer
