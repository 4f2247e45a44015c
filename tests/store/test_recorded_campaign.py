"""A campaign as one Parquet file: it comes back whole, and a bad file is refused in one line."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from annette.backends.simulator import open_simulator
from annette.benchmark.campaign import run_campaign
from annette.benchmark.plan import plan_campaign
from annette.benchmark.plan_codec import plan_from_yaml
from annette.errors import StoreError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.store import recorded
from annette.store.campaign import CampaignStore, PlanRecord, Task
from annette.store.recorded import read_campaign

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

PLAN = """
schema_version: 1
name: mixture
description: some of several kinds
seed: 5
limits: {macs: 1.0e+9, activation_elements: 4.0e+6, weight_elements: 20.0e+6}
micro_kernels: {conv: 6, gemm: 3, softmax: 2}
blocks: {residual: 3, attention: 2}
"""
DEVICE = DeviceInfo(name="cpu", backend="test", visits=3, environment=(("runtime", "1.31"),))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished campaign on a simulated device, with one failure."""
    plan, backend = plan_from_yaml(PLAN, "mixture.yaml"), open_simulator("zcu102-dpu")
    path, tasks = tmp_path_factory.mktemp("recorded") / "run.db", plan_campaign(plan)
    with CampaignStore.create(path, device=backend.info, plan=plan.record) as store:
        store.add_tasks(tasks)
        failed = Measurement(network_id=tasks[0].network.id, device=backend.info, error="no room")
        store.record(tasks[0].id, failed)
        run_campaign(tasks, backend, store)
        store.export_campaign(path.with_suffix(".parquet"))
    return path


@pytest.fixture
def visited(tmp_path: Path) -> Path:
    """A campaign of several visits: one network whole, one with a visit, one appended and not measured."""
    tasks = []
    for channels in (4, 5, 6):
        build = NetworkBuilder(f"conv-{channels}")
        network = build.finish(build.conv(build.input("x", (1, 3, 8, 8)), channels, kernel=3))
        tasks.append(Task(network=network, category="micro-kernel", group="g", tags=(("kind", "conv"),)))
    path = tmp_path / "run.db"
    plan = PlanRecord(name="plan", seed=2**63 - 1, text="{}")
    with CampaignStore.create(path, device=DEVICE, plan=plan) as store:
        store.add_tasks(tasks[:2])
        store.append_tasks(tasks[2:])
        for task, values in zip(tasks, ((1.0, 1.4, 1.2), (1.0,)), strict=False):
            for number, value in enumerate(values):
                store.record(task.id, _visit(task, value, number))
        store.export_campaign(tmp_path / "run.parquet")
    return path


def _visit(task: Task, value: float, seed: int) -> Measurement:
    name = task.network.layers[0].name
    kernels = (
        Kernel(tensor="x", unit="to_blocked"),
        Kernel(layers=(name,), primary=name, unit="blocked"),
    )
    return Measurement(
        network_id=task.network.id,
        device=DEVICE,
        values_s=(value,),
        kernels=tuple(KernelMeasurement(kernel=item, values_s=(value / 2,)) for item in kernels),
        conditions={"reference_s": 1e-3},
        seed=seed,
    )


def test_a_recorded_campaign_is_read_like_the_store(simulated: Path) -> None:
    with (
        CampaignStore.open(simulated) as store,
        CampaignStore.open(simulated.with_suffix(".parquet")) as again,
    ):
        assert (again.device, again.plan, again.provenance) == (store.device, store.plan, store.provenance)
        assert list(again.records()) == list(store.records())
        assert again.summary() == store.summary()
        with pytest.raises(StoreError, match="opened for reading"):
            again.record(next(again.tasks()).id, next(again.records()).measurement)


def test_visits_travel_combined_and_the_rest_can_be_measured(visited: Path, tmp_path: Path) -> None:
    with CampaignStore.open(visited) as store:
        records, pending, tasks = list(store.records()), store.pending(), list(store.tasks())
    with CampaignStore.from_parquet(visited.with_suffix(".parquet"), tmp_path / "new.db") as again:
        assert list(again.records()) == records
        assert again.pending() == pending == (tasks[1].id, tasks[2].id)
        assert again.visit_counts() == {tasks[0].id: 3, tasks[1].id: 0, tasks[2].id: 0}
        assert again.plan.seed == 2**63 - 1
        again.add_tasks(tasks[:2])
        for number in range(3):
            again.record(tasks[1].id, _visit(tasks[1], 2.0, number))
        assert again.pending() == (tasks[2].id,)
        assert records[0].measurement.spread_fraction == pytest.approx(0.2)
    with pytest.raises(StoreError, match="holds a campaign already"):
        CampaignStore.from_parquet(visited.with_suffix(".parquet"), tmp_path / "new.db")


def test_the_analysis_tables_hold_visits_and_moves(visited: Path, tmp_path: Path) -> None:
    with CampaignStore.open(visited) as store:
        kernels, networks = (parquet.read_table(path).to_pylist() for path in store.export_parquet(tmp_path))
    (network,) = networks
    assert network["visit_values_s"] == [[1.0], [1.4], [1.2]]
    assert network["spread_fraction"] == pytest.approx(0.2)
    assert [dict(item) for item in network["visit_conditions"]] == [{"reference_s": 1e-3}] * 3
    move, conv = kernels
    assert (move["is_move"], move["tensor"], move["family"], move["unit"]) == (
        True,
        "x",
        "move",
        "to_blocked",
    )
    assert (move["macs"], move["primary_input_bytes"], move["out_h"]) == (0, 3 * 8 * 8 * 4, None)
    assert (conv["is_move"], conv["tensor"], conv["family"]) == (False, None, "conv")
    assert conv["visit_values_s"] == [[0.5], [0.7], [0.6]]


