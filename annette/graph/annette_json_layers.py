"""Translates one layer of the original ANNETTE's JSON graphs into layers of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from annette.graph.annette_json_layer import JsonLayer, batch_of, channels_first
from annette.graph.builder import NetworkBuilder

__all__ = ["add_layer"]

_UNKNOWN_DOMAIN = "annette.json"
"""Domain of the types that have no rule here, so that they are never taken for ONNX's."""


def add_layer(build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str]) -> str:
    """Add what the layer is to the network; returns the tensor that it computes.

    Raises
    ------
    GraphError
        If its shapes do not fit each other, or its type is not known and its shape is missing.
    """
    wanted = layer.shape("output_shape")
    shape = None if wanted is None else batch_of(channels_first(wanted), (*build.shape(inputs[0]), 1)[0])
    rule = _RULES.get(layer.kind)
    if rule is not None:
        answer = rule(build, layer, inputs, shape)
        if answer is not None:
            _check(build, layer, answer, shape)
            return answer
    if shape is None and len(inputs) == 1:  # so are detection heads of Darknet
        shape = build.shape(inputs[0])
    if shape is None or min(shape, default=1) < 0:
        raise layer.fail(
            f"type {layer.kind!r:.60} without a whole output_shape", "its shape, or another type"
        )
    return build.add_unknown(layer.kind, *inputs, shape=shape, name=layer.name, domain=_UNKNOWN_DOMAIN)


_Rule = Callable[[NetworkBuilder, JsonLayer, Sequence[str], "tuple[int, ...] | None"], "str | None"]
"""Adds a layer, or answers nothing where it is not sure what the layer does."""


def _check(build: NetworkBuilder, layer: JsonLayer, tensor: str, shape: tuple[int, ...] | None) -> None:
    """The computed shape is the file's, apart from the batch and from what the file leaves open."""
    found = build.shape(tensor)
    if shape is None:
        return
    same = len(found) == len(shape) and all(
        size in (-1, known) for size, known in zip(shape[1:], found[1:], strict=True)
    )
    if not same:
        raise layer.fail(f"output_shape {list(shape)} (channels first)", f"{list(found)} from its inputs")


