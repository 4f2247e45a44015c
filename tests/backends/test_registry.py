"""Devices by name: presets, files, plug-ins; unknown ones suggest the nearest; a broken one hides none."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint, PackageNotFoundError

import pytest

from annette.backends import registry
from annette.backends.protocol import Backend
from annette.backends.registry import list_devices, open_device
from annette.errors import AnnetteError, MeasurementError, UsageError
from annette.graph.network import Network
from annette.hardware.codec import list_accelerators
from annette.measurement import DeviceInfo, Measurement


class Probe:
    """A backend of somebody else."""

    def __init__(self, target: str) -> None:
        self.info = DeviceInfo(name=target, backend="probe")

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        return Measurement(network_id=network.id, device=self.info, values_s=(1.0,), seed=seed)


def _open_probe(target: str) -> Backend:
    if target == "absent":
        raise OSError("no such\nboard")
    if target == "told":
        raise MeasurementError("board told: switched off; switch it on")
    return Probe(target) if target != "odd" else 7  # type: ignore[return-value]


def _targets() -> list[tuple[str, str]]:
    return [("board", "a board")]


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("probe_plugin")
    _open_probe.list_devices = _targets  # type: ignore[attr-defined]
    module.open_probe = _open_probe  # type: ignore[attr-defined]
    module.plain = lambda target: Probe(target)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "probe_plugin", module)
    found = [
        EntryPoint(name=name, value=value, group=registry.ENTRY_POINT_GROUP)
        for name, value in (
            ("probe", "probe_plugin:open_probe"),
            ("plain", "probe_plugin:plain"),
            ("broken", "module_that_is_not_there:open"),
        )
    ]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: found)


@pytest.mark.parametrize("spec", ["simulator:zcu102-dpu", "zcu102-dpu"])
def test_a_preset_opens_with_and_without_its_kind(spec: str) -> None:
    assert open_device(spec).info.name == "zcu102-dpu"


def test_every_listed_device_of_the_simulator_opens() -> None:
    listed = [name for name, _ in list_devices() if name.startswith("simulator:")]
    assert listed == [f"simulator:{name}" for name, _ in list_accelerators()]
    assert {open_device(name).info.backend for name in listed} == {"simulator"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "systolic-8x8",
            "not known, expected systolic-RxC-os.ws.is, as in systolic-8x8-ws; `annette",
        ),
        ("zcu102-dpuu", "did you mean zcu102-dpu"),
        ("simulatr:zcu102-dpu", "not known.*simulator:"),
        ("onnxruntim", "did you mean onnxruntime"),
        ("onnxrutime:threads=2", "did you mean onnxruntime"),
        ("opnvino", "did you mean openvino"),
        ("command:", "expected command:FILE.yaml"),
        ("command", "expected command:FILE.yaml"),
        ("replay:", "expected replay:RUN.db"),
        ("replay:nowhere.db", "no such file"),
        ("simulator:", "expected simulator:NAME"),
        ("board.yaml", "write simulator:board.yaml"),
        ("", "not known"),
    ],
)
def test_unknown_devices_are_a_wrong_call_that_says_what_to_write(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_device(spec)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_of_the_simulator_is_one_of_our_errors() -> None:
    with pytest.raises(AnnetteError, match="zcu102"):
        open_device("simulator:zcu102-dpv")


@pytest.mark.usefixtures("plugins")
def test_a_plug_in_opens_its_devices() -> None:
    assert open_device("probe:board").info == DeviceInfo(name="board", backend="probe")
    assert open_device("plain:x:y").info.name == "x:y"


@pytest.mark.usefixtures("plugins")
def test_a_broken_plug_in_is_listed_with_its_fault_beside_the_others() -> None:
    listed = dict(list_devices())
    assert listed["probe:board"] == "a board"
    assert listed["plain:"] == "backend from probe_plugin:plain"
    assert "ModuleNotFoundError" in listed["broken:"]
    assert "simulator:zcu102-dpu" in listed


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("broken:x", "cannot be loaded: ModuleNotFoundError"),
        ("probe:absent", "probe:absent: cannot be opened: OSError: no such board"),
        ("probe:told", "board told: switched off"),
        ("probe:odd", "answered int, expected a backend"),
    ],
)
def test_a_plug_in_that_fails_is_told_in_one_line(spec: str, message: str) -> None:
    with pytest.raises(MeasurementError, match=message) as caught:
        open_device(spec)
    assert "\n" not in str(caught.value)


def test_a_plug_in_cannot_take_the_simulators_name(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = [EntryPoint(name="simulator", value="other:open", group=registry.ENTRY_POINT_GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: taken)
    assert open_device("zcu102-dpu").info.backend == "simulator"


def test_runtimes_are_listed_with_their_version_or_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        registry.importlib.util, "find_spec", lambda name: None if name == "openvino" else name
    )
    monkeypatch.setattr(registry, "version", lambda name: f"9.9 of {name}")
    listed = dict(list_devices())
    assert 'pip install "annette[openvino]"' in listed["openvino"]
    assert "9.9 of onnxruntime" in listed["onnxruntime"]
    assert {"command:FILE.yaml", "replay:RUN.db"} <= set(listed)


def test_another_build_of_a_runtime_is_listed_without_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(registry, "version", unknown)
    assert "ONNX Runtime; options" in dict(list_devices())["onnxruntime"]


@pytest.mark.parametrize("spec", ["onnxruntime", "onnxruntime:visits=2"])
def test_a_runtime_opens_by_its_kind_alone_and_with_options(spec: str) -> None:
    pytest.importorskip("onnxruntime")
    info = open_device(spec).info
    assert (info.name, info.backend, info.is_exclusive) == ("cpu-onnxruntime", "onnxruntime", True)
    assert info.visits == (2 if "visits" in spec else 4)


def test_a_systolic_array_of_any_size_is_a_device() -> None:
    assert open_device("systolic-12x20-is").info.name == "systolic-12x20-is"
    assert open_device("simulator:systolic-12x20-is").info == open_device("systolic-12x20-is").info
    with pytest.raises(UsageError, match="columns: found 0"):
        open_device("systolic-12x0-is")
