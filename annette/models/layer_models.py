"""The four layer models of a device, fitted and frozen: asked for whole tables at once, kept as files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.models.data_sheet import DataSheet
from annette.models.features import feature_matrix, feature_names
from annette.models.forest import Forest, read_forest
from annette.models.kernel_table import KernelTable
from annette.models.operator_forests import OPERATOR_KIND, operator_key
from annette.models.parameters import GENERIC_FAMILY, DeviceParameters
from annette.models.physics import PhysicalFit, Physics, physical_terms
from annette.models.ranges import RANGE_COLUMNS, FamilyRange, outside_mask, unseen_mask
from annette.models.roofline import refined_terms, roofline_s
from annette.models.stand_ins import StandIn, borrow_models
from annette.models.target import ENERGY, LATENCY, Target
from annette.store.strict_json import parse_strict_json, shorten

__all__ = ["MODEL_NAMES", "LayerModels"]

MODEL_NAMES = ("roofline", "refined_roofline", "statistical", "mixed")
"""The layer models, from the plainest to the best."""

SCHEMA_VERSION = 1
_MOST = 1e15
"""No kernel takes more seconds or joules, by far."""
INDEX_FILE = "layer_models.json"
_MAX_FOREST_BYTES = 16 * 1024 * 1024

_MAX_LOG_RATIO = 8.0
"""Forests are asked for log-ratios; beyond e**8 a file is damaged rather than a kernel that slow."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerModels:
    """Everything learned about the cost of a device's kernels: their latency, or their energy.

    A family that was measured too seldom, or never, is priced by the generic model: the refined roofline of
    all kernels together, corrected by a forest on operations and bytes.
    """

    parameters: DeviceParameters
    """Readable parameters; they alone make the two rooflines."""
    physics: Physics
    """The smooth model that the forests of the mixed and the generic model correct."""
    contents: Mapping[tuple[str, str], bytes]
    """XGBoost files by (``statistical`` | ``mixed`` | ``generic``, family key); on processors also by
    (``operator``, family key / operator): mixed models of a frequent operator alone."""
    ranges: Mapping[str, FamilyRange]
    """What each family was measured with."""
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    """Errors by family and model, by name: ``mape``, ``bias``, ``time_weighted_error``, ... The forests are
    held out; the parameters and physics under them saw all rows, so small families look too good."""
    stand_ins: Mapping[str, StandIn] = field(default_factory=dict)
    """By family that was measured too seldom for a model of its own: what prices it."""
    _forests: dict[tuple[str, str], Forest] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("contents", "ranges", "scores", "stand_ins"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if ("generic", GENERIC_FAMILY) not in self.contents:
            raise ModelError("layer models: the generic model is missing; train the platform again")
        for family, stand_in in self.stand_ins.items():
            if stand_in.donor != GENERIC_FAMILY and ("mixed", stand_in.donor) not in self.contents:
                raise ModelError(
                    f"layer models: {family!r} is priced as {shorten(stand_in.donor)!r}, unknown"
                )
        families = {
            kind: {family for other, family in self.contents if other == kind}
            for kind in ("mixed", "statistical")
        }
        if families["mixed"] != families["statistical"]:
            odd = ", ".join(sorted(families["mixed"] ^ families["statistical"]))
            raise ModelError(
                f"layer models: {shorten(odd)}: expected a mixed and a statistical model of each family; "
                "train the platform again"
            )

    @property
    def target(self) -> Target:
        """What the models predict."""
        return self.parameters.target

    def predict_s(self, table: KernelTable, model: str) -> NDArray[np.float64]:
        """Seconds of each kernel, shape (n_kernels,); > 0 and finite; a row does not depend on the others.

        Raises
        ------
        ModelError
            For a name that is not in `MODEL_NAMES`, where a file of the models is damaged, and for models of
            energy.
        """
        return self._predict(table, model, LATENCY)

    def predict_j(self, table: KernelTable, model: str) -> NDArray[np.float64]:
        """Joules of each kernel, as `predict_s`; ModelError for models of latency."""
        return self._predict(table, model, ENERGY)

    def _predict(self, table: KernelTable, model: str, target: Target) -> NDArray[np.float64]:
        if target is not self.target:
            raise ModelError(f"layer models: asked for {target.name}, fitted to {self.target.name}")
        if model not in MODEL_NAMES:
            raise ModelError(f"layer model {model!r}, expected one of {', '.join(MODEL_NAMES)}")
        if not len(table):
            return np.empty(0)
        distinct, inverse = _distinct_rows(table)
        with np.errstate(all="ignore"):  # what overflows is found below
            costs = self._predict_distinct(distinct, model)
        if not (costs <= _MOST).all():  # not a number is none of them either
            raise ModelError(
                f"layer models: the {model} model of {target.name} gives a number that is not finite, or "
                "beyond all kernels; the platform is damaged: restore a copy or train it again"
            )
        return costs if inverse is None else costs[inverse]

    def _predict_distinct(self, table: KernelTable, model: str) -> NDArray[np.float64]:
        if model == "roofline":
            return roofline_s(table, self.parameters)
        if model == "refined_roofline":
            return refined_terms(table, self.parameters).total_s
        factor = np.ones(len(table))
        if self.stand_ins:
            table, factor = borrow_models(table, self.stand_ins)
        sheet = self.physics.sheet
        terms = physical_terms(table, self.parameters, self.physics)
        base = roofline_s(table, self.parameters) if model == "statistical" else terms.total_s
        log_ratio = np.zeros(len(table))
        matrix = feature_matrix(model, table, terms, sheet)
        generic = self.generic_mask(table)
        for code, key in enumerate(table.family_names):
            rows = np.flatnonzero((table.family_index == code) & ~generic)
            for kind, name, places in self._forests_of(model, key, table, rows):
                log_ratio[places] = self._forest(kind, name).predict(matrix[places])
        rows = np.flatnonzero(generic)
        if len(rows):
            part = table.take(rows)
            nameless = physical_terms(part.without_families(), self.parameters, self.physics)
            base[rows] = nameless.total_s
            features = feature_matrix("generic", part, nameless)
            log_ratio[rows] = self._forest("generic", GENERIC_FAMILY).predict(features)
        ratio = np.exp(np.clip(log_ratio, -_MAX_LOG_RATIO, _MAX_LOG_RATIO))
        return np.maximum(base * ratio * factor, self.target.least)

    def _forests_of(
        self, model: str, family: str, table: KernelTable, rows: NDArray[np.int64]
    ) -> Iterator[tuple[str, str, NDArray[np.int64]]]:
        """The forests that price these rows of a family: (kind, name, rows) each."""
        operators = table.column("operator")[rows]
        rest = np.ones(len(rows), dtype=bool)
        for code in np.unique(operators) if model == "mixed" else ():
            name = operator_key(family, code)
            if (OPERATOR_KIND, name) in self.contents:
                alike = operators == code
                rest &= ~alike
                yield OPERATOR_KIND, name, rows[alike]
        if rest.any():
            yield model, family, rows[rest]

    def _forest(self, kind: str, family: str) -> Forest:
        """The forest, read from its file when it is first asked for."""
        found = self._forests.get((kind, family))
        if found is None:
            names = feature_names(self.physics.sheet)["mixed" if kind == OPERATOR_KIND else kind]
            found = read_forest(self.contents[kind, family], names)
            self._forests[kind, family] = found
        return found

    def bounds(self, table: KernelTable) -> tuple[str, ...]:
        """What limits each kernel: ``compute``, ``memory``, ``overhead``, or ``host`` where it runs there."""
        with np.errstate(all="ignore"):
            bounds = refined_terms(table, self.parameters).bounds if len(table) else ()
        families = table.families
        return tuple(
            "host" if key.endswith("@host") else bound for bound, key in zip(bounds, families, strict=True)
        )

    def generic_mask(self, table: KernelTable) -> NDArray[np.bool_]:
        """True where a kernel is priced by the generic model, shape (n_kernels,)."""
        known = np.array([("mixed", key) in self.contents for key in table.family_names], dtype=bool)
        return ~known[table.family_index] if len(table) else np.empty(0, dtype=bool)

    def out_of_range_mask(self, table: KernelTable) -> NDArray[np.bool_]:
        """True where a size or an operator type lies outside what the family was measured with."""
        return outside_mask(table, self.ranges)

    def unseen_mask(self, table: KernelTable) -> NDArray[np.bool_]:
        """True where the operator was never measured on its unit, shape (n_kernels,)."""
        return unseen_mask(table, self.ranges)

    def to_files(self) -> dict[str, bytes]:
        """File contents by name: one JSON index and XGBoost's files; equal models give equal bytes."""
        files: dict[str, bytes] = {}
        forests = []
        for kind, family in sorted(self.contents):
            name = f"{kind}.{_slug(family)}.ubj"
            if name in files:
                raise ModelError(f"layer models: two families would share the file {name}")
            files[name] = self.contents[kind, family]
            forests.append({"kind": kind, "family": family, "file": name})
        index = {
            "schema_version": SCHEMA_VERSION,
            "parameters": self.parameters.to_json(),
            "physics": self.target.to_own_names([fit.to_json() for fit in self.physics.fits]),
            "features": {kind: list(names) for kind, names in feature_names(self.physics.sheet).items()},
            "range_columns": list(RANGE_COLUMNS),
            "ranges": {family: item.to_json() for family, item in sorted(self.ranges.items())},
            "scores": {family: dict(models) for family, models in sorted(self.scores.items())},
            "forests": forests,
        }
        if not self.physics.sheet.is_empty:
            index["data_sheet"] = self.physics.sheet.to_json()
        if self.stand_ins:
            index["stand_ins"] = {key: item.to_json() for key, item in sorted(self.stand_ins.items())}
        files[INDEX_FILE] = (json.dumps(index, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
        return files

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> LayerModels:
        """The models that `to_files` wrote. Forests are checked when they are first asked for.

        Raises
        ------
        ModelError
            If a file is missing, damaged, or of another version.
        """
        try:
            index = parse_strict_json(files[INDEX_FILE])
            sheet = DataSheet.from_json(index["data_sheet"]) if "data_sheet" in index else DataSheet()
            _check_index(index, sheet)
            contents = {
                (str(item["kind"]), str(item["family"])): _bounded(files, str(item["file"]))
                for item in index["forests"]
            }
            ranges = {str(key): FamilyRange.from_json(item) for key, item in index["ranges"].items()}
            parameters = DeviceParameters.from_json(index["parameters"])
            laws = parameters.target.from_own_names(index["physics"])
            fits = tuple(PhysicalFit.from_json(item) for item in laws)
            physics = Physics(fits=fits, sheet=sheet)
            return cls(
                parameters=parameters,
                physics=physics,
                contents=contents,
                ranges=ranges,
                scores={
                    str(family): {
                        str(model): {str(name): _figure(value) for name, value in figures.items()}
                        for model, figures in models.items()
                    }
                    for family, models in index["scores"].items()
                },
                stand_ins={
                    str(key): StandIn.from_json(item) for key, item in index.get("stand_ins", {}).items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            if isinstance(err, ModelError):
                raise
            raise ModelError(f"{INDEX_FILE}: {shorten(repr(err))}; train the platform again") from err


def _figure(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):  # a text may say nan
        raise ModelError(f"{INDEX_FILE}: a score of {shorten(repr(value))}, expected a number; train again")
    return float(value)


def _distinct_rows(table: KernelTable) -> tuple[KernelTable, NDArray[np.int64] | None]:
    """The table without repeated kernels, and where each row went; ``None`` where all stay."""
    keyed = np.column_stack([table.family_index.astype(np.float64), table.values])
    packed = np.ascontiguousarray(keyed).view(np.dtype((np.void, keyed.itemsize * keyed.shape[1])))[:, 0]
    _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    if len(first) == len(table):
        return table, None
    return table.take(first), inverse


def _slug(family: str) -> str:
    if family == GENERIC_FAMILY:
        return "all"
    return "".join(letter if letter.isalnum() or letter == "_" else "-" for letter in family)


def _bounded(files: Mapping[str, bytes], name: str) -> bytes:
    content = files[name]
    if len(content) > _MAX_FOREST_BYTES:
        raise ModelError(f"{name}: {len(content)} bytes, expected at most {_MAX_FOREST_BYTES}")
    return bytes(content)


def _check_index(index: Any, sheet: DataSheet) -> None:
    version = index["schema_version"]
    if version != SCHEMA_VERSION:
        raise ModelError(
            f"{INDEX_FILE}: schema version {shorten(repr(version))}, expected {SCHEMA_VERSION}; train again"
        )
    expected = {kind: list(names) for kind, names in feature_names(sheet).items()}
    if index["features"] != expected or index["range_columns"] != list(RANGE_COLUMNS):
        raise ModelError(f"{INDEX_FILE}: trained on other features than this version has; train again")
