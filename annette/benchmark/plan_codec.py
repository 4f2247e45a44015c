"""Reads campaign plans from YAML, strictly: every fault is named with its path and the nearest known key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from annette.benchmark.blocks import BLOCKS
from annette.benchmark.networks import THEMES, VARIANTS
from annette.benchmark.plan import MICRO_KERNELS, PIECES, Adaptive, CampaignPlan, Limits, NetworkSizes
from annette.benchmark.sweeps import SWEPT_LAYERS, Sweep
from annette.errors import HardwareError, UsageError
from annette.hardware.yaml_text import read_yaml

__all__ = ["SCHEMA_VERSION", "plan_from_yaml"]

SCHEMA_VERSION = 1
"""Version of the plans' format."""

_MAX_COUNT = 1_000_000
_MAX_SIZE = 1 << 40
_MAX_SWEEP = 4096
_MAX_SEED = 2**63 - 1  # what the store's integers hold
_KEYS = (
    "schema_version", "name", "description", "seed", "limits", "micro_kernels", "sweeps", "blocks", "sizes",
    "mosaics", "mosaics_int8", "networks", "adaptive",
)  # fmt: skip
_REQUIRED = _KEYS[:5]
_LIMITS = ("macs", "activation_elements", "weight_elements")
_SIZES = ("kernels", "least_macs", "least_weight_elements")
_ADAPTIVE = ("share", "steps")
_MAX_STEPS = 20
_SWEEP_KEYS = ("name", "layer", "base", "dimensions", "dense_to", "up_to")


def plan_from_yaml(text: str, where: str) -> CampaignPlan:
    """The plan that ``text`` describes; ``where`` names its source in messages.

    Raises
    ------
    UsageError
        With the path of the first fault, what was found and what was expected.
    """
    try:
        data = read_yaml(text, where)
    except HardwareError as err:
        raise UsageError(str(err)) from err
    fields = _mapping(data, where, _KEYS, required=_REQUIRED)
    if fields["schema_version"] != SCHEMA_VERSION:
        raise UsageError(
            f"{where}: schema_version: found {fields['schema_version']!r}, expected {SCHEMA_VERSION}; "
            "use the version of annette that the plan was written for"
        )
    limits = _mapping(fields["limits"], f"{where}: limits", _LIMITS, required=_LIMITS)
    plan = CampaignPlan(
        name=_name(fields["name"], f"{where}: name"),
        description=_text(fields["description"], f"{where}: description"),
        seed=_integer(fields["seed"], f"{where}: seed", 0, _MAX_SEED),
        limits=Limits(
            **{key: _integer(limits[key], f"{where}: limits.{key}", 1, _MAX_SIZE) for key in _LIMITS}
        ),
        micro_kernels=_counts(fields.get("micro_kernels"), f"{where}: micro_kernels", MICRO_KERNELS),
        sweeps=_sweeps(fields.get("sweeps"), f"{where}: sweeps"),
        blocks=_counts(fields.get("blocks"), f"{where}: blocks", BLOCKS),
        sizes=_sizes(fields.get("sizes"), f"{where}: sizes"),
        mosaics=_counts(fields.get("mosaics"), f"{where}: mosaics", PIECES),
        mosaics_int8=_counts(fields.get("mosaics_int8"), f"{where}: mosaics_int8", PIECES),
        networks=_networks(fields.get("networks"), f"{where}: networks"),
        adaptive=_adaptive(fields.get("adaptive"), f"{where}: adaptive"),
    )
    _require_whole(plan, where)
    return plan


def _require_whole(plan: CampaignPlan, where: str) -> None:
    """Refuse a plan of which one part lacks another."""
    in_company = plan.mosaics or plan.mosaics_int8 or plan.networks
    if not (plan.micro_kernels or plan.sweeps or plan.blocks or in_company):
        raise UsageError(
            f"{where}: nothing to measure; add micro_kernels, sweeps, blocks, mosaics or networks"
        )
    if in_company and plan.sizes is None:
        raise UsageError(f"{where}: sizes is missing, mosaics and networks need it; add {', '.join(_SIZES)}")
    if plan.sizes is not None:
        for key, least, most in (
            ("least_macs", plan.sizes.least_macs, plan.limits.macs),
            ("least_weight_elements", plan.sizes.least_weight_elements, plan.limits.weight_elements),
        ):
            if 2 * least > most:
                raise UsageError(
                    f"{where}: sizes.{key}: found {least}, expected at most half of limits, {most // 2}"
                )
    if plan.adaptive is not None and not (plan.micro_kernels or plan.blocks or in_company):
        raise UsageError(f"{where}: adaptive: there is nothing to draw more of; sweeps alone are as they are")


