"""The smooth physical model under the mixed one: compute, aligned traffic and fixed costs, by family."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.models.data_sheet import FILLS, DataSheet, inside_fraction, lane_padding
from annette.models.kernel_layout import OPERATORS, operator_code
from annette.models.kernel_table import KernelTable
from annette.models.parameters import GENERIC_FAMILY, DeviceParameters, dimension_sizes
from annette.models.roofline import RefinedTerms, refined_terms
from annette.models.unroll import padded_fraction

__all__ = [
    "COEFFICIENTS",
    "PhysicalFit",
    "PhysicalTerms",
    "Physics",
    "blend",
    "fill_padding",
    "memory_columns",
    "physical_quantities",
    "physical_terms",
]

COEFFICIENTS = (
    "overhead_s", "s_per_group", "s_per_extra_input", "s_per_extra_image",
    "s_per_op", "s_per_input_byte", "s_per_weight_byte", "s_per_output_byte", "s_per_skipped_byte",
)  # fmt: skip
"""What a family's fit finds, each >= 0; for a device with caches also the seconds per byte beyond each, and
what cold code adds to the overhead."""
N_FIXED, COMPUTE = 4, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalFit:
    """One family's physics: ``t = fixed + (compute**p + memory**p)**(1/p)``.

    ``p`` says how well computing hides transfers: 1 not at all, many: the slower of the two counts. Of energy
    it is 1 always: fixed costs, operations and bytes are added.
    """

    family: str
    """Family key."""
    operator: str
    """Operator type, or the empty string for all of the family."""
    channel_granule: int
    """Channels are moved in multiples of this many elements; 1 where no such rounding shows."""
    column_granule: int
    """Columns likewise."""
    sharpness: float
    """The exponent p, in [1, 16]."""
    coefficients: tuple[float, ...]
    """Per name of `COEFFICIENTS`, then seconds per byte beyond each cache of the device."""
    cold_overhead_s: tuple[float, ...] = ()
    """Seconds that a kernel takes longer whose code is cold, per column of `DataSheet.overhead_terms`."""
    fill: tuple[str, ...] = ()
    """Dimensions whose last, partly filled vector is paid in full; one of `FILLS`."""
    skips_padding: bool = False
    """Whether taps of a window that meet padding cost nothing."""

    def __post_init__(self) -> None:
        numbers = (*self.coefficients, *self.cold_overhead_s, self.sharpness)
        if len(self.coefficients) < len(COEFFICIENTS) or not all(
            math.isfinite(value) and value >= 0 for value in numbers
        ):
            raise ModelError(f"physics of {self.family!r}: coefficients {numbers}, expected finite ones >= 0")
        if self.fill not in FILLS:
            raise ModelError(
                f"physics of {self.family!r}: vectors along {self.fill}, expected one of {FILLS}"
            )
        if self.sharpness < 1 or min(self.channel_granule, self.column_granule) < 1:
            raise ModelError(f"physics of {self.family!r}: sharpness or granule below 1")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        fields = ("family", "operator", "channel_granule", "column_granule", "sharpness")
        n_terms = len(COEFFICIENTS)
        document: dict[str, Any] = {name: getattr(self, name) for name in fields}
        document["coefficients"] = dict(zip(COEFFICIENTS, self.coefficients[:n_terms], strict=True))
        if len(self.coefficients) > n_terms:
            document["s_per_byte_beyond_caches"] = list(self.coefficients[n_terms:])
        if self.cold_overhead_s:
            document["cold_overhead_s"] = list(self.cold_overhead_s)
        if self.fill:
            document["fill"] = list(self.fill)
        if self.skips_padding:
            document["skips_padding"] = True
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PhysicalFit:
        """The fit that `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        return cls(
            family=str(document["family"]),
            operator=str(document["operator"]),
            channel_granule=int(document["channel_granule"]),
            column_granule=int(document["column_granule"]),
            sharpness=float(document["sharpness"]),
            coefficients=(
                *(float(document["coefficients"][name]) for name in COEFFICIENTS),
                *map(float, document.get("s_per_byte_beyond_caches", ())),
            ),
            cold_overhead_s=tuple(map(float, document.get("cold_overhead_s", ()))),
            fill=tuple(map(str, document.get("fill", ()))),
            skips_padding=bool(document.get("skips_padding", False)),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhysicalTerms:
    """The parts of the physical model per kernel; arrays of shape (n_kernels,) unless said otherwise."""

    fixed_s: NDArray[np.float64]
    """Overhead, cold code included, and what each further group, input or image costs."""
    compute_s: NDArray[np.float64]
    """Seconds of computing, ragged tiles paid in full."""
    transfers_s: NDArray[np.float64]
    """Shape (n_kernels, 4 + n_cache_terms): seconds of moving input, weights, output, what is skipped of the
    input, and what comes from beyond each cache."""
    padding: NDArray[np.float64]
    """Shape (n_kernels, 2): aligned over plain bytes of input and output; >= 1."""
    sharpness: NDArray[np.float64]
    """The family's exponent."""
    refined: RefinedTerms
    """The refined roofline of the same kernels."""

    @property
    def memory_s(self) -> NDArray[np.float64]:
        """Seconds of moving everything."""
        parts = self.transfers_s
        plain: NDArray[np.float64] = parts[:, 0] + parts[:, 1] + parts[:, 2] + parts[:, 3]
        return plain if parts.shape[1] == 4 else plain + parts[:, 4:].sum(axis=1)

    @property
    def total_s(self) -> NDArray[np.float64]:
        """Seconds of the kernel; > 0."""
        total = self.fixed_s + blend(self.compute_s, self.memory_s, self.sharpness)
        return np.maximum(total, self.refined.target.least)


def blend(
    compute: NDArray[np.float64], memory: NDArray[np.float64], sharpness: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """``(compute**p + memory**p)**(1/p)`` without overflow."""
    larger = np.maximum(np.maximum(compute, memory), 1e-30)
    ratio = np.minimum(compute, memory) / larger
    blended: NDArray[np.float64] = larger * np.power(1.0 + np.power(ratio, sharpness), 1.0 / sharpness)
    return blended


def fill_padding(
    table: KernelTable, sheet: DataSheet, fill: tuple[str, ...], *, skips_padding: bool = False
) -> NDArray[np.float64]:
    """Work that is paid over work that is counted, shape (n_kernels,).

    Lanes paid over lanes at work along these dimensions, less the taps that meet padding where these cost
    nothing.
    """
    padding = inside_fraction(table) if skips_padding else np.ones(len(table))
    lanes = sheet.lanes(table) if fill else np.ones(len(table))
    for dimension in fill:
        padding = padding * lane_padding(dimension_sizes(table, dimension), lanes)
    return padding


def memory_columns(sheet: DataSheet) -> slice:
    """Which columns of `physical_quantities` are bytes; cold overheads come after them."""
    return slice(COMPUTE + 1, len(COEFFICIENTS) + sheet.n_cache_terms)


def physical_quantities(
    table: KernelTable,
    efficiency: NDArray[np.float64],
    channel_granule: NDArray[np.float64] | float,
    column_granule: NDArray[np.float64] | float,
    sheet: DataSheet,
) -> NDArray[np.float64]:
    """What the coefficients multiply: of shape (n_kernels, n) one column each.

    Those of `COEFFICIENTS`, then, for a device with caches, its cache terms and its overhead terms.
    """
    run = table.column("run_elements")
    in_channels = np.where(run > 0, run, dimension_sizes(table, "in_channels"))
    out_channels = np.where(run > 0, run, dimension_sizes(table, "out_channels"))
    in_padding = padded_fraction(in_channels, channel_granule) * padded_fraction(
        table.column("in_w"), column_granule
    )
    out_padding = padded_fraction(out_channels, channel_granule) * padded_fraction(
        table.column("out_w"), column_granule
    )
    groups, channels = table.column("groups"), table.column("in_channels")
    found = np.stack(
        [
            np.ones(len(table)),
            np.where(channels > groups, groups - 1.0, 0.0),
            np.maximum(table.column("n_inputs") - 1.0, 0.0),
            table.column("batch") - 1.0,
            table.column("ops") / efficiency,
            table.column("input_bytes") * in_padding,
            table.column("weight_bytes"),
            table.column("output_bytes") * out_padding,
            table.column("skipped_bytes"),
        ],
        axis=1,
    )
    if not sheet.cache_bytes:
        return found
    return np.concatenate([found, sheet.cache_terms(table), sheet.overhead_terms(table)], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Physics:
    """The physical fits of a device, by family and, within a family, by operator."""

    fits: tuple[PhysicalFit, ...]
    """Sorted by family and operator; the one of `GENERIC_FAMILY` prices what has none."""
    sheet: DataSheet = field(default_factory=DataSheet)
    """The device's caches and vectors."""
    _by_key: dict[tuple[str, float], PhysicalFit] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found = {(fit.family, operator_code(fit.operator)): fit for fit in self.fits}
        if (GENERIC_FAMILY, 0.0) not in found:
            raise ModelError(f"physics: no fit for {GENERIC_FAMILY!r}; train the platform again")
        expected = (len(COEFFICIENTS) + self.sheet.n_cache_terms, self.sheet.n_overhead_terms)
        for fit in self.fits:
            known = (len(fit.coefficients), len(fit.cold_overhead_s))
            if known != expected:
                raise ModelError(
                    f"physics of {fit.family!r}: {known[0]} and {known[1]} coefficients, expected "
                    f"{expected[0]} and {expected[1]}; train the platform again"
                )
        object.__setattr__(self, "_by_key", found)

    def fit_of(self, family: str, operator: float) -> PhysicalFit:
        """The fit for that operator of the family, else the family's, else the generic one."""
        found = self._by_key.get((family, operator)) or self._by_key.get((family, 0.0))
        return found or self._by_key[GENERIC_FAMILY, 0.0]


def physical_terms(table: KernelTable, parameters: DeviceParameters, physics: Physics) -> PhysicalTerms:
    """The physical model of every kernel."""
    refined = refined_terms(table, parameters)
    codes = table.family_index * (len(OPERATORS) + 1) + table.column("operator").astype(np.int64)
    kinds, index = np.unique(codes, return_inverse=True)
    pairs = [divmod(int(kind), len(OPERATORS) + 1) for kind in kinds]
    chosen = [physics.fit_of(table.family_names[family], float(operator)) for family, operator in pairs]
    memory = memory_columns(physics.sheet)
    n_terms = memory.stop + physics.sheet.n_overhead_terms
    numbers = np.array(
        [
            (*fit.coefficients, *fit.cold_overhead_s, fit.sharpness, fit.channel_granule, fit.column_granule)
            for fit in chosen
        ]
    ).reshape(len(chosen), n_terms + 3)[index]
    efficiency = refined.efficiency
    for fill, skips in sorted({(fit.fill, fit.skips_padding) for fit in chosen}):
        if fill or skips:
            alike = np.array([(fit.fill, fit.skips_padding) == (fill, skips) for fit in chosen])[index]
            padding = fill_padding(table, physics.sheet, fill, skips_padding=skips)
            efficiency = np.where(alike, efficiency / padding, efficiency)
    quantities = physical_quantities(
        table, efficiency, numbers[:, n_terms + 1], numbers[:, n_terms + 2], physics.sheet
    )
    parts = quantities * numbers[:, :n_terms]
    plain = np.maximum(np.stack([table.column("input_bytes"), table.column("output_bytes")], axis=1), 1.0)
    return PhysicalTerms(
        fixed_s=parts[:, 0] + parts[:, 1] + parts[:, 2] + parts[:, 3] + parts[:, memory.stop :].sum(axis=1),
        compute_s=parts[:, COMPUTE],
        transfers_s=parts[:, memory],
        padding=quantities[:, [5, 7]] / plain,
        sharpness=numbers[:, n_terms],
        refined=refined,
    )
