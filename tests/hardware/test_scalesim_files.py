"""SCALE-Sim's files: every form that is shipped with it, and one clear line for what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from annette.errors import HardwareError
from annette.hardware.scalesim_files import ScaleSimConfiguration, read_configuration, read_topology
from annette.hardware.systolic_array import SystolicArray

HEADER = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
)


def _topology(folder: Path, text: str) -> Path:
    path = folder / "net.csv"
    path.write_text(text, encoding="utf-8")
    return path


def _sizes(folder: Path, text: str) -> list[tuple[str, int, int, int]]:
    return [(item.name, item.m, item.k, item.n) for item in read_topology(_topology(folder, text))]


@pytest.mark.parametrize("ending", [",", "", ", ", ",#dw", ",1:4,", ",,,"])
def test_convolutions_are_read_whatever_their_rows_end_in(tmp_path: Path, ending: str) -> None:
    text = f"{HEADER}\nConv1, 224, 224, 7, 7, 3, 64, 2{ending}\n,,,,,,,\n\tFC,1,1,1,1,512,1000,1{ending}\n"
    assert _sizes(tmp_path, text) == [("Conv1", 110 * 110, 147, 64), ("FC", 1, 512, 1000)]


def test_windows_that_are_left_over_count(tmp_path: Path) -> None:
    assert _sizes(tmp_path, HEADER + "a,10,9,3,3,2,4,2,\n") == [("a", 5 * 4, 18, 4)]


def test_a_second_stride_is_that_of_the_columns(tmp_path: Path) -> None:
    assert _sizes(tmp_path, HEADER + "a,9,9,3,3,2,4,1,2,\n") == [("a", 7 * 4, 18, 4)]


@pytest.mark.parametrize("name", ["Batch Size", "Sparsity"])
def test_a_ninth_column_of_another_name_is_no_stride(tmp_path: Path, name: str) -> None:
    header = HEADER.replace("Strides,", f"Strides, {name},")
    assert _sizes(tmp_path, header + "a,9,9,3,3,2,4,2,1,\n") == [("a", 4 * 4, 18, 4)]


def test_columns_may_be_parted_by_tabs(tmp_path: Path) -> None:
    text = f"\n{HEADER}Conv1_1,572,572,3,3,1,64,1,\nTR,28,28,2,2,1024,512,1,\n".replace(",", "\t")
    assert _sizes(tmp_path, text) == [("Conv1_1", 570 * 570, 9, 64), ("TR", 27 * 27, 4096, 512)]


def test_titles_and_rows_of_commas_are_passed_over(tmp_path: Path) -> None:
    text = (
        f"{HEADER}\nAlphaGoZero,\nConv, 19, 19, 3, 3, 17, 256, 1,\n,,,,,,,,\nNext net\nFC,1,1,1,1,361,256,1\n"
    )
    assert _sizes(tmp_path, text) == [("Conv", 17 * 17, 153, 256), ("FC", 1, 361, 256)]


@pytest.mark.parametrize("row", ["FC, 1, 1, 1, ,1 2, 3, 1,", "FC,1,1,1,1,2,3,1"])
def test_a_comma_before_its_number_is_put_right(tmp_path: Path, row: str) -> None:
    assert _sizes(tmp_path, f"{HEADER}{row}\n") == [("FC", 1, 2, 3)]


def test_matrix_products_may_have_numbers_as_names(tmp_path: Path) -> None:
    assert _sizes(tmp_path, "Layer,M,N,K\n1,2048,4096,32\n") == [("1", 2048, 32, 4096)]


def test_a_depthwise_convolution_is_a_layer_a_channel(tmp_path: Path) -> None:
    found = _sizes(tmp_path, HEADER + "DP1,8,8,3,3,3,1,1,\nb,8,8,1,1,3,5,1,\n")
    assert found == [
        *((f"DP1Channel_{index}", 36, 9, 1) for index in range(3)),
        ("b", 64, 3, 5),
    ]


@pytest.mark.parametrize("header", ["Layer,M,N,K", "Layer Name, M, N, K, Sparsity,", "Layer, m, n, k,"])
@pytest.mark.parametrize("ending", ["", ",", ",2:4,"])
def test_matrix_products_are_read(tmp_path: Path, header: str, ending: str) -> None:
    assert _sizes(tmp_path, f"{header}\nQKT,1024,512,64{ending}\n") == [("QKT", 1024, 64, 512)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEADER.replace("Strides", "Strides, Batch") + "a,9,9,3,3,2,4,2,8,\n",
            "Batch: found '8', expected 1",
        ),
        (HEADER + "LSTM_igate_h, 1, B, 1, 1, H, H, 1,\n", "line 2: IFMAP width: found 'B'"),
        ("", "no layers; expected a first line of names"),
        (HEADER, "no layers"),
        ("a,10,10,3,3,2,4,1,\n", "line 1: found .*expected the names of the columns"),
        ("not a topology\n", "line 1: found 'not a topology'"),
        (HEADER + "a,10,10,3,3,2,4,\n", "line 2: stride: found '', expected a whole number"),
        (HEADER + "a,10,ten,3,3,2,4,1,\n", "line 2: IFMAP width: found 'ten'"),
        (HEADER + "a,10,10,3,3,0,4,1,\n", "line 2: channels: found '0'"),
        (HEADER + "a,10,10,3,3,-2,4,1,\n", "line 2: channels: found '-2'"),
        (HEADER + "a,4,4,9,9,2,4,1,\n", "line 2: a filter of 9 x 9 on 4 x 4 has no output"),
        (HEADER + f"a,10,10,3,3,{'9' * 4000},4,1,\n", "line 2: channels: found '999"),
        (HEADER + "aDP,10,10,3,3,999999999,4,1,\n", "line 2: more than 100000 layers"),
        ("Layer,M,N,K\nx,1,2\n", "line 2: K: found ''"),
        (HEADER + "a,10,\u0663,3,3,2,4,1,\n", "line 2: IFMAP width: found"),
        (HEADER + f"a,10,10,3,3,2,4,1,{'9' * 5000},\n", "line 2: second stride: found '999"),
        (HEADER + f"a,10,10,3,3,2,{'0' * 19}1{'9' * 30},1,\n", "line 2: filters: found '000"),
        (HEADER + f"{'a' * 140_000},10,10,3,3,2,0,1,\n", "line 2: filters: found '0'"),
        (HEADER + "a,1000000000,1000000000,1,1,1000,1,1,\n", r"expected at most 2\*\*44"),
        ("Layer,M,N,K\nx,100000000,100000000,1\n", r"expected at most 2\*\*44"),
    ],
)
def test_topologies_that_are_none_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(HardwareError, match=message) as caught:
        read_topology(_topology(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(HardwareError, match="cannot be read"):
        read_topology(tmp_path / "missing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x80" * 9)
    with pytest.raises(HardwareError, match="cannot be read"):
        read_topology(tmp_path / "binary.csv")


OLD = """[general]
run_name = "scale_example_run"

