"""Seeded mutations of bytes, of trees (JSON, YAML) and of ONNX models: what fuzzing makes of a sound file."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import yaml

__all__ = ["mutate_bytes", "mutate_json", "mutate_model", "mutate_tree", "mutate_yaml", "places", "put"]

NUMBERS = (
    0, 1, -1, 2, 3, 7, 255, 256, 65535, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53, 2**63 - 1, -(2**63), 10**9,
)  # fmt: skip
FLOATS = (0.0, -0.0, -1.5, 1e-320, 1e-30, 1e30, 1e308, float("nan"), float("inf"), float("-inf"))
TEXTS = (
    "", " ", "x", "../../etc/passwd", "/etc/passwd", "C:\\con", "a\0b", "\x1b[31mred\n", "%s%n{0}", "é☃𝄞",
    "\ud800", "nan", "1e999", "y" * 5000, "__class__", "!!python/object/apply:os.system",
)  # fmt: skip
INTERESTING = (
    b"\0", b"\xff", b"\x80", b"\xc3\x28", b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"..", b"/", b"\n",
    b"{", b"[" * 3000, b"&a *a", b"1e999", b"NaN", b"-1", b"99999999999999999999", b"'", b'"', b"\t",
)  # fmt: skip


def mutate_bytes(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """One to four changes: bits, bytes, cuts, repeats, interesting pieces, pieces of another file."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(found) + 1)
        kind = rng.randrange(8)
        if kind == 0 and found:
            found[place % len(found)] ^= 1 << rng.randrange(8)
        elif kind == 1 and found:
            found[place % len(found)] = rng.randrange(256)
        elif kind == 2:
            del found[place : place + rng.choice((1, 2, 8, 100, len(found)))]
        elif kind == 3:
            found[place:place] = rng.choice(INTERESTING)
        elif kind == 4:
            piece = found[place : place + rng.choice((1, 8, 64, 512))]
            found[place:place] = piece * rng.choice((1, 2, 50))
        elif kind == 5 and others:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            found[place : place + rng.choice((0, 16))] = other[start : start + rng.choice((4, 64, 1000))]
        elif kind == 6:
            piece = rng.choice(INTERESTING)
            found[place : place + len(piece)] = piece
        else:
            size = rng.choice((1, 4, 8))
            found[place : place + size] = rng.randbytes(size)
    return bytes(found)


