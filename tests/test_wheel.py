"""The wheel: presets, campaign plans and trained platforms travel inside, and it works from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def annette(installed: Path, folder: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    answer = subprocess.run(
        [sys.executable, "-P", "-m", "annette", *words],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_plans_presets_platforms_and_types_travel_in_the_wheel(installed: Path) -> None:
    expected = (
        "_data/plans/standard.yaml",
        "_data/plans/quick.yaml",
        "_data/tables/imagenet_top1.csv",
        "_data/trained_models/zcu102-dpu/manifest.json",
        "_data/trained_models/ncs2/manifest.json",
        "_data/trained_models/onnxruntime-epyc/manifest.json",
        "hardware/presets/zcu102-dpu.yaml",
        "hardware/presets/ncs2.yaml",
        "report/assets/page.js",
        "report/templates/base.html",
        "py.typed",
    )
    assert [name for name in expected if not (installed / "annette" / name).is_file()] == []


def test_the_installed_package_estimates_from_another_folder(installed: Path, tmp_path: Path) -> None:
    code = "import annette; print(annette.__file__)"
    where = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(installed))
    assert "resnet18 on zcu102-dpu" in annette(
        installed, tmp_path, "estimate", "zoo:resnet18", "-p", "zcu102-dpu"
    )
    assert "ncs2" in annette(installed, tmp_path, "measure", "zoo:lenet5", "-d", "ncs2")


def test_shipped_platforms_stay_small() -> None:
    files = (path for path in (ROOT / "trained_models").rglob("*") if path.is_file())
    assert sum(path.stat().st_size for path in files) < 30e6
