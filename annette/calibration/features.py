"""What networks are made of: how often each kind of kernel occurs, and the physical amounts of each kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.graph.families import layer_family
from annette.graph.network import Layer, Network
from annette.graph.work import layer_work
from annette.zoo.spaces.built_pieces import BuiltPieces
from annette.zoo.spaces.space import UNUSED, Encodings, Pieces, SearchSpace

__all__ = [
    "COUNTS",
    "GROUPS",
    "TRAITS",
    "Contents",
    "KernelKinds",
    "NumberedKernels",
    "count_networks",
    "count_space",
    "number_kernels",
    "operator_of",
]

GROUPS = ("conv", "pointwise", "depthwise", "grouped", "dense", "pool", "sum", "scale", "move", "other")
"""Which kernels are counted together: convolutions of more than one position, of one, with one input channel
a group, with several; matrix products; pools; sums; products of activations; what moves data; the rest."""
AMOUNTS = ("kernels", "macs", "bytes", "params")
COUNTS = tuple(f"{group}_{amount}" for group in GROUPS for amount in AMOUNTS)
"""Names of the columns of `Contents.counts`: of each group its kernels, multiply-accumulates, bytes of
activations read and written, and parameters."""
TRAITS = ("in_channels", "out_channels", "positions", "window", "shrinkage")
"""What makes kernels of a group alike, each as a logarithm to base 2: channels read and made, positions of
the output, multiply-accumulates an output and input channel, positions read for each one made."""

_FREE = frozenset({"BatchNormalization", "Flatten", "Reshape", "Identity", "Dropout", "Constant"})
"""Operators that compilers merge with what they follow, or that move nothing."""
_GROUP_OF_FAMILY: Mapping[str, str] = MappingProxyType(
    {
        "depthwise_conv": "depthwise",
        "grouped_conv": "grouped",
        "conv_transpose": "conv",
        "gemm": "dense",
        "matmul": "dense",
        "pool": "pool",
        "global_pool": "pool",
        "concat": "move",
        "copy": "move",
        "gather": "move",
        "resize": "move",
    }
)
_CHUNK = 4096

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = tuple[int, tuple[int, int, int, int], tuple[float, ...]]
"""Group, amounts and traits of one kind of kernel."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelKinds:
    """Kinds of kernels: all that is told of a kernel but the network that it is in."""

    groups: Ints
    """Shape (n_kinds,): position in `GROUPS`."""
    amounts: Floats
    """Shape (n_kinds, len(AMOUNTS)), >= 0."""
    traits: Floats
    """Shape (n_kinds, len(TRAITS))."""
    counts: Floats = field(init=False)
    """The amounts in the columns of each kind's group, shape (n_kinds, len(COUNTS))."""

    def __post_init__(self) -> None:
        spread = np.zeros((len(self.groups), len(GROUPS), len(AMOUNTS)))
        spread[np.arange(len(self.groups)), self.groups] = self.amounts
        object.__setattr__(self, "counts", spread.reshape(len(self.groups), len(COUNTS)))
        for array in (self.groups, self.amounts, self.traits, self.counts):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.groups)

    def some(self, which: ArrayLike) -> KernelKinds:
        """Some of the kinds."""
        places = np.asarray(which)
        return KernelKinds(
            groups=self.groups[places], amounts=self.amounts[places], traits=self.traits[places]
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contents:
    """How often each kind of kernel occurs in each network."""

    kinds: KernelKinds
    times: Floats
    """Shape (n_networks, n_kinds), whole numbers >= 0."""
    counts: Floats
    """Shape (n_networks, len(COUNTS)): the sums over each network's kernels."""

    def __post_init__(self) -> None:
        for array in (self.times, self.counts):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.times)

    def rows(self, which: ArrayLike) -> Contents:
        """Some of the networks."""
        places = np.asarray(which)
        return Contents(kinds=self.kinds, times=self.times[places], counts=self.counts[places])

    def used(self) -> Contents:
        """The same without kinds that no network has."""
        places = np.flatnonzero(self.times.any(axis=0))
        return Contents(kinds=self.kinds.some(places), times=self.times[:, places], counts=self.counts)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumberedKernels:
    """The kernels of networks by the layers that they are counted by."""

    kinds: KernelKinds
    numbers: tuple[Mapping[str, int], ...]
    """Of each network: the kind of each counted layer, by its name."""


