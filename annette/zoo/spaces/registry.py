"""The search spaces by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

from annette.errors import UsageError
from annette.zoo.parameters import Parameters, ParameterValue, nearest, parameters_of, split_parameters
from annette.zoo.spaces.space import SearchSpace

__all__ = ["SpaceEntry", "list_spaces", "open_space", "space_parameters"]

_SPACES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "nasbench101": ("nasbench101", "Nasbench101", "NAS-Bench-101: 423,624 cells of up to 7 vertices"),
        "nasbench201": ("nasbench201", "Nasbench201", "NAS-Bench-201: 15,625 cells of 6 edges"),
        "fbnet": ("fbnet", "FBNet", "FBNet as in HW-NAS-Bench: 22 layers of 9 candidate blocks"),
        "ofa": ("ofa", "OnceForAll", "Once-for-All MobileNetV3: depths, kernels, expansions, resolution"),
        "darts": ("darts", "Darts", "DARTS: a normal and a reduction cell of 8 operations each"),
        "mnasnet": ("mnasnet", "MnasNetSpace", "MnasNet as in Accel-NASBench: 7 blocks of 1 to 4 layers"),
        "transformer": ("transformer", "TransformerSpace", "Transformer encoders: layers, heads, widths"),
    }
)
"""Module, class and description of each space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceEntry:
    """A search space, without opening it."""

    name: str
    """What `open_space` takes."""
    description: str
    """One line: what its architectures are."""


def list_spaces() -> tuple[SpaceEntry, ...]:
    """Every search space, in the registry's order; imports none of them.

    Examples
    --------
    >>> [entry.name for entry in list_spaces()][:2]
    ['nasbench101', 'nasbench201']
    """
    return tuple(SpaceEntry(name=name, description=text) for name, (_, _, text) in _SPACES.items())


def open_space(spec: str) -> SearchSpace:
    """The search space that ``spec`` means: ``NAME``, or ``NAME,parameter=value`` with its parameters.

    Raises
    ------
    UsageError
        If there is no such space, or a parameter is wrong.

    Examples
    --------
    >>> open_space("nasbench201,dataset=cifar100").size
    15625
    """
    name, items = split_parameters(spec)
    return _class(name)(**_parameters(name).parse(spec, items))


def space_parameters(name: str) -> Mapping[str, ParameterValue]:
    """The parameters of a space and their defaults.

    Raises
    ------
    UsageError
        If there is no such space.

    Examples
    --------
    >>> dict(space_parameters("nasbench201"))
    {'dataset': 'cifar10', 'dead_code': False, 'batch': 1}
    """
    return _parameters(name).defaults


def _parameters(name: str) -> Parameters:
    return parameters_of(_class(name), name)


def _class(name: str) -> type[SearchSpace]:
    if name not in _SPACES:
        raise UsageError(
            f"{name!r}: no such search space{nearest(name, _SPACES)}; there are {', '.join(_SPACES)}"
        )
    module, cls, _ = _SPACES[name]
    found: type[SearchSpace] = getattr(import_module(f"annette.zoo.spaces.{module}"), cls)
    return found
