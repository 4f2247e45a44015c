"""Export to Parquet: one row a kernel and one a network, with the values of the store."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from annette.backends.registry import open_device
from annette.benchmark.campaign import run_campaign
from annette.benchmark.plan import plan_campaign
from annette.benchmark.plan_codec import plan_from_yaml
from annette.errors import StoreError
from annette.graph.families import layer_family
from annette.graph.work import network_work
from annette.measurement import Measurement
from annette.store.campaign import CampaignStore

PLAN = """
schema_version: 1
name: mixture
description: some of several kinds
seed: 5
limits: {macs: 1.0e+9, activation_elements: 4.0e+6, weight_elements: 20.0e+6}
micro_kernels: {conv: 6, gemm: 3, softmax: 2, reshape: 2}
blocks: {residual: 3, attention: 2, classifier: 2}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> CampaignStore:
    plan, backend = plan_from_yaml(PLAN, "mixture.yaml"), open_device("simulator:zcu102-dpu")
    path = tmp_path_factory.mktemp("export") / "run.db"
    tasks = plan_campaign(plan)
    with CampaignStore.create(path, device=backend.info, plan=plan.record) as writer:
        writer.add_tasks(tasks)
        failed = Measurement(network_id=tasks[0].network.id, device=backend.info, error="no room")
        writer.record(tasks[0].id, failed)
        run_campaign(tasks, backend, writer)
    return CampaignStore.open(path)


def test_parquet_holds_every_kernel_and_network(store: CampaignStore, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    kernels_path, networks_path = store.export_parquet(tmp_path / "out")
    kernels, networks = (parquet.read_table(path).to_pylist() for path in (kernels_path, networks_path))
    records = list(store.records())
    assert [row["task_id"] for row in networks] == [record.task.id for record in records]
    assert [row["error"] for row in networks] == [record.measurement.error for record in records]
    assert [row["macs"] for row in networks] == [network_work(item.task.network).macs for item in records]
    timed = [(record, item) for record in records for item in record.measurement.kernels or ()]
    assert len(kernels) == len(timed)
    for row, (record, item) in zip(kernels, timed, strict=True):
        network = record.task.network
        assert row["task_id"] == record.task.id
        assert row["group"] == record.task.group
        assert dict(row["tags"]) == dict(record.task.tags)
        assert tuple(row["values_s"]) == item.values_s
        assert row["latency_s"] == item.latency_s
        assert row["family"] == layer_family(network, network.layer(item.kernel.primary))
        assert tuple(row["layers"]) == item.kernel.layers
        assert dict(row["counters"]) == dict(item.counters)
        assert row["out_channels"] >= 1


def test_kernels_keep_the_macs_of_their_networks(store: CampaignStore, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    kernels_path, networks_path = store.export_parquet(tmp_path)
    total = sum(parquet.read_table(kernels_path).column("macs").to_pylist())
    rows = parquet.read_table(networks_path).to_pylist()
    assert total == sum(row["macs"] for row in rows if row["error"] is None)


def test_a_missing_pyarrow_is_explained(
    store: CampaignStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StoreError, match=r"pip install annette\[parquet\]"):
        store.export_parquet(tmp_path)


def test_a_folder_that_cannot_be_written_is_explained(store: CampaignStore, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose a folder"):
        store.export_parquet(tmp_path / "file")
