"""The campaign store: what is recorded lasts, is there once, and belongs to one device and one plan."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import annette
from annette.errors import StoreError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel
from annette.graph.network import Network
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.store.campaign import CampaignStore, PlanRecord, Task
from annette.store.codec import (
    device_from_json,
    device_to_json,
    measurement_from_json,
    measurement_to_json,
    network_from_bytes,
    network_to_bytes,
)

DEVICE = DeviceInfo(
    name="fake", backend="test", description="a fake", activation_bytes=1.0, peak_ops_per_s=1e12,
    environment=(("runs", "3"),),
)  # fmt: skip
PLAN = PlanRecord(name="plan", seed=7, text="{}")


def _network(channels: int) -> Network:
    build = NetworkBuilder(f"conv-{channels}")
    return build.finish(build.relu(build.conv(build.input("x", (1, 3, 8, 8)), channels, kernel=3)))


def _tasks(count: int) -> list[Task]:
    return [
        Task(network=_network(index + 1), category="block", group=f"g{index}", tags=(("kind", "pair"),))
        for index in range(count)
    ]


def _measurement(task: Task, *values_s: float) -> Measurement:
    names = tuple(layer.name for layer in task.network.layers)
    kernel = Kernel(layers=names, primary=names[0], unit="array")
    return Measurement(
        network_id=task.network.id,
        device=DEVICE,
        values_s=values_s or (1e-3, 1.25e-3),
        kernels=(
            KernelMeasurement(kernel=kernel, values_s=(0.1, 0.3), bound="compute", counters={"cycles": 5.0}),
        ),
        seed=3,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@pytest.fixture
def store(path: Path) -> Iterator[CampaignStore]:
    with CampaignStore.create(path, device=DEVICE, plan=PLAN) as opened:
        yield opened


def test_what_is_recorded_comes_back_equal_and_in_the_plans_order(store: CampaignStore) -> None:
    tasks = _tasks(4)
    store.add_tasks(tasks)
    failed = Measurement(network_id=tasks[0].network.id, device=DEVICE, error="no room", seed=9)
    store.record(tasks[2].id, _measurement(tasks[2]))
    store.record(tasks[0].id, failed)
    records = list(store.records())
    assert [record.task for record in records] == [tasks[0], tasks[2]]
    assert [record.measurement for record in records] == [failed, _measurement(tasks[2])]
    assert records[1].task.network.layers == tasks[2].network.layers


def test_pending_is_planned_minus_done(path: Path) -> None:
    tasks = _tasks(5)
    with CampaignStore.create(path, device=DEVICE, plan=PLAN) as store:
        store.add_tasks(tasks)
        store.record(tasks[3].id, _measurement(tasks[3]))
    with CampaignStore.open_or_create(path, device=DEVICE, plan=PLAN) as store:
        store.add_tasks(tasks)
        assert store.pending() == tuple(task.id for task in tasks if task is not tasks[3])
        summary = store.summary()
        assert (summary.planned, summary.measured, summary.failed, summary.pending) == (5, 1, 0, 4)


def test_the_summary_counts_failures_by_reason(store: CampaignStore) -> None:
    tasks = _tasks(4)
    store.add_tasks(tasks)
    for task, reason in zip(tasks, ("a", "b", "b", None), strict=True):
        failed = Measurement(network_id=task.network.id, device=DEVICE, error=reason) if reason else None
        store.record(task.id, failed or _measurement(task))
    assert store.summary().failures == (("b", 2), ("a", 1))
    assert store.summary().categories == (("block", 4),)


def test_nothing_is_recorded_twice(store: CampaignStore) -> None:
    tasks = _tasks(1)
    store.add_tasks(tasks)
    store.record(tasks[0].id, _measurement(tasks[0]))
    with pytest.raises(StoreError, match="measured already"):
        store.record(tasks[0].id, _measurement(tasks[0]))
    assert len(list(store.records())) == 1


def test_an_answer_for_another_network_device_or_task_is_refused(store: CampaignStore) -> None:
    first, second = _tasks(2)
    store.add_tasks([first])
    with pytest.raises(StoreError, match="found a measurement of"):
        store.record(first.id, _measurement(second))
    with pytest.raises(StoreError, match="no task"):
        store.record(second.id, _measurement(second))
    other = Measurement(network_id=first.network.id, device=DeviceInfo(name="x", backend="y"), error="e")
    with pytest.raises(StoreError, match="'x'"):
        store.record(first.id, other)


def test_numbers_that_are_not_finite_are_never_stored(store: CampaignStore) -> None:
    (task,) = _tasks(1)
    store.add_tasks([task])
    kernel = Kernel(layers=("conv_1",), primary="conv_1", unit="array")
    bad = Measurement(
        network_id=task.network.id, device=DEVICE, values_s=(1.0,),
        kernels=(KernelMeasurement(kernel=kernel, values_s=(1.0,), counters={"cycles": float("nan")}),),
    )  # fmt: skip
    with pytest.raises(StoreError, match="finite"):
        store.record(task.id, bad)
    assert store.pending() == (task.id,)


def test_other_tasks_than_the_stores_are_refused(store: CampaignStore) -> None:
    store.add_tasks(_tasks(3))
    with pytest.raises(StoreError, match="differ"):
        store.add_tasks(_tasks(2))
    doubled = _tasks(1) * 2
    with pytest.raises(StoreError, match="planned twice"):
        store.add_tasks(doubled)


@pytest.mark.parametrize(
    ("device", "plan", "message"),
    [
        (
            DeviceInfo(name="other", backend="test"),
            PLAN,
            "another device than this 'other'.*differs in name.*new store",
        ),
        (DEVICE, PlanRecord(name="plan", seed=8, text="{}"), "plan 'plan' seed 7.*new store"),
        (DEVICE, PlanRecord(name="plan", seed=7, text="{ }"), "has changed since"),
    ],
)
def test_another_device_or_plan_may_not_continue_a_store(
    path: Path, device: DeviceInfo, plan: PlanRecord, message: str
) -> None:
    CampaignStore.create(path, device=DEVICE, plan=PLAN).close()
    with pytest.raises(StoreError, match=message) as caught:
        CampaignStore.open_or_create(path, device=device, plan=plan)
    assert "\n" not in str(caught.value)
    CampaignStore.open_or_create(path, device=DEVICE, plan=PLAN).close()  # the refusal left no lock behind


def test_a_second_writer_is_refused_and_a_reader_is_not(store: CampaignStore, path: Path) -> None:
    tasks = _tasks(2)
    store.add_tasks(tasks)
    store.record(tasks[0].id, _measurement(tasks[0]))
    for opener in (
        lambda: CampaignStore.open_or_create(path, device=DEVICE, plan=PLAN),
        lambda: CampaignStore.open(path, writable=True),
    ):
        with pytest.raises(StoreError, match="another process is writing"):
            opener()
    with CampaignStore.open(path) as reader:
        assert len(list(reader.records())) == 1
        store.record(tasks[1].id, _measurement(tasks[1]))
        assert len(list(reader.records())) == 2
        with pytest.raises(StoreError, match="opened for reading"):
            reader.record(tasks[1].id, _measurement(tasks[1]))


def test_a_second_process_is_refused_until_the_first_is_gone(store: CampaignStore, path: Path) -> None:
    code = (
        "import sys; from annette.store.campaign import CampaignStore\n"
        "from annette.errors import StoreError\n"
        "try: CampaignStore.open(sys.argv[1], writable=True)\n"
        "except StoreError as err: print(err)\n"
        "else: print('opened')\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    refused = subprocess.run(command, capture_output=True, text=True, check=True, env=_environment())
    assert "another process is writing" in refused.stdout
    store.close()
    opened = subprocess.run(command, capture_output=True, text=True, check=True, env=_environment())
    assert opened.stdout.strip() == "opened"


def test_an_existing_campaign_is_not_created_over(path: Path) -> None:
    CampaignStore.create(path, device=DEVICE, plan=PLAN).close()
    with pytest.raises(StoreError, match="holds a campaign already"):
        CampaignStore.create(path, device=DEVICE, plan=PLAN)


def test_device_plan_and_environment_are_remembered(store: CampaignStore, path: Path) -> None:
    with CampaignStore.open(path) as reader:
        assert reader.device == DEVICE
        assert reader.plan == PLAN
        assert {"annette", "python", "platform", "numpy"} <= set(reader.provenance)


# Files that are no stores ------------------------------------------------------------------------------


def _refusal(path: Path) -> str:
    texts = []
    for opener in (
        lambda: CampaignStore.open(path),
        lambda: CampaignStore.open_or_create(path, device=DEVICE, plan=PLAN),
    ):
        with pytest.raises(StoreError) as caught:
            opener()
        texts.append(str(caught.value))
        assert "\n" not in texts[-1]
        assert str(path) in texts[-1]
    return " | ".join(texts)


def test_a_missing_store_is_named(path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        CampaignStore.open(path)
    assert not path.exists()


def test_a_file_that_is_no_sqlite_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("some notes, long enough to be looked at twice" * 100)
    before = path.read_bytes()
    assert "not a campaign store" in _refusal(path)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (a)")
        other.commit()
    before = path.read_bytes()
    assert "not a campaign store" in _refusal(path)
    assert path.read_bytes() == before


def _reading_fault(path: Path) -> str:
    """What the store says of its damage; empty if it was read. Any other error fails the test."""
    try:
        with CampaignStore.open(path) as store:
            list(store.records())
            store.summary()
    except StoreError as err:
        return str(err)
    return ""


def test_a_damaged_store_is_refused_or_fails_in_one_line(path: Path) -> None:
    with CampaignStore.create(path, device=DEVICE, plan=PLAN) as store:
        tasks = _tasks(40)
        store.add_tasks(tasks)
        for task in tasks:
            store.record(task.id, _measurement(task))
    whole = path.read_bytes()
    rng = random.Random(5)
    for _ in range(30):
        start = rng.randrange(16, len(whole) - 600)
        path.write_bytes(whole[:start] + rng.randbytes(500) + whole[start + 500 :])
        fault = _reading_fault(path)
        assert "\n" not in fault
    path.write_bytes(whole[: len(whole) // 2])
    assert _reading_fault(path)


def test_a_store_of_another_schema_version_is_refused(path: Path) -> None:
    CampaignStore.create(path, device=DEVICE, plan=PLAN).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "schema version 99, expected 3" in _refusal(path)


def test_nothing_is_written_beside_a_file_that_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    before = path.read_bytes()
    assert "not a campaign store" in _refusal(path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["photos.db"]


def test_a_second_writer_that_is_refused_leaves_the_locks_of_the_first(path: Path) -> None:
    """A process that opened and closed the file by itself would drop them: SQLite's locks are POSIX ones."""
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM campaign').fetchall()"
    with CampaignStore.create(path, device=DEVICE, plan=PLAN):
        with pytest.raises(StoreError, match="another process is writing"):
            CampaignStore.open_or_create(path, device=DEVICE, plan=PLAN)
        subprocess.run([sys.executable, "-c", program, str(path)], check=True)
        assert path.with_name(f"{path.name}-wal").exists()


