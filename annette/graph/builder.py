"""Builds networks from code, layer by layer, with shapes inferred on the way and no protobuf."""

from __future__ import annotations

from collections.abc import Sequence

from annette.errors import GraphError
from annette.graph.network import AttributeValue, Layer, Network, Scalar, Tensor
from annette.graph.shapes import infer_outputs

__all__ = ["NetworkBuilder"]

Pair = int | tuple[int, ...]


class NetworkBuilder:
    """Collects layers and hands out a `Network`.

    Every method that adds a layer takes and returns tensor names. Layers without a given name are called
    after their operator and a running number. Spatial arguments are an int or one number per spatial axis;
    padding may also be all begins, then all ends; ``padding="same"`` pads so that the output has
    ``ceil(input / stride)`` positions, extra at the end.

    Raises
    ------
    GraphError
        From any method: if an input is not known, a name is taken, or shapes do not fit the operator.

    Examples
    --------
    >>> build = NetworkBuilder("tiny")
    >>> x = build.input("image", (1, 3, 32, 32))
    >>> x = build.relu(build.conv(x, 16, kernel=3, padding=1))
    >>> build.shape(x)
    (1, 16, 32, 32)
    >>> build.finish(x).layers[0].op_type
    'Conv'
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tensors: dict[str, Tensor] = {}
        self._inputs: list[str] = []
        self._layers: list[Layer] = []
        self._layer_names: set[str] = set()
        self._counts: dict[str, int] = {}

    # Tensors ---------------------------------------------------------------------------------------

    def input(self, name: str, shape: Sequence[int], *, dtype: str = "float32") -> str:
        """Declare a tensor fed from outside."""
        self._tensor(Tensor(name=name, shape=tuple(shape), dtype=dtype))
        self._inputs.append(name)
        return name

    def constant(
        self,
        shape: Sequence[int],
        *,
        dtype: str = "float32",
        value: Sequence[Scalar] | None = None,
        name: str | None = None,
        stored_dtype: str | None = None,
    ) -> str:
        """Declare a weight; give ``value`` (row-major) only where shapes depend on the contents.

        ``stored_dtype`` is the narrower dtype of a weight that is dequantised before it is used.
        """
        return self._tensor(
            Tensor(
                name=name or self._fresh("constant"),
                shape=tuple(shape),
                dtype=dtype,
                is_constant=True,
                value=None if value is None else tuple(value),
                stored_dtype=stored_dtype,
            )
        )

    def int_constant(self, values: Sequence[int]) -> str:
        """Declare a 1-D int64 constant with known contents (shapes, axes, pads)."""
        return self.constant((len(values),), dtype="int64", value=tuple(values))

    def shape(self, tensor: str) -> tuple[int, ...]:
        """The shape of a tensor declared or computed so far."""
        found = self._tensors.get(tensor)
        if found is None:
            raise GraphError(f"network {self._name!r}: nothing is known of tensor {tensor!r}")
        return found.shape

    def channels(self, tensor: str) -> int:
        """The size of axis 1."""
        shape = self.shape(tensor)
        if len(shape) < 2:
            raise GraphError(f"tensor {tensor!r}: shape {shape}, expected channels on axis 1")
        return shape[1]

    def _tensor(self, tensor: Tensor) -> str:
        if tensor.name in self._tensors:
            raise GraphError(f"network {self._name!r}: two tensors are named {tensor.name!r}")
        self._tensors[tensor.name] = tensor
        return tensor.name

    def _fresh(self, stem: str) -> str:
        """A running name that no layer and no tensor has yet."""
        while True:
            self._counts[stem] = self._counts.get(stem, 0) + 1
            name = f"{stem}_{self._counts[stem]}"
            if name not in self._layer_names and name not in self._tensors:
                return name

    # Any layer -------------------------------------------------------------------------------------

    def add(
        self,
        op_type: str,
        *inputs: str,
        name: str | None = None,
        domain: str = "",
        **attributes: AttributeValue,
    ) -> str:
        """Add a layer of any ONNX operator; returns the name of its first output."""
        return self.add_many(op_type, *inputs, name=name, domain=domain, outputs=1, **attributes)[0]

    def add_many(
        self,
        op_type: str,
        *inputs: str,
        outputs: int,
        name: str | None = None,
        domain: str = "",
        **attributes: AttributeValue,
    ) -> tuple[str, ...]:
        """Add a layer with several outputs; returns their names.

        Raises
        ------
        GraphError
            If an input is not known, the name is taken, or the shapes do not fit the operator.
        """
        name = name or self._fresh(op_type.lower())
        if name in self._layer_names:
            raise GraphError(f"network {self._name!r}: two layers are named {name!r}")
        if op_type in self._tensors:
            raise GraphError(
                f"layer {name!r}: {op_type!r} is a tensor, expected an operator first, as in "
                'build.add("Add", x, y)'
            )
        unknown = [item for item in inputs if item and item not in self._tensors]
        if unknown:
            raise GraphError(f"layer {name!r}: nothing is known of its input {unknown[0]!r}")
        names = tuple(f"{name}:{index}" if index else f"{name}:out" for index in range(outputs))
        layer = Layer(
            name=name,
            op_type=op_type,
            domain=domain,
            inputs=inputs,
            outputs=names,
            attributes=tuple(attributes.items()),
        )
        for tensor in infer_outputs(layer, self._tensors):
            self._tensor(tensor)
        self._layer_names.add(name)
        self._layers.append(layer)
        return names

    def add_unknown(
        self, op_type: str, *inputs: str, shape: Sequence[int], domain: str, name: str | None = None
    ) -> str:
        """Add a layer of an operator that annette has no rule for, whose output has this shape.

        Raises
        ------
        GraphError
            If an input is not known, or the name is taken.
        """
        name = name or self._fresh(op_type.lower())
        if name in self._layer_names:
            raise GraphError(f"network {self._name!r}: two layers are named {name!r}")
        unknown = [item for item in inputs if item not in self._tensors]
        if unknown:
            raise GraphError(f"layer {name!r}: nothing is known of its input {unknown[0]!r}")
        output = self._tensor(Tensor(name=f"{name}:out", shape=tuple(shape)))
        layer = Layer(name=name, op_type=op_type, domain=domain, inputs=inputs, outputs=(output,))
        self._layer_names.add(name)
        self._layers.append(layer)
        return output

    def finish(self, *outputs: str) -> Network:
        """The network with these outputs; declared constants that nobody reads are left out."""
        used = {name for layer in self._layers for name in (*layer.inputs, *layer.outputs)}
        used.update(self._inputs, outputs)
        return Network(
            name=self._name,
            inputs=tuple(self._inputs),
            outputs=outputs,
            layers=tuple(self._layers),
            tensors={name: tensor for name, tensor in self._tensors.items() if name in used},
        )

    # Layers with weights ---------------------------------------------------------------------------

    def conv(
        self,
        x: str,
        out_channels: int,
        *,
        kernel: Pair = 1,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        name: str | None = None,
    ) -> str:
        """Convolution over all spatial axes of ``x`` (N, C, spatial...)."""
        shape = self.shape(x)
        rank = len(shape) - 2
        if groups < 1 or rank < 1:
            raise GraphError(
                f"convolution of {x!r}, shape {shape}, in {groups} groups: expected (N, C, spatial...)"
            )
        kernel_shape, strides, dilations = (_spread(item, rank) for item in (kernel, stride, dilation))
        weight = self.constant((out_channels, shape[1] // groups, *kernel_shape))
        inputs = (x, weight, self.constant((out_channels,))) if bias else (x, weight)
        return self.add(
            "Conv",
            *inputs,
            name=name,
            dilations=dilations,
            group=groups,
            kernel_shape=kernel_shape,
            pads=_pads(padding, shape[2:], kernel_shape, strides, dilations),
            strides=strides,
        )

    def depthwise_conv(
        self, x: str, *, kernel: Pair = 3, stride: Pair = 1, padding: Pair | str = "same", dilation: Pair = 1,
        bias: bool = True, name: str | None = None,
    ) -> str:  # fmt: skip
        """Convolution with one filter a channel."""
        channels = self.channels(x)
        return self.conv(
            x, channels, kernel=kernel, stride=stride, padding=padding, dilation=dilation,
            groups=channels, bias=bias, name=name,
        )  # fmt: skip

    def conv_transpose(
        self,
        x: str,
        out_channels: int,
        *,
        kernel: Pair = 2,
        stride: Pair = 2,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        name: str | None = None,
    ) -> str:
        """Transposed convolution (up-sampling)."""
        shape = self.shape(x)
        rank = len(shape) - 2
        kernel_shape, strides = _spread(kernel, rank), _spread(stride, rank)
        weight = self.constant((shape[1], out_channels // groups, *kernel_shape))
        inputs = (x, weight, self.constant((out_channels,))) if bias else (x, weight)
        return self.add(
            "ConvTranspose",
            *inputs,
            name=name,
            dilations=(1,) * rank,
            group=groups,
            kernel_shape=kernel_shape,
            output_padding=_spread(output_padding, rank),
            pads=_spread(padding, rank) * 2,
            strides=strides,
        )

    def linear(self, x: str, out_features: int, *, bias: bool = True, name: str | None = None) -> str:
        """Fully connected layer: ``Gemm`` on a matrix, ``MatMul`` and ``Add`` on more axes."""
        shape = self.shape(x)
        if len(shape) == 2:
            weight = self.constant((out_features, shape[1]))
            inputs = (x, weight, self.constant((out_features,))) if bias else (x, weight)
            return self.add("Gemm", *inputs, name=name, transB=1)
        y = self.add("MatMul", x, self.constant((shape[-1], out_features)), name=name)
        return self.add("Add", y, self.constant((out_features,))) if bias else y

    def batch_norm(self, x: str, *, name: str | None = None) -> str:
        """Batch normalisation with its four vectors of weights."""
        vectors = [self.constant((self.channels(x),)) for _ in range(4)]
        return self.add("BatchNormalization", x, *vectors, name=name)

    def layer_norm(self, x: str, *, axis: int = -1, name: str | None = None) -> str:
        """Layer normalisation over the axes from ``axis`` on, with scale and bias."""
        normalised = self.shape(x)[axis:]
        weights = (self.constant(normalised), self.constant(normalised))
        return self.add("LayerNormalization", x, *weights, name=name, axis=axis)

    # Layers without weights ------------------------------------------------------------------------

    def relu(self, x: str, *, name: str | None = None) -> str:
        """``max(x, 0)``."""
        return self.add("Relu", x, name=name)

    def relu6(self, x: str, *, name: str | None = None) -> str:
        """``min(max(x, 0), 6)`` as ONNX writes it: ``Clip`` with two scalars."""
        low = self.constant((), value=(0.0,))
        high = self.constant((), value=(6.0,))
        return self.add("Clip", x, low, high, name=name)

    def activation(self, x: str, kind: str | None) -> str:
        """The activation of that ONNX operator type, ``Relu6`` or ``Swish``; ``None`` adds nothing."""
        if kind is None:
            return x
        if kind == "Relu6":
            return self.relu6(x)
        if kind == "Swish":
            return self.add("Mul", x, self.add("Sigmoid", x))
        return self.add(kind, x)

    def max_pool(
        self, x: str, *, kernel: Pair, stride: Pair = 1, padding: Pair | str = 0, ceil_mode: bool = False,
        name: str | None = None,
    ) -> str:  # fmt: skip
        """Maximum over a sliding window."""
        return self._pool("MaxPool", x, kernel, stride, padding, ceil_mode, name)

    def avg_pool(
        self, x: str, *, kernel: Pair, stride: Pair = 1, padding: Pair | str = 0, ceil_mode: bool = False,
        name: str | None = None,
    ) -> str:  # fmt: skip
        """Mean over a sliding window; padding is not counted."""
        return self._pool("AveragePool", x, kernel, stride, padding, ceil_mode, name)

    def _pool(
        self,
        op_type: str,
        x: str,
        kernel: Pair,
        stride: Pair,
        padding: Pair | str,
        ceil_mode: bool,
        name: str | None,
    ) -> str:
        spatial = self.shape(x)[2:]
        kernel_shape, strides = _spread(kernel, len(spatial)), _spread(stride, len(spatial))
        pads = _pads(padding, spatial, kernel_shape, strides, (1,) * len(spatial))
        return self.add(
            op_type,
            x,
            name=name,
            ceil_mode=int(ceil_mode),
            kernel_shape=kernel_shape,
            pads=pads,
            strides=strides,
        )

    def global_avg_pool(self, x: str, *, name: str | None = None) -> str:
        """Mean over all spatial axes, which stay with size 1."""
        return self.add("GlobalAveragePool", x, name=name)

    def concat(self, *inputs: str, axis: int = 1, name: str | None = None) -> str:
        """Concatenation along ``axis``."""
        return self.add("Concat", *inputs, name=name, axis=axis)

    def flatten(self, x: str, *, name: str | None = None) -> str:
        """All axes from 1 on made one."""
        return self.add("Flatten", x, name=name, axis=1)

    def reshape(self, x: str, shape: Sequence[int], *, name: str | None = None) -> str:
        """The same elements in another shape (one entry may be -1)."""
        return self.add("Reshape", x, self.int_constant(shape), name=name)

    def transpose(self, x: str, perm: Sequence[int], *, name: str | None = None) -> str:
        """Axes in another order."""
        return self.add("Transpose", x, name=name, perm=tuple(perm))

    def slice(self, x: str, *, axis: int, start: int, end: int, name: str | None = None) -> str:
        """Positions ``start`` to ``end`` (exclusive) of one axis."""
        bounds = (self.int_constant((item,)) for item in (start, end, axis))
        return self.add("Slice", x, *bounds, name=name)

    def resize(
        self, x: str, spatial: Sequence[int], *, mode: str = "nearest", name: str | None = None
    ) -> str:
        """Interpolation of the spatial axes to these sizes; ``mode`` is nearest, linear or cubic."""
        sizes = self.int_constant((*self.shape(x)[:2], *spatial))
        return self.add("Resize", x, "", "", sizes, name=name, mode=mode)

    def softmax(self, x: str, *, axis: int = -1, name: str | None = None) -> str:
        """Softmax along ``axis``."""
        return self.add("Softmax", x, name=name, axis=axis)


def _spread(value: Pair, rank: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        raise GraphError(f"{value} has {len(value)} numbers, expected one for each of {rank} spatial axes")
    return tuple(value)


def _pads(
    padding: Pair | str,
    spatial: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[int, ...]:
    """ONNX's pads: all begins, then all ends."""
    if isinstance(padding, str):
        if padding != "same":
            raise GraphError(f"padding {padding!r}, expected 'same' or numbers")
        total = [
            max((-(-size // step) - 1) * step + (window - 1) * dilation + 1 - size, 0)
            for size, window, step, dilation in zip(spatial, kernel, strides, dilations, strict=True)
        ]
        return (*(item // 2 for item in total), *(item - item // 2 for item in total))
    if not isinstance(padding, int) and len(padding) == 2 * len(spatial):
        return tuple(padding)
    return _spread(padding, len(spatial)) * 2
