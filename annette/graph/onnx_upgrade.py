"""One vocabulary for all opsets: brings layers of older opsets into the form that opset 18 and later have.

Attributes that became inputs become constants, defaults that changed are written out, and operators that
were renamed get their present name. So the same model exported twice is the same network, whatever opset
the exporter was told, and whoever reads networks meets one form only.

References
----------
ONNX, "Operator Changelog", opsets 9 to 23.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from annette.errors import GraphError
from annette.graph.network import AttributeValue, Scalar

__all__ = ["CURRENT_OPSET", "OLDEST_OPSET", "Draft", "Surroundings", "upgrade_draft"]

OLDEST_OPSET = 9
CURRENT_OPSET = 21
"""The youngest opset whose changes are brought about here."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """A layer on its way into a network; the only mutable form of one."""

    name: str
    op_type: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, AttributeValue]

    def setting(self, attribute: str, position: int, surroundings: Surroundings) -> None:
        """Turn integers given as an attribute into a constant at input ``position``."""
        value = self.attributes.pop(attribute, None)
        if value is None:
            return
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(item, int) for item in numbers):
            raise GraphError(f"layer {self.name!r}: attribute {attribute!r} is {value!r}, expected integers")
        self.place(position, surroundings.constant(numbers, "int64", (len(numbers),)))

    def place(self, position: int, tensor: str) -> None:
        """Make ``tensor`` the input ``position``, with omitted ones before it where there are none."""
        self.inputs += [""] * (position + 1 - len(self.inputs))
        self.inputs[position] = tensor


class Surroundings(Protocol):
    """What an upgrade may ask of the graph around the layer."""

    def constant(self, values: Sequence[Scalar], dtype: str, shape: tuple[int, ...]) -> str:
        """The name of a new constant."""

    def shape(self, tensor: str) -> tuple[int, ...]:
        """The shape of a tensor that the layer reads."""

    def dtype(self, tensor: str) -> str:
        """The dtype of a tensor that the layer reads."""

    def resized(self, tensor: str, shape: tuple[int, ...]) -> str:
        """A constant like ``tensor``, which is one, with another shape; the empty string if it is none."""

    def fresh(self, stem: str) -> str:
        """A name that no tensor has."""


_Upgrade = Callable[[Draft, int, Surroundings], Sequence[Draft]]


def upgrade_draft(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    """The layers that say in today's form what ``draft`` says in that of ``opset``; mostly itself, changed.

    Raises
    ------
    GraphError
        If its attributes are not what the operator allows.
    """
    change = _UPGRADES.get(draft.op_type) if draft.domain == "" else None
    return (draft,) if change is None else change(draft, opset, surroundings)


def _axes(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    draft.setting("axes", 1, surroundings)
    return (draft,)


def _top_k(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    draft.setting("k", 1, surroundings)
    return (draft,)


def _slice(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    for position, name in ((1, "starts"), (2, "ends"), (3, "axes")):
        draft.setting(name, position, surroundings)
    return (draft,)


def _split(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    draft.setting("split", 1, surroundings)
    if len(draft.inputs) < 2 or not draft.inputs[1]:
        draft.attributes.setdefault("num_outputs", len(draft.outputs))
    return (draft,)


def _pad(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    if "pads" in draft.attributes:
        draft.setting("pads", 1, surroundings)
        _scalar_input(draft, "value", 2, surroundings)
    return (draft,)


def _clip(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    for position, name in ((1, "min"), (2, "max")):
        _scalar_input(draft, name, position, surroundings)
    return (draft,)


def _scalar_input(draft: Draft, attribute: str, position: int, surroundings: Surroundings) -> None:
    value = draft.attributes.pop(attribute, None)
    if isinstance(value, int | float):
        dtype = surroundings.dtype(draft.inputs[0]) if draft.inputs else "float32"
        draft.place(position, surroundings.constant((value,), dtype, ()))


def _dropout(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    draft.attributes.pop("ratio", None)  # it does nothing in inference
    return (draft,)


def _batch_norm(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    draft.attributes.pop("spatial", None)
    if opset < 14:  # outputs of training, which changed their meaning
        del draft.outputs[1:]
    return (draft,)


def _softmax(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    """Up to opset 12 all axes from ``axis`` (by default 1) on are one axis."""
    if opset >= 13:
        draft.attributes.setdefault("axis", -1)
        return (draft,)
    axis = draft.attributes.get("axis", 1)
    shape = surroundings.shape(draft.inputs[0])
    if not isinstance(axis, int) or not -len(shape) <= axis <= len(shape):
        raise GraphError(f"layer {draft.name!r}: attribute 'axis' is {axis!r}, expected an axis of {shape}")
    axis = axis % len(shape) if axis < len(shape) else axis
    wide = [index for index in range(axis, len(shape)) if shape[index] != 1]
    if axis < len(shape) and len(wide) <= 1:
        draft.attributes["axis"] = (wide or [axis])[0]
        return (draft,)
    flat, soft = surroundings.fresh(f"{draft.name}:flat"), surroundings.fresh(f"{draft.name}:soft")
    matrix = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    sizes = [surroundings.constant(item, "int64", (len(item),)) for item in (matrix, shape)]

    def reshape(name: str, source: str, size: str, result: str) -> Draft:
        return Draft(
            name=f"{draft.name}:{name}", op_type="Reshape", domain="",
            inputs=[source, size], outputs=[result], attributes={"allowzero": 1},
        )  # fmt: skip

    before = reshape("flatten", draft.inputs[0], sizes[0], flat)
    after = reshape("restore", soft, sizes[1], draft.outputs[0])
    draft.inputs, draft.outputs, draft.attributes["axis"] = [flat], [soft], -1
    return before, draft, after


def _resize(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    """Opset 10 has (x, scales) and counts from the corner; empty tensors stand for omitted ones later."""
    if len(draft.inputs) == 2:
        draft.inputs.insert(1, "")
        draft.attributes.setdefault("coordinate_transformation_mode", "asymmetric")
        if draft.attributes.get("mode", "nearest") == "nearest":
            draft.attributes.setdefault("nearest_mode", "floor")
    for position in range(1, len(draft.inputs)):
        name = draft.inputs[position]
        if name and 0 in surroundings.shape(name):
            draft.inputs[position] = ""
    if draft.attributes.get("coordinate_transformation_mode") != "tf_crop_and_resize" and draft.inputs[1:]:
        draft.inputs[1] = ""  # a region that nothing reads
    return (draft,)


def _upsample(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    if len(draft.inputs) == 2:
        draft.op_type = "Resize"
        if draft.attributes.get("mode") == "bilinear":
            draft.attributes["mode"] = "linear"
        return _resize(draft, opset, surroundings)
    return (draft,)


def _scatter(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    draft.op_type = "ScatterElements"
    return (draft,)


def _group_norm(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    """Before opset 21 scale and bias have one number a group, since then one a channel."""
    if opset < 21 and len(draft.inputs) >= 3:
        channels = surroundings.shape(draft.inputs[0])[1:2]
        for position in (1, 2):
            if surroundings.shape(draft.inputs[position]) != channels:
                name = draft.inputs[position]
                draft.inputs[position] = surroundings.resized(name, channels) or name
    return (draft,)


def _grid_sample(draft: Draft, opset: int, surroundings: Surroundings) -> Sequence[Draft]:
    renamed = {"bilinear": "linear", "bicubic": "cubic"}
    mode = draft.attributes.get("mode")
    if isinstance(mode, str) and mode in renamed:
        draft.attributes["mode"] = renamed[mode]
    return (draft,)


_UPGRADES: Mapping[str, _Upgrade] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
                "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Squeeze", "Unsqueeze",
            ),
            _axes,
        ),
        **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
        "BatchNormalization": _batch_norm,
        "Clip": _clip,
        "Dropout": _dropout,
        "GridSample": _grid_sample,
        "GroupNormalization": _group_norm,
        "Pad": _pad,
        "Resize": _resize,
        "Scatter": _scatter,
        "Slice": _slice,
        "Split": _split,
        "TopK": _top_k,
        "Upsample": _upsample,
    }
)  # fmt: skip