def test_folders_and_places_that_do_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        CampaignStore.open_or_create(tmp_path, device=DEVICE, plan=PLAN)
    with pytest.raises(StoreError, match="does not exist"):
        CampaignStore.open_or_create(tmp_path / "no" / "run.db", device=DEVICE, plan=PLAN)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_read_only_folder_may_be_read_but_not_written(path: Path) -> None:
    CampaignStore.create(path, device=DEVICE, plan=PLAN).close()
    path.with_name(f"{path.name}-lock").unlink()
    path.parent.chmod(0o555)
    try:
        with CampaignStore.open(path) as store:
            assert store.device == DEVICE
        with pytest.raises(StoreError, match=r"may (not )?be written"):
            CampaignStore.open_or_create(path, device=DEVICE, plan=PLAN)
    finally:
        path.parent.chmod(0o755)


def test_a_full_disk_fails_in_one_line_and_keeps_what_was_there(store: CampaignStore) -> None:
    tasks = _tasks(3)
    store.add_tasks(tasks)
    store.record(tasks[0].id, _measurement(tasks[0]))
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")  # stands in for a disk without room
    large = _measurement(tasks[1], *[0.123456789] * 5000)
    with pytest.raises(StoreError, match="disk is full; free some space") as caught:
        store.record(tasks[1].id, large)
    assert "\n" not in str(caught.value)
    assert [record.task for record in store.records()] == tasks[:1]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 1000}")
    store.record(tasks[1].id, _measurement(tasks[1]))


