"""Tables of recorded latencies: the public formats, faults by row, gaps, and evaluating against them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annette.errors import AnnetteError, StoreError, UsageError
from annette.estimation.platform import Platform
from annette.evaluation import table_file
from annette.evaluation.latency_table import LatencyTable, read_latency_table
from annette.evaluation.recorded_table import evaluate_table
from annette.evaluation.space_work import count_macs
from annette.graph.work import network_work
from annette.models.layer_models import MODEL_NAMES
from annette.zoo.spaces.registry import list_spaces, open_space
from annette.zoo.spaces.space import Encodings, SearchSpace

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real"
CELLS = (
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|",
    "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|avg_pool_3x3~2|",
    "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|",
)


class _Truthful:
    """A platform of another device: the true latencies of a linear device, three times too short."""

    name = "another"

    def estimate_space(
        self, space: SearchSpace, encodings: Encodings, *, model: str, n_jobs: int, on_progress: Any
    ) -> NDArray[np.float64]:
        on_progress(len(encodings), len(encodings))
        return _linear_s(space, encodings) / (3.0 if model == "mixed" else 5.0)


def _linear_s(space: SearchSpace, encodings: Encodings) -> NDArray[np.float64]:
    return 1e-3 + count_macs(space, encodings) / 1e12 + encodings @ np.arange(encodings.shape[1]) * 1e-6


def _write(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def _arch_table(path: Path, count: int = 60) -> Path:
    """A synthetic table of NAS-Bench-201 in milliseconds; two latencies of the phone are missing."""
    space = open_space("nasbench201")
    rows = space.sample(3 * count, seed=2)
    rows = rows[np.sort(np.unique(rows, axis=0, return_index=True)[1])][:count]
    lines = []
    for number, (row, seconds) in enumerate(zip(rows.tolist(), _linear_s(space, rows), strict=True)):
        phone = "" if number in (3, 7) else f"{2e3 * seconds:.9f}"
        lines.append(f"{number},{space.format(row)},{1e3 * seconds:.9f},{phone},{90 + number / 100},fast")
    return _write(path, "index,arch,server,phone,accuracy,remark", *lines)


# Reading ---------------------------------------------------------------------------------------------


def test_architectures_devices_and_missing_values_are_read(tmp_path: Path) -> None:
    table = read_latency_table(_arch_table(tmp_path / "t.csv"), unit="ms")
    assert (table.space.name, len(table)) == ("nasbench201", 60)
    assert table.devices == ("server", "phone", "accuracy")
    server, phone = table.latencies_s("server"), table.latencies_s("phone")
    assert (server.missing, phone.missing) == (0, 2)
    assert {3, 7}.isdisjoint(phone.rows.tolist())
    assert server.values == pytest.approx(_linear_s(table.space, table.encodings), abs=1e-11)
    assert phone.values == pytest.approx(2 * server.values[phone.rows], abs=1e-11)


@pytest.mark.parametrize("name", [entry.name for entry in list_spaces()])
def test_every_space_is_found_by_its_own_notation(name: str, tmp_path: Path) -> None:
    space = open_space(name)
    rows = space.sample(3, seed=4)
    lines = [f'"{space.format(row)}",{index + 1}' for index, row in enumerate(rows.tolist())]
    table = read_latency_table(_write(tmp_path / "t.csv", "architecture,device", *lines))
    assert table.space.name == name
    assert table.encodings.tolist() == rows.tolist()


def test_architectures_in_several_columns_and_in_lists_are_read(tmp_path: Path) -> None:
    blocks = "[7, 8, 1, 8, 4, 8, 8, 8, 7, 4, 1, 4, 7, 3, 2, 7, 3, 2, 4, 2, 4, 5]"
    fbnet = read_latency_table(_write(tmp_path / "f.csv", "index,op_idx_list,phone", f'0,"{blocks}",0.1'))
    assert fbnet.space.name == "fbnet"
    assert fbnet.encodings[0].tolist() == json.loads(blocks)
    kernels, expansions, depths = [3, 5, 7, 3] * 5, [3, 4, 6, 3] * 5, [2, 3, 4, 2, 3]
    line = f'"{kernels}","{expansions}","{depths}",224,0.1'
    path = _write(tmp_path / "o.csv", "ks,e,d,r,gpu", line)
    assert read_latency_table(path).space.name == "ofa"
    wide = read_latency_table(path, space="ofa,width=1.2")
    assert wide.space.name == "ofa,width=1.2"
    assert f"ks={','.join('3573' * 5)};" in wide.space.format(wide.encodings[0].tolist())


def test_an_index_counts_as_the_benchmark_counts(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", "index,gpu", "9,1.5", "0,2.5")
    table = read_latency_table(path, space="nasbench201")
    assert table.encodings.tolist() == [list(table.space.parse(text)) for text in ("9", "0")]
    with pytest.raises(UsageError, match="cannot tell the space of index '9'; say which one"):
        read_latency_table(path)


def test_parquet_and_csv_hold_the_same(tmp_path: Path) -> None:
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    csv = _arch_table(tmp_path / "t.csv")
    pandas.read_csv(csv).to_parquet(tmp_path / "t.parquet")
    first, second = (read_latency_table(path, unit="ms") for path in (csv, tmp_path / "t.parquet"))
    assert (first.encodings == second.encodings).all()
    assert first.devices == second.devices
    for name in first.devices:
        assert (first.numbers(name).values == second.numbers(name).values).all()
        assert (first.numbers(name).rows == second.numbers(name).rows).all()


A, B, C = CELLS


@pytest.mark.parametrize(
    ("header", "rows", "fault"),
    [
        ("arch,gpu", (), "no rows"),
        ("", (), "0 columns"),
        (
            "gpu,cpu",
            ("1,2",),
            "expected architectures in one of: ks e d r; op_idx_list; block0_e to block6_se; arch; ",
        ),
        ("arch,gpu,gpu", (f"{A},1,2",), "column 3 is called 'gpu', expected a name that no other"),
        ("arch,", (f"{A},1",), "column 2 is called ''"),
        (",arch,gpu", (f"0,{A},1",), r"column 1 has no name, .*to_csv\(\.\.\., index=False\)"),
        ("arch;gpu", (f"{A};1",), "';' between the names of the columns, expected commas"),
        ("arch;gpu", (f"{A};1,5",), "';' between the names of the columns, expected commas"),
        ("arch\tgpu", (f"{A}\t1",), "tabs between the names of the columns, expected commas"),
        ("\narch,gpu", (f"{A},1", "", "", f"{B},1,2"), "row 4 has 3 cells, expected 2"),
        ("arch,gpu", ("", f"{A},1", "", f"{B.replace('conv', 'cnov')},1"), "row 4: .*'nor_cnov_3x3'"),
        ("arch,gpu", ("", f"{A},1", "", ",1"), "row 4 has no arch"),
        ("arch,gpu", (f"{A},1", f"{B},1,2"), "row 2 has 3 cells, expected 2"),
        ("arch,gpu", (f"{A},1", f"{B.replace('conv', 'cnov')},1"), "row 2: .*operation 'nor_cnov_3x3'"),
        ("arch,gpu", (f"{A},1", ",1"), "row 2 has no arch, expected an architecture"),
        ("arch,gpu", ('"' + A,), "expected CSV in UTF-8"),
        ("arch,gpu", (f"{A}\0,1",), "NUL"),
    ],
)
def test_faults_are_named_with_their_place(
    header: str, rows: tuple[str, ...], fault: str, tmp_path: Path
) -> None:
    path = _write(tmp_path / "t.csv", header, *rows)
    with pytest.raises(StoreError, match=fault) as caught:
        read_latency_table(path, space="nasbench201")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_repeated_measurements_become_their_mean(tmp_path: Path) -> None:
    rows = ("", f"{A},1,7,x", f"{B},2,8,y", f"{A},1.2,,z", f"{A},,9000,z")
    table = read_latency_table(_write(tmp_path / "t.csv", "arch,gpu,run,note", *rows))
    assert (len(table), table.merged) == (2, 2)
    assert table.latencies_s("gpu").values.tolist() == [1.1, 2.0]
    assert list(table.cells["note"]) == ["x", "y"]
    assert list(table.row_numbers) == [2, 3]
    with pytest.raises(
        StoreError, match="rows 2 and 5 are the same architecture, with 7 and 9000 in"
    ) as caught:
        table.numbers("run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("fast", "row 2, column 'gpu': found 'fast', expected a number"),
        ("inf", "row 2, column 'gpu': found 'inf'"),
        ("1_0", "row 2, column 'gpu': found '1_0'"),
        ("0", r"row 2, column 'gpu': found 0\.0 s, expected a latency above 0"),
        ("-1", r"found -1\.0 s, expected a latency above 0"),
    ],
)
def test_what_is_no_latency_is_refused_with_its_row(cell: str, fault: str, tmp_path: Path) -> None:
    table = read_latency_table(_write(tmp_path / "t.csv", "arch,gpu", f"{A},1", f"{B},{cell}", f"{C},NaN"))
    with pytest.raises(StoreError, match=fault):
        table.latencies_s("gpu")


def test_blank_lines_count_where_a_latency_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", "arch,gpu,cpu", "", f"{A},1,2", "", "", f"{B},0,fast")
    table = read_latency_table(path)
    assert list(table.row_numbers) == [2, 5]
    for column in ("gpu", "cpu"):
        with pytest.raises(StoreError, match=f"row 5, column '{column}'"):
            table.latencies_s(column)


def test_a_latency_that_is_none_in_seconds_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", "arch,gpu", f"{A},1", f"{B},5e-324")
    assert (read_latency_table(path).latencies_s("gpu").values > 0).all()
    with pytest.raises(
        StoreError, match="row 2, column 'gpu': found 5e-324 us, expected a latency above 0 s"
    ):
        read_latency_table(path, unit="us").latencies_s("gpu")


@pytest.mark.parametrize("name", [entry.name for entry in list_spaces() if entry.name != "nasbench201"])
def test_only_nasbench201_numbers_its_architectures(name: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", "index,gpu", "9,1.5")
    with pytest.raises(UsageError, match=f"{name} does not number its architectures: only nasbench201 does"):
        read_latency_table(path, space=name)
    with pytest.raises(UsageError, match=r"out of nasbench201$"):
        read_latency_table(path)


def test_only_files_are_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, found in ((pipe, "a pipe"), (Path("/dev/null"), "a device"), (tmp_path, "a directory")):
        with pytest.raises(StoreError, match=f"is .*{found}.*, expected a file to read"):
            read_latency_table(path)
    with pytest.raises(StoreError, match="a name with NUL") as caught:
        read_latency_table("a\0b.csv")
    assert caught.value.args[0].isprintable()


def test_wrong_names_are_told_what_there_is(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", "arch,gpu,cpu", f"{A},1,")
    with pytest.raises(UsageError, match="unit 'min', expected s, ms, us"):
        read_latency_table(path, unit="min")
    with pytest.raises(UsageError, match="no such search space"):
        read_latency_table(path, space="nasbench202")
    table = read_latency_table(path)
    with pytest.raises(UsageError, match="no column 'npu', expected one of gpu"):
        table.latencies_s("npu")
    with pytest.raises(StoreError, match="column 'cpu' has no number"):
        table.latencies_s("cpu")
    blocks = str([0] * 22)
    fbnet = _write(tmp_path / "f.csv", "op_idx_list,gpu", f'"{blocks}",1')
    with pytest.raises(UsageError, match="are of the space fbnet, not of ofa"):
        read_latency_table(fbnet, space="ofa")
    with pytest.raises(StoreError, match="No such file"):
        read_latency_table(tmp_path / "missing.csv")
    with pytest.raises(StoreError, match="directory"):
        read_latency_table(tmp_path)


def test_files_and_tables_have_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path / "t.csv", "arch,gpu", f"{A},1", f"{B},1")
    monkeypatch.setattr(table_file, "MAX_ROWS", 1)
    with pytest.raises(StoreError, match=r"2 rows or more of 2 cells, expected at most 1 rows .*; split"):
        read_latency_table(path)
    monkeypatch.setattr(table_file, "MAX_ROWS", 2)
    monkeypatch.setattr(table_file, "MAX_CELLS", 3)
    with pytest.raises(StoreError, match="and 3 cells; split"):
        read_latency_table(path)
    monkeypatch.setattr(table_file, "MAX_FILE_BYTES", 10)
    with pytest.raises(StoreError, match="expected at most 10; split"):
        read_latency_table(path)


@settings(max_examples=60, deadline=None)
@given(content=st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda item: b"PAR1" + item)))
def test_any_other_file_is_refused_in_one_line(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    with pytest.raises(AnnetteError) as caught:  # so short a text holds no architecture
        read_latency_table(path)
    assert "\n" not in str(caught.value)


# Evaluating ------------------------------------------------------------------------------------------


def _evaluate(table: LatencyTable, device: str, **options: Any) -> dict[str, Any]:
    answer = evaluate_table(cast("Platform", _Truthful()), table, device, **options)
    document: dict[str, Any] = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    return document


def test_a_device_that_is_slower_by_one_factor_is_found_perfectly(tmp_path: Path) -> None:
    table = read_latency_table(_arch_table(tmp_path / "t.csv"), unit="ms")
    seen: list[tuple[int, int]] = []
    document = _evaluate(table, "phone", on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(58 * number, 232) for number in range(1, 5)]
    assert (document["missing"], len(document["networks"]), document["quality"]) == (2, 58, "macs")
    assert set(document["models"]) == set(MODEL_NAMES)
    mixed = document["models"]["mixed"]
    assert mixed["mape"] == pytest.approx(5 / 6, abs=1e-6)
    assert mixed["scale_factor"] == pytest.approx(6, rel=1e-6)
    assert mixed["scaled_mape"] == pytest.approx(0, abs=1e-6)
    assert mixed["spearman"] == pytest.approx(1)
    assert mixed["ranking"]["front_recall"] == 1
    row = document["networks"][0]
    network = table.space.network(table.space.parse(row["architecture"]))
    assert row["quality"] == network_work(network).macs


def test_a_column_of_the_table_may_be_the_quality(tmp_path: Path) -> None:
    table = read_latency_table(_arch_table(tmp_path / "t.csv"), unit="ms")
    document = _evaluate(table, "server", quality="accuracy")
    assert document["quality"] == document["models"]["mixed"]["ranking"]["quality"] == "accuracy"
    assert document["networks"][1]["quality"] == 90.01
    with pytest.raises(UsageError, match="no column 'f1'"):
        _evaluate(table, "server", quality="f1")


@pytest.mark.parametrize("steps", [(), (20,), (0, 30, 58), (58,)])
def test_progress_never_goes_back_and_reaches_the_end(steps: tuple[int, ...], tmp_path: Path) -> None:
    class Known(_Truthful):
        def estimate_space(
            self, space: SearchSpace, encodings: Encodings, *, model: str, n_jobs: int, on_progress: Any
        ) -> NDArray[np.float64]:
            for done in steps:
                on_progress(done, len(encodings))
            return _linear_s(space, encodings)

    table = read_latency_table(_arch_table(tmp_path / "t.csv"), unit="ms")
    seen: list[tuple[int, int]] = []
    evaluate_table(
        cast("Platform", Known()), table, "phone", on_progress=lambda *step: seen.append(step)
    )  # fmt: skip
    assert [done for done, _ in seen] == sorted({done for done, _ in seen} | {58, 116, 174, 232})
    assert {total for _, total in seen} == {232}


def test_latency_and_quality_of_the_same_rows_are_needed(tmp_path: Path) -> None:
    table = read_latency_table(_write(tmp_path / "t.csv", "arch,gpu,top1", f"{A},1,", f"{B},,90"))
    with pytest.raises(UsageError, match="no row has both 'gpu' and 'top1'"):
        _evaluate(table, "gpu", quality="top1")


@pytest.mark.parametrize("name", [entry.name for entry in list_spaces()])
def test_macs_of_a_population_are_those_of_its_networks(name: str) -> None:
    space = open_space(name)
    rows = space.sample(4, seed=11)
    expected = [network_work(space.network(row)).macs for row in rows.tolist()]
    assert count_macs(space, rows).tolist() == expected
    assert count_macs(space, np.empty((0, len(space.choices)))).tolist() == []


@pytest.mark.parametrize(
    ("name", "space", "rows", "devices"),
    [("nasbench201", None, 15_625, 13), ("fbnet", None, 5000, 13), ("ofa", "ofa,width=1.2", 5000, 6)],
)
def test_public_tables_of_real_devices_are_read(
    name: str, space: str | None, rows: int, devices: int
) -> None:
    path = REAL / f"{name}_latency_s.parquet"
    if not path.is_file():
        pytest.skip("the real latencies are not here")
    pytest.importorskip("pyarrow")
    table = read_latency_table(path, space=space)
    assert table.space.name.partition(",")[0] == name
    assert (len(table), len(table.devices)) == (rows, devices)
    for device in table.devices:
        found = table.latencies_s(device)
        assert found.missing == 0
        assert 1e-4 < np.median(found.values) < 1
