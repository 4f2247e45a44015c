"""Schemas: those that ship can be read, others are checked word by word."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from annette.errors import UsageError
from annette.tables.schema import list_schemas, read_schema

sys.path.insert(0, str(Path(__file__).parent))
from made_table import SCHEMA, write_schema


@pytest.mark.parametrize("name", list_schemas())
def test_every_schema_that_ships_can_be_read(name: str) -> None:
    assert read_schema(name).sizes


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("schema_version: 1", "schema_version: 2", "schema_version"),
        ("unit: us", "unit: hours", "latency.unit"),
        ("convolution: Conv", "convolution: Convolve", "operator.names.convolution"),
        ("relu: Relu", "relu: Conv", "kernel.fused.relu"),
        ("in_h: size", "height: size", "does not know height"),
        ('missing: ["?"]', "missing: 3", "missing"),
        ("network: net\noperator", "netwerk: net\noperator", "does not know netwerk"),
        ("operator: {column: type, ", "operator: {", "operator.column"),
        ("description", "*alias", "alias"),
    ],
)
def test_a_wrong_word_is_named_with_its_place(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in SCHEMA
    path = write_schema(tmp_path, SCHEMA.replace(old, new, 1))
    with pytest.raises(UsageError, match=expected.replace(".", r"\.")) as caught:
        read_schema(path)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_schemas_that_ship() -> None:
    with pytest.raises(UsageError, match="tflite-gpu"):
        read_schema("tflite")


def test_devices_are_told_by_their_columns() -> None:
    columns = ("model", "a_latency_s", "a_kernel", "b_latency_s", "b_kernel")
    assert read_schema("tflite-gpu").devices(columns) == ("a", "b")