# Text and bytes ----------------------------------------------------------------------------------------


_SECONDS = st.floats(min_value=0, max_value=1e6, allow_nan=False)


@settings(max_examples=50, deadline=None)
@given(st.lists(_SECONDS, min_size=1, max_size=5), st.lists(_SECONDS, min_size=1, max_size=5))
def test_values_survive_the_text_to_the_last_bit(values: list[float], kernel_values: list[float]) -> None:
    kernel = Kernel(layers=("a", "b"), primary="b", unit="host")
    original = Measurement(
        network_id="0" * 32, device=DEVICE, values_s=tuple(values), eliminated_layers=("c",), seed=1,
        kernels=(
            KernelMeasurement(kernel=kernel, values_s=tuple(kernel_values), counters={"n": kernel_values[0]}),
        ),
    )  # fmt: skip
    text = measurement_to_json(original)
    assert measurement_from_json(text, network_id="0" * 32, device=DEVICE, seed=1) == original


def test_a_devices_identity_survives_the_text() -> None:
    assert device_from_json(device_to_json(DEVICE)) == DEVICE
    with pytest.raises(StoreError, match="device of the store"):
        device_from_json('{"name": 1}')


def test_a_networks_bytes_are_bounded_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _network(8)
    data = network_to_bytes(network)
    assert network_from_bytes(data, network_id=network.id) == network
    for bad in (data[:-5], b"junk", data[:10] + b"x" + data[11:]):
        with pytest.raises(StoreError):
            network_from_bytes(bad, network_id=network.id)
    with pytest.raises(StoreError, match="holds network"):
        network_from_bytes(data, network_id="f" * 32)
    monkeypatch.setattr("annette.store.codec.MAX_TEXT_BYTES", 100)
    with pytest.raises(StoreError, match="more than 100 bytes"):
        network_from_bytes(data, network_id=network.id)


