"""Replay: recorded answers under the names of whoever asks, and a clear word about what was not recorded."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from annette.backends.protocol import Backend
from annette.backends.registry import open_device
from annette.backends.replay import open_replay
from annette.errors import StoreError, UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, require_complete
from annette.graph.network import Layer, Network, Tensor
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.store.campaign import CampaignStore, PlanRecord, Task

DEVICE = DeviceInfo(name="board", backend="probe", environment=(("runtime", "1.0"),))


def _network(prefix: str, channels: int = 8) -> Network:
    """Conv, Relu, Identity, Softmax under names that begin with ``prefix``."""
    shapes = {"x": (1, 3, 8, 8), "w": (channels, 3, 1, 1)}
    shapes |= dict.fromkeys(("a", "b", "c", "y"), (1, channels, 8, 8))
    tensors = {
        prefix + name: Tensor(name=prefix + name, shape=shape, is_constant=name == "w")
        for name, shape in shapes.items()
    }
    steps = (
        ("Conv", ("x", "w"), "a"),
        ("Relu", ("a",), "b"),
        ("Identity", ("b",), "c"),
        ("Softmax", ("c",), "y"),
    )
    layers = tuple(
        Layer(
            name=f"{prefix}{op_type}",
            op_type=op_type,
            inputs=tuple(prefix + name for name in inputs),
            outputs=(prefix + output,),
        )
        for op_type, inputs, output in steps
    )
    return Network(
        name=f"{prefix}network",
        inputs=(f"{prefix}x",),
        outputs=(f"{prefix}y",),
        layers=layers,
        tensors=tensors,
    )


def _answer(network: Network, prefix: str) -> Measurement:
    kernels = (
        Kernel(layers=(f"{prefix}Conv", f"{prefix}Relu"), primary=f"{prefix}Conv", unit="blocked"),
        Kernel(tensor=f"{prefix}b", unit="to_plain"),
        Kernel(layers=(f"{prefix}Softmax",), primary=f"{prefix}Softmax", unit="plain"),
    )
    return Measurement(
        network_id=network.id,
        device=DEVICE,
        values_s=(0.5, 0.75),
        kernels=tuple(KernelMeasurement(kernel=item, values_s=(0.1, 0.2)) for item in kernels),
        eliminated_layers=(f"{prefix}Identity",),
        seed=3,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    network = _network("their_")
    path = tmp_path / "run.db"
    with CampaignStore.create(path, device=DEVICE, plan=PlanRecord(name="p", seed=1, text="")) as store:
        tasks = [
            Task(network=network, category="block", group="first"),
            Task(network=network, category="block", group="again"),
            Task(network=_network("", 5), category="block", group="failed"),
        ]
        store.add_tasks(tasks)
        store.record(tasks[0].id, Measurement(network_id=network.id, device=DEVICE, error="not this time"))
        store.record(tasks[1].id, _answer(network, "their_"))
        failed = Measurement(network_id=tasks[2].network.id, device=DEVICE, error="too large")
        store.record(tasks[2].id, failed)
    return path


def test_it_answers_in_the_names_of_whoever_asks(path: Path) -> None:
    backend = open_device(f"replay:{path}")
    assert isinstance(backend, Backend)
    assert backend.info == DEVICE
    mine = _network("my_")
    found = backend.measure(mine, seed=9)
    assert found == _answer(mine, "my_")
    assert found.mapping is not None
    require_complete(mine, found.mapping)


def test_a_recorded_failure_is_replayed(path: Path) -> None:
    assert open_replay(str(path)).measure(_network("q_", 5)).error == "too large"


def test_what_was_not_recorded_is_an_error_of_one_line(path: Path) -> None:
    build = NetworkBuilder("other")
    other = build.finish(build.relu(build.input("x", (1, 2))))
    found = open_replay(str(path)).measure(other, seed=4)
    assert found.error == f"network 'other' was not recorded in {path}; measure it on the device"
    assert (found.network_id, found.device) == (other.id, DEVICE)


def test_it_travels_to_other_processes_as_a_path(path: Path) -> None:
    backend = open_replay(str(path))
    data = pickle.dumps(backend)
    assert len(data) < 2000
    twin = pickle.loads(data)  # noqa: S301  # our own bytes
    assert twin == backend
    assert twin.measure(_network("my_")) == backend.measure(_network("my_"))


def test_a_file_that_changed_is_read_again(path: Path) -> None:
    backend = open_replay(str(path))
    network = _network("", 7)
    assert backend.measure(network).error
    with CampaignStore.open(path, writable=True) as store:
        task = Task(network=network, category="block", group="new")
        store.append_tasks([task])
        store.record(task.id, _answer(network, ""))
    assert backend.measure(network).values_s == (0.5, 0.75)
    path.unlink()
    assert "no such file" in (backend.measure(network).error or "")


def test_missing_and_foreign_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        open_device(f"replay:{tmp_path / 'x.db'}")
    (tmp_path / "notes.db").write_text("notes")
    with pytest.raises(StoreError, match="campaign store"):
        open_device(f"replay:{tmp_path / 'notes.db'}")
