"""Descriptions changed by path: every path can be read and set, a wrong one names the nearest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import HardwareError, UsageError
from annette.hardware.codec import list_accelerators, load_accelerator
from annette.hardware.settings import change_accelerator, list_paths, parse_setting, read_setting

PRESETS = [name for name, _ in list_accelerators()]


@settings(max_examples=60, deadline=None)
@given(preset=st.sampled_from(PRESETS), data=st.data())
def test_setting_what_is_there_changes_nothing(preset: str, data: st.DataObject) -> None:
    accelerator = load_accelerator(preset)
    path = data.draw(st.sampled_from(list_paths(accelerator)))
    assert change_accelerator(accelerator, {path: read_setting(accelerator, path)}) == accelerator


@given(factor=st.sampled_from((0.5, 2.0, 4.0)))
def test_what_is_set_can_be_read_again(factor: float) -> None:
    accelerator = load_accelerator("zcu102-dpu")
    for path in ("clock_hz", "external_memory.bandwidth_bytes_per_s", "vector.rates.pool"):
        value = read_setting(accelerator, path)
        assert isinstance(value, float | int)
        changed = change_accelerator(accelerator, {path: value * factor})
        assert read_setting(changed, path) == value * factor
        assert change_accelerator(changed, {path: value}) == accelerator


def test_bits_rules_and_fields_that_were_left_away_have_paths() -> None:
    base = load_accelerator("zcu102-dpu")
    wide = change_accelerator(base, {"precision.weight_bits": 16, "memories[0].read_bytes_per_cycle": 64})
    assert wide.precision.weight_bytes == 2.0
    assert wide.memories[0].read_bytes_per_cycle == 64
    assert change_accelerator(wide, {"memories[0].read_bytes_per_cycle": None}).memories == base.memories
    assert any(path.startswith("compiler.fuse[0].") for path in list_paths(base))


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("rows", "did you mean array.systolic.rows?"),
        ("clockhz", "did you mean clock_hz"),
        ("memories[7].size_bytes", "memories[0].size_bytes"),
        ("array.systolic", "array.systolic.rows or array.systolic.columns"),
        ("array.systolik.columns", "array.systolic.columns"),
        ("zzz", "paths are those of the YAML"),
        ("name", "no such number"),
    ],
)
def test_a_wrong_path_names_the_nearest(path: str, near: str) -> None:
    with pytest.raises(UsageError, match="no such number") as error:
        change_accelerator(load_accelerator("systolic-32x32-ws"), {path: 1})
    assert near in str(error.value)


@pytest.mark.parametrize(
    ("path", "value"), [("clock_hz", -1), ("array.systolic.rows", 1.5), ("array.systolic.dataflow", "XS")]
)
def test_a_wrong_value_is_named_with_its_path(path: str, value: float | str) -> None:
    with pytest.raises(HardwareError, match=path.replace(".", r"\.")):
        change_accelerator(load_accelerator("systolic-32x32-ws"), {path: value})


@given(st.one_of(st.integers(-(10**17), 10**17), st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_are_read_as_they_are_written(value: float) -> None:
    assert parse_setting(repr(value)) == value


@pytest.mark.parametrize("text", ["inf", "-Infinity", "nan", "1e999"])
def test_numbers_that_are_not_finite_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"found {text}, expected a finite number"):
        parse_setting(text)
