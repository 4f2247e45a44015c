"""Shape inference: the tensors that a layer computes, from the tensors that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from annette.errors import GraphError
from annette.graph.network import Layer, Tensor
from annette.graph.shape_case import ONNX_DTYPES, Case, DataDependentShape, Rule, UnknownOperator
from annette.graph.shape_elements import ELEMENT_RULES, MICROSOFT_ELEMENT_RULES
from annette.graph.shape_matrices import MATRIX_RULES, MICROSOFT_MATRIX_RULES
from annette.graph.shape_moves import MICROSOFT_MOVE_RULES, MOVE_RULES
from annette.graph.shape_windows import MICROSOFT_WINDOW_RULES, WINDOW_RULES

__all__ = ["ONNX_DTYPES", "SHAPE_RULES", "DataDependentShape", "UnknownOperator", "infer_outputs"]

_DEFAULT_RULES: Mapping[str, Rule] = MappingProxyType(
    {**ELEMENT_RULES, **MATRIX_RULES, **MOVE_RULES, **WINDOW_RULES}
)
_MICROSOFT_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **MICROSOFT_ELEMENT_RULES,
        **MICROSOFT_MATRIX_RULES,
        **MICROSOFT_MOVE_RULES,
        **MICROSOFT_WINDOW_RULES,
    }
)
SHAPE_RULES: Mapping[str, Mapping[str, Rule]] = MappingProxyType(
    {"": _DEFAULT_RULES, "ai.onnx": _DEFAULT_RULES, "com.microsoft": _MICROSOFT_RULES}
)
"""Rules by operator domain, then by operator type."""


def infer_outputs(layer: Layer, tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """The tensors that ``layer`` computes: one for each output that is not omitted, in order.

    Which opset a layer follows is seen from the inputs and attributes that it has. Outputs never carry
    contents and are never constants: folding is the reader's business.

    Parameters
    ----------
    layer : Layer
        Operator, inputs, outputs and attributes.
    tensors : Mapping
        At least the layer's inputs, by name.

    Raises
    ------
    UnknownOperator
        If there is no rule for the operator.
    DataDependentShape
        If the shape depends on contents that are not known (an `UnknownOperator`, too).
    GraphError
        If an input is not known, or the shapes do not fit the operator.

    Examples
    --------
    >>> act = Layer(name="act", op_type="Relu", inputs=("x",), outputs=("y",))
    >>> infer_outputs(act, {"x": Tensor(name="x", shape=(1, 8))})[0].shape
    (1, 8)
    """
    if not any(layer.outputs):
        raise GraphError(
            f"layer {layer.name!r}: computes nothing, expected at least one output; export again"
        )
    rule = SHAPE_RULES.get(layer.domain, {}).get(layer.op_type)
    if rule is None:
        domain = f" of domain {layer.domain!r}" if layer.domain else ""
        raise UnknownOperator(f"layer {layer.name!r}: no shape rule for operator {layer.op_type!r}{domain}")
    try:
        inputs = tuple(tensors[name] if name else None for name in layer.inputs)
    except KeyError as err:
        raise GraphError(f"layer {layer.name!r}: nothing is known of its input {err.args[0]!r}") from None
    case = Case(layer, inputs)
    try:
        results = rule(case)
    except GraphError:
        raise
    except (ArithmeticError, LookupError, ValueError) as err:  # too few inputs, numbers or axes for the rule
        raise case.fail("inputs and attributes that the operator defines") from err
    if len(results) < len(layer.outputs):
        raise case.fail(f"at most {len(results)} outputs, not {len(layer.outputs)}")
    return tuple(
        Tensor(name=name, shape=shape, dtype=dtype)
        for name, (shape, dtype) in zip(layer.outputs, results, strict=False)
        if name
    )