# Trees -------------------------------------------------------------------------------------------------


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of each value in a tree of dictionaries and lists, the root's too."""
    inner = list(value.items()) if isinstance(value, dict) else []
    inner = list(enumerate(value)) if isinstance(value, list) else inner
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def put(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The tree with another value at the path; the old one is not kept."""
    if not path:
        return value
    target = tree
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return tree


def mutate_tree(rng: random.Random, tree: Any) -> Any:
    """The tree with one to three values changed, removed, doubled, moved or nested."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        known = places(tree)
        path = rng.choice(known)
        value = tree
        for key in path:
            value = value[key]
        tree = put(tree, path, _changed(rng, tree, value, known))
    return tree


def _changed(rng: random.Random, tree: Any, value: Any, known: Sequence[tuple[Any, ...]]) -> Any:
    kind = rng.randrange(12)
    if isinstance(value, dict) and kind < 6:
        return _changed_object(rng, value)
    if isinstance(value, list) and kind < 6 and value:
        return _changed_list(rng, value)
    if isinstance(value, bool | int | float) and kind < 5:
        return _other_number(rng, value)
    if kind < 7:
        return rng.choice(NUMBERS)
    if kind < 8:
        return rng.choice(FLOATS)
    if kind < 9:
        return rng.choice(TEXTS)
    if kind < 10:
        other: Any = tree
        for key in rng.choice(known):
            other = other[key]
        return copy.deepcopy(other)
    return rng.choice((None, True, False, [], {}, [[]], {"": {}}, [None], 10**400, _nested(rng)))


def _other_number(rng: random.Random, value: float) -> Any:
    change = rng.choice(
        (lambda: -value, lambda: value + 1, lambda: value * 1e9, lambda: value * 2**40, lambda: value / 1e12,
         lambda: int(value), lambda: str(value))
    )  # fmt: skip
    try:
        return change()
    except (OverflowError, ValueError):  # too large, not finite
        return 0


def _changed_object(rng: random.Random, value: dict[Any, Any]) -> dict[Any, Any]:
    changed = dict(value)
    key = rng.choice(list(changed) or [""])
    kind = rng.randrange(4)
    if kind == 0:
        changed.pop(key, None)
    elif kind == 1:
        changed[rng.choice((*TEXTS, *map(str, value)))] = changed.get(key)
    elif kind == 2:
        changed = {rng.choice(TEXTS) if name == key else name: item for name, item in changed.items()}
    else:
        changed = dict(reversed(list(changed.items())))
    return changed


def _changed_list(rng: random.Random, value: list[Any]) -> list[Any]:
    place = rng.randrange(len(value))
    kind = rng.randrange(4)
    if kind == 0:
        return [*value[:place], *value[place + 1 :]]
    if kind == 1:
        return [*value[:place], *value[place : place + 1] * rng.choice((2, 3, 2000)), *value[place:]]
    if kind == 2:
        return list(reversed(value))
    return value[:place]


def _nested(rng: random.Random) -> Any:
    found: Any = 1
    for _ in range(rng.choice((5, 60, 200))):
        found = [found] if rng.random() < 0.5 else {"a": found}
    return found


def mutate_json(rng: random.Random, data: bytes) -> bytes:
    """Another value somewhere in a JSON text, or other bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(rng, data)
    tree = mutate_tree(rng, json.loads(data))
    try:
        return json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    except ValueError:  # the largest numbers do not print
        return mutate_bytes(rng, data)


BOMBS = (
    b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b]\n",
    b"&a [*a]\n",
    b"!!python/object/apply:os.system [echo]\n",
    b"[" * 5000,
    b"a:\n" + b"".join(b" " * depth + b"- \n" for depth in range(1, 300)),
    b"? [a, b]\n: 1\n",
    b"<<: {a: 1}\n<<: {b: 2}\n",
    b"1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:19:20:21:22\n",
    b"%YAML 9.9\n--- a\n",
    b"--- 1\n--- 2\n",
    b"!!binary ////\n",
    b"!!timestamp 2001-99-99\n",
    b"!!set {a, b}\n",
    b"!!omap [a: 1]\n",
    b"0x" + b"f" * 5000 + b"\n",
    b"'" + b"x" * 100_000,
)


def mutate_yaml(rng: random.Random, data: bytes) -> bytes:
    """Another value somewhere in a YAML text, a value that is a bomb, or other bytes."""
    kind = rng.random()
    if kind < 0.2:
        return mutate_bytes(rng, data)
    if kind < 0.25:
        return rng.choice(BOMBS)
    if kind < 0.35:
        lines = data.splitlines(keepends=True)
        place = rng.randrange(len(lines) + 1)
        return b"".join((*lines[:place], rng.choice(BOMBS), *lines[place:]))
    tree = mutate_tree(rng, yaml.safe_load(data))
    try:
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, ValueError):
        return mutate_bytes(rng, data)


# ONNX --------------------------------------------------------------------------------------------------


def mutate_model(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """An ONNX model with one to four of its messages changed, or other bytes."""
    import onnx

    if rng.random() < 0.25:
        return mutate_bytes(rng, data, others)
    model = onnx.ModelProto.FromString(data)
    try:
        for _ in range(rng.choice((1, 1, 2, 4))):
            rng.choice(_MODEL_CHANGES)(rng, model, others)
        found: bytes = model.SerializeToString()
    except Exception:  # noqa: BLE001  # what protobuf cannot hold (nested too deep, no UTF-8) is no case
        return mutate_bytes(rng, data, others)
    if rng.random() < 0.05:  # names that are not UTF-8; protobuf itself refuses to write them
        names = [name.encode() for node in model.graph.node for name in node.output if len(name) > 1]
        if names:
            name = rng.choice(names)
            found = found.replace(name, b"\xff" * len(name))
    return found


def _node(rng: random.Random, model: Any) -> Any:
    return rng.choice(model.graph.node) if model.graph.node else model.graph.node.add()


def _other_operator(rng: random.Random, model: Any, others: Sequence[bytes]) -> None:
    import onnx

    node = _node(rng, model)
    node.op_type = rng.choice(_OPERATORS or _all_operators(onnx))
    if rng.random() < 0.1:
        node.domain = rng.choice(("", "com.microsoft", "annette.opaque", "annette.opaque.x", "../..", "x"))


def _all_operators(onnx: Any) -> list[str]:
    _OPERATORS.extend(sorted({item.name for item in onnx.defs.get_all_schemas() if item.domain == ""}))
    return _OPERATORS


_OPERATORS: list[str] = []


def _attribute(rng: random.Random, model: Any, others: Sequence[bytes]) -> None:
    from onnx import helper

    node = _node(rng, model)
    known = [item.name for item in node.attribute]
    name = rng.choice([*known, *_ATTRIBUTES]) if known else rng.choice(_ATTRIBUTES)
    many = rng.choice((1, 2, 4, 4, 8, 100_000 if rng.random() < 0.02 else 3))
    value = rng.choice(
        (
            rng.choice(NUMBERS), rng.choice(FLOATS), [rng.choice(NUMBERS)] * many, rng.choice(("",
            "SAME_UPPER", "x")),
            [rng.choice(FLOATS)] * many, [rng.choice((-3, -1, 0, 1, 2, 3, 5))] * many, ["a"] * many,
        )
    )  # fmt: skip
    if known and rng.random() < 0.8:
        del node.attribute[known.index(name) if name in known else 0]
    node.attribute.append(helper.make_attribute(name, value))
    if rng.random() < 0.1:
        node.attribute[-1].type = rng.randrange(16)


_ATTRIBUTES = (
    "kernel_shape", "strides", "pads", "dilations", "group", "axis", "axes", "perm", "auto_pad", "alpha",
    "keepdims",
    "ceil_mode", "output_shape", "output_padding", "to", "transA", "num_heads", "hidden_size", "direction",
    "layout",
    "mode", "scales", "blocksize", "equation", "value", "value_ints", "num_outputs", "start", "end",
    "epsilon", "dtype",
)  # fmt: skip


def _wiring(rng: random.Random, model: Any, others: Sequence[bytes]) -> None:
    nodes = list(model.graph.node)
    names = [name for node in nodes for name in (*node.input, *node.output)] or ["x"]
    names += [item.name for item in model.graph.initializer]
    node = _node(rng, model)
    side = node.input if rng.random() < 0.6 else node.output
    name = rng.choice((*names, *names, "", *TEXTS[2:7]))
    if side and rng.random() < 0.7:
        side[rng.randrange(len(side))] = name
    elif side and rng.random() < 0.3:
        del side[rng.randrange(len(side))]
    else:
        side.append(name)


def _nodes(rng: random.Random, model: Any, others: Sequence[bytes]) -> None:
    graph = model.graph
    if graph.node and rng.random() < 0.4:
        del graph.node[rng.randrange(len(graph.node))]
    elif graph.node:
        node = graph.node.add()
        node.CopyFrom(rng.choice(graph.node))
        if rng.random() < 0.5:
            for place, name in enumerate(list(node.output)):
                node.output[place] = f"{name}_again"


def _shapes(rng: random.Random, model: Any, others: Sequence[bytes]) -> None:
    described = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    if not described:
        return
    tensor = rng.choice(described).type.tensor_type
    if rng.random() < 0.15:
        tensor.elem_type = rng.randrange(30)
        return
    dims = tensor.shape.dim
    if dims and rng.random() < 0.8:
        dim = rng.choice(dims)
        if rng.random() < 0.2:
            dim.dim_param = rng.choice(("N", "", "batch*2", *TEXTS[2:6]))
        else:
            dim.dim_value = rng.choice((*NUMBERS, 5, 8, 224, 10**5, 10**6, 10**12))
    elif dims and rng.random() < 0.5:
        del dims[rng.randrange(len(dims))]
    else:
        for _ in range(rng.choice((1, 1, 30, 1000))):
            dims.add().dim_value = rng.choice((1, 2, 0))


def _weights(rng: random.Random, model: Any, others: Sequence[bytes]) -> None:
    graph = model.graph
    held = [item.t for node in graph.node for item in node.attribute if item.HasField("t")]
    tensors = [*graph.initializer, *held]
    if not tensors:
        return
    tensor = rng.choice(tensors)
    kind = rng.randrange(7)
    if kind == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice((*NUMBERS, 10**6, 10**12))
    elif kind == 1:
        tensor.dims.append(rng.choice((0, 1, 2, -1, 10**9)))
    elif kind == 2:
        tensor.data_type = rng.randrange(30)
    elif kind == 3:
        tensor.raw_data = rng.randbytes(rng.choice((0, 1, 8, 64, len(tensor.raw_data))))
    elif kind == 4:
        tensor.data_location = 1
        for key, value in (("location", rng.choice((EXTERNAL, "../" + EXTERNAL))), ("offset", "-1")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    elif kind == 5:
        del tensor.dims[:]
        tensor.ClearField("raw_data")
        tensor.data_type = 7
        tensor.int64_data.extend([rng.choice((*NUMBERS, 1, 2, 3)) for _ in range(rng.choice((1, 2, 4, 20)))])
        tensor.dims.append(len(tensor.int64_data))
    else:
        tensor.name = rng.choice([item.name for item in graph.initializer] or ["x"])


EXTERNAL = "annette-fuzz-external"
"""Name of a file of external data; whoever opens it has read what must not be read."""


def _nesting(rng: random.Random, model: Any, others: Sequence[bytes]) -> None:
    from onnx import helper

    inner = copy.deepcopy(model.graph)
    del inner.input[:]
    for _ in range(rng.choice((1, 1, 3, 23, 40))):
        op_type, keys = rng.choice(
            (("If", ("then_branch", "else_branch")), ("Loop", ("body",)), ("Scan", ("body",)))
        )
        names = [item.name for item in inner.output] or ["y"]
        source = [item.name for item in model.graph.input][:1] or ["x"]
        node = helper.make_node(op_type, source, names, **dict.fromkeys(keys[:1], inner))
        inner = helper.make_graph([node], "nested", [], list(inner.output))
        if inner.ByteSize() > 1 << 20:
            break
    model.graph.node.extend(inner.node)


def _model_fields(rng: random.Random, model: Any, others: Sequence[bytes]) -> None:
    kind = rng.randrange(4)
    if kind == 0 and model.opset_import:
        rng.choice(model.opset_import).version = rng.choice((*NUMBERS, 7, 9, 11, 13, 17, 22))
    elif kind == 1:
        del model.opset_import[:]
    elif kind == 2:
        function = model.functions.add()
        function.name, function.domain = rng.choice((_node(rng, model).op_type, "f")), ""
        function.node.extend(model.graph.node[:2])
        function.input.extend(["x"])
        function.output.extend(["y"])
    else:
        model.graph.name = rng.choice([text for text in TEXTS if text != "\ud800"])


def _graph_ends(rng: random.Random, model: Any, others: Sequence[bytes]) -> None:
    graph = model.graph
    ends = graph.input if rng.random() < 0.5 else graph.output
    if ends and rng.random() < 0.5:
        del ends[rng.randrange(len(ends))]
    elif ends:
        ends.add().CopyFrom(rng.choice(ends))
        names = [name for node in graph.node for name in node.output]
        if names:
            ends[-1].name = rng.choice(names)


_MODEL_CHANGES: Sequence[Callable[[random.Random, Any, Sequence[bytes]], None]] = (
    _other_operator, _attribute, _attribute, _attribute, _wiring, _wiring, _nodes, _shapes, _shapes,
    _weights, _weights,
    _nesting, _model_fields, _graph_ends,
)  # fmt: skip