def test_a_recorded_campaign_is_small(simulated: Path) -> None:
    with CampaignStore.open(simulated) as store:
        planned = store.summary().planned
    assert simulated.with_suffix(".parquet").stat().st_size < 20_000 + 2_500 * planned


# Files that are not sound ------------------------------------------------------------------------------


def _refusal(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        CampaignStore.open(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    assert len(text) < 500
    return text


def test_files_that_are_no_recorded_campaign_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    assert "no such file" in _refusal(path)
    path.write_bytes(b"PAR1 but not really")
    assert "none of annette's" in _refusal(path)
    parquet.write_table(arrow.table({"a": [1]}), path)
    assert "no recorded campaign of annette" in _refusal(path)


def _rewritten(path: Path, change: Any, **options: Any) -> Path:
    """The recorded campaign with its table changed, written as a stranger might."""
    table = change(parquet.read_table(path))
    changed = path.with_name("changed.parquet")
    parquet.write_table(table, changed, **{"compression": "none", "use_dictionary": False, **options})
    return changed


def _with_column(name: str, values: Any) -> Any:
    def change(table: Any) -> Any:
        index = table.schema.get_field_index(name)
        column = [*values, *table.column(name).to_pylist()[len(values) :]]
        return table.set_column(
            index, table.schema.field(index), arrow.array(column, table.schema.field(index).type)
        )

    return change


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("task_id", ["0" * 32], "does not match its id"),
        ("category", ["evil"], "category 'evil'"),
        ("network", [b"junk"], "network"),
        ("network_id", ["0" * 32], "holds network"),
        ("tags", ["[1]"], "tags"),
        ("result", [b"junk"], "task"),
        ("error", ["too much"], "parts of one"),
        ("visits", [0], "parts of one"),
        ("visits", [-5], "parts of one"),
    ],
)
def test_rows_that_are_not_sound_are_refused(visited: Path, name: str, values: Any, message: str) -> None:
    assert message in _refusal(_rewritten(visited.with_suffix(".parquet"), _with_column(name, values)))


def test_headers_that_are_not_sound_are_refused(visited: Path) -> None:
    for header, message in (
        (b"{", "not readable as JSON"),
        (b"[]", "none of annette's"),
        (b'{"schema_version": 99}', "schema_version 99, expected 1"),
        (b'{"schema_version": 1, "device": "{}", "plan": {}}', "none of annette's"),
        (b'{"schema_version": 1, "plan": {"name": 1, "seed": "1", "text": ""}}', "a plan that is not"),
    ):
        path = visited.with_suffix(".parquet")
        changed = _rewritten(
            path, lambda table, h=header: table.replace_schema_metadata({b"annette_campaign": h})
        )
        assert message in _refusal(changed)


def test_doubled_or_missing_rows_and_other_columns_are_refused(visited: Path) -> None:
    path = visited.with_suffix(".parquet")
    assert "6 tasks, 3 of them" in _refusal(
        _rewritten(path, lambda table: arrow.concat_tables([table, table]))
    )
    assert "0 tasks" in _refusal(_rewritten(path, lambda table: table.slice(0, 0)))
    assert "other columns" in _refusal(_rewritten(path, lambda table: table.drop_columns(["seed"])))


def test_what_could_unpack_to_more_than_the_file_is_refused(
    visited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = visited.with_suffix(".parquet")
    assert "compressed pages" in _refusal(_rewritten(path, lambda table: table, compression="zstd"))
    monkeypatch.setattr("annette.store.codec.MAX_TEXT_BYTES", 50)
    assert "more than 50 bytes once unpacked" in _refusal(path)
    monkeypatch.setattr(recorded, "MAX_TASKS", 2)
    assert "3 tasks, expected at most 2" in _refusal(path)
    monkeypatch.setattr(recorded, "MAX_FILE_BYTES", 100)
    assert "bytes, expected at most 100" in _refusal(path)


def test_a_damaged_file_is_refused_or_read_but_never_a_crash(simulated: Path, tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import random, sys
        from pathlib import Path
        from annette.errors import StoreError
        from annette.store.recorded import read_campaign
        whole, path = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
        rng = random.Random(3)
        for _ in range(60):
            start, size = rng.randrange(len(whole)), rng.choice((1, 8, 200))
            path.write_bytes(whole[:start] + rng.randbytes(size) + whole[start + size:])
            try:
                read_campaign(path)
            except StoreError as err:
                assert "\\n" not in str(err), err
        path.write_bytes(whole[: len(whole) // 2])
        try:
            read_campaign(path)
        except StoreError:
            print("done")
    """)
    words = [
        sys.executable,
        "-c",
        program,
        str(simulated.with_suffix(".parquet")),
        str(tmp_path / "x.parquet"),
    ]
    answer = subprocess.run(words, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout.strip()) == (0, "done"), answer.stderr


def test_a_place_that_cannot_be_written_leaves_nothing_behind(visited: Path, tmp_path: Path) -> None:
    with CampaignStore.open(visited) as store:
        with pytest.raises(StoreError, match=r"ends in \.parquet"):
            store.export_campaign(tmp_path / "run.csv")
        with pytest.raises(StoreError, match="may be written"):
            store.export_campaign(tmp_path / "no" / "run.parquet")
    before = {item.name for item in tmp_path.iterdir()}
    with CampaignStore.open(visited) as store:
        store.export_campaign(tmp_path / "run.parquet")
    assert {item.name for item in tmp_path.iterdir()} == before


def test_a_missing_pyarrow_is_explained(visited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StoreError, match=r"pip install annette\[parquet\]"):
        read_campaign(visited.with_suffix(".parquet"))
