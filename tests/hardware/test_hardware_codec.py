"""Descriptions of accelerators: what is read, what is refused and how the message leads to the fault."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import HardwareError, UsageError
from annette.hardware.accelerator import Accelerator, Unroll
from annette.hardware.checks import FieldFault
from annette.hardware.codec import (
    accelerator_from_yaml,
    accelerator_id,
    accelerator_to_yaml,
    is_preset,
    list_accelerators,
    load_accelerator,
)

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
PRESETS = [name for name, _ in list_accelerators()]


@cache
def preset_text(name: str) -> str:
    return json.dumps(yaml.safe_load(accelerator_to_yaml(load_accelerator(name))))


def preset_data(name: str = "zcu102-dpu") -> dict[str, Any]:
    """A preset as plain values, to be damaged."""
    data = json.loads(preset_text(name))
    assert isinstance(data, dict)
    return data


def changed(path: str, value: object) -> str:
    """A preset as YAML with one value replaced (or removed, for ``...``)."""
    data: Any = preset_data()
    node = data
    *parents, last = [int(key) if key.isdigit() else key for key in re.findall(r"\w+", path)]
    for key in parents:
        node = node[key]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return yaml.safe_dump(data)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_written_and_read_again_is_equal(name: str) -> None:
    accelerator = load_accelerator(name)
    assert accelerator_from_yaml(accelerator_to_yaml(accelerator), "again") == accelerator


@pytest.mark.parametrize("name", PRESETS)
def test_every_source_is_named_and_assumed_numbers_are_listed(name: str) -> None:
    accelerator = load_accelerator(name)
    assert all(item.source for item in accelerator.provenance)
    assert "array.launch_s" in accelerator.assumed_fields
    file = resources.files("annette.hardware").joinpath("presets", f"{name}.yaml")
    assert len(accelerator.assumed_fields) == file.read_text(encoding="utf-8").count("assumed: true")


def test_the_presets_are_different_machines() -> None:
    dpu, stick = load_accelerator("zcu102-dpu"), load_accelerator("ncs2")
    assert dpu.host is not None
    assert stick.host is None
    assert dpu.precision.activation_bytes == 1
    assert stick.precision.activation_bytes == 2
    assert dpu.peak_ops_per_s == pytest.approx(4096 * dpu.clock_hz)
    assert accelerator_id(dpu) != accelerator_id(stick)


def test_the_calibrated_preset_holds_what_the_recorded_study_found() -> None:
    found = {
        item["name"]: item["found"]
        for item in json.loads((RESULTS / "calibrate_zcu102.json").read_text())["parameters"]
    }
    dpu = load_accelerator("zcu102-dpu")
    assert found == {
        "clock_hz": dpu.clock_hz,
        "bandwidth_bytes_per_s": dpu.external_memory.bandwidth_bytes_per_s,
        "latency_s": dpu.external_memory.latency_s,
        "pass_cycles": dpu.array.pass_cycles,
        "tile_cycles": dpu.array.tile_cycles,
        "launch_s": dpu.array.launch_s,
    }


def test_the_calibrated_gates_are_the_recorded_ones() -> None:
    study = json.loads((RESULTS / "calibrate_zcu102_networks.json").read_text())
    vector = load_accelerator("zcu102-dpu").vector
    assert vector is not None
    assert vector.channel_blocks is not None
    assert vector.channel_blocks.start_cycles == study["parameters"]["start_cycles"]
    assert vector.channel_blocks.run_cycles == study["parameters"]["run_cycles"]
    assert study["held_out"]["after"]["all"]["spearman"] > 0.99
    assert study["held_out"]["after"]["all"]["mape"] < study["held_out"]["before"]["all"]["mape"] / 5


def test_the_id_follows_what_a_description_says_and_not_its_name() -> None:
    accelerator = load_accelerator("ncs2")
    assert accelerator_id(replace(accelerator, name="other", description="")) == accelerator_id(accelerator)
    assert accelerator_id(replace(accelerator, clock_hz=1e9)) != accelerator_id(accelerator)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("memories[1].size_bytes", -3, r"memories\[1\].size_bytes: found -3, expected an integer > 0"),
        ("memories[1].size_bytes", 2.5, r"memories\[1\].size_bytes: found 2.5, expected an integer"),
        ("memories[0].holds", ["input"], r"memories: found memories for input, weight, expected exactly one"),
        ("memories[0].holds", ["inputs"], r"memories\[0\].holds: found 'inputs', expected some of input"),
        ("clock_hz", "281e6", r"clock_hz: found '281e6', expected a number; write powers of ten as"),
        ("clock_hz", float("nan"), r"clock_hz: found nan, expected a number >= 1 and"),
        ("clock_hz", ..., r"clock_hz: missing, expected a value"),
        ("array.unrol", {}, r"array.unrol: unknown key; did you mean 'unroll'\?"),
        ("array.unroll.out_hh", 3, r"array.unroll.out_hh: unknown key; did you mean 'out_h'\?"),
        ("array.unroll.out_h", 0, r"array.unroll.out_h: found 0, expected an integer >= 1"),
        ("array.unroll", 3, r"array.unroll: found 3, expected a mapping"),
        ("precision.activation_bits", 0, r"precision.activation_bits: found 0, expected bits from 1 to 128"),
        ("precision.activation_byte", 1, r"precision.activation_byte: unknown key"),
        ("compiler.placement[0].unit", "gpu", r"compiler.placement\[0\].unit: found 'gpu', expected one of"),
        ("compiler.fuse[0].layers", [], r"compiler.fuse\[0\].layers: found none"),
        ("compiler.placement", [], r"compiler.placement: found no rule"),
        ("compiler.placement[0].when", {"kernel": 3}, r"when.kernel: unknown feature"),
        (
            "vector",
            None,
            r"compiler.placement\[4\].unit: found 'vector', expected a unit the description has",
        ),
        ("external_memory.layout", "nchw", r"external_memory.layout: found 'nchw', expected channels_last"),
        ("noise.outlier_factor", 0.5, r"noise.outlier_factor: found 0.5, expected a number >= 1"),
        ("schema_version", 2, r"schema_version: found 2, expected 1"),
        ("name", 3, r"name: found 3, expected text"),
        ("clock_hz", {"value": 1e9, "sorce": "x"}, r"clock_hz.sorce: unknown key, expected value, source"),
        (
            "clock_hz",
            {"value": 1e9, "assumed": "yes"},
            r"clock_hz.assumed: found 'yes', expected true or false",
        ),
    ],
)
def test_a_fault_is_named_with_its_path_what_was_found_and_what_was_expected(
    path: str, value: object, message: str
) -> None:
    with pytest.raises(HardwareError, match=f"^npu.yaml: .*{message}"):
        accelerator_from_yaml(changed(path, value), "npu.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x\n", "alias"),
        ("a: 1\na: 2\n", "line 2: found key 'a' twice"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: [1, 2", "npu.yaml: line"),
        ("[" * 20_000, "nested too deeply"),
        ("a: " + "x" * 300_000, "expected at most 200000"),
        ("- 1", "found a list, expected a mapping"),
        ("", "found nothing, expected a mapping"),
        ("\x00", "npu.yaml"),
        ("clock_hz: " + "9" * 5000, "npu.yaml"),
        ("clock_hz: 0x" + "f" * 4000, "line 1: found an integer beyond 9223372036854775807"),
        ("a: !!timestamp x", "not YAML"),
        ("a: !!int ''", "not YAML"),
    ],
    ids=[
        "alias",
        "doubled",
        "object",
        "open",
        "deep",
        "long",
        "list",
        "empty",
        "binary",
        "digits",
        "hexadecimal",
        "date",
        "integer",
    ],
)
def test_hostile_or_broken_text_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(HardwareError) as caught:
        accelerator_from_yaml(text, "npu.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


PATHS = sorted(
    f"{outer}.{inner}" if inner else outer
    for outer, value in preset_data().items()
    for inner in (["", *value] if isinstance(value, dict) else [""])
)
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(path=st.sampled_from(PATHS), value=JUNK)
def test_whatever_stands_in_a_field_gives_an_accelerator_or_a_hardware_error(
    path: str, value: object
) -> None:
    with suppress(HardwareError):
        assert isinstance(accelerator_from_yaml(changed(path, value), "npu.yaml"), Accelerator)


def test_a_number_may_carry_its_source_anywhere(tmp_path: Path) -> None:
    data = preset_data()
    data["array"]["unroll"]["out_h"] = {"value": 4, "source": "a guess", "assumed": True}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    accelerator = load_accelerator(path)
    assert accelerator.array.unroll.out_h == 4
    assert accelerator.assumed_fields == ("array.unroll.out_h",)


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("systolic-8x8", "systolic-8x8-ws"),
        ("systolic-8X16-OS", "systolic-8x16-os"),
        ("systolic-8x16-rs", "systolic-8x16-ws"),
        ("systolic-big", "systolic-32x32-ws"),
    ],
)
def test_a_systolic_array_in_other_words_is_told_how_it_is_written(name: str, example: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"expected systolic-RxC-os|ws|is, as in {example}")):
        load_accelerator(name)
    assert is_preset(example)


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'zcu102-dpu'"):
        load_accelerator("zcu102")
    with pytest.raises(UsageError, match=r"presets: .*ncs2.*zcu102-dpu"):
        load_accelerator("/nowhere/at/all.yaml")


def test_what_is_no_file_is_a_wrong_call_and_a_file_is_read_no_further_than_needed(tmp_path: Path) -> None:
    for name in (tmp_path, "a" * 5000, "x/" * 3000, "\0", ""):
        with pytest.raises(UsageError, match="neither a preset nor a YAML file"):
            load_accelerator(name)
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(HardwareError, match=r"^large.yaml: found a larger file, expected at most 200000"):
        load_accelerator(large)
    large.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HardwareError, match=r"^large.yaml: cannot be read: .*UTF-8"):
        load_accelerator(large)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"kernel_h": "three"}, r"one_of: found 'three', expected a number for kernel_h"),
        ({"mode": 3}, r"one_of: found 3, expected text for mode"),
        ({"mode": {"minimum": 3}}, r"minimum: found 3.0 for mode, expected one_of"),
        ({"rank": {"maximum": float("nan")}}, r"maximum: found nan for rank, expected a number"),
    ],
)
def test_a_condition_that_could_never_be_told_is_refused(condition: object, message: str) -> None:
    rules = [{"unit": "array", "layers": ["Conv"], "when": condition}]
    with pytest.raises(HardwareError, match=message):
        accelerator_from_yaml(changed("compiler.placement", rules), "npu.yaml")


def test_the_peak_is_that_of_the_wider_unroll() -> None:
    dpu = load_accelerator("zcu102-dpu")
    wide = replace(dpu.array, depthwise_unroll=Unroll(groups=4096))
    assert replace(dpu, array=wide).peak_ops_per_s == 2 * 4096 * dpu.clock_hz


def test_a_wrong_object_cannot_be_made_in_code_either() -> None:
    with pytest.raises(FieldFault, match="out_h: found 0"):
        Unroll(out_h=0)


def test_a_mistyped_operator_is_refused_and_an_unknown_one_is_the_users_own() -> None:
    with pytest.raises(HardwareError, match="did you mean 'Gemm'"):
        accelerator_from_yaml(changed("compiler.placement[2].layers", ["Gem"]), "npu.yaml")
    kept = accelerator_from_yaml(changed("compiler.placement[2].layers", ["MyOwnThing"]), "npu.yaml")
    assert kept.compiler.placement[2].layers == ("MyOwnThing",)


def test_a_name_is_one_printable_line() -> None:
    with pytest.raises(HardwareError, match="one line of printable"):
        accelerator_from_yaml(changed("name", "a\nb"), "npu.yaml")
