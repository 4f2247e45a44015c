"""JSON of strangers: values, or a ValueError in one short line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.store.strict_json import parse_strict_json, shorten

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_what_python_writes_is_read(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert parse_strict_json(text) == value
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert parse_strict_json(text.encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_one_short_line(content: bytes) -> None:
    text = ""
    try:
        parse_strict_json(content)
    except ValueError as err:
        text = str(err)
    assert len(text) < 250
    assert "\n" not in text


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "-1e999", "9" * 19, "9" * 9999, "[" * 99999])
def test_numbers_beyond_64_bits_and_deep_nesting_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not readable as JSON"):
        parse_strict_json(text)


@given(st.text(), st.integers(4, 50))
def test_short_texts_are_short_and_on_one_line(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    assert len(short.splitlines()) <= 1