def _conv(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str:
    x = build.shape(inputs[0])
    kernel = layer.shape("kernel_shape")
    if len(x) != 4 or kernel is None or len(kernel) != 4 or min(kernel) < 1:
        raise layer.fail(
            f"kernel_shape {None if kernel is None else list(kernel)} on an input of {len(x)} axes",
            "height, width, input channels of a group and output channels",
        )
    spatial, channels = kernel[:-2], x[1]
    out_channels = kernel[-1]
    if layer.kind.startswith("Depthwise"):  # the file's last two numbers come in either order
        groups, out_channels = channels, _or(shape, 1, channels)
    else:
        groups = channels // kernel[-2]
        if groups * kernel[-2] != channels or out_channels % groups:
            raise layer.fail(
                f"kernel_shape {list(kernel)} on {channels} channels", "channels in equal groups"
            )
    strides, dilations = layer.window("strides", len(spatial), 1), layer.window("dilations", len(spatial), 1)
    weight = build.constant((out_channels, channels // groups, *spatial))
    pads = _pads(layer, x[2:], None if shape is None else shape[2:], spatial, strides, dilations)
    return build.add(
        "Conv", inputs[0], weight, name=layer.name, group=groups, kernel_shape=spatial, strides=strides,
        dilations=dilations, pads=pads,
    )  # fmt: skip


def _conv_transpose(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str:
    x = build.shape(inputs[0])
    kernel = layer.shape("kernel_shape")
    if len(x) != 4 or kernel is None or len(kernel) != 4 or shape is None or len(shape) != 4:
        raise layer.fail("no kernel_shape and output_shape of four numbers", "both, on an image")
    if min(*kernel, *shape) < 1:
        raise layer.fail(f"kernel_shape {list(kernel)}, output_shape {list(shape)}", "sizes above 0")
    groups = x[1] if layer.kind.startswith("Depthwise") else 1
    strides = layer.window("strides", 2, 1)
    total = [(size - 1) * step + window for size, step, window in zip(x[2:], strides, kernel, strict=False)]
    cut = [have - want for have, want in zip(total, shape[2:], strict=True)]
    begins = [max(item, 0) // 2 for item in cut]
    ends = [max(item, 0) - begin for item, begin in zip(cut, begins, strict=True)]
    weight = build.constant((x[1], shape[1] // groups, *kernel[:-2]))
    return build.add(
        "ConvTranspose", inputs[0], weight, name=layer.name, group=groups, kernel_shape=kernel[:-2],
        strides=strides, pads=(*begins, *ends), output_padding=tuple(max(-item, 0) for item in cut),
    )  # fmt: skip


def _pool(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str | None:
    x = build.shape(inputs[0])
    how = str(layer.fields.get("pooling_type", "MAX")).upper()
    names = {"MAX": ("MaxPool", "GlobalMaxPool"), "AVG": ("AveragePool", "GlobalAveragePool")}
    if how not in names or len(x) < 3:
        return None
    window, whole = names[how]
    kernel = layer.window("kernel_shape", len(x) - 2, 1)
    is_point = shape is not None and len(shape) == len(x) and set(shape[2:]) == {1}
    if layer.fields.get("global_pooling") is True or (kernel == x[2:] and is_point):
        return build.add(whole, inputs[0], name=layer.name)
    strides = layer.window("strides", len(x) - 2, 1)
    pads = _pads(layer, x[2:], None if shape is None else shape[2:], kernel, strides, (1,) * len(kernel))
    return build.add(window, inputs[0], name=layer.name, kernel_shape=kernel, strides=strides, pads=pads)


def _pads(
    layer: JsonLayer,
    sizes: Sequence[int],
    wanted: Sequence[int] | None,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[int, ...]:
    """The file's pads where they lead to the file's sizes; else what does, the odd one at the end."""
    rank = len(sizes)
    given = layer.shape("pads") or (0,) * (2 * rank + 4)
    if len(given) != 2 * rank + 4 or min(given) < 0:
        raise layer.fail(f"pads {list(given)}", f"{2 * rank + 4} numbers: all begins, then all ends")
    begins, ends = given[1 : rank + 1], given[rank + 3 : 2 * rank + 3]
    if wanted is None or len(wanted) != rank or min(wanted) < 1:
        return (*begins, *ends)
    found: list[tuple[int, int]] = []
    for axis, (size, want) in enumerate(zip(sizes, wanted, strict=True)):
        step, reach = strides[axis], (kernel[axis] - 1) * dilations[axis] + 1
        if (size + begins[axis] + ends[axis] - reach) // step + 1 == want:
            found.append((begins[axis], ends[axis]))
            continue
        total = max((want - 1) * step + reach - size, 0)
        if (size + total - reach) // step + 1 != want or total > 2 * (reach - 1):
            raise layer.fail(
                f"{want} positions from {size} by a window of {reach} and steps of {step}", "fewer"
            )
        found.append((total // 2, total - total // 2))
    return (*(begin for begin, _ in found), *(end for _, end in found))


def _matrix(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str:
    if len(inputs) == 2:
        return build.add("MatMul", *inputs, name=layer.name)
    if shape is None or len(shape) < 2 or min(shape[1:]) < 1:
        raise layer.fail("no whole output_shape", "that of the product, as in [-1, 1000]")
    x = inputs[0]
    if len(build.shape(x)) < 2:
        raise layer.fail(f"an input of {len(build.shape(x))} axes", "at least a batch and features")
    is_image = len(shape) == 4 and set(shape[2:]) == {1}
    if (len(shape) == 2 or is_image) and len(build.shape(x)) > 2:
        x = build.flatten(x)
    if len(build.shape(x)) == 2:
        weight = build.constant((shape[1], build.shape(x)[1]))
        product = build.add("Gemm", x, weight, name=layer.name, transB=1)
        return build.reshape(product, (*build.shape(product), 1, 1)) if is_image else product
    return build.add("MatMul", x, build.constant((build.shape(x)[-1], shape[-1])), name=layer.name)


def _binary(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str | None:
    """With one parent, the other operand is a constant of which the file says nothing."""
    if len(inputs) > 2:
        return build.add("Sum", *inputs, name=layer.name) if layer.kind in ("Add", "Eltwise", "Sum") else None
    operator = {"Eltwise": "Add", "Sum": "Add"}.get(layer.kind, layer.kind)
    operands = inputs if len(inputs) == 2 else (inputs[0], build.constant(()))
    return build.add(operator, *operands, name=layer.name)


def _unary(operator: str) -> _Rule:
    def rule(
        build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
    ) -> str | None:
        return build.add(operator, inputs[0], name=layer.name) if len(inputs) == 1 else None

    return rule


def _clip(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str:
    low, high = build.constant((), value=(0.0,)), build.constant((), value=(6.0,))
    return build.add("Clip", inputs[0], low, high, name=layer.name)


def _norm(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str:
    return build.batch_norm(inputs[0], name=layer.name)


def _scale(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str:
    x = build.shape(inputs[0])
    factors = build.constant((build.channels(inputs[0]), *(1 for _ in x[2:])))
    return build.add("Mul", inputs[0], factors, name=layer.name)


def _concat(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str | None:
    """Along the axis on which the sizes add up: files count axes in two ways."""
    shapes = [build.shape(item) for item in inputs]
    if shape is None or any(len(item) != len(shape) for item in shapes):
        return build.concat(*inputs, axis=1, name=layer.name) if shape is None else None
    axes = [axis for axis in range(1, len(shape)) if sum(item[axis] for item in shapes) == shape[axis]]
    return build.concat(*inputs, axis=axes[0], name=layer.name) if axes else None


def _reshape(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str | None:
    size = math.prod(build.shape(inputs[0]))
    if shape is None:
        return build.flatten(inputs[0], name=layer.name) if layer.kind == "Flatten" else None
    if math.prod(shape) != size and (shape.count(-1) != 1 or size % -math.prod(shape)):
        return None
    return build.reshape(inputs[0], shape, name=layer.name)


def _slice(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str | None:
    """A part of one axis; which part the file does not say, and it does not matter."""
    x = build.shape(inputs[0])
    if shape is None or len(shape) != len(x):
        return None
    axes = [axis for axis in range(1, len(x)) if 0 < shape[axis] < x[axis]]
    return (
        build.slice(inputs[0], axis=axes[0], start=0, end=shape[axes[0]], name=layer.name) if axes else None
    )


def _pad(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str | None:
    x, pads = build.shape(inputs[0]), layer.shape("pads")
    if pads is None or len(pads) != 2 * len(x) or min(pads) < 0:
        return None
    begins, ends = channels_first(pads[: len(x)]), channels_first(pads[len(x) :])
    return build.add("Pad", inputs[0], build.int_constant((*begins, *ends)), name=layer.name)


def _resize(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str | None:
    x = build.shape(inputs[0])
    if shape is None or len(shape) != len(x) or min(shape) < 1 or len(x) < 3:
        return None
    return build.resize(inputs[0], shape[2:], name=layer.name)


def _mean(
    build: NetworkBuilder, layer: JsonLayer, inputs: Sequence[str], shape: tuple[int, ...] | None
) -> str | None:
    """The mean of each channel; any other is not said precisely enough."""
    x = build.shape(inputs[0])
    if len(x) < 3 or shape is None or tuple(shape[1:]) not in ((x[1],), (x[1], *(1 for _ in x[2:]))):
        return None
    pooled = build.global_avg_pool(inputs[0], name=layer.name)
    return pooled if len(shape) == len(x) else build.flatten(pooled)


def _or(shape: tuple[int, ...] | None, axis: int, default: int) -> int:
    return default if shape is None or len(shape) <= axis or shape[axis] < 1 else shape[axis]


_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        **dict.fromkeys(("Conv", "DepthwiseConv"), _conv),
        **dict.fromkeys(("ConvTranspose", "DepthwiseConvTranspose"), _conv_transpose),
        **dict.fromkeys(("MatMul", "FullyConnected", "Gemm", "InnerProduct"), _matrix),
        **dict.fromkeys(("Add", "Eltwise", "Sum", "Sub", "Mul", "Div", "Pow"), _binary),
        **dict.fromkeys(("BatchNorm", "BatchNormalization"), _norm),
        **dict.fromkeys(("Relu6", "Clip"), _clip),
        **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _reshape),
        **dict.fromkeys(("Resize", "Upsample", "UpSampling2D", "ResizeBilinear"), _resize),
        **{
            name: _unary(name)
            for name in ("Relu", "LeakyRelu", "Elu", "Sigmoid", "HardSigmoid", "Tanh", "Erf", "Sqrt", "Exp")
        },
        **{name: _unary("Identity") for name in ("Dropout", "Identity")},
        "Softmax": _unary("Softmax"),
        "GlobalAveragePool": _unary("GlobalAveragePool"),
        "Pool": _pool,
        "Scale": _scale,
        "Concat": _concat,
        "Slice": _slice,
        "Pad": _pad,
        "ReduceMean": _mean,
    }
)
"""How each type is translated; types that are not here, such as Yolo, are kept as unknown operators."""
