"""The rules of a device's compiler: where layers run, which vanish, which are merged, on what conditions."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

from annette.graph.shapes import SHAPE_RULES
from annette.hardware.checks import FieldFault, check_fields, quantity

__all__ = [
    "FEATURES",
    "UNITS",
    "CompilerRules",
    "Condition",
    "EliminationRule",
    "FusionRule",
    "PlacementRule",
    "is_listed",
]

UNITS = ("array", "vector", "host")
"""The units of a device that can run kernels."""

FEATURES = (
    "batch", "groups", "in_channels", "out_channels", "in_h", "in_w", "out_h", "out_w",
    "kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w",
    "rank", "axis", "activation_inputs", "broadcasts", "channel_factors", "channel_step",
    "inputs_from_kernels", "output_elements", "weight_elements", "mode",
)  # fmt: skip
"""What a condition may ask of a layer.

The sizes of its geometry; ``rank`` of its first output; ``axis`` (counted from 0; -1 where it has none);
``activation_inputs`` (inputs that are no constants); ``broadcasts`` (1 if one of them differs in shape
from the output, else 0); ``channel_factors`` (1 if some do and each of those has one value a channel, as the
gate of a squeeze-and-excitation, else 0); ``channel_step`` (greatest common divisor of their channel counts);
``inputs_from_kernels`` (1 if each of them is written by a kernel of the array or the vector unit, else 0);
its elements; ``mode`` (a string).
"""

_TEXT_FEATURES = ("mode",)

ANY = "*"


_OPERATORS = tuple(sorted({op_type for rules in SHAPE_RULES.values() for op_type in rules}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What one feature of a layer must fulfil; all parts that are given must hold."""

    feature: str
    """One of `FEATURES`."""
    minimum: float | None = None
    """Inclusive."""
    maximum: float | None = None
    """Inclusive."""
    multiple_of: int | None = None
    """The feature is a multiple of this."""
    one_of: tuple[int | float | str, ...] | None = None
    """The feature is one of these."""

    def __post_init__(self) -> None:
        if self.feature not in FEATURES:
            raise FieldFault("feature", f"found {self.feature!r}, expected one of {', '.join(FEATURES)}")
        if self.multiple_of is not None and self.multiple_of < 1:
            raise FieldFault("multiple_of", f"found {self.multiple_of!r}, expected an integer >= 1")

        is_text = self.feature in _TEXT_FEATURES
        for value in self.one_of or ():
            if isinstance(value, str) != is_text:
                expected = "text" if is_text else "a number"
                raise FieldFault("one_of", f"found {value!r}, expected {expected} for {self.feature}")
        for name in ("minimum", "maximum", "multiple_of"):
            bound = getattr(self, name)
            if bound is not None and (is_text or math.isnan(bound)):
                expected = "one_of, since it is text" if is_text else "a number"
                raise FieldFault(name, f"found {bound!r} for {self.feature}, expected {expected}")

    def holds(self, value: float | str) -> bool:
        """Whether a layer with this value of the feature fulfils the condition."""
        if self.one_of is not None and value not in self.one_of:
            return False
        if isinstance(value, str):
            return self.minimum is None and self.maximum is None and self.multiple_of is None
        return (
            (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.multiple_of is None or value % self.multiple_of == 0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementRule:
    """Layers that a unit can run on its own."""

    unit: str
    """One of `UNITS`."""
    layers: tuple[str, ...]
    """Operator types; ``*`` stands for all."""
    when: tuple[Condition, ...] = ()
    """Conditions on the layer."""

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise FieldFault("unit", f"found {self.unit!r}, expected one of {', '.join(UNITS)}")
        _require_layers(self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class EliminationRule:
    """Layers that cost nothing: mere views, or done by writing to the right place."""

    layers: tuple[str, ...]
    """Operator types."""
    when: tuple[Condition, ...] = ()
    """Conditions on the layer."""

    def __post_init__(self) -> None:
        _require_layers(self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionRule:
    """Layers that join the kernel before them."""

    into: tuple[str, ...]
    """Operator types of the kernel's primary layer; ``*`` stands for all."""
    after: tuple[str, ...]
    """Operator types that may be the kernel's last layer so far; ``*`` stands for all."""
    layers: tuple[str, ...]
    """Operator types that join."""
    units: tuple[str, ...] = ("array",)
    """Units of the kernel."""
    when: tuple[Condition, ...] = ()
    """Conditions on the layer that joins."""
    when_primary: tuple[Condition, ...] = ()
    """Conditions on the kernel's primary layer."""

    def __post_init__(self) -> None:
        for unit in self.units:
            if unit not in UNITS:
                raise FieldFault("units", f"found {unit!r}, expected some of {', '.join(UNITS)}")
        _require_layers(self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerRules:
    """What the device's compiler does; in each list the first rule that fits decides."""

    placement: tuple[PlacementRule, ...]
    """Which unit runs a layer; a layer that no rule fits cannot run on the device."""
    eliminate: tuple[EliminationRule, ...] = ()
    """Which layers vanish."""
    fuse: tuple[FusionRule, ...] = ()
    """Which layers join the kernel that feeds them."""
    tiling_slack_fraction: float | None = quantity(at_least=0, at_most=1, is_optional=True)
    """How much longer than the fastest tiling one may take that moves fewer bytes: of all within this share
    the one that moves fewest is taken. ``None``: the fastest, however many bytes it hides behind the array's
    work."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.placement:
            raise FieldFault("placement", "found no rule, expected at least one; say which unit runs what")


def _require_layers(layers: tuple[str, ...]) -> None:
    if not layers:
        raise FieldFault("layers", "found none, expected operator types such as Conv; name at least one")
    for layer in layers:
        if layer == ANY or layer in _OPERATORS:
            continue
        nearest = difflib.get_close_matches(layer, _OPERATORS, n=1, cutoff=0.75)
        if nearest:  # anything else may be an operator of the user's own
            raise FieldFault("layers", f"found {layer!r}, no operator of ONNX; did you mean {nearest[0]!r}?")


def is_listed(op_type: str, layers: tuple[str, ...]) -> bool:
    """Whether a rule's list of operator types names ``op_type``."""
    return op_type in layers or ANY in layers
