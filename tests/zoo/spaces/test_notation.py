"""What the notations of search spaces share: names, fields, numbers, choices."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.zoo.spaces.notation import (
    choice_indices,
    parse_fields,
    parse_numbers,
    require_positive,
    space_name,
)

NUMBERS = st.lists(st.integers(0, 10**9 - 1), min_size=1, max_size=30)


@given(numbers=NUMBERS, brackets=st.booleans(), gap=st.sampled_from(["", " ", "\n"]))
def test_numbers_are_read_with_any_brackets_and_spaces(numbers: list[int], brackets: bool, gap: str) -> None:
    text = f",{gap}".join(map(str, numbers))
    assert parse_numbers("s", f"[{text}]" if brackets else text, len(numbers)) == tuple(numbers)


@given(text=st.text(max_size=30), count=st.integers(1, 5))
def test_text_is_numbers_or_refused(text: str, count: int) -> None:
    with suppress(UsageError):
        assert len(parse_numbers("s", text, count)) == count


@given(fields=st.dictionaries(st.sampled_from("abcde"), st.integers().map(str), min_size=1), data=st.data())
def test_fields_are_read_in_any_order(fields: dict[str, str], data: st.DataObject) -> None:
    keys = data.draw(st.permutations(sorted(fields)))
    text = ";".join(f"{key}={fields[key]}" for key in keys)
    assert parse_fields("s", text, sorted(fields)) == fields


@pytest.mark.parametrize("text", ["", "a=1", "a=1;a=2;b=3", "a=1;b=2;c=3", "a=1;b", "a=1;=2"])
def test_fields_that_are_not_each_given_once_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"s: .* is no architecture, expected a=...;b=..."):
        parse_fields("s", text, ("a", "b"))


@given(values=st.lists(st.sampled_from((3, 5, 7)), max_size=10))
def test_choices_are_found_again(values: list[int]) -> None:
    assert [(3, 5, 7)[index] for index in choice_indices("s", "ks", values, (3, 5, 7))] == values


def test_a_value_that_is_no_choice_is_named() -> None:
    with pytest.raises(UsageError, match=r"s: ks\[1\] is 4, expected one of 3 5 7"):
        choice_indices("s", "ks", (3, 4), (3, 5, 7))


def test_a_name_has_the_parameters_that_are_not_defaults() -> None:
    assert space_name("s", {"a": 1, "b": 2.5}, {"a": 1, "b": 1.0}) == "s,b=2.5"
    assert space_name("s", {"a": 1, "b": 1}, {"a": 1, "b": 1.0}) == "s"


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_numbers_that_are_not_above_zero_are_refused(value: float) -> None:
    with pytest.raises(UsageError, match="s: a="):
        require_positive("s", b=1, a=value)
