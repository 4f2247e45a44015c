"""What a data sheet says of cold caches: shares in [0, 1), and overheads that are learned of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping
from annette.measurement import DeviceInfo
from annette.models.data_sheet import DataSheet
from annette.models.kernel_table import COLUMN_INDEX, KernelTable, build_kernel_table
from annette.models.parameters import fit_parameters
from annette.models.physics import PhysicalFit, physical_terms
from annette.models.physics_fit import fit_physics
from annette.models.training import TrainingData

CPU = DeviceInfo(name="cpu", backend="test", cache_bytes=(32 << 10, 1 << 20, 32 << 20), vector_bytes=64)
SHEET = DataSheet.of(CPU)


def _placed(channels: list[int], network_bytes: list[float], recent_bytes: list[float]) -> KernelTable:
    """Relus of so many channels, as if their networks moved so many bytes."""
    items = []
    for count in channels:
        build = NetworkBuilder("relu")
        network = build.finish(build.add("Relu", build.input("x", (1, count, 8, 8)), name="relu"))
        kernel = Kernel(layers=("relu",), primary="relu", unit="plain")
        items.append((network, Mapping(kernels=(kernel,))))
    table = build_kernel_table(items, CPU)
    values = table.values.copy()
    values[:, COLUMN_INDEX["network_bytes"]] = network_bytes
    values[:, COLUMN_INDEX["recent_bytes"]] = recent_bytes
    return dataclasses.replace(table, values=values)


@given(
    st.lists(st.floats(0.0, 1e10), min_size=1, max_size=4),
    st.floats(1.0, 100.0),
    st.sampled_from([(32 << 10,), (32 << 10, 1 << 20), CPU.cache_bytes]),
)
def test_the_more_a_network_moves_the_colder_are_its_caches(
    moved: list[float], factor: float, caches: tuple[int, ...]
) -> None:
    sheet = DataSheet(cache_bytes=caches)
    ones = [1] * len(moved)
    found = sheet.overhead_terms(_placed(ones, moved, moved))
    more = sheet.overhead_terms(_placed(ones, [factor * item for item in moved], moved))
    assert found.shape == (len(moved), sheet.n_overhead_terms)
    assert ((found >= 0) & (found < 1)).all()
    assert (more >= found).all()
    assert not found[np.array(moved) <= caches[0]].any()


def test_columns_are_as_many_as_the_sheet_says() -> None:
    table = _placed([4, 8], [1e6, 1e8], [1e5, 1e7])
    for sheet in (DataSheet(cache_bytes=(32 << 10,)), SHEET, DataSheet(cache_bytes=(1 << 15, 1 << 20))):
        assert sheet.cache_terms(table).shape == (2, sheet.n_cache_terms)
        assert sheet.overhead_terms(table).shape == (2, sheet.n_overhead_terms)
    assert DataSheet(vector_bytes=64).n_cache_terms == DataSheet().n_overhead_terms == 0


def _truth_s(table: KernelTable) -> NDArray[np.float64]:
    """0.3 us, 2 us more where the second cache is cold, and what the bytes take."""
    cold = np.maximum(1.0 - (1 << 20) / np.maximum(table.column("network_bytes"), 1.0), 0.0)
    seconds: NDArray[np.float64] = 0.3e-6 + 2e-6 * cold + table.moved_bytes / 40e9
    return seconds


@pytest.fixture(scope="module")
def cold_data() -> TrainingData:
    rng = np.random.default_rng(5)
    channels = [int(count) for count in np.exp(rng.uniform(1.0, 6.0, 120))]
    moved = np.exp(rng.uniform(np.log(5e4), np.log(1e8), 120))
    table = _placed(channels, moved.tolist(), (0.1 * moved).tolist())
    return TrainingData(
        table=table, latency_s=_truth_s(table), groups=np.arange(120), sweeps=("",) * 120,
        dimensions=("",) * 120, sheet=SHEET, weights=np.ones(120),
    )  # fmt: skip


def test_what_cold_code_costs_is_learned(cold_data: TrainingData) -> None:
    parameters = fit_parameters(cold_data)
    physics = fit_physics(cold_data, parameters)
    table = _placed([16, 16, 16], [1e5, 4e6, 9e7], [1e4, 4e5, 9e6])
    found = physical_terms(table, parameters, physics)
    np.testing.assert_allclose(found.total_s, _truth_s(table), rtol=0.15)
    assert found.fixed_s[0] < 0.4 * found.fixed_s[2]
    fit = physics.fit_of("activation@plain", 0.0)
    assert len(fit.cold_overhead_s) == SHEET.n_overhead_terms
    assert PhysicalFit.from_json(fit.to_json()) == fit
