"""Kernel tables: every row is a kernel or is told with its reason; what comes out trains like a campaign."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import StoreError, UsageError
from annette.estimation.platform import Platform
from annette.graph.builder import NetworkBuilder
from annette.graph.work import network_work
from annette.models.generator import generate_platform
from annette.models.layer_models import MODEL_NAMES
from annette.models.training import training_data
from annette.store.campaign import CampaignStore
from annette.store.records import WHOLE_NETWORK
from annette.tables.doubts import find_doubts
from annette.tables.evaluating import evaluate_table
from annette.tables.importing import (
    ImportedTable,
    draw_networks,
    import_table,
    leave_out,
    read_table,
    read_tables,
    table_device,
    table_networks,
    table_records,
)
from annette.tables.kernel import OPERATORS, TableKernel, add_kernel
from annette.tables.rows import read_kernels
from annette.tables.schema import TableSchema, read_schema
from annette.zoo.spaces.registry import open_space

sys.path.insert(0, str(Path(__file__).parent))
import made_table

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "real"
TFLITE_ROW: dict[str, object] = {
    "model": "a", "operation": "CONV_2D", "in_size": "30", "in_channels": 16, "out_size": "28", "stride": "1",
    "kernel_or_inputs": "3", "out_channels": "24", "groups": "1", "gpu_latency_s": 1e-3,
    "gpu_kernel": "convolution_2d_3_linked_:_relu_4",
}  # fmt: skip


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> TableSchema:
    return read_schema(made_table.write_schema(tmp_path_factory.mktemp("schema")))


@pytest.fixture(scope="module")
def table(schema: TableSchema, tmp_path_factory: pytest.TempPathFactory) -> ImportedTable:
    folder = tmp_path_factory.mktemp("table")
    rows = made_table.rows()
    path = made_table.write(folder, rows)
    return read_table(path, schema, device="made", networks=made_table.write_networks(folder, rows))


@pytest.fixture(scope="module")
def platform(table: ImportedTable, schema: TableSchema, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Trained on all networks but the last."""
    known = replace(
        table,
        kernels=tuple(kernel for kernel in table.kernels if kernel.network != "net7"),
        latencies={name: value for name, value in table.latencies.items() if name != "net7"},
    )
    path = tmp_path_factory.mktemp("store") / "made.db"
    import_table(known, schema, path)
    with CampaignStore.open(path) as store:
        return Platform.from_parts(generate_platform(store, seed=0))


def tflite(*rows: dict[str, object]) -> tuple[list[TableKernel], list[str]]:
    columns = {name: [{**TFLITE_ROW, **row}[name] for row in rows] for name in TFLITE_ROW}
    kernels, problems, _ = read_kernels(columns, read_schema("tflite-gpu"), "gpu", where="rows")
    return kernels, [str(problem) for problem in problems]


def test_every_row_of_the_table_becomes_a_kernel(table: ImportedTable) -> None:
    assert len(table.kernels) == table.n_rows == 8 * 14
    assert not table.problems
    assert not table.network_problems
    assert set(table.units()) == {"conv", "winograd", "pool", "fc"}
    assert len(table.whole_networks()) == 8


def test_the_store_holds_each_row_and_each_whole_network(
    table: ImportedTable, schema: TableSchema, tmp_path: Path
) -> None:
    import_table(table, schema, tmp_path / "made.db")
    with CampaignStore.open(tmp_path / "made.db") as store:
        records = list(store.records())
    whole = [record for record in records if record.task.tag(WHOLE_NETWORK) is not None]
    assert len(records) - len(whole) == len(table.kernels)
    assert len(whole) == 8
    seconds = sum(record.measurement.latency_s for record in records if record not in whole)
    assert seconds == pytest.approx(sum(kernel.latency_s or 0.0 for kernel in table.kernels))
    with pytest.raises(StoreError, match="campaign already"):
        import_table(table, schema, tmp_path / "made.db")


def test_kernels_count_by_their_share_of_their_network(table: ImportedTable, schema: TableSchema) -> None:
    device = table_device(table, schema)
    data = training_data(table_records(table, device), device)
    assert data.weights is not None
    names = [kernel.network for kernel in table.kernels]
    squares = dict.fromkeys(names, 0.0)
    for name, weight in zip(names, data.weights, strict=True):
        squares[name] += weight**2
    assert list(squares.values()) == pytest.approx([1.0] * 8)


