"""Gives the inputs of an ONNX model their shapes: fixed ones, and dynamic ones that the user binds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annette.errors import GraphError
from annette.graph.network import Tensor
from annette.graph.onnx_values import type_of

if TYPE_CHECKING:
    from onnx import ValueInfoProto

__all__ = ["BoundInputs", "bind_inputs"]

Dims = tuple[int | str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundInputs:
    """The inputs of a model with all dimensions known."""

    tensors: tuple[Tensor, ...]
    """In the order of the file."""
    symbols: Mapping[str, int]
    """Names that the file gives to dimensions, and what they are bound to."""
    is_overridden: bool
    """True where a dimension is bound to something else than the number in the file."""


def bind_inputs(
    inputs: Iterable[ValueInfoProto],
    shapes: Mapping[str, Sequence[int]] | None,
    batch: int | None,
    where: str,
) -> BoundInputs:
    """The model's inputs with every dimension a number.

    A symbolic dimension that one input binds is bound wherever its name occurs. ``shapes`` may override a
    number in the file, as long as the network then still fits together; ``batch`` binds dynamic first
    dimensions only.

    Raises
    ------
    GraphError
        For dimensions that stay unbound, unknown input names, ranks that differ and contradictions.
    """
    dims = {item.name: _dims_and_dtype(item) for item in inputs}
    given = _checked_shapes(dims, shapes or {}, where)
    if batch is not None and batch < 1:
        raise GraphError(f"{where}: batch {batch}, expected at least 1")
    symbols: dict[str, int] = {}
    for name, shape in given.items():
        for dim, size in zip(dims[name][0] or (), shape, strict=False):
            if isinstance(dim, str):
                _bind(symbols, dim, size, where)
    bound = _bind_batch(dims, given, symbols, batch, where)
    _require_bound(dims, given, bound, where)
    tensors = tuple(
        Tensor(name=name, shape=tuple(d for d in bound[name] if isinstance(d, int)), dtype=dims[name][1])
        for name in dims
    )
    overridden = any(
        isinstance(dim, int) and dim != size
        for tensor in tensors
        for dim, size in zip(dims[tensor.name][0] or (), tensor.shape, strict=False)
    )
    return BoundInputs(tensors=tensors, symbols=symbols, is_overridden=overridden)


def _bind_batch(
    dims: Mapping[str, tuple[Dims | None, str]],
    given: Mapping[str, tuple[int, ...]],
    symbols: dict[str, int],
    batch: int | None,
    where: str,
) -> dict[str, list[int | str | None]]:
    """The dimensions of each input with ``batch`` and all symbols put in; adds to ``symbols``."""
    bound: dict[str, list[int | str | None]] = {}
    took_batch = batch is None
    for name, (wanted, _) in dims.items():
        shape_of = list(
            given.get(name) or [symbols.get(d, d) if isinstance(d, str) else d for d in wanted or ()]
        )
        if batch is not None and shape_of and not isinstance(shape_of[0], int):
            if isinstance(shape_of[0], str):
                _bind(symbols, shape_of[0], batch, where)
            shape_of[0] = batch
        took_batch = took_batch or (bool(shape_of) and shape_of[0] == batch)
        bound[name] = shape_of
    if not took_batch:
        raise GraphError(
            f"{where}: batch {batch} was asked for, but the first dimension of every input is fixed: "
            f"{_listing(dims)}; give the whole shape of an input (--shape NAME=...) to override it"
        )
    for name, shape_of in bound.items():
        bound[name] = [symbols.get(d, d) if isinstance(d, str) else d for d in shape_of]
    return bound


def _dims_and_dtype(item: ValueInfoProto) -> tuple[Dims | None, str]:
    found = type_of(item.type, {})
    return (None, "float32") if found is None else found


def _checked_shapes(
    dims: Mapping[str, tuple[Dims | None, str]], shapes: Mapping[str, Sequence[int]], where: str
) -> dict[str, tuple[int, ...]]:
    given: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        if name not in dims:
            raise GraphError(
                f"{where}: a shape is given for {name!r}, which is no input; its inputs are {_listing(dims)}"
            )
        expected = dims[name][0]
        if dims[name][1] == "opaque":
            raise GraphError(f"{where}: input {name!r} is no tensor, expected no shape for it")
        if expected is not None and len(shape) != len(expected):
            raise GraphError(
                f"{where}: shape {tuple(shape)} is given for input {name!r}, "
                f"expected {len(expected)} dimensions {_words(expected)}"
            )
        if any(not isinstance(size, int) or size < 1 for size in shape):
            raise GraphError(
                f"{where}: shape {tuple(shape)} is given for input {name!r}, expected integers >= 1"
            )
        given[name] = tuple(shape)
    return given


def _bind(symbols: dict[str, int], symbol: str, size: int, where: str) -> None:
    if symbols.setdefault(symbol, size) != size:
        raise GraphError(
            f"{where}: the dimension {symbol!r} is given as {symbols[symbol]} and as {size}, "
            "expected one number, because the model names it the same in all its inputs"
        )


def _require_bound(
    dims: Mapping[str, tuple[Dims | None, str]],
    given: Mapping[str, tuple[int, ...]],
    bound: Mapping[str, list[int | str | None]],
    where: str,
) -> None:
    free = [
        name
        for name, sizes in bound.items()
        if not all(isinstance(size, int) for size in sizes) or (dims[name][0] is None and name not in given)
    ]
    if not free:
        return
    shape = ",".join(str(size) if isinstance(size, int) else "1" for size in bound[free[0]]) or "1,3,224,224"
    listing = ", ".join(f"{name} {_words(dims[name][0])}" for name in free)
    by_batch = all(all(isinstance(size, int) for size in bound[name][1:]) and bound[name] for name in free)
    hint = f"--shape {free[0]}={shape}" + (" or --batch 1" if by_batch else "")
    raise GraphError(
        f"{where}: inputs with dynamic dimensions that nothing binds: {listing}; "
        f"bind them, for example with {hint}"
    )


def _listing(dims: Mapping[str, tuple[Dims | None, str]]) -> str:
    return ", ".join(f"{name} {_words(shape)}" for name, (shape, _) in dims.items()) or "none"


def _words(dims: Dims | None) -> str:
    if dims is None:
        return "(shape not in the file)"
    return "(" + ", ".join("?" if dim is None else str(dim) for dim in dims) + ")"