[architecture_presets]
ArrayHeight:    32
ArrayWidth:     16
IfmapSramSz:    64
IfmapSramSzkB:  64
FilterSramSzkB: 32
OfmapSramSzkB:  8
IfmapOffset:    0
Dataflow : ws
Bandwidth : 10, 10, 10
MemoryBanks:   1

[run_presets]
InterfaceBandwidth: {mode}
"""


def test_marks_of_the_byte_order_and_quotes_are_passed_over(tmp_path: Path) -> None:
    text = '\ufeff"Layer","M","N","K"\r\n"QKT","4","5","6"\r\n'
    assert _sizes(tmp_path, text) == [("QKT", 4, 6, 5)]
    path = tmp_path / "bom.cfg"
    path.write_text("\ufeff" + OLD.format(mode="CALC"), encoding="utf-8")
    assert read_configuration(path).array.rows == 32


@pytest.mark.parametrize(("mode", "bandwidth"), [("CALC", None), ("USER", 10)])
def test_configurations_of_older_versions_are_read(tmp_path: Path, mode: str, bandwidth: int | None) -> None:
    path = tmp_path / "old.cfg"
    path.write_text(OLD.format(mode=mode), encoding="utf-8")
    assert read_configuration(path) == ScaleSimConfiguration(
        name="scale_example_run",
        array=SystolicArray(rows=32, columns=16, dataflow="WS"),
        input_buffer_bytes=65536,
        weight_buffer_bytes=32768,
        output_buffer_bytes=8192,
        bandwidth_elements_per_cycle=bandwidth,
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[architecture_presets]", "[array]", r"no section \[architecture_presets\]"),
        ("ArrayWidth:     16", "ArrayWidth: wide", "ArrayWidth: found 'wide'"),
        ("ArrayHeight:    32\n", "", "ArrayHeight: found ''"),
        ("Dataflow : ws\n", "", "Dataflow: found '', expected one of OS, WS, IS"),
        ("Dataflow : ws", "Dataflow : xs", "Dataflow: found 'xs', expected one of OS, WS, IS"),
        ("{mode}", "AUTO", "InterfaceBandwidth: found 'AUTO'"),
        ("[general]", "general", "expected a .cfg of SCALE-Sim"),
    ],
)
def test_configurations_that_are_none_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "broken.cfg"
    path.write_text(OLD.replace(old, new).replace("{mode}", "USER"), encoding="utf-8")
    with pytest.raises(HardwareError, match=message) as caught:
        read_configuration(path)
    assert "\n" not in str(caught.value)