def test_networks_side_by_side_keep_all_work(table: ImportedTable) -> None:
    whole = sum(network_work(network).macs for network in table_networks(table.kernels).values())
    alone = 0
    for kernel in table.kernels:
        build = NetworkBuilder("one")
        alone += network_work(build.finish(add_kernel(build, kernel)[1])).macs
    assert whole == alone > 0


def test_which_kernel_runs_is_predicted_for_a_network_that_was_left_out(
    platform: Platform, table: ImportedTable
) -> None:
    kernels = [kernel for kernel in table.kernels if kernel.network == "net7"]
    estimate = platform.estimate(table_networks(kernels)["net7"])
    assert [kernel.unit for kernel in estimate.kernels] == [kernel.unit for kernel in kernels]


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_overhead_is_explicit_and_adds_up(platform: Platform, table: ImportedTable, model: str) -> None:
    networks = table_networks(table.kernels)
    estimate = platform.estimate(networks["net7"], model=model)
    kernels_s = sum(kernel.latency_s for kernel in estimate.kernels)
    assert estimate.overhead_s is not None
    assert estimate.latency_s == pytest.approx(kernels_s + estimate.overhead_s, rel=1e-12)
    assert estimate.to_dict()["overhead_s"] == estimate.overhead_s
    assert estimate.latency_s == pytest.approx(table.latencies["net7"], rel=0.3)


def test_many_networks_are_estimated_as_one_by_one(platform: Platform, table: ImportedTable) -> None:
    networks = list(table_networks(table.kernels).values())
    one_by_one = [platform.estimate(network).latency_s for network in networks]
    assert platform.estimate_many(networks).tolist() == one_by_one


def test_a_search_space_is_estimated_with_the_overhead(platform: Platform) -> None:
    space = open_space("nasbench201")
    rows = space.sample(10, seed=0)
    one_by_one = [platform.estimate(space.network(row)).latency_s for row in rows.tolist()]
    assert platform.estimate_space(space, rows).tolist() == one_by_one


def test_the_overhead_travels_to_other_processes(platform: Platform, table: ImportedTable) -> None:
    other = pickle.loads(pickle.dumps(platform))  # noqa: S301  # our own
    network = table_networks(table.kernels)["net7"]
    assert other.estimate(network).latency_s == platform.estimate(network).latency_s


def test_the_overhead_lasts(platform: Platform, tmp_path: Path) -> None:
    platform.save(tmp_path / "platform")
    assert Platform.load(tmp_path / "platform").overhead == platform.overhead is not None


def test_a_platform_without_whole_networks_has_no_overhead(small_platform: Platform) -> None:
    estimate = small_platform.estimate("zoo:squeezenet1_1")
    assert small_platform.overhead is None
    assert estimate.overhead_s is None
    assert "overhead_s" not in estimate.to_dict()
    assert "overhead" not in small_platform.to_files()[0]


def test_rows_without_a_time_are_kernels_of_their_network_but_not_measured(
    schema: TableSchema, tmp_path: Path
) -> None:
    rows = [(*row[:-1], "") if number % 2 else row for number, row in enumerate(made_table.rows(2))]
    found = read_table(made_table.write(tmp_path, rows), schema, device="made")
    assert len(found.kernels) == 28
    assert len(found.timed) == 14
    assert not found.problems


def test_a_network_with_an_unreadable_row_teaches_no_overhead(schema: TableSchema, tmp_path: Path) -> None:
    rows = made_table.rows(3)
    networks = made_table.write_networks(tmp_path, rows)
    longest = max(range(14), key=lambda number: float(str(rows[number][-1])))
    rows[longest] = (rows[longest][0], "magic", *rows[longest][2:])
    found = read_table(made_table.write(tmp_path, rows), schema, device="made", networks=networks)
    assert found.problems[0].row == longest + 1
    assert found.problems[0].column == "type"
    assert set(found.whole_networks()) == {"net1", "net2"}


@pytest.mark.parametrize(("time", "counts"), [("0.001", True), ("", False)])
def test_an_unreadable_row_that_takes_next_to_nothing_is_not_missed(
    schema: TableSchema, tmp_path: Path, time: str, counts: bool
) -> None:
    rows = made_table.rows(3)
    networks = made_table.write_networks(tmp_path, rows)
    rows[0] = (rows[0][0], "magic", *rows[0][2:-1], time)
    found = read_table(made_table.write(tmp_path, rows), schema, device="made", networks=networks)
    assert ("net0" in found.whole_networks()) == counts


