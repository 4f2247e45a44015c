"""Whose description a report may simulate: that which the platform was trained on, and no file by a name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import annette
from annette.hardware import codec
from annette.hardware.codec import load_accelerator
from annette.report.device import describes, find_accelerator

NCS2 = annette.load("ncs2").device


def test_the_preset_of_a_shipped_platform_is_found() -> None:
    found = find_accelerator(NCS2)
    assert found is not None
    assert describes(found, NCS2)


def test_a_description_that_has_changed_is_another_one() -> None:
    accelerator = load_accelerator("ncs2")
    assert not describes(replace(accelerator, clock_hz=2 * accelerator.clock_hz), NCS2)
    environment = tuple(
        (name, "other" if name == "accelerator" else value) for name, value in NCS2.environment
    )
    assert find_accelerator(replace(NCS2, environment=environment)) is None


def test_real_devices_have_none() -> None:
    assert find_accelerator(replace(NCS2, backend="onnxruntime")) is None


@pytest.mark.parametrize("name", ["own.yaml", "./own.yaml", "presets/../own.yaml", ""])
def test_the_name_of_a_device_is_never_a_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = Path(codec.__file__).parent / "presets" / "ncs2.yaml"
    (tmp_path / "own.yaml").write_bytes(preset.read_bytes())  # the very description that was trained on
    (tmp_path / "presets").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_accelerator(replace(NCS2, name=name)) is None