def _sizes(data: Any, where: str) -> NetworkSizes | None:
    if data is None:
        return None
    fields = _mapping(data, where, _SIZES, required=_SIZES)
    return NetworkSizes(
        kernels=_integer(fields["kernels"], f"{where}.kernels", 2, _MAX_SWEEP),
        least_macs=_integer(fields["least_macs"], f"{where}.least_macs", 1, _MAX_SIZE),
        least_weight_elements=_integer(
            fields["least_weight_elements"], f"{where}.least_weight_elements", 1, _MAX_SIZE
        ),
    )


def _networks(data: Any, where: str) -> tuple[tuple[str, str, int], ...]:
    variants = _mapping({} if data is None else data, where, VARIANTS, required=())
    return tuple(
        (variant, theme, count)
        for variant, themes in variants.items()
        for theme, count in _counts(themes, f"{where}.{variant}", THEMES)
    )


def _adaptive(data: Any, where: str) -> Adaptive | None:
    if data is None:
        return None
    fields = _mapping(data, where, _ADAPTIVE, required=_ADAPTIVE)
    share = fields["share"]
    if not isinstance(share, float) or not 0 < share < 1:
        raise UsageError(f"{where}.share: found {share!r}, expected a fraction between 0 and 1")
    return Adaptive(share=share, steps=_integer(fields["steps"], f"{where}.steps", 1, _MAX_STEPS))


def _counts(data: Any, where: str, known: Collection[str]) -> tuple[tuple[str, int], ...]:
    fields = _mapping({} if data is None else data, where, known, required=())
    return tuple((kind, _integer(count, f"{where}.{kind}", 0, _MAX_COUNT)) for kind, count in fields.items())


def _sweeps(data: Any, where: str) -> tuple[Sweep, ...]:
    if data is None:
        return ()
    if not isinstance(data, list):
        raise UsageError(f"{where}: found {_kind(data)}, expected a list of sweeps")
    sweeps = tuple(_sweep(item, f"{where}[{index}]") for index, item in enumerate(data))
    names = [sweep.name for sweep in sweeps]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise UsageError(f"{where}[{index}].name: {name!r} is there already, expected a name of its own")
    return sweeps


def _sweep(data: Any, where: str) -> Sweep:
    fields = _mapping(data, where, _SWEEP_KEYS, required=_SWEEP_KEYS)
    layer = _choice(fields["layer"], f"{where}.layer", SWEPT_LAYERS)
    kind = SWEPT_LAYERS[layer]
    base = _mapping(fields["base"], f"{where}.base", kind.sizes, required=kind.sizes)
    dimensions = fields["dimensions"]
    if not isinstance(dimensions, list) or not dimensions:
        raise UsageError(
            f"{where}.dimensions: found {_kind(dimensions)}, expected a list of {kind.dimensions}"
        )
    chosen = [
        _choice(item, f"{where}.dimensions[{index}]", kind.dimensions)
        for index, item in enumerate(dimensions)
    ]
    if len(set(chosen)) != len(chosen):
        raise UsageError(f"{where}.dimensions: {', '.join(chosen)}, expected each once")
    dense_to = _integer(fields["dense_to"], f"{where}.dense_to", 1, _MAX_SWEEP)
    return Sweep(
        name=_name(fields["name"], f"{where}.name"),
        layer=layer,
        base=tuple((key, _integer(base[key], f"{where}.base.{key}", 1, _MAX_SWEEP)) for key in kind.sizes),
        dimensions=tuple(chosen),
        dense_to=dense_to,
        up_to=_integer(fields["up_to"], f"{where}.up_to", dense_to, _MAX_SWEEP),
    )


def _mapping(data: Any, where: str, known: Collection[str], required: Collection[str]) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise UsageError(f"{where}: found {_kind(data)}, expected keys: {', '.join(known)}")
    for key in data:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}{_nearest(key, known)}; remove or rename it")
    missing = [key for key in required if key not in data]
    if missing:
        verb, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise UsageError(f"{where}: {', '.join(missing)} {verb} missing; add {them}")
    return data


def _choice(value: Any, where: str, known: Collection[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise UsageError(
            f"{where}: found {value!r}, expected one of {', '.join(known)}{_nearest(value, known)}"
        )
    return value


def _integer(value: Any, where: str, low: int, high: int) -> int:
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
        raise UsageError(f"{where}: found {value!r}, expected a whole number from {low} to {high}")
    return number


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise UsageError(f"{where}: found {value!r}, expected letters, digits, dots, dashes and underscores")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: found {value!r}, expected text")
    return " ".join(value.split())


def _nearest(word: object, known: Collection[str]) -> str:
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _kind(data: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", type(None): "nothing"}
    return names.get(type(data), f"{data!r}")
