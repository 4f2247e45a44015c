"""Damaged stores: what is wrong is found and said, the rest is saved, and nothing comes out changed."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import tracemalloc
from pathlib import Path

import pytest

from annette.cli.main import exit_code
from annette.errors import StoreError
from annette.graph.builder import NetworkBuilder
from annette.measurement import DeviceInfo, Measurement
from annette.store.campaign import CampaignStore
from annette.store.records import PlanRecord, Task
from annette.store.salvage import _Faults, check_store, export_store

DEVICE = DeviceInfo(name="fake", backend="test")
PLAN = PlanRecord(name="plan", seed=7, text="{}")
PAGE = 4096
STRETCHED_BYTES = 1 << 28
"""Of a file that takes next to nothing on the disk."""


def _tasks(count: int) -> list[Task]:
    tasks = []
    for index in range(count):
        build = NetworkBuilder(f"conv-{index}")
        network = build.finish(build.relu(build.conv(build.input("x", (1, 3, 8, 8)), index + 1, kernel=3)))
        tasks.append(Task(network=network, category="block", group=f"g{index}"))
    return tasks


TASKS = _tasks(60)


def _seconds(task: Task) -> float:
    return 1e-4 * (1 + int(task.group[1:]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in one file: nothing is left in its log."""
    path = tmp_path_factory.mktemp("salvage") / "whole.db"
    with CampaignStore.create(path, device=DEVICE, plan=PLAN) as store:
        store.add_tasks(TASKS)
        for task in TASKS:
            values_s = (_seconds(task),)
            store.record(task.id, Measurement(network_id=task.network.id, device=DEVICE, values_s=values_s))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


def _damaged(whole: Path, folder: Path, place: int, data: bytes) -> Path:
    path = folder / "damaged.db"
    content = bytearray(whole.read_bytes())
    content[place : place + len(data)] = data
    path.write_bytes(content)
    return path


