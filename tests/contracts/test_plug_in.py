"""A third party's backend: found by its entry point, opened by its name, held to the same contract."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from annette.backends.protocol import Backend
from annette.backends.registry import list_devices, open_device
from annette.testing import BackendContract

MODULE = '''
from dataclasses import dataclass

from annette.measurement import DeviceInfo, Measurement


@dataclass(frozen=True)
class Abacus:
    """One millisecond a layer."""

    beads: int

    @property
    def info(self):
        return DeviceInfo(name=f"abacus-{self.beads}", backend="abacus")

    def measure(self, network, *, seed=0):
        if any(layer.domain for layer in network.layers):
            error = "an abacus knows the operators of ONNX only"
            return Measurement(network_id=network.id, device=self.info, error=error)
        values_s = (0.001 * len(network.layers),)
        return Measurement(network_id=network.id, device=self.info, values_s=values_s)


def open_abacus(target):
    return Abacus(beads=int(target or 10))
'''


class TestPlugIn(BackendContract):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def installed(cls, tmp_path_factory: pytest.TempPathFactory) -> object:
        """A package installed like any other: a module and its metadata on the path."""
        folder = tmp_path_factory.mktemp("site-packages")
        (folder / "abacus_backend.py").write_text(MODULE)
        metadata = folder / "abacus_backend-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: abacus-backend\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(
            "[annette.backends]\nabacus = abacus_backend:open_abacus\n"
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(folder)
            yield folder
        sys.modules.pop("abacus_backend", None)

    @pytest.fixture(scope="class")
    @classmethod
    def opener(cls, installed: Path) -> Callable[[], Backend]:
        return lambda: open_device("abacus:12")

    def test_it_is_opened_with_the_text_after_the_colon(self, backend: Backend) -> None:
        assert backend.info.name == "abacus-12"

    def test_it_is_listed(self) -> None:
        assert ("abacus:", "backend from abacus_backend:open_abacus") in list_devices()


def test_a_plug_in_does_not_take_the_name_of_a_backend_of_annettes_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    false = EntryPoint(name="command", value="abacus_backend:open_abacus", group="annette.backends")
    monkeypatch.setattr("annette.backends.registry.entry_points", lambda group: [false])
    assert not any("abacus" in text for row in list_devices() for text in row)
