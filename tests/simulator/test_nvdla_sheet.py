"""NVDLA's performance sheet: its own cells, monotony, one by one, and what cannot be."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from annette.errors import HardwareError
from annette.simulator.nvdla_description import (
    LAYER_KINDS,
    Nvdla,
    Placement,
    SecondMemory,
    SheetLayer,
    stack_layers,
)
from annette.simulator.nvdla_sheet import SheetResult, evaluate_sheet, place_layers, shared_batches

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "data" / "nvdla"
FULL = Nvdla(macs_per_cycle=2048, buffer_bytes=512 * 1024, clock_hz=1e9, dram_bytes_per_s=10e9)
ALEXNET = FULL
RESNET50 = dataclasses.replace(FULL, kernel_granule=128, traffic="refetch")
CVSRAM = SecondMemory(size_bytes=4 << 20, read_bytes_per_s=25e9, write_bytes_per_s=25e9)
TITLES = {
    "in_channels": "#input feature maps C",
    "in_h": "Input Height H",
    "in_w": "Input Width W",
    "out_channels": "#output feature maps K",
    "kernel_h": "Filter Height R",
    "kernel_w": "Filter Width S",
    "stride_h": "Vertical  Conv Srtide H",
    "stride_w": "Horizontal Conv  Stride V",
    "out_h": "Height after Conv P",
    "out_w": "Width after Conv Q",
}
Rows = list[dict[str, str]]


def _read(name: str) -> tuple[Rows, Rows]:
    """The rows of layers and those below; of two columns with one title the later one is ``TITLE (2)``."""
    path = GOLDEN / f"{name}.csv"
    if not path.exists():
        pytest.skip("the cells of NVDLA's performance sheet are not at hand")
    with path.open(encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    seen = [header[:index].count(title) + 1 for index, title in enumerate(header)]
    titles = [
        title if count == 1 else f"{title} ({count})" for title, count in zip(header, seen, strict=True)
    ]
    rows = [dict(zip(titles, line, strict=True)) for line in lines]
    layers = [row for row in rows if row.get("Layer attribute", "conv")]
    return layers, [row for row in rows if row not in layers]


def _layer(row: dict[str, str]) -> SheetLayer:
    sizes: dict[str, Any] = {field: int(row[title]) for field, title in TITLES.items()}
    return SheetLayer(
        name=row["Layer"],
        kind=row["Layer attribute"].replace("elwise", "eltwise"),
        is_padded=row["Zero Padding Z"] == "True",
        stored_h=int(row["Height after Pooling A"]),
        stored_w=int(row["Height after Pooling B"]),
        **sizes,
    )


def _require_equal(found: SheetResult, rows: Rows, titles: dict[str, str]) -> None:
    """Each of our columns equals the sheet's column of that title."""
    ours = found.columns()
    for mine, theirs in titles.items():
        cells = [row[theirs] for row in rows]
        if isinstance(ours[mine][0], str):
            assert ours[mine] == cells, mine
        else:
            assert ours[mine] == pytest.approx([float(cell) for cell in cells], rel=1e-12, abs=0), mine


SIZES = {
    title: title
    for title in (
        "Calculation",
        "Input data size",
        "Min input data size",
        "Output data size",
        "Weight data size",
        "Min weight data size",
    )
}


def _footer(found: SheetResult, footer: Rows, title: str) -> None:
    cells = [row[title] for row in footer]
    total = found.total_cycles
    assert [float(cell) for cell in cells[:3]] == pytest.approx([total, total / 1e6, found.frames_per_s])
    assert [float(cell) for cell in cells[3:]] == pytest.approx(
        [found.hardware_efficiency, found.network_efficiency], rel=1e-12
    )


def test_every_cell_of_alexnet_without_second_memory() -> None:
    rows, footer = _read("AlexNet")
    layers = [_layer(row) for row in rows]
    found = evaluate_sheet(layers, ALEXNET)
    cycles = {"DRAM Cycles": "DRAM Cycles (2)", "MAC cycles": "MAC Cycles", "MAX Cycles": "MAX Cycle"}
    _require_equal(found, rows, SIZES | cycles | {"DRAM Traffic": "DRAM Traffic (2)"})
    _require_equal(found, rows, {"Long Pole": "Long Pole (2)"})
    assert [str(layer.is_winograd) for layer in layers] == [row["Winograd"] for row in rows]
    assert found.total_cycles == 895_443.5625
    _footer(found, footer, "MAX Cycle")