def number_kernels(networks: Sequence[Network]) -> NumberedKernels:
    """The kind of kernel of each layer that is counted, network by network.

    Examples
    --------
    >>> from annette.zoo.registry import open_network
    >>> numbered = number_kernels([open_network("zoo:lenet5")])
    >>> len(numbered.numbers[0]), len(numbered.kinds)
    (7, 7)
    """
    book = _Book()
    numbers = tuple(book.numbers_of(network) for network in networks)
    return NumberedKernels(kinds=book.as_arrays(), numbers=numbers)


def count_networks(networks: Sequence[Network]) -> Contents:
    """The contents of networks.

    An activation function or a normalisation behind a layer belongs to that layer's kernel.

    Examples
    --------
    >>> from annette.zoo.registry import open_network
    >>> contents = count_networks([open_network("zoo:lenet5")])
    >>> contents.counts[0, COUNTS.index("conv_kernels")].item()
    3.0
    """
    book = _Book()
    rows = [book.kinds_of(network) for network in networks]
    times = np.zeros((len(rows), len(book.numbers)))
    for row, numbers in enumerate(rows):
        np.add.at(times[row], numbers, 1.0)
    kinds = book.as_arrays()
    return Contents(kinds=kinds, times=times, counts=times @ kinds.counts)


def count_space(space: SearchSpace, encodings: ArrayLike, *, pruned: bool = False) -> Contents:
    """The contents of a space's architectures; no network is built, each piece once.

    Parameters
    ----------
    space, encodings
        As the space's `check` takes them.
    pruned : bool
        Leave out what only reaches the output through a product with zero, as compilers that fold constants
        do: of a space that builds them (NAS-Bench-201 with dead code).

    Raises
    ------
    UsageError
        If a row is no architecture of the space.

    Examples
    --------
    >>> from annette.zoo.spaces.registry import open_space
    >>> contents = count_space(open_space("nasbench201"), [(3, 3, 3, 3, 3, 3)])
    >>> contents.counts[0, COUNTS.index("conv_kernels")].item()
    95.0
    """
    rows = space.check(encodings)
    known = _KnownPieces(space, pruned)
    used = [known.times(rows[start : start + _CHUNK]) for start in range(0, len(rows), _CHUNK)]
    return known.contents(used)


def operator_of(network: Network, layer: Layer) -> str | None:
    """The operator of a layer, with the sort of convolution that it is; ``None`` for what takes no time.

    Examples
    --------
    >>> from annette.zoo.registry import open_network
    >>> network = open_network("zoo:mobilenet_v2")
    >>> sorted({operator_of(network, layer) or "" for layer in network.layers if layer.op_type == "Conv"})
    ['Conv', 'Conv (depthwise)', 'Conv (pointwise)']
    """
    if layer.op_type in _FREE:
        return None
    group = _group(network, layer)
    return f"{layer.op_type} ({group})" if group in ("pointwise", "depthwise", "grouped") else layer.op_type


@dataclass(slots=True)
class _Book:
    """The kinds of kernels met so far, numbered."""

    numbers: dict[Kind, int] = field(default_factory=dict)

    def kinds_of(self, network: Network) -> list[int]:
        """The kind of each kernel of a network."""
        return list(self.numbers_of(network).values())

    def numbers_of(self, network: Network) -> dict[str, int]:
        """The same by the name of the layer."""
        found = {}
        for layer in network.layers:
            if layer.op_type in _FREE or layer_family(network, layer) == "activation":
                continue
            found[layer.name] = self.numbers.setdefault(_kind(network, layer), len(self.numbers))
        return found

    def as_arrays(self) -> KernelKinds:
        """All kinds in the order of their numbers."""
        kinds = list(self.numbers)
        return KernelKinds(
            groups=np.array([kind[0] for kind in kinds], dtype=np.int64),
            amounts=np.array([kind[1] for kind in kinds], dtype=np.float64).reshape(-1, len(AMOUNTS)),
            traits=np.array([kind[2] for kind in kinds], dtype=np.float64).reshape(-1, len(TRAITS)),
        )


