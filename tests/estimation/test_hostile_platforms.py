"""Platforms with valid checksums and hostile contents: an answer in seconds > 0, or one line that says no."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import AnnetteError, ModelError, StoreError
from annette.estimation.platform import Platform
from annette.models.features import FEATURE_NAMES
from annette.store.bundle import read_bundle, write_bundle
from annette.zoo.registry import zoo_network

Document = dict[str, Any]
NETWORK = zoo_network("squeezenet1_1")
VALUES = st.sampled_from(
    [None, True, -1, 0, 10**17, 10**400, 1e308, -0.5, "x", "", "../..", "\x1b[31m\n", [], {}, [1], {"a": 1}]
)


@pytest.fixture(scope="module")
def folder(small_platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "small"
    small_platform.save(path)
    return path


def _tampered(folder: Path, manifest: Document | None = None, **files: bytes) -> Path:
    """A copy with other contents and the checksums that fit them; dots in names are written as __."""
    bundle = read_bundle(folder)
    contents = {**bundle.files, **{name.replace("__", "."): data for name, data in files.items()}}
    path = folder.parent / "tampered"
    write_bundle(path, {**bundle.manifest, **(manifest or {})}, contents)
    return path


def _use(path: Path) -> None:
    """Load, estimate and describe; every latency must be a number of seconds."""
    platform = Platform.load(path)
    platform.describe()
    for estimate in platform.estimate_models(NETWORK).values():
        assert all(math.isfinite(kernel.latency_s) and kernel.latency_s > 0 for kernel in estimate.kernels)
        json.dumps(estimate.to_dict(), allow_nan=False)


def _require_refused_or_sound(path: Path) -> None:
    refusal = ""
    try:
        _use(path)
    except AnnetteError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert len(refusal) < 600


def _places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = list(value.items()) if isinstance(value, dict) else []
    inner = list(enumerate(value)) if isinstance(value, list) else inner
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


def _put(document: Any, place: tuple[Any, ...], value: object) -> Any:
    if not place:
        return value
    changed = copy.deepcopy(document)
    target = changed
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    return changed


@pytest.mark.parametrize("name", ["mapping.json", "layer_models.json", "intervals.json"])
@settings(deadline=None, max_examples=60)
@given(data=st.data(), value=VALUES)
def test_any_value_in_any_place_is_refused_or_gives_seconds(
    folder: Path, name: str, data: st.DataObject, value: object
) -> None:
    document = json.loads((folder / name).read_bytes())
    place = data.draw(st.sampled_from(_places(document)))
    text = json.dumps(_put(document, place, value))
    _require_refused_or_sound(_tampered(folder, **{name: text.encode()}))


@settings(deadline=None, max_examples=40)
@given(data=st.data(), value=VALUES.filter(lambda value: value != 10**400))
def test_any_value_in_the_manifest_is_refused_or_harmless(
    folder: Path, data: st.DataObject, value: object
) -> None:
    bundle = read_bundle(folder)
    place = data.draw(st.sampled_from(_places(dict(bundle.manifest))[1:]))
    _require_refused_or_sound(_tampered(folder, _put(dict(bundle.manifest), place, value)))


@pytest.mark.parametrize("name", ["mapping.json", "layer_models.json", "intervals.json"])
@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 200_000,
        "",
        "null",
        "[]",
        "{}",
        "NaN",
        "1e999",
        "9" * 6000,
        "\ufeff{}",
        "\udc80",
    ],
    ids=["deep-list", "deep-object", "empty", "null", "list", "object", "nan", "inf", "long", "bom", "latin"],
)
def test_strange_json_is_one_short_line(folder: Path, name: str, text: str) -> None:
    path = _tampered(folder, **{name: text.encode("utf-8", "surrogateescape")})
    with pytest.raises((ModelError, StoreError)) as caught:
        _use(path)
    assert len(str(caught.value)) < 300


def _rule(document: Document) -> None:
    document["vanish"]["Relu"] = {  # the features of merges ask for an edge, which vanishing does not have
        "feature": "edge_elements", "at_most": 4.0,
        "holds": {"counts": {"vanishes": 1}}, "fails": {"counts": {"stays": 1}},
    }  # fmt: skip


def _missing_model(document: Document) -> None:
    document["forests"] = [item for item in document["forests"] if item["kind"] != "statistical"]


def _overflow(document: Document) -> None:
    for fit in document["physics"]:
        fit["coefficients"]["s_per_op"] = 1e308


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mapping.json", _rule, "edge_elements"),
        ("layer_models.json", _missing_model, "a mixed and a statistical model"),
        ("layer_models.json", _overflow, "not finite"),
    ],
)
def test_contents_that_fit_the_schema_but_not_the_models_are_refused(
    folder: Path, name: str, change: Callable[[Document], None], message: str
) -> None:
    document = json.loads((folder / name).read_bytes())
    change(document)
    with pytest.raises(ModelError, match=message):
        _use(_tampered(folder, **{name: json.dumps(document).encode()}))


@pytest.mark.parametrize("size", [0, -1, 1e308, "two", [], True])
def test_sizes_of_the_device_are_numbers_above_zero(folder: Path, size: object) -> None:
    manifest = dict(read_bundle(folder).manifest)
    path = _tampered(folder, {"device": {**manifest["device"], "weight_bytes": size}})
    with pytest.raises((StoreError, ModelError), match=r"expected numbers > 0|not finite"):
        _use(path)


def _forest(change: Callable[[Document], None]) -> bytes:
    """XGBoost's file of one tree on the mixed features, changed as JSON and written back as UBJSON."""
    names = list(FEATURE_NAMES["mixed"])
    rows = np.random.default_rng(0).random((64, len(names)))
    data = xgboost.DMatrix(rows, label=rows[:, 0], feature_names=names)
    booster = xgboost.train({"max_depth": 2, "nthread": 1, "verbosity": 0}, data, 1)
    document = json.loads(bytes(booster.save_raw("json")))
    change(document["learner"]["gradient_booster"]["model"]["trees"][0])
    return _ubjson(document)


