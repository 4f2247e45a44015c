"""Numbers to text and back: three digits, the right prefix, no surprise at the seams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.units import (
    format_bytes,
    format_count,
    format_duration,
    format_fraction,
    format_joules,
    format_rate,
    format_seconds,
    parse_joules,
    parse_seconds,
)

SCALES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@given(st.floats(min_value=1e-9, max_value=1e4))
def test_printed_seconds_read_back_to_three_digits(value_s: float) -> None:
    number, unit = format_seconds(value_s).split()
    assert float(number) * SCALES[unit] == pytest.approx(value_s, rel=0.006)


@given(st.floats(min_value=1e-12, max_value=1e4))
def test_printed_joules_read_back_to_three_digits(value_j: float) -> None:
    number, unit = format_joules(value_j).split()
    scale = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "nJ": 1e-9, "pJ": 1e-12}[unit]
    assert float(number) * scale == pytest.approx(value_j, rel=0.006)


@given(st.floats(min_value=1, max_value=9.9e14))
def test_printed_counts_read_back_to_three_digits(value: float) -> None:
    number, _, prefix = format_count(value).partition(" ")
    scale = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[prefix]
    assert float(number) * scale == pytest.approx(value, rel=0.006)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_seconds(0.9999), "1.00 s"),
        (format_seconds(0.000999), "999 us"),
        (format_seconds(25e-9), "25.0 ns"),
        (format_seconds(2e-10), "0.20 ns"),
        (format_joules(0.00099996), "1.00 mJ"),
        (format_joules(3e-13), "0.30 pJ"),
        (format_joules(0), "0 J"),
        (format_bytes(999), "999 B"),
        (format_bytes(1000), "1.00 kB"),
        (format_rate(15.11e9, "B"), "15.1 GB/s"),
        (format_fraction(0.9999), "100.0 %"),
        (format_duration(59.6), "1 min 0 s"),
        (format_duration(3700), "1 h 1 min"),
    ],
)
def test_text_at_the_seams_between_units(text: str, expected: str) -> None:
    assert text == expected


@given(st.floats(min_value=1e-9, max_value=1e4))
def test_a_printed_time_or_energy_is_read_back(value: float) -> None:
    assert parse_seconds(format_seconds(value)) == pytest.approx(value, rel=0.006)
    assert parse_joules(format_joules(value).replace(" ", "")) == pytest.approx(value, rel=0.006)


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("30ms", 0.03),
        ("0.03s", 0.03),
        ("500us", 0.0005),
        ("500 \u00b5s", 0.0005),
        (".5ms", 0.0005),
        ("2.s", 2.0),
    ],
)
def test_times_are_read_as_people_write_them(text: str, expected_s: float) -> None:
    assert parse_seconds(text) == expected_s


@pytest.mark.parametrize(
    "text",
    ["", "30", "ms", "30 m", "30 min", "-3ms", "1e999s", "nan s", "infs", "0ms", "3 0ms", "30MS", "1,5ms"],
)
def test_what_is_no_time_with_a_unit_is_said_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"found .* expected .* as in 30ms") as caught:
        parse_seconds(text)
    assert "\n" not in str(caught.value)
