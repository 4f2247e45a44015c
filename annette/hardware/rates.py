"""What a vector unit or a host does in one cycle."""

from __future__ import annotations

from dataclasses import dataclass

from annette.hardware.checks import check_fields, quantity

__all__ = ["Rates"]

_MAX_RATE = 1e12
"""Far beyond any device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What a vector unit or a host does in one cycle, by kind of work."""

    macs: float = quantity(at_least=1e-9, at_most=_MAX_RATE)
    """Multiply-accumulates of convolutions, matrix products and attention."""
    elementwise: float = quantity(at_least=1e-9, at_most=_MAX_RATE)
    """Elements of binary and n-ary operators (one operation each)."""
    activation: float = quantity(at_least=1e-9, at_most=_MAX_RATE)
    """Elements of cheap unary operators (Relu, Clip, Neg, ...)."""
    transcendental: float = quantity(at_least=1e-9, at_most=_MAX_RATE)
    """Elements of costly unary operators (Sigmoid, Tanh, Exp, Gelu, ...)."""
    pool: float = quantity(at_least=1e-9, at_most=_MAX_RATE)
    """Window positions of pools."""
    softmax: float = quantity(at_least=1e-9, at_most=_MAX_RATE)
    """Elements of Softmax and LogSoftmax."""
    normalization: float = quantity(at_least=1e-9, at_most=_MAX_RATE)
    """Elements of normalisations with statistics of their own."""
    reduce: float = quantity(at_least=1e-9, at_most=_MAX_RATE)
    """Input elements of reductions."""
    copy: float = quantity(at_least=1e-9, at_most=_MAX_RATE)
    """Elements that are moved or converted."""
    gather: float = quantity(at_least=1e-9, at_most=_MAX_RATE)
    """Elements that are looked up."""
    resize: float = quantity(at_least=1e-9, at_most=_MAX_RATE)
    """Taps of interpolations (1 nearest, 4 linear, 16 cubic a position)."""
    opaque: float = quantity(at_least=1e-9, at_most=_MAX_RATE)
    """Elements of operators the simulator knows nothing of."""

    def __post_init__(self) -> None:
        check_fields(self)
