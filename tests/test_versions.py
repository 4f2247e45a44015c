"""One recorded example of each schema version of each file: read as it was written, or refused with the way.

The examples are made by tests/data/schema/record_examples.py; a version that is raised needs one more.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annette.calibration import codec as calibrated_codec
from annette.calibration.codec import load_calibrated
from annette.cli.main import exit_code
from annette.errors import AnnetteError, StoreError
from annette.estimation import estimate as estimates
from annette.estimation.platform import Platform
from annette.evaluation import repeats
from annette.graph import codec as network_codec
from annette.graph.codec import network_from_json
from annette.measurement import Measurement
from annette.store import bundle, database, recorded
from annette.store.campaign import CampaignStore
from annette.store.salvage import check_store
from annette.zoo.registry import zoo_network
from annette.zoo.spaces.registry import open_space

EXAMPLES = Path(__file__).parent / "data" / "schema"
CALIBRATED_S = [0.0029869946951940436, 0.00802936185974845]
VERSIONS = {
    "calibrated-{}": calibrated_codec.SCHEMA_VERSION,
    "campaign-{}.parquet": recorded.RECORDED_SCHEMA_VERSION,
    "estimate-{}.json": estimates.ESTIMATE_SCHEMA_VERSION,
    "network-{}.json": network_codec.SCHEMA_VERSION,
    "platform-{}": bundle.BUNDLE_SCHEMA_VERSION,
    "repeats-{}.json": repeats.REPEATS_SCHEMA_VERSION,
    "store-{}.sqlite": database.SCHEMA_VERSION,
}


def _copy(name: str, folder: Path) -> Path:
    source, path = EXAMPLES / name, folder / name
    if source.is_dir():
        shutil.copytree(source, path)
    else:
        shutil.copy(source, path)
    return path


def _answers(path: Path) -> dict[str, Measurement]:
    with CampaignStore.open(path) as store:
        return {record.task.id: record.measurement for record in store.records()}


@pytest.mark.parametrize("name", VERSIONS)
def test_each_schema_version_has_an_example(name: str) -> None:
    for version in range(1, VERSIONS[name] + 1):
        assert (EXAMPLES / name.format(version)).exists()


@pytest.mark.parametrize("version", range(database.OLDEST_READ, database.SCHEMA_VERSION + 1))
def test_a_store_of_a_version_that_can_be_read_gives_the_campaign_that_was_recorded(
    version: int, tmp_path: Path
) -> None:
    found = _answers(_copy(f"store-{version}.sqlite", tmp_path))
    assert len(found) == 27
    assert found == _answers(EXAMPLES / "campaign-1.parquet")


def test_a_store_of_the_first_version_is_refused_with_the_command_that_brings_it_to_todays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = _copy("store-1.sqlite", tmp_path), tmp_path / "new.db"
    with pytest.raises(StoreError) as caught:
        CampaignStore.open(old)
    words = str(caught.value).split("`")[1].split()
    assert words == ["annette", "store", "export", str(old), "NEW.db"]
    assert exit_code([*words[1:-1], str(new)]) == 0
    capsys.readouterr()
    with CampaignStore.open(new) as store:
        assert store.summary().measured == 26
        assert store.provenance["made_by"] == "the commit before 652f17f"
    assert check_store(new).schema_version == database.SCHEMA_VERSION


def test_a_platform_estimates_what_it_did_when_it_was_recorded() -> None:
    expected = json.loads((EXAMPLES / "estimate-1.json").read_text())
    network = network_from_json((EXAMPLES / "network-1.json").read_text())
    assert network.id == zoo_network("lenet5").id
    found = Platform.load(EXAMPLES / "platform-1").estimate(network).to_dict()
    assert found["schema_version"] == expected["schema_version"]
    assert found["latency_s"] == pytest.approx(expected["latency_s"], rel=1e-6)
    assert set(expected) <= set(found)  # a program that reads today's JSON reads tomorrow's of this version


def test_a_platform_with_intervals_gives_them_and_one_without_gives_none() -> None:
    network = network_from_json((EXAMPLES / "network-1.json").read_text())
    known = Platform.load(EXAMPLES / "platform-1-with-intervals").estimate(network).interval
    assert known is not None
    assert 0 < known.low_s < known.high_s
    assert Platform.load(EXAMPLES / "platform-1").estimate(network).interval is None


def test_a_calibrated_model_predicts_what_it_did_when_it_was_recorded() -> None:
    found = load_calibrated(EXAMPLES / "calibrated-1").predict_space(
        open_space("nasbench201"), [(0, 1, 2, 3, 4, 0), (3, 3, 3, 3, 3, 3)]
    )
    assert found.latency_s == pytest.approx(CALIBRATED_S, rel=1e-6)


def test_repeats_are_read() -> None:
    assert repeats.read_repeats(EXAMPLES / "repeats-1.json")


def _newer(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"schema_version": 1', '"schema_version": 99'), encoding="utf-8")


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "platform-1": ("manifest.json", Platform.load),
    "calibrated-1": ("calibrated.json", load_calibrated),
    "repeats-1.json": ("", repeats.read_repeats),
}


@pytest.mark.parametrize("name", READERS)
def test_a_version_of_the_future_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    file, read = READERS[name]
    path = _copy(name, tmp_path)
    _newer(path / file if file else path)
    with pytest.raises(AnnetteError, match=r"99.*expected 1; \w+") as caught:
        read(path)
    assert "\n" not in str(caught.value)
