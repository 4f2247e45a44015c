"""Tables of energies and areas: complete or absent, in joules and square millimetres, by one rule."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from annette.errors import HardwareError
from annette.hardware.accelerator import Accelerator
from annette.hardware.checks import FieldFault
from annette.hardware.codec import (
    accelerator_from_yaml,
    accelerator_id,
    accelerator_to_yaml,
    list_accelerators,
    load_accelerator,
)
from annette.hardware.energy import AreaTable, EnergyTable, sram_j_per_byte, sram_mm2

DEVICE = "systolic-32x32-ws"
WITH_TABLE = [name for name, _ in list_accelerators() if load_accelerator(name).energy is not None]


def test_tables_survive_the_way_through_yaml() -> None:
    device = load_accelerator(DEVICE)
    assert accelerator_from_yaml(accelerator_to_yaml(device), "copy") == device
    assert accelerator_id(device) != accelerator_id(bare(device))


def bare(device: Accelerator) -> Accelerator:
    """The accelerator without its tables."""
    memories = tuple(
        replace(item, read_j_per_byte=None, write_j_per_byte=None, area_mm2=None) for item in device.memories
    )
    return replace(device, energy=None, area=None, memories=memories)


def test_a_description_without_tables_says_nothing_of_them() -> None:
    text = accelerator_to_yaml(bare(load_accelerator(DEVICE)))
    assert not re.search(r"energy|area|_j\b|_j_per_byte|mm2", text)
    assert bare(load_accelerator(DEVICE)).area_mm2 is None


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("energy", "mac_pj"), 0.3, r"energy.mac_pj: unknown key"),
        (("energy", "mac_j"), 0.3, r"energy.mac_j: found 0.3, expected a number >= 0 and <= 1e-06"),
        (("energy", "external_j_per_byte"), -1e-12, r"energy.external_j_per_byte: found -1e-12"),
        (("memories", 1, "read_j_per_byte"), 10.0, r"memories\[1\].read_j_per_byte: found 10.0"),
        (("memories", 2, "area_mm2"), 77093.0, r"memories\[2\].area_mm2: found 77093.0"),
        (("area", "mac_mm2"), 1239.5, r"area.mac_mm2: found 1239.5"),
    ],
)
def test_a_number_in_another_unit_is_refused(keys: tuple[str | int, ...], value: float, message: str) -> None:
    document = yaml.safe_load(accelerator_to_yaml(load_accelerator(DEVICE)))
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(HardwareError, match=message):
        accelerator_from_yaml(yaml.safe_dump(document), "device.yaml")


def test_a_table_is_whole_or_not_there() -> None:
    device = load_accelerator(DEVICE)
    assert device.energy is not None
    for key in ("read_j_per_byte", "write_j_per_byte", "area_mm2"):
        memories = (replace(device.memories[0], **{key: None}), *device.memories[1:])
        with pytest.raises(FieldFault, match=rf"memories\[0\].{key}: missing beside"):
            replace(device, memories=memories)
    with pytest.raises(FieldFault, match=r"memories\[0\].read_j_per_byte: found without energy"):
        replace(device, energy=None)
    with pytest.raises(FieldFault, match=r"memories\[0\].area_mm2: found without area"):
        replace(device, area=None)
    with pytest.raises(FieldFault, match=r"energy.host_w: missing beside host"):
        replace(device, energy=replace(device.energy, host_w=None))
    with pytest.raises(FieldFault, match=r"energy.vector_buffer_j_per_byte: missing beside vector"):
        replace(device, energy=replace(device.energy, vector_buffer_j_per_byte=None))


def test_tables_refuse_what_is_no_number() -> None:
    with pytest.raises(FieldFault, match="mac_j: found nan"):
        EnergyTable(
            mac_j=math.nan, register_j_per_byte=0.0, external_j_per_byte=0.0, vector_op_j=0.0, leakage_w=0.0
        )
    with pytest.raises(FieldFault, match="other_mm2: found -1"):
        AreaTable(mac_mm2=0.0, other_mm2=-1.0)


def test_area_is_that_of_all_parts() -> None:
    device = load_accelerator(DEVICE)
    assert device.area is not None
    assert device.area_mm2 == pytest.approx(1024 * device.area.mac_mm2 + 3 * 5.014 + device.area.other_mm2)


@pytest.mark.parametrize(
    ("kib", "published_pj", "tolerance"), [(8, 10, 0.001), (32, 20, 0.001), (1024, 100, 0.14)]
)
def test_the_rule_meets_the_published_accesses_of_64_bits(
    kib: int, published_pj: float, tolerance: float
) -> None:
    assert 8e12 * sram_j_per_byte(kib * 1024) == pytest.approx(published_pj, rel=tolerance)


@pytest.mark.parametrize(("words", "published_um2"), [(1024, 77_093), (12_800, 979_377)])
def test_the_rule_meets_the_published_areas(words: int, published_um2: float) -> None:
    assert 1e6 * sram_mm2(words * 8) == pytest.approx(published_um2, rel=0.02)


@given(size=st.floats(1, 1e9), factor=st.floats(1.001, 1000))
def test_a_larger_memory_costs_more_an_access_but_less_than_in_proportion(size: float, factor: float) -> None:
    assert 1 < sram_j_per_byte(size * factor) / sram_j_per_byte(size) < factor
    assert sram_mm2(size * factor) == pytest.approx(factor * sram_mm2(size))


@pytest.mark.parametrize("size", [0, -1, math.inf, math.nan])
def test_a_memory_of_no_size_has_no_cost(size: float) -> None:
    with pytest.raises(HardwareError, match="expected a finite size"):
        sram_j_per_byte(size)
    with pytest.raises(HardwareError, match="expected a finite size"):
        sram_mm2(size)


@pytest.mark.parametrize("name", WITH_TABLE)
def test_the_memories_of_presets_follow_the_rule(name: str) -> None:
    """One process for all, unless a source of its own says otherwise."""
    device = load_accelerator(name)
    sources = {item.path: item.source for item in device.provenance}
    assert device.energy is not None
    for index, memory in enumerate(device.memories):
        assert memory.read_j_per_byte is not None
        assert sources[f"memories[{index}].read_j_per_byte"]
        if "rule" in sources[f"memories[{index}].read_j_per_byte"]:
            assert memory.read_j_per_byte == pytest.approx(sram_j_per_byte(memory.size_bytes), rel=0.01)
            assert memory.write_j_per_byte in (memory.read_j_per_byte, 0.0)  # 0: written elsewhere
        if memory.area_mm2:  # 0 where it is part of another
            assert memory.area_mm2 == pytest.approx(sram_mm2(memory.size_bytes), rel=0.01)
    for key in ("mac_j", "register_j_per_byte", "external_j_per_byte", "vector_op_j", "leakage_w"):
        assert sources[f"energy.{key}"], key
    if device.area_mm2 is not None and "1 mW a mm2" in sources["energy.leakage_w"]:
        assert device.energy.leakage_w == pytest.approx(0.001 * device.area_mm2, rel=0.02)
