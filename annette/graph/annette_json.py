"""Reads the JSON network graphs of the original ANNETTE: layers with types, parents and shapes, no weights.

A file is an object with ``name`` and ``layers``; each layer has ``type``, ``parents``, ``output_shape`` and,
by its type, ``kernel_shape``, ``strides``, ``pads`` and more. Images are (batch, height, width, channels)
there, and (N, C, H, W) here; a batch of -1 is bound when the file is read. Files say nothing of biases, and
the constant of an addition or multiplication with one parent is taken for a single number.

References
----------
Wess et al., ANNETTE: Accurate Neural Network Execution Time Estimation with Stacked Models, IEEE Access 9,
2021; the format as the graphs published with it have it (embedded-machine-learning/annette).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from annette.errors import GraphError
from annette.graph.annette_json_layer import JsonLayer, batch_of, channels_first
from annette.graph.annette_json_layers import add_layer
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network

__all__ = ["read_annette_json"]

_MAX_BYTES = 64 << 20
"""The largest of the published graphs has half a megabyte."""
_MAX_LAYERS = 100_000
_INPUTS = frozenset({"DataInput", "Input", "Placeholder"})
_NAME = 120
"""Letters of a name from the file that a message shows."""


def read_annette_json(path: str | os.PathLike[str], *, batch: int | None = None) -> Network:
    """The network in a JSON graph of the original ANNETTE.

    Shapes in the file decide: where pads do not lead from one size to the next, as in graphs that were made
    of padded convolutions, they are put right. A type that annette has no rule for is kept as an unknown
    operator with the shape that the file gives it, else with that of its one parent.

    Parameters
    ----------
    path : str or PathLike
        The file, of at most 64 MB.
    batch : int, optional
        What a batch of -1 becomes; 1 if it is left out.

    Raises
    ------
    GraphError
        If the file is no such graph; the message names the layer, what was found and what was expected.
    """
    where = _printable(Path(path).name) or "graph"
    document = _parse(path, where)
    layers = _layers(document, where)
    name = document.get("name", Path(path).stem)
    build = NetworkBuilder(_printable(name) if isinstance(name, str) and name else Path(path).stem)
    try:
        tensors: dict[str, str] = {}
        for layer in _sort(layers, where):
            tensors[layer.name] = _add(build, layer, tensors, batch)
        read = {parent for layer in layers.values() for parent in layer.parents}
        return build.finish(*(tensors[name] for name in layers if name not in read))
    except GraphError as err:
        raise GraphError(f"{where}: {_printable(str(err), 1000)}") from err


def _add(build: NetworkBuilder, layer: JsonLayer, tensors: Mapping[str, str], batch: int | None) -> str:
    if layer.kind in _INPUTS:
        shape = layer.shape("output_shape")
        if shape is None:
            raise layer.fail("no output_shape", "that of the input, as in [-1, 224, 224, 3]")
        shape = batch_of(channels_first(shape), batch or 1)
        if min(shape, default=1) < 1:
            raise layer.fail(f"output_shape {list(shape)}", "sizes above 0 behind the batch")
        return build.input(layer.name, shape)
    if not layer.parents:
        raise layer.fail(f"a {_printable(layer.kind)} without parents", "parents, or the type DataInput")
    return add_layer(build, layer, [tensors[name] for name in layer.parents])


def _parse(path: str | os.PathLike[str], where: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as err:
        raise GraphError(f"{where}: cannot be read: {err.strerror or err}") from err
    if len(content) > _MAX_BYTES:
        raise GraphError(f"{where}: more than {_MAX_BYTES >> 20} MB, expected a graph without weights")
    try:
        document = json.loads(content.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_once)
    except RecursionError as err:
        raise GraphError(f"{where}: nested too deep, expected a graph of the original ANNETTE") from err
    except ValueError as err:  # also what is no UTF-8
        raise GraphError(f"{where}: not readable as JSON ({_printable(str(err))}); copy it again") from err
    if not isinstance(document, dict) or not isinstance(document.get("layers"), dict):
        raise GraphError(f"{where}: {_what_else(document)}")
    return document


def _what_else(document: object) -> str:
    """What a JSON text is that is no graph of ANNETTE's, and what to do."""
    expected = "expected a graph of the original ANNETTE, an object with 'name' and 'layers'"
    if not isinstance(document, dict):
        return f"found a {type(document).__name__}, {expected}"
    if any(isinstance(item, dict) and "inbounds" in item for item in document.values()):
        return f"looks like a graph of nn-Meter, {expected}; export the network as ONNX instead"
    found = ", ".join(_printable(key, 20) for key in list(document)[:5]) or "nothing"
    return f"found {found}, {expected}, or an ONNX file"


def _layers(document: Mapping[str, Any], where: str) -> dict[str, JsonLayer]:
    layers = document["layers"]
    if not 0 < len(layers) <= _MAX_LAYERS:
        raise GraphError(f"{where}: {len(layers)} layers, expected 1 to {_MAX_LAYERS}")
    try:
        return {name: JsonLayer.parse(name, item, layers) for name, item in layers.items()}
    except GraphError as err:
        raise GraphError(f"{where}: {_printable(str(err), 1000)}") from err


def _sort(layers: Mapping[str, JsonLayer], where: str) -> list[JsonLayer]:
    """Parents first, else in the order of the file."""
    waiting = {name: len(layer.parents) for name, layer in layers.items()}
    children: dict[str, list[str]] = {name: [] for name in layers}
    for layer in layers.values():
        for parent in layer.parents:
            children[parent].append(layer.name)
    ready = [name for name, count in waiting.items() if not count]
    for name in ready:  # it grows on the way
        for child in children[name]:
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    if len(ready) < len(layers):
        name = next(name for name, count in waiting.items() if count)
        raise GraphError(f"{where}: layer {_printable(name)!r} is its own ancestor, expected no cycle")
    return [layers[name] for name in ready]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:_NAME]!r} is there twice")
        found[name] = value
    return found


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a finite number")


def _printable(text: str, limit: int = _NAME) -> str:
    """Names come from the file: control characters as escapes, and not without end."""
    clean = "".join(item if item.isprintable() else repr(item)[1:-1] for item in text[: limit + 1])
    return clean if len(clean) <= limit else f"{clean[: limit - 3]}..."