def _pages(path: Path, table: str) -> list[int]:
    """The pages that hold rows of the table, the last ones of its tree."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'"
            return [row[0] for row in connection.execute(query, (table,))]
        except sqlite3.OperationalError:
            pytest.skip("this SQLite is built without dbstat")


def _kept(path: Path) -> set[str]:
    """The groups of the tasks that are measured; each must have the seconds that were recorded."""
    with CampaignStore.open(path) as store:
        records = list(store.records())
    assert all(record.measurement.values_s == (_seconds(record.task),) for record in records)
    return {record.task.group for record in records}


def test_a_sound_store_is_sound_and_its_copy_equal(whole: Path, tmp_path: Path) -> None:
    found = check_store(whole)
    assert found.is_sound
    assert (found.tasks, found.visits, found.damaged_tasks, found.damaged_visits) == (60, 60, 0, 0)
    assert export_store(whole, tmp_path / "copy.db") == found
    with CampaignStore.open(whole) as store, CampaignStore.open(tmp_path / "copy.db") as copy:
        assert list(copy.records()) == list(store.records())
        assert (copy.device, copy.plan, copy.provenance) == (store.device, store.plan, store.provenance)


@pytest.mark.parametrize("table", ["tasks", "measurements"])
def test_a_damaged_page_is_found_and_the_rows_of_the_others_are_saved(
    whole: Path, tmp_path: Path, table: str
) -> None:
    pages = _pages(whole, table)
    assert len(pages) > 1
    path = _damaged(whole, tmp_path, (pages[1] - 1) * PAGE, random.Random(1).randbytes(PAGE))
    found = check_store(path)
    assert found.faults
    saved = export_store(path, tmp_path / "saved.db")
    assert 0 < saved.visits < 60
    assert len(_kept(tmp_path / "saved.db")) == saved.visits
    assert saved.visits + saved.damaged_visits == 60


def test_a_stretched_file_takes_no_memory_for_rows_that_it_cannot_hold(whole: Path, tmp_path: Path) -> None:
    content = bytearray(whole.read_bytes())
    with contextlib.closing(sqlite3.connect(whole)) as connection:
        roots = "SELECT rootpage FROM sqlite_master WHERE tbl_name = 'tasks'"
        for (page,) in connection.execute(roots):
            content[(page - 1) * PAGE : page * PAGE] = b"\xff" * PAGE
    path = tmp_path / "stretched.db"
    for size_in_header in (len(content), STRETCHED_BYTES):  # as annette left it, and as a hostile hand does
        content[28:32] = (size_in_header // PAGE).to_bytes(4, "big")
        path.write_bytes(content)
        os.truncate(path, STRETCHED_BYTES)
        tracemalloc.start()
        try:
            found = check_store(path)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak_bytes < 2 << 20
        assert (found.tasks, found.damaged_visits) == (0, 60)
        assert 60 <= found.damaged_tasks <= len(content) // 64
        assert len(found.faults) <= 21


def test_a_view_in_place_of_a_table_is_refused_before_it_is_read(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "view.db"
    path.write_bytes(whole.read_bytes())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE tasks RENAME TO some")
        connection.execute(
            "CREATE VIEW tasks AS WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c LIMIT 9) "
            "SELECT x AS rowid, x AS ordinal, id, category, group_name, tags, network_id, network, appended "
            "FROM c, (SELECT * FROM some LIMIT 1)"
        )
    for use in (check_store, CampaignStore.open):
        with pytest.raises(StoreError, match="holds a view, expected tables"):
            use(path)


def test_faults_beyond_those_shown_are_counted() -> None:
    faults = _Faults()
    for row in range(0, 100_000, 2):
        faults.add("task", row, "torn")
        faults.add("task", row + 1, "torn" if row >= 60 else "gone")
    assert len(faults.lines()) == 20
    assert faults.lines()[:2] == ["row 0 of tasks: torn", "row 1 of tasks: gone"]
    assert faults.n_lines == 61  # one for each of sixty rows, and one for all the others


def test_a_campaign_goes_on_with_what_was_saved(whole: Path, tmp_path: Path) -> None:
    page = _pages(whole, "tasks")[1]
    path = _damaged(whole, tmp_path, (page - 1) * PAGE, bytes(PAGE))
    assert export_store(path, tmp_path / "saved.db").damaged_tasks > 0
    with CampaignStore.open_or_create(tmp_path / "saved.db", device=DEVICE, plan=PLAN) as store:
        store.add_tasks(TASKS)
        assert [task.id for task in store.tasks()] == [task.id for task in TASKS]
        lost = store.pending()
        assert 0 < len(lost) < 60
        known = {task.id: task for task in TASKS}
        for task_id in lost:
            task = known[task_id]
            answer = Measurement(network_id=task.network.id, device=DEVICE, values_s=(_seconds(task),))
            store.record(task_id, answer)
    assert len(_kept(tmp_path / "saved.db")) == 60


def test_a_sound_store_is_never_filled_up_with_tasks_of_another_plan(tmp_path: Path) -> None:
    with CampaignStore.create(tmp_path / "run.db", device=DEVICE, plan=PLAN) as store:
        store.add_tasks(TASKS[:3])
        with pytest.raises(StoreError, match="differ"):
            store.add_tasks(TASKS[:5])


def test_a_changed_byte_anywhere_is_found_or_changes_nothing(whole: Path, tmp_path: Path) -> None:
    rng, size = random.Random(5), whole.stat().st_size
    found = 0
    for number in range(60):
        place = rng.randrange(size)
        path = _damaged(whole, tmp_path, place, bytes([whole.read_bytes()[place] ^ (1 << rng.randrange(8))]))
        if _is_sound(path):
            assert len(_kept(path)) == 60, number
        else:
            found += 1
    assert found > 8


def _is_sound(path: Path) -> bool:
    try:
        return check_store(path).is_sound
    except StoreError:
        return False


def test_a_changed_digit_in_a_result_is_no_measurement(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "digit.db"
    path.write_bytes(whole.read_bytes())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE measurements SET result = replace(result, '0.0011', '0.0017')")
    assert check_store(path).damaged_visits == 1
    with pytest.raises(StoreError, match="annette store export"), CampaignStore.open(path) as store:
        list(store.records())


def test_an_older_store_is_written_to_only_after_its_tables_are_todays(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    example = Path(__file__).resolve().parents[1] / "data" / "schema" / "store-2.sqlite"
    path.write_bytes(example.read_bytes())
    with CampaignStore.open(path) as store:
        before = list(store.records())
    with CampaignStore.open(path, writable=True) as store:
        task_id = store.pending()[0]
        task = next(store.tasks([task_id]))
        answer = Measurement(network_id=task.network.id, device=store.device, values_s=(1.0,))
        store.record(task_id, answer)
        assert len(list(store.records())) == len(before) + 1
    assert check_store(path).schema_version == 3
    assert check_store(path).is_sound


def test_the_commands_say_what_is_lost_and_how_to_go_on(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["store", "check", str(whole)]) == 0
    assert "60 tasks and 60 measurements can be read" in capsys.readouterr().out
    page = _pages(whole, "measurements")[0]
    path = _damaged(whole, tmp_path, (page - 1) * PAGE, bytes(PAGE))
    assert exit_code(["store", "check", str(path)]) == 1
    captured = capsys.readouterr()
    assert "annette store export" in captured.err
    assert captured.err.count("error:") == 1
    assert exit_code(["store", "export", str(path), str(tmp_path / "new.db")]) == 0
    assert "measure them again" in capsys.readouterr().err
    assert check_store(tmp_path / "new.db").is_sound
    assert exit_code(["store", "export", str(path), str(tmp_path / "new.db")]) == 1
    assert "exists already" in capsys.readouterr().err