def test_every_cell_of_resnet50_without_second_memory() -> None:
    rows, footer = _read("ResNet50")
    layers = [_layer(row) for row in rows]
    found = evaluate_sheet(layers, RESNET50)
    cycles = {"DRAM Cycles": "DRAM Cycles (2)", "MAC cycles": "MAC Cycles", "MAX Cycles": "MAX Cycle"}
    _require_equal(found, rows, SIZES | cycles | {"DRAM Traffic": "DRAM Traffic (2)"})
    _require_equal(found, rows, {"Long Pole": "Long Pole (2)", "Smaller sized": "Smaller sized"})
    assert [str(layer.is_winograd) for layer in layers] == [row["Winograd"] for row in rows]
    assert found.total_cycles == 7_113_691
    _footer(found, footer, "MAX Cycle")
    once = evaluate_sheet(layers, dataclasses.replace(RESNET50, traffic="once"))
    _require_equal(once, rows, {"DRAM Traffic": "DRAM Traffic (3)"})


def test_every_cell_of_alexnet_with_second_memory() -> None:
    rows, footer = _read("AlexNet")
    layers = [_layer(row) for row in rows]
    npu = dataclasses.replace(ALEXNET, second_memory=CVSRAM)
    cells = [row["SRAM Batching size"] for row in rows]
    assert shared_batches(layers, npu).tolist()[:8] == [int(cell) for cell in cells[:8]]
    assert cells[8:] == ["", "", ""]
    placement = place_layers(layers, npu)
    assert placement.weight_batch == (18,) * 8 + (16,) * 3
    by_hand = dataclasses.replace(placement, weight_batch=(18, 16) + (18,) * 6 + (16,) * 3)
    found = evaluate_sheet(layers, npu, by_hand)
    second = {
        "CVSRAM Read Traffic": "SRAM Read Traffic",
        "CVSRAM Read Cycles": "SRAM Read Cycles",
        "CVSRAM Write Traffic": "CRAM Write Traffic",
        "CVSRAM Write Cycles": "SRAM Write Cycles",
    }
    same = ("DRAM Traffic", "DRAM Cycles", "MAC cycles", "MAX Cycles", "Long Pole")
    _require_equal(found, rows, second | {title: title for title in same})
    assert found.total_cycles == 591_475.5625
    _footer(found, footer, "MAX Cycles")


def test_every_cell_of_resnet50_with_second_memory() -> None:
    rows, footer = _read("ResNet50")
    layers = [_layer(row) for row in rows]
    npu = dataclasses.replace(RESNET50, kernel_granule=16, second_memory=CVSRAM)
    placement = place_layers(layers, npu)
    assert {
        batch for batch, layer in zip(placement.weight_batch, layers, strict=True) if layer.kind != "fc"
    } == {1}
    spilled = tuple(index >= 6 and layer.kind != "fc" for index, layer in enumerate(layers))
    found = evaluate_sheet(layers, npu, dataclasses.replace(placement, output_in_dram=spilled))
    same = ("DRAM Traffic", "DRAM Cycles", "MAC cycles", "MAX Cycles", "Long Pole")
    second = [f"CVSRAM {way} {what}" for way in ("Read", "Write") for what in ("Traffic", "Cycles")]
    _require_equal(found, rows, {title: title for title in (*same, *second)})
    assert found.total_cycles == 5_161_544
    _footer(found, footer, "MAX Cycles")


def test_the_frames_per_second_of_all_seven_configurations() -> None:
    layers = [_layer(row) for row in _read("ResNet50")[0]]
    for row in _read("primer_table")[0]:
        npu = Nvdla(
            macs_per_cycle=int(row["macs"]),
            buffer_bytes=int(row["cbuf_kb"]) * 1024,
            clock_hz=float(row["clock_mhz"]) * 1e6,
            dram_bytes_per_s=float(row["sdram_gbps"]) * 1e9,
            kernel_granule=128,
            traffic="refetch",
        )
        printed = row["resnet50_int8_fps"]
        digits = len(printed.partition(".")[2])
        assert f"{evaluate_sheet(layers, npu).frames_per_s:.{digits}f}" == printed


