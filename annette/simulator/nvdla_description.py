"""An NVDLA, its layers and where their tensors lie, as its public performance sheet describes them.

Letters of the sheet: input C x H x W, K kernels of R x S, output P x Q after the convolution and A x B after
the pooling in its pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from annette.errors import HardwareError
from annette.hardware.checks import FieldFault, check_fields, quantity

__all__ = [
    "LAYER_KINDS",
    "TRAFFIC_RULES",
    "Nvdla",
    "Placement",
    "SecondMemory",
    "SheetLayer",
    "SheetTable",
    "stack_layers",
]

LAYER_KINDS = ("conv", "conv + eltwise", "fc")
"""A convolution; one whose results meet a second tensor in the pipeline; a fully connected layer."""

TRAFFIC_RULES = ("once", "refetch")
"""``once``: each tensor crosses the DRAM port once, and a batch of fully connected layers shares its weights
(AlexNet's sheet). ``refetch``: what does not fit the convolution buffer beside the smallest part of the other
operand is worked off in turns, and the other operand is read again in each (ResNet-50's sheet)."""

_MAX_SIZE = 1 << 20


def _check(where: str, instance: object) -> None:
    """`check_fields` with the place of the fault in front."""
    try:
        check_fields(instance)
    except FieldFault as fault:
        raise HardwareError(f"{where}: {fault}") from None


def _require_one_of(where: str, found: object, expected: tuple[str, ...]) -> None:
    if found not in expected:
        raise HardwareError(f"{where}: found {found!r}, expected one of {', '.join(expected)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondMemory:
    """Memory beside the DRAM with ports of its own: the sheet's SRAM or CVSRAM."""

    size_bytes: int = quantity(above=0)
    """Decides how many images share one fetch of the weights."""
    read_bytes_per_s: float = quantity(above=0)
    """Bandwidth of the read port."""
    write_bytes_per_s: float = quantity(above=0)
    """Bandwidth of the write port."""

    def __post_init__(self) -> None:
        _check("nvdla: second_memory", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nvdla:
    """What the sheet knows of an NVDLA."""

    macs_per_cycle: int = quantity(at_least=1, at_most=_MAX_SIZE)
    """Multiply-accumulates a cycle at most."""
    buffer_bytes: int = quantity(above=0)
    """Convolution buffer (CBUF)."""
    clock_hz: float = quantity(above=0)
    """Clock of the whole core."""
    dram_bytes_per_s: float = quantity(above=0)
    """Bandwidth of the data bus (DBB), both directions together."""
    second_memory: SecondMemory | None = None
    """``None``: there is none."""
    kernel_granule: int = quantity(at_least=1, at_most=_MAX_SIZE, default=16)
    """Kernels are worked on so many at a time. 16 on AlexNet's sheet and where ResNet-50's has a second
    memory; 128 where that has none, and for the published frames per second."""
    fully_connected_batch: int = quantity(at_least=1, at_most=_MAX_SIZE, default=16)
    """Images whose features meet the weights of a fully connected layer together."""
    element_bytes: int = quantity(at_least=1, at_most=8, default=1)
    """1: INT8. 2: FP16 or INT16."""
    uses_winograd: bool = True
    """Whether 3x3 convolutions of stride 1 run in Winograd's form; they do in all published frames per
    second, also of the configurations that have no unit for it."""
    traffic: str = "once"
    """One of `TRAFFIC_RULES`; with a second memory, where tensors lie decides instead: see `Placement`."""

    def __post_init__(self) -> None:
        _check("nvdla", self)
        _require_one_of("nvdla: traffic", self.traffic, TRAFFIC_RULES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetLayer:
    """One row of the sheet: a convolution or fully connected layer and what its pipeline adds."""

    name: str
    """Groups of one convolution are rows of the same name."""
    kind: str = "conv"
    """One of `LAYER_KINDS`."""
    in_channels: int = quantity(at_least=1, at_most=_MAX_SIZE)
    """C."""
    in_h: int = quantity(at_least=1, at_most=_MAX_SIZE)
    """H."""
    in_w: int = quantity(at_least=1, at_most=_MAX_SIZE)
    """W."""
    out_channels: int = quantity(at_least=1, at_most=_MAX_SIZE)
    """K."""
    kernel_h: int = quantity(at_least=1, at_most=_MAX_SIZE)
    """R."""
    kernel_w: int = quantity(at_least=1, at_most=_MAX_SIZE)
    """S."""
    stride_h: int = quantity(at_least=1, at_most=_MAX_SIZE, default=1)
    """Step of the convolution along h."""
    stride_w: int = quantity(at_least=1, at_most=_MAX_SIZE, default=1)
    """Step of the convolution along w."""
    is_padded: bool = True
    """Whether the input is padded with zeros, so that every input position starts a window."""
    out_h: int = quantity(at_least=1, at_most=_MAX_SIZE)
    """P, after the convolution."""
    out_w: int = quantity(at_least=1, at_most=_MAX_SIZE)
    """Q, after the convolution."""
    stored_h: int = quantity(at_least=1, at_most=_MAX_SIZE)
    """A, after the pooling if there is one."""
    stored_w: int = quantity(at_least=1, at_most=_MAX_SIZE)
    """B, after the pooling if there is one."""
    winograd: bool | None = None
    """Whether Winograd's form applies; ``None``: if it is a 3x3 convolution of stride 1."""

    def __post_init__(self) -> None:
        _check(f"nvdla: layer {self.name!r}", self)
        _require_one_of(f"nvdla: layer {self.name!r}: kind", self.kind, LAYER_KINDS)
        if self.winograd and not self._has_winograds_shape:
            raise HardwareError(
                f"nvdla: layer {self.name!r}: winograd: found {self.kind}, kernel {self.kernel_h}x"
                f"{self.kernel_w}, stride {self.stride_h}x{self.stride_w}, "
                "expected a 3x3 convolution of stride 1"
            )
        if not self.is_padded and (self.kernel_h > self.in_h or self.kernel_w > self.in_w):
            raise HardwareError(
                f"nvdla: layer {self.name!r}: found a kernel larger than its input, expected padding"
            )

    @property
    def is_winograd(self) -> bool:
        """Whether Winograd's form applies, given or derived."""
        return self._has_winograds_shape if self.winograd is None else self.winograd

    @property
    def _has_winograds_shape(self) -> bool:
        window = (self.kernel_h, self.kernel_w, self.stride_h, self.stride_w)
        return window == (3, 3, 1, 1) and self.kind != "fc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the tensors of each layer lie if there is a second memory; see `place_layers`."""

    input_in_dram: tuple[bool, ...]
    """Whether a layer's input comes from the DRAM."""
    output_in_dram: tuple[bool, ...]
    """Whether its output goes to the DRAM as well."""
    weight_batch: tuple[int, ...]
    """Images that share one fetch of its weights; >= 1."""

    def __post_init__(self) -> None:
        if len({len(getattr(self, item.name)) for item in fields(self)}) > 1:
            raise HardwareError(
                "nvdla: placement: found columns of different lengths, expected one entry a layer"
            )
        if any(batch < 1 for batch in self.weight_batch):
            raise HardwareError(
                f"nvdla: placement: weight_batch: found {min(self.weight_batch)}, expected images >= 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SheetTable:
    """Layers as columns: arrays of shape (n_layers,) under the names of the fields of `SheetLayer`."""

    names: tuple[str, ...]
    in_channels: NDArray[np.float64]
    in_h: NDArray[np.float64]
    in_w: NDArray[np.float64]
    out_channels: NDArray[np.float64]
    kernel_h: NDArray[np.float64]
    kernel_w: NDArray[np.float64]
    stride_h: NDArray[np.float64]
    stride_w: NDArray[np.float64]
    out_h: NDArray[np.float64]
    out_w: NDArray[np.float64]
    stored_h: NDArray[np.float64]
    stored_w: NDArray[np.float64]
    is_padded: NDArray[np.bool_]
    is_winograd: NDArray[np.bool_]
    is_fc: NDArray[np.bool_]
    """Whether the kind is ``fc``."""
    has_eltwise: NDArray[np.bool_]
    """Whether the kind is ``conv + eltwise``."""

    def __post_init__(self) -> None:
        for item in fields(self)[1:]:
            getattr(self, item.name).setflags(write=False)


_SIZES = (
    "in_channels", "in_h", "in_w", "out_channels", "kernel_h", "kernel_w", "stride_h", "stride_w", "out_h",
    "out_w", "stored_h", "stored_w",
)  # fmt: skip


def stack_layers(layers: Sequence[SheetLayer]) -> SheetTable:
    """The columns of ``layers``, made once for many evaluations.

    Examples
    --------
    >>> fc = SheetLayer(name="fc", kind="fc", in_channels=4096, in_h=1, in_w=1, out_channels=1000, kernel_h=1,
    ...                 kernel_w=1, out_h=1, out_w=1, stored_h=1, stored_w=1)
    >>> table = stack_layers([fc, fc])
    >>> table.out_channels.tolist(), table.is_fc.tolist()
    ([1000.0, 1000.0], [True, True])
    """
    rows = list(map(attrgetter(*_SIZES), layers))
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), len(_SIZES)).T.copy()
    kinds = [layer.kind for layer in layers]
    return SheetTable(
        names=tuple(layer.name for layer in layers),
        is_padded=np.array([layer.is_padded for layer in layers], dtype=np.bool_),
        is_winograd=np.array([layer.is_winograd for layer in layers], dtype=np.bool_),
        is_fc=np.array([kind == "fc" for kind in kinds], dtype=np.bool_),
        has_eltwise=np.array([kind == "conv + eltwise" for kind in kinds], dtype=np.bool_),
        **dict(zip(_SIZES, columns, strict=True)),
    )
