"""Hands the pieces of a mosaic what they read: tensors that the layer before has just written."""

from __future__ import annotations

import math

from annette.benchmark.growing import GrowingBuilder
from annette.benchmark.sampling import Draw

__all__ = ["Supply"]

_MOST_MACS = 3e7  # of a layer that only leads over from one piece to the next
_MOST_WEIGHTS = 300_000
_LARGEST_WINDOW = 9
_RECENT = 8


class Supply:
    """The activations of a mosaic so far, and ways to make of them what the next piece wants.

    A tensor of the wanted shape is taken as it is; one of another shape is cropped, pooled, resized, padded
    or projected, as real networks do between their parts. Where nothing fits, a small input of the network is
    spread to the wanted shape. A few pieces read an input of the network directly, as first layers do.
    """

    def __init__(self, draw: Draw, build: GrowingBuilder) -> None:
        self._draw = draw
        self._build = build
        self._unread: list[str] = []
        self._recent: list[str] = []
        self._inputs = 0

    @property
    def unread(self) -> tuple[str, ...]:
        """What nobody has read yet: the outputs of the mosaic."""
        return tuple(self._unread)

    def put(self, tensors: tuple[str, ...]) -> None:
        """Take note of what a piece has made."""
        guarded = [self._guard(name) for name in tensors]
        self._unread.extend(guarded)
        self._recent = [*self._recent, *guarded][-_RECENT:]

    def take(self, shape: tuple[int, ...], dtype: str) -> str:
        """A tensor of this shape and dtype, freshly written wherever that is possible."""
        if dtype in ("int8", "uint8"):
            scale, zero = self._build.constant((), value=(0.1,)), self._build.constant((), dtype=dtype)
            return self._build.add("QuantizeLinear", self.take(shape, "float32"), scale, zero)
        if dtype != "float32":
            return self._input(shape, dtype)
        for name in self._unread:
            if self._fits(name, shape):
                self._unread.remove(name)
                return name
        again = [name for name in self._recent if self._fits(name, shape)]
        if again and self._draw.chance(0.5):
            return self._draw.pick(again)
        made = None
        sources = [name for name in self._unread if self._build.dtype(name) == "float32"]
        if sources and self._draw.chance(0.85):
            source = sources[-1] if self._draw.chance(0.6) else self._draw.pick(sources)
            made = self._lead_over(source, shape)
            if made is not None:
                self._unread.remove(source)
        made = self._spread(shape) if made is None else made
        self._recent = [*self._recent, made][-_RECENT:]
        return made

    def _fits(self, name: str, shape: tuple[int, ...]) -> bool:
        return self._build.shape(name) == shape and self._build.dtype(name) == "float32"

    def _input(self, shape: tuple[int, ...], dtype: str = "float32") -> str:
        self._inputs += 1
        return self._build.input(f"input_{self._inputs}", shape, dtype=dtype)

    # From what is there ------------------------------------------------------------------------------

    def _lead_over(self, x: str, shape: tuple[int, ...]) -> str | None:
        """``x`` brought to ``shape`` by a few cheap layers; ``None`` where that would be far-fetched."""
        build, have = self._build, self._build.shape(x)
        if not have or not shape or have[0] != shape[0] or 0 in have:
            return None
        if len(have) == 4 and len(shape) == 3:
            if self._draw.chance(0.5):
                x = build.reshape(x, (*have[:2], have[2] * have[3]))
            else:
                x = build.reshape(build.transpose(x, (0, 2, 3, 1)), (have[0], have[2] * have[3], have[1]))
        elif len(have) == 4 and len(shape) == 2:
            x = build.flatten(build.global_avg_pool(x))
        elif len(have) == 3 and len(shape) == 2:
            x = build.add("ReduceMean", x, build.int_constant((1,)), keepdims=0)
        elif len(have) != len(shape):
            return None
        if len(shape) == 4:
            if max(new / old for new, old in zip(shape[2:], build.shape(x)[2:], strict=True)) > 2.0:
                return None
            return self._channels(self._spatial(x, shape[2:]), shape[1])
        if len(shape) == 3:
            return self._features(self._length(x, 1, shape[1]), shape[2])
        return self._features(x, shape[1]) if len(shape) == 2 else None

    def _spatial(self, x: str, spatial: tuple[int, ...]) -> str:
        """Pooled, cropped or resized."""
        build, have = self._build, self._build.shape(x)[2:]
        if have == spatial:
            return x
        if all(new <= old for new, old in zip(spatial, have, strict=True)):
            steps = tuple(old // new for new, old in zip(spatial, have, strict=True))
            window = tuple(
                old - (new - 1) * step for new, old, step in zip(spatial, have, steps, strict=True)
            )
            if max(window) <= _LARGEST_WINDOW and self._draw.chance(0.7):
                pool = build.max_pool if self._draw.chance(0.6) else build.avg_pool
                return pool(x, kernel=window, stride=steps)
            if self._draw.chance(0.75):
                for axis, (new, old) in enumerate(zip(spatial, have, strict=True), start=2):
                    x = build.slice(x, axis=axis, start=0, end=new) if new < old else x
                return x
        return build.resize(x, spatial, mode=self._draw.pick(("nearest", "nearest", "linear")))

    def _channels(self, x: str, wanted: int) -> str:
        """Projected, cropped, repeated or padded."""
        build, shape = self._build, self._build.shape(x)
        if shape[1] == wanted:
            return x
        macs = math.prod(shape) * wanted
        if macs <= _MOST_MACS and shape[1] * wanted <= _MOST_WEIGHTS and self._draw.chance(0.75):
            x = build.conv(x, wanted)
            return build.relu(x) if self._draw.chance(0.5) else x
        if wanted % shape[1] == 0 and wanted // shape[1] <= 4:
            return build.concat(*[x] * (wanted // shape[1]))
        return self._length(x, 1, wanted)

    def _features(self, x: str, wanted: int) -> str:
        """A linear layer, or cropped or padded."""
        shape = self._build.shape(x)
        if shape[-1] == wanted:
            return x
        if (
            math.prod(shape) * wanted <= _MOST_MACS
            and shape[-1] * wanted <= _MOST_WEIGHTS
            and self._draw.chance(0.8)
        ):
            return self._build.linear(x, wanted)
        return self._length(x, len(shape) - 1, wanted)

    def _length(self, x: str, axis: int, wanted: int) -> str:
        """Cropped or padded along one axis."""
        shape = self._build.shape(x)
        if shape[axis] == wanted:
            return x
        if shape[axis] > wanted:
            start = self._draw.integer(0, shape[axis] - wanted)
            return self._build.slice(x, axis=axis, start=start, end=start + wanted)
        pads = [0] * (2 * len(shape))
        pads[len(shape) + axis] = wanted - shape[axis]
        return self._guard(self._build.add("Pad", x, self._build.int_constant(pads), mode="constant"))

    def _guard(self, x: str) -> str:
        """``x``, rectified where it is padded: a pool right behind would take in more padding than it may.

        ONNX Runtime (seen in 1.31) merges a Pad into the pool that reads it without asking whether the
        padding is smaller than the window, and then refuses the network.
        """
        return self._build.relu(x) if self._build.made_by(x) == "Pad" else x

    # From nothing ------------------------------------------------------------------------------------

    def _spread(self, shape: tuple[int, ...]) -> str:
        """A small input of the network spread to ``shape``; sometimes the input itself."""
        build, draw = self._build, self._draw
        style = draw.unit()
        if style < 0.1 or len(shape) < 2 or math.prod(shape) <= 4096:
            return self._input(shape)
        if len(shape) == 4 and style < 0.55:
            few = draw.pick((1, 3, 3, 4, 8))
            kernel = draw.pick((1, 3))
            if math.prod(shape) * few * kernel**2 <= _MOST_MACS and shape[1] > few:
                source = self._input((shape[0], few, *shape[2:]))
                y = build.conv(source, shape[1], kernel=kernel, padding="same")
                return build.relu(y) if draw.chance(0.6) else y
        if len(shape) == 4 and style < 0.65 and min(shape[2:]) >= 4:
            halves = tuple(-(-size // 2) for size in shape[2:])
            return build.resize(
                self._input((*shape[:2], *halves)), shape[2:], mode=draw.pick(("nearest", "linear"))
            )
        if len(shape) in (2, 3) and style < 0.7:
            few = draw.pick((8, 16, 32))
            if math.prod(shape) * few <= _MOST_MACS:
                return build.linear(self._input((*shape[:-1], few)), shape[-1])
        split = 2 if len(shape) == 4 else len(shape) - 1
        first = self._input((*shape[:split], *(1,) * (len(shape) - split)))
        second = self._input((*(1,) * split, *shape[split:]))
        return build.add(draw.pick(("Add", "Mul", "Add")), first, second)