CHANNELS = st.integers(1, 600)
PLANES = st.integers(1, 60)


@st.composite
def _layers(draw: st.DrawFn) -> SheetLayer:
    kind = draw(st.sampled_from(LAYER_KINDS))
    kernel = draw(st.sampled_from((1, 3, 5, 7)))
    height, width, stride = draw(PLANES), draw(PLANES), draw(st.integers(1, 3))
    pooling = draw(st.sampled_from((1, 2)))
    if kind == "fc":
        stride, pooling = 1, 1
    out_h, out_w = -(-height // stride), -(-width // stride)
    return SheetLayer(
        name="layer",
        kind=kind,
        in_channels=draw(CHANNELS),
        in_h=height,
        in_w=width,
        out_channels=draw(CHANNELS),
        kernel_h=kernel,
        kernel_w=kernel,
        stride_h=stride,
        stride_w=stride,
        is_padded=draw(st.booleans()) or kernel > min(height, width),
        out_h=out_h,
        out_w=out_w,
        stored_h=-(-out_h // pooling),
        stored_w=-(-out_w // pooling),
    )


SHEETS = st.lists(_layers(), min_size=1, max_size=6)
NPUS = st.sampled_from((ALEXNET, RESNET50, dataclasses.replace(FULL, element_bytes=2, traffic="refetch")))


@given(SHEETS, NPUS)
def test_a_batch_of_layers_equals_one_by_one(layers: list[SheetLayer], npu: Nvdla) -> None:
    together = evaluate_sheet(layers, npu)
    for index, layer in enumerate(layers):
        alone = evaluate_sheet([layer], npu)
        assert alone.ceilings.cycles[0].tolist() == together.ceilings.cycles[index].tolist()
        assert alone.dram_bytes[0] == together.dram_bytes[index]
    again = evaluate_sheet(stack_layers(layers), npu)
    assert again.ceilings.cycles.tolist() == together.ceilings.cycles.tolist()


@given(
    SHEETS,
    NPUS,
    st.sampled_from(("macs_per_cycle", "buffer_bytes", "dram_bytes_per_s", "fully_connected_batch")),
    st.integers(1, 5),
)
def test_more_of_anything_is_never_slower(
    layers: list[SheetLayer], npu: Nvdla, field: str, factor: int
) -> None:
    more = dataclasses.replace(npu, **{field: getattr(npu, field) * factor})
    fast, slow = evaluate_sheet(layers, more).ceilings, evaluate_sheet(layers, npu).ceilings
    assert (fast.layer_cycles <= slow.layer_cycles).all()


@given(SHEETS, st.floats(1, 8), st.floats(1, 8))
def test_a_faster_second_memory_is_never_slower(
    layers: list[SheetLayer], reading: float, writing: float
) -> None:
    faster = dataclasses.replace(
        CVSRAM,
        read_bytes_per_s=CVSRAM.read_bytes_per_s * reading,
        write_bytes_per_s=CVSRAM.write_bytes_per_s * writing,
    )
    slow, fast = (
        evaluate_sheet(layers, dataclasses.replace(FULL, second_memory=memory)) for memory in (CVSRAM, faster)
    )
    assert fast.total_cycles <= slow.total_cycles


@given(SHEETS, NPUS)
def test_bounds_are_kept(layers: list[SheetLayer], npu: Nvdla) -> None:
    found = evaluate_sheet(layers, npu)
    slow = evaluate_sheet(layers, dataclasses.replace(npu, uses_winograd=False))
    padded = slow.ceilings.cycles[:, 0] * npu.macs_per_cycle
    floor = [layer.in_channels * layer.out_channels for layer in layers]
    assert (padded >= floor).all()
    assert (slow.ceilings.cycles[:, 0] >= found.ceilings.cycles[:, 0]).all()
    once = evaluate_sheet(layers, dataclasses.replace(npu, traffic="once", fully_connected_batch=1))
    try:
        again = evaluate_sheet(layers, dataclasses.replace(npu, traffic="refetch", fully_connected_batch=1))
    except HardwareError:  # refused: an input that has to stay does not fit the buffer
        reject()
    assert (again.dram_bytes >= once.dram_bytes).all(), "reading again never moves less"


def _conv(**changes: Any) -> SheetLayer:
    fields: dict[str, Any] = {
        "name": "conv", "in_channels": 64, "in_h": 56, "in_w": 56, "out_channels": 64, "kernel_h": 3,
        "kernel_w": 3, "out_h": 56, "out_w": 56, "stored_h": 56, "stored_w": 56, **changes,
    }  # fmt: skip
    return SheetLayer(**fields)


def test_winograd_is_given_or_derived() -> None:
    assert _conv().is_winograd
    assert not _conv(winograd=False).is_winograd
    assert not _conv(stride_h=2).is_winograd
    assert not _conv(kernel_w=1).is_winograd
    assert not _conv(kind="fc").is_winograd


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"macs_per_cycle": 0}, "nvdla: macs_per_cycle: found 0, expected an integer >= 1"),
        ({"macs_per_cycle": 2.0}, r"nvdla: macs_per_cycle: found 2\.0, expected an integer"),
        ({"buffer_bytes": 0}, "nvdla: buffer_bytes: found 0, expected an integer > 0"),
        ({"clock_hz": float("nan")}, "nvdla: clock_hz: found nan, expected a number > 0"),
        ({"dram_bytes_per_s": -1.0}, r"nvdla: dram_bytes_per_s: found -1\.0"),
        ({"kernel_granule": True}, "nvdla: kernel_granule: found True"),
        ({"fully_connected_batch": 0}, "nvdla: fully_connected_batch: found 0"),
        ({"element_bytes": 0}, "nvdla: element_bytes: found 0"),
        ({"traffic": "twice"}, "nvdla: traffic: found 'twice', expected one of once, refetch"),
    ],
)
def test_accelerators_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HardwareError, match=message):
        dataclasses.replace(FULL, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_channels": 0}, "nvdla: layer 'conv': in_channels: found 0, expected an integer >= 1"),
        ({"kind": "pool"}, "nvdla: layer 'conv': kind: found 'pool', expected one of conv, conv"),
        ({"kernel_h": 5, "winograd": True}, "winograd: found conv, kernel 5x3, stride 1x1"),
        ({"stride_w": 2, "winograd": True}, "stride 1x2, expected a 3x3 convolution of stride 1"),
        ({"in_h": 2, "is_padded": False}, "found a kernel larger than its input, expected padding"),
    ],
)
def test_layers_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HardwareError, match=message):
        _conv(**changes)