def test_rows_are_numbered_as_in_the_file(schema: TableSchema, tmp_path: Path) -> None:
    path = made_table.write(tmp_path, made_table.rows(1)[:3])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1], "", "", lines[2], "net0,magic,1,1,1,1,1,1,x,3"]) + "\n")
    found = read_table(path, schema)
    assert [kernel.row for kernel in found.kernels] == [1, 4]
    assert [problem.row for problem in found.problems] == [5]


def test_a_parquet_file_says_the_same_as_csv(
    table: ImportedTable, schema: TableSchema, tmp_path: Path
) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rows = made_table.rows()
    frames = (made_table.write(tmp_path, rows), made_table.write_networks(tmp_path, rows))
    kernels, networks = (pandas.read_csv(path) for path in frames)
    for name in ("size", "out", "k", "s"):  # numbers with gaps, as other programs write them
        kernels[name] = pandas.to_numeric(kernels[name], errors="coerce")
    kernels.to_parquet(tmp_path / "kernels.parquet")
    networks.to_parquet(tmp_path / "networks.parquet")
    found = read_table(
        tmp_path / "kernels.parquet", schema, device="made", networks=tmp_path / "networks.parquet"
    )
    assert found == table


def test_a_parquet_file_that_was_cut_off_is_told_in_one_line(schema: TableSchema, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "kernels.parquet"
    pandas.read_csv(made_table.write(tmp_path, made_table.rows(2))).to_parquet(path)
    whole = path.read_bytes()
    for size in (3, 4, 100, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(StoreError, match=r"kernels\.parquet") as caught:
            read_table(path, schema)
        assert "\n" not in str(caught.value)


def test_several_tables_are_one(table: ImportedTable, schema: TableSchema, tmp_path: Path) -> None:
    rows = made_table.rows()
    networks = made_table.write_networks(tmp_path, rows)
    half = 4 * 14
    paths = [
        made_table.write(tmp_path, rows[:half], "a.csv"),
        made_table.write(tmp_path, [(*rows[half][:1], "magic", *rows[half][2:]), *rows[half + 1 :]], "b.csv"),
    ]
    found = read_tables(paths, schema, device="made", networks=networks)
    assert len(found.kernels) == len(table.kernels) - 1
    assert found.latencies == table.latencies
    assert str(found.problems[0]).startswith("b.csv, row 1, type: found 'magic'")
    with pytest.raises(UsageError, match="name the device"):
        read_tables(paths, schema)
    with pytest.raises(UsageError, match="in one table"):
        read_tables([paths[0], paths[0]], schema, device="made")


def test_networks_that_are_left_out_leave_nothing_behind(table: ImportedTable) -> None:
    chosen = draw_networks(table, 3, seed=1)
    assert chosen == draw_networks(table, 3, seed=1)
    found = leave_out(table, chosen)
    assert {kernel.network for kernel in found.kernels} == set(found.latencies)
    assert set(found.latencies) == set(table.latencies) - set(chosen)
    assert found.source != table.source
    with pytest.raises(UsageError, match="none of that name"):
        leave_out(table, ["net99"])
    with pytest.raises(UsageError, match="none is left"):
        leave_out(table, [f"net{number}" for number in range(8)])
    with pytest.raises(UsageError, match="expected 1 to 7"):
        draw_networks(table, 8)


def test_a_table_without_doubts_raises_none(table: ImportedTable) -> None:
    assert find_doubts(table) == ()


@pytest.mark.parametrize(
    ("factor", "whole_factor", "expected"),
    [(1e6, 1e6, "less than any device"), (1e-6, 1e-6, "more than any device"), (1.0, 1e3, "from end to end")],
)
def test_wrong_units_are_doubted(
    table: ImportedTable, factor: float, whole_factor: float, expected: str
) -> None:
    kernels = tuple(replace(item, latency_s=(item.latency_s or 0.0) * factor) for item in table.kernels)
    latencies = {name: value * whole_factor for name, value in table.latencies.items()}
    (doubt,) = find_doubts(replace(table, kernels=kernels, latencies=latencies))
    assert expected in doubt


def test_a_table_put_together_twice_is_doubted(table: ImportedTable) -> None:
    again = tuple(replace(kernel, row=kernel.row + 1000) for kernel in table.kernels)
    doubts = find_doubts(replace(table, kernels=(*table.kernels, *again)))
    assert len(doubts) == 1
    assert "put together twice" in doubts[0]


def test_a_platform_is_evaluated_on_the_networks_that_it_was_not_trained_on(
    platform: Platform, table: ImportedTable
) -> None:
    found = evaluate_table(platform, table)
    (network,) = found.networks
    assert network.name == "net7"
    assert network.measured_s == table.latencies["net7"]
    estimate = platform.estimate(table_networks(table.kernels)["net7"])
    assert dict(network.predicted_s)["mixed"] == estimate.latency_s
    assert found.mapping_accuracy == 1.0
    assert found.suite == "1 network of the table (7 more, trained on, left out)"


def test_networks_under_other_names_are_known_by_their_kernels(
    platform: Platform, table: ImportedTable
) -> None:
    renamed = replace(
        table,
        kernels=tuple(replace(kernel, network=f"theirs_{kernel.network}") for kernel in table.kernels),
        latencies={f"theirs_{name}": value for name, value in table.latencies.items()},
    )
    found = evaluate_table(platform, renamed)
    assert [network.name for network in found.networks] == ["theirs_net7"]


def test_a_platform_of_a_table_that_does_not_say_what_it_was_trained_on_is_refused(
    platform: Platform, table: ImportedTable
) -> None:
    for gone in ("trained_networks", "trained_contents"):
        metrics = {key: value for key, value in platform.metrics.items() if key != gone}
        with pytest.raises(UsageError, match="does not say on which networks") as caught:
            evaluate_table(replace(platform, metrics=metrics), table)
        assert "\n" not in str(caught.value)


def test_a_table_of_another_device_is_warned_of(
    platform: Platform, table: ImportedTable, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate_table(platform, table)
    assert not caplog.records
    evaluate_table(platform, replace(table, device="other phone"))
    assert "was trained on made, the table is of other phone" in caplog.text


def test_a_table_of_single_kernels_tells_no_correlations(platform: Platform) -> None:
    """Its kernels are timed one by one, so that nothing is seen of how errors in a network go together."""
    assert platform.intervals is not None
    for model, spread in platform.intervals.models.items():
        assert (spread.same_family, spread.other_family, spread.whole) == (0.5, 0.2, 0.0)
        assert platform.intervals.calibration[model]["single_kernel_networks"] >= 20


def test_without_other_networks_there_is_nothing_to_evaluate(
    platform: Platform, table: ImportedTable
) -> None:
    with pytest.raises(UsageError, match="trained on all of its networks"):
        evaluate_table(platform, leave_out(table, ["net7"]))


def test_a_network_without_an_end_to_end_time_says_nothing_of_a_platform_with_an_overhead(
    platform: Platform, table: ImportedTable
) -> None:
    with pytest.raises(UsageError, match="net7: no end-to-end time"):
        evaluate_table(platform, replace(table, latencies={}))


def test_networks_of_a_table_without_end_to_end_times_are_the_sums_of_their_kernels(
    small_platform: Platform, table: ImportedTable
) -> None:
    found = evaluate_table(small_platform, replace(table, latencies={}))
    assert len(found.networks) == 8
    total = sum(kernel.latency_s or 0.0 for kernel in table.kernels)
    assert sum(item.measured_s for item in found.networks) == pytest.approx(total)


@pytest.mark.parametrize("wanted", ["onnxruntime-profile", "openvino-profile"])
def test_a_profile_that_is_read_as_something_else_is_told(tmp_path: Path, wanted: str) -> None:
    path = tmp_path / ("run.json" if wanted.startswith("onnx") else "run.xml")
    path.write_text("[]")
    with pytest.raises(UsageError, match=f"--columns {wanted}"):
        read_table(path, read_schema("tflite-gpu"), device="a")


def test_a_table_of_no_device_says_which_column_was_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match=r"no column like '\{device\}_latency_s'"):
        read_table(path, read_schema("tflite-gpu"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"operation": "EINSUM"}, "operation: found 'EINSUM'"),
        ({"in_size": "x"}, "in_size: found 'x', expected a whole number"),
        ({"in_size": "1e30"}, "in_size"),
        ({"in_size": "-"}, "in_size: found None, expected the size in_h"),
        ({"in_channels": 0}, "in_channels"),
        ({"in_channels": 2.5}, "in_channels"),
        ({"out_size": "200"}, "sizes that fit Conv"),
        ({"groups": "7"}, "7 groups"),
        ({"gpu_latency_s": -1e-3}, "gpu_latency_s"),
        ({"gpu_latency_s": 0.0}, "gpu_latency_s"),
        ({"gpu_latency_s": "inf"}, "gpu_latency_s"),
        ({"gpu_kernel": "convolution_2d_linked_:_mystery_4"}, "gpu_kernel: found 'mystery'"),
        ({"operation": "CONCATENATION", "kernel_or_inputs": "12"}, "sizes that fit Concat"),
        ({"in_size": "100000", "in_channels": 1000000}, "elements"),
    ],
)
def test_what_cannot_be_read_is_told_with_place_found_and_expected(
    changes: dict[str, object], expected: str
) -> None:
    kernels, problems = tflite({}, changes)
    assert len(kernels) == 1
    assert len(problems) == 1
    assert problems[0].startswith("row 2, ")
    assert expected in problems[0]
    assert "expected" in problems[0]