def _ubjson(value: object) -> bytes:
    def length(count: int) -> bytes:
        return b"L" + count.to_bytes(8, "big")

    if isinstance(value, dict):
        items = b"".join(length(len(key)) + key.encode() + _ubjson(item) for key, item in value.items())
        return b"{" + items + b"}"
    if isinstance(value, list):
        numbers = all(isinstance(item, int | float) for item in value)
        if value and numbers:
            is_whole = all(isinstance(item, int) for item in value)
            kind, code = (b"L", ">i8") if is_whole else (b"D", ">f8")
            return b"[$" + kind + b"#" + length(len(value)) + np.array(value, dtype=code).tobytes()
        return b"[" + b"".join(map(_ubjson, value)) + b"]"
    if isinstance(value, str):
        return b"S" + length(len(value)) + value.encode()
    return b"D" + np.array(float(value), dtype=">f8").tobytes()  # type: ignore[arg-type]


def _cycle(tree: Document) -> None:
    tree["left_children"] = tree["right_children"] = [0] * len(tree["left_children"])


def _far_feature(tree: Document) -> None:
    tree["split_indices"] = [10_000] * len(tree["split_indices"])


def _far_child(tree: Document) -> None:
    tree["left_children"][0] = 10**6


def _no_numbers(tree: Document) -> None:
    tree["split_conditions"] = [math.nan] * len(tree["split_conditions"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_cycle, "deeper than"),
        (_far_feature, "feature that it does not have"),
        (_far_child, "node that it does not have"),
        (_no_numbers, "not finite"),
    ],
    ids=["cycle", "feature", "child", "nan"],
)
def test_trees_that_cannot_be_are_refused(
    folder: Path, change: Callable[[Document], None], message: str
) -> None:
    path = _tampered(folder, **{"mixed.conv.ubj": _forest(change)})
    with pytest.raises(ModelError, match=message):
        _use(path)


def test_an_untouched_tree_is_accepted(folder: Path) -> None:
    _use(_tampered(folder, **{"mixed.conv.ubj": _forest(lambda tree: None)}))


def test_platform_lists_survive_a_deep_manifest(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from annette.estimation.catalogue import list_platforms

    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "manifest.json").write_text("[" * 100_000)
    monkeypatch.setattr("annette.estimation.catalogue.resource_folder", lambda kind: tmp_path)
    assert list_platforms()[0][1].startswith("not usable")