def test_memories_and_placements_that_cannot_be_are_refused() -> None:
    with pytest.raises(HardwareError, match="nvdla: second_memory: size_bytes: found 0"):
        dataclasses.replace(CVSRAM, size_bytes=0)
    with pytest.raises(HardwareError, match="placement: found columns of different lengths"):
        Placement(input_in_dram=(True,), output_in_dram=(), weight_batch=(1,))
    with pytest.raises(HardwareError, match="placement: weight_batch: found 0"):
        Placement(input_in_dram=(True,), output_in_dram=(True,), weight_batch=(0,))
    placement = Placement(input_in_dram=(True,), output_in_dram=(True,), weight_batch=(1,))
    with pytest.raises(HardwareError, match="and an NVDLA with a second memory"):
        evaluate_sheet([_conv()], FULL, placement)
    with pytest.raises(HardwareError, match="found one of 1 layers, expected one of 2"):
        evaluate_sheet([_conv()] * 2, dataclasses.replace(FULL, second_memory=CVSRAM), placement)
    with pytest.raises(HardwareError, match="second_memory: found none"):
        place_layers([_conv()], FULL)


def test_a_buffer_without_room_beside_the_input_is_refused() -> None:
    small = dataclasses.replace(RESNET50, buffer_bytes=8 * 1024)
    with pytest.raises(HardwareError, match="buffer_bytes: found 8192, expected more than the 10752 bytes"):
        evaluate_sheet([_conv()], small)


def test_no_layers_are_refused() -> None:
    with pytest.raises(HardwareError, match="nvdla: found no layers, expected at least one"):
        evaluate_sheet([], FULL)