def _kind(network: Network, layer: Layer) -> Kind:
    work = layer_work(network, layer)
    read, made = network.tensors[layer.inputs[0]].shape, network.tensors[layer.outputs[0]].shape
    (in_channels, in_positions), (out_channels, out_positions) = _extent(read), _extent(made)
    window = work.macs / max(1, out_positions * out_channels * in_channels) * layer.int_attribute("group", 1)
    sizes = (in_channels, out_channels, out_positions, window, in_positions / out_positions)
    traits = tuple(math.log2(max(size, 2.0**-10)) if size else 0.0 for size in sizes)
    amounts = (1, work.macs, work.input_bytes + work.output_bytes, work.params)
    return GROUPS.index(_group(network, layer)), amounts, traits


def _extent(shape: tuple[int, ...]) -> tuple[int, int]:
    """Channels and positions of a tensor, images in NCHW and tokens with their channels last; >= 1."""
    if not shape:
        return 1, 1
    channels = shape[1] if len(shape) > 3 else shape[-1]
    return max(channels, 1), max(math.prod(shape[1:]) // max(channels, 1), 1)


def _group(network: Network, layer: Layer) -> str:
    family = layer_family(network, layer)
    if family == "conv":
        weight = network.tensors[layer.inputs[1]] if len(layer.inputs) > 1 else None
        is_point = weight is not None and all(size == 1 for size in weight.shape[2:])
        return "pointwise" if is_point else "conv"
    if layer.op_type in ("Add", "Sum"):
        return "sum"
    if layer.op_type == "Mul":
        return "scale"
    return _GROUP_OF_FAMILY.get(family, "other")


def _is_zero(network: Network) -> bool:
    """Whether a piece is a product with the constant zero."""
    if len(network.layers) != 1 or network.layers[0].op_type != "Mul":
        return False
    tensors = (network.tensors[name] for name in network.layers[0].inputs)
    return any(tensor.is_constant and tensor.value == (0.0,) for tensor in tensors)


class _KnownPieces:
    """The kernels of the pieces of a space met so far."""

    def __init__(self, space: SearchSpace, pruned: bool) -> None:
        self._space = space
        self._pruned = pruned
        self._book = _Book()
        self._built = BuiltPieces(space, self._kernels_of)

    def _kernels_of(self, network: Network, n_ports: int) -> tuple[list[int], bool]:
        """The kernels of a piece, and whether it is zero."""
        return self._book.kinds_of(network), _is_zero(network)

    def contents(self, used: Sequence[Ints]) -> Contents:
        """The contents of populations, given how often each has each piece."""
        kinds = self._book.as_arrays()
        per_piece = np.zeros((len(self._built.items), len(kinds)))
        for piece, (numbers, _) in enumerate(self._built.items):
            np.add.at(per_piece[piece], numbers, 1.0)
        parts = [of_pieces @ per_piece[: of_pieces.shape[1]] for of_pieces in used]
        times = np.concatenate([np.empty((0, len(kinds))), *parts])
        return Contents(kinds=kinds, times=times, counts=times @ kinds.counts)

    def times(self, rows: Encodings) -> Ints:
        """How often checked encodings have each piece met so far, shape (n, n_pieces)."""
        pieces = self._space.pieces(rows)
        used = self._built.numbers(pieces)
        if self._pruned:
            zeros = np.array([*(is_zero for _, is_zero in self._built.items), False])
            used = np.where(_needed(pieces, used, zeros), used, -1)
        width, n_networks = len(self._built.items) + 1, len(rows)
        places = (used + 1) + width * np.arange(n_networks)
        times = np.bincount(places.ravel(), minlength=width * n_networks).reshape(n_networks, width)
        found: Ints = times[:, 1:]
        return found


def _needed(pieces: Pieces, used: Ints, zeros: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pieces (numbers by position and network, -1: none) the output depends on, shape as ``used``."""
    n_positions, n_networks = used.shape
    needed = np.zeros((n_positions + 1, n_networks), dtype=bool)
    last = n_positions - 1 - (used[::-1] >= 0).argmax(axis=0)
    needed[last, np.arange(n_networks)] = True
    for position in range(n_positions - 1, -1, -1):
        reads = needed[position] & ~zeros[used[position]]
        for source in pieces.sources[:, position].T:
            rows = np.flatnonzero(reads & (source != UNUSED))
            needed[source[rows], rows] = True
    return needed[:-1]