def test_kernel_names_say_what_ran_and_what_is_fused() -> None:
    kernels, problems = tflite(
        {},
        {"gpu_kernel": "convolution_winograd_4x4_6x6_1"},
        {"operation": "DEPTHWISE_CONV_2D", "out_channels": "1", "gpu_kernel": "depthwise_convolution_7"},
        {"gpu_kernel": "convolution_2d_1_linked_:_add_2_linked_:_mul_3_linked_:_add_4_linked_:_relu_5"},
    )
    assert not problems
    assert [kernel.unit for kernel in kernels] == [
        "convolution_2d", "convolution_winograd_4x4_6x6", "depthwise_convolution", "convolution_2d"
    ]  # fmt: skip
    assert kernels[2].groups == 16
    assert kernels[3].fused == ("Add", "Mul", "Add", "Relu")
    build = NetworkBuilder("one")
    network = build.finish(add_kernel(build, kernels[3])[1])
    assert len(network.inputs) == 2  # the first sum reads another activation, the second a constant


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 40), window=st.integers(1, 5), stride=st.integers(1, 3), channels=st.integers(1, 9),
    out=st.integers(1, 40), operator=st.sampled_from(sorted(OPERATORS)),
)  # fmt: skip
def test_a_row_is_a_kernel_with_the_sizes_that_it_says_or_is_told(
    size: int, window: int, stride: int, channels: int, out: int, operator: str
) -> None:
    kernels, problems = tflite(
        {
            "operation": operator, "in_size": size, "in_channels": channels, "out_size": out,
            "stride": stride, "kernel_or_inputs": window, "out_channels": 2 * channels, "gpu_kernel": "k",
        }
    )  # fmt: skip
    assert len(kernels) + len(problems) == 1
    if kernels and operator == "Conv":
        build = NetworkBuilder("one")
        result = add_kernel(build, kernels[0])[1]
        assert build.shape(result) == (1, 2 * channels, out, out)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(sorted(TFLITE_ROW)),
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_no_cell_brings_the_reader_down(rows: Sequence[dict[str, object]]) -> None:
    kernels, problems = tflite(*rows)
    assert len(kernels) + len(problems) == len(rows)


def test_a_missing_column_is_named(schema: TableSchema, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("net,type\na,convolution\n")
    with pytest.raises(UsageError, match="no column 't_us'"):
        read_table(path, schema)


def test_one_of_several_devices_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("model,a_latency_s,b_latency_s\nx,1,2\n")
    with pytest.raises(UsageError, match="expected one of a, b"):
        read_table(path, read_schema("tflite-gpu"))
    with pytest.raises(UsageError, match="device 'c'"):
        read_table(path, read_schema("tflite-gpu"), device="c")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared measurements are not here")
def test_the_table_of_phone_gpus_is_read_whole() -> None:
    found = read_table(
        SHARED / "phone_gpu_kernels.csv",
        read_schema("tflite-gpu"),
        device="s10",
        networks=SHARED / "phone_gpu_networks.csv",
    )
    assert len(found.timed) == found.n_rows == 3979
    assert len(found.whole_networks()) == 72
    assert found.units()["convolution_winograd_4x4_6x6"] == 125
    shares = [
        sum(kernel.latency_s or 0.0 for kernel in found.kernels if kernel.network == name) / value
        for name, value in found.whole_networks().items()
    ]
    assert 0.1 < np.median(shares) < 1.0