# kill -9 -----------------------------------------------------------------------------------------------


_VICTIM = textwrap.dedent("""
    import sys, time
    from annette.graph.builder import NetworkBuilder
    from annette.measurement import DeviceInfo, Measurement
    from annette.store.campaign import CampaignStore, PlanRecord, Task
    def network(channels):
        build = NetworkBuilder("n")
        return build.finish(build.relu(build.input("x", (1, channels))))
    device = DeviceInfo(name="fake", backend="test")
    tasks = [Task(network=network(n), category="micro-kernel", group=str(n)) for n in range(1, 121)]
    print("go", flush=True)
    plan = PlanRecord(name="p", seed=1, text="")
    with CampaignStore.open_or_create(sys.argv[1], device=device, plan=plan) as store:
        store.add_tasks(tasks)
        by_id = {task.id: task for task in tasks}
        for task_id in store.pending():
            task = by_id[task_id]
            value = int(task.group) * 1e-6
            answer = Measurement(network_id=task.network.id, device=device, values_s=(value,))
            store.record(task_id, answer)
            print(task.group, flush=True)
            time.sleep(0.01)  # 1.2 s in all: longer than the victims live together
    print("done", flush=True)
""")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(annette.__file__).resolve().parents[1])}


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal")
def test_a_store_killed_at_any_moment_continues_without_loss_or_doubles(path: Path) -> None:
    rng = random.Random(11)
    reported: list[str] = []
    for attempt in range(60):
        victim = subprocess.Popen(
            [sys.executable, "-c", _VICTIM, str(path)], stdout=subprocess.PIPE, text=True, env=_environment()
        )
        assert victim.stdout is not None
        assert victim.stdout.readline().strip() == "go"
        if (
            attempt < 8
        ):  # the first ones die while tables and tasks are written, the later ones while measuring
            time.sleep(rng.uniform(0, 0.02 if attempt < 4 else 0.15))
            victim.send_signal(signal.SIGKILL)
        said = victim.stdout.read().split()
        victim.wait()
        reported += [word for word in said if word.isdigit()]
        if "done" in said:
            break
    assert attempt >= 8
    with CampaignStore.open(path) as store:
        records = list(store.records())
        assert [record.task.group for record in records] == [str(number) for number in range(1, 121)]
        assert all(record.measurement.values_s == (int(record.task.group) * 1e-6,) for record in records)
        assert store.pending() == ()
    assert len(reported) == len(set(reported))  # nothing that was reported as kept was measured again
