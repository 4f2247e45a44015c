"""Layer models of processors: data sheets, short kernels, rare families; others stay as they were."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from annette.errors import ModelError
from annette.estimation.catalogue import load_platform
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.measurement import DeviceInfo
from annette.models.data_sheet import DataSheet
from annette.models.features import FEATURE_NAMES, feature_matrix, feature_names
from annette.models.kernel_table import KernelTable, build_kernel_table
from annette.models.layer_fit import fit_layer_models
from annette.models.layer_models import INDEX_FILE, LayerModels
from annette.models.operator_forests import OPERATOR_KIND
from annette.models.physics import physical_terms
from annette.models.stand_ins import find_stand_ins
from annette.models.training import TrainingData, clock_weights

CPU = DeviceInfo(
    name="cpu", backend="test", cache_bytes=(32 << 10, 1 << 20, 32 << 20), vector_bytes=64, is_exclusive=True
)
SHEET = DataSheet.of(CPU)
REPOSITORY = Path(__file__).parents[2]


def conv_network(rng: np.random.Generator) -> Network:
    build = NetworkBuilder("conv")
    channels, size = int(rng.integers(3, 200)), int(rng.integers(4, 60))
    x = build.input("x", (1, channels, size, size))
    y = build.conv(x, int(rng.integers(4, 200)), kernel=int(rng.choice([1, 3])), name="conv")
    return build.finish(build.max_pool(build.relu(y, name="relu"), kernel=2, stride=2, name="pool"))


def mapping_of(network: Network, unit: str, pool_unit: str) -> Mapping:
    moved = network.layer("relu").outputs[0]
    return Mapping(
        kernels=(
            Kernel(layers=("conv", "relu"), primary="conv", unit=unit),
            Kernel(tensor=moved, unit="to_plain"),
            Kernel(layers=("pool",), primary="pool", unit=pool_unit),
        )
    )


def truth_s(table: KernelTable) -> NDArray[np.float64]:
    """A made-up processor: vectors of 16 along output channels, and slower transfers beyond 1 MiB."""
    padded = np.ceil(table.column("out_channels") / 16) * 16 / table.column("out_channels")
    compute = table.column("ops") * padded / 90e9
    slow = np.maximum(table.moved_bytes - (1 << 20), 0.0)
    plain = np.array([3.0 if "pool@plain" in key else 1.0 for key in table.families])
    seconds: NDArray[np.float64] = plain * (1e-6 + compute + table.moved_bytes / 60e9 + slow / 8e9)
    return seconds


def made_up_data(n_networks: int, seed: int = 0) -> TrainingData:
    rng = np.random.default_rng(seed)
    items = []
    for number in range(n_networks):
        network = conv_network(rng)
        items.append((network, mapping_of(network, "blocked", "plain" if number % 9 == 0 else "blocked")))
    table = build_kernel_table(items, CPU)
    latency_s = truth_s(table) * np.exp(rng.normal(0.0, 0.02, len(table)))
    return TrainingData(
        table=table, latency_s=latency_s, groups=table.network_index.copy(), sweeps=("",) * len(table),
        dimensions=("",) * len(table), sheet=SHEET, weights=clock_weights(latency_s),
    )  # fmt: skip


@pytest.fixture(scope="module")
def models() -> LayerModels:
    return fit_layer_models(made_up_data(160), seed=0)


def test_caches_and_vectors_are_learned_without_a_sweep(models: LayerModels) -> None:
    held_out = made_up_data(60, seed=1)
    error = models.predict_s(held_out.table, "mixed") / truth_s(held_out.table) - 1.0
    assert float(np.abs(error).mean()) < 0.06
    assert not any(family.unrolls for family in models.parameters.families)
    fits = {fit.family: fit for fit in models.physics.fits if not fit.operator}
    assert fits["conv@blocked"].fill == ("out_channels",)
    assert set(fits) >= {"*", "*@blocked", "*@move", "conv@blocked", "move@to_plain", "pool@blocked"}


def test_models_of_processors_survive_their_files(models: LayerModels) -> None:
    files = models.to_files()
    again = LayerModels.from_files(files)
    assert again.to_files() == files
    table = made_up_data(5, seed=2).table
    for name in ("refined_roofline", "statistical", "mixed"):
        np.testing.assert_array_equal(again.predict_s(table, name), models.predict_s(table, name))
    assert json.loads(files[INDEX_FILE])["data_sheet"]["vector_bytes"] == 64


def test_a_file_whose_caches_do_not_fit_its_physics_is_refused(models: LayerModels) -> None:
    files = models.to_files()
    index = json.loads(files[INDEX_FILE])
    index["data_sheet"]["cache_bytes"] = [32768]
    with pytest.raises(ModelError, match="coefficients, expected"):
        LayerModels.from_files({**files, INDEX_FILE: json.dumps(index).encode()})


def test_a_rare_family_is_priced_by_another_model_times_a_factor(models: LayerModels) -> None:
    held_out = made_up_data(60, seed=3)
    part = held_out.table.take(held_out.table.rows_of("pool@plain"))
    error = models.predict_s(part, "mixed") / truth_s(part) - 1.0
    assert "pool@plain" in models.stand_ins
    assert float(np.abs(error).mean()) < 0.25
    assert models.generic_mask(part).all()  # the coverage still says that the family was hardly measured


def test_the_few_rows_of_a_rare_family_choose_its_stand_in(models: LayerModels) -> None:
    data = made_up_data(160)
    nonsense = np.random.default_rng(0).uniform(1e-6, 1e-3, len(data))
    for generic_s, donor, factor in ((nonsense, "pool@blocked", 3.0), (data.latency_s / 2.0, "*", 2.0)):
        found = find_stand_ins(data, models.predict_s, models.parameters, generic_s)["pool@plain"]
        assert found.donor == donor
        assert float(np.exp(found.log_factor)) == pytest.approx(factor, rel=0.25)


def test_a_row_does_not_depend_on_the_others(models: LayerModels) -> None:
    table = made_up_data(12, seed=4).table
    whole = models.predict_s(table, "mixed")
    alone = [models.predict_s(table.take(np.array([row])), "mixed")[0] for row in range(len(table))]
    np.testing.assert_allclose(whole, alone, rtol=1e-12)


def test_features_of_an_empty_data_sheet_are_the_plain_ones(models: LayerModels) -> None:
    assert feature_names(DataSheet()) is FEATURE_NAMES
    table = made_up_data(4).table
    terms = physical_terms(table, models.parameters, models.physics)
    plain, rich = (feature_matrix("mixed", table, terms, sheet) for sheet in (None, SHEET))
    np.testing.assert_array_equal(rich[:, : plain.shape[1]], plain)
    assert rich.shape[1] == len(feature_names(SHEET)["mixed"])
    assert np.isfinite(rich).all()


def test_a_device_without_a_data_sheet_has_neither_weights_nor_stand_ins() -> None:
    data = dataclasses.replace(made_up_data(80), sheet=DataSheet(), weights=None)
    fitted = fit_layer_models(data, seed=0)
    index = json.loads(fitted.to_files()[INDEX_FILE])
    assert not {"data_sheet", "stand_ins"} & set(index)
    assert all("fill" not in fit and "s_per_byte_beyond_caches" not in fit for fit in index["physics"])


def test_weights_and_data_sheets_out_of_range_are_refused() -> None:
    data = made_up_data(2)
    with pytest.raises(ModelError, match="weights in"):
        dataclasses.replace(data, weights=np.zeros(len(data)))
    with pytest.raises(ModelError, match="data sheet"):
        DataSheet(cache_bytes=(1 << 20, 1 << 15))
    with pytest.raises(ModelError, match="data sheet"):
        DataSheet(vector_bytes=0)


@pytest.mark.parametrize("name", ["ncs2", "zcu102-dpu"])
def test_shipped_platforms_keep_every_byte(name: str) -> None:
    platform = load_platform(name)
    folder = REPOSITORY / "trained_models" / name
    assert platform.mapping_model.to_json().encode() == (folder / "mapping.json").read_bytes()
    for file, content in platform.layer_models.to_files().items():
        assert content == (folder / file).read_bytes(), file


def _activations(n_networks: int) -> TrainingData:
    """Kernels of one family whose two operators err from their physics in opposite ways."""
    rng = np.random.default_rng(7)
    items, factors = [], []
    for number in range(n_networks):
        build = NetworkBuilder("activation")
        x = build.input("x", (1, int(rng.integers(8, 400)), 16, 16))
        op_type = "Relu" if number % 2 else "Tanh"
        network = build.finish(build.add(op_type, x, name="act"))
        mapping = Mapping(kernels=(Kernel(layers=("act",), primary="act", unit="plain"),))
        items.append((network, mapping))
        rows = network.tensors["x"].shape[1]
        factors.append(1.0 + (rows % 8 == 0) if op_type == "Relu" else 2.0 - (rows % 8 == 0))
    table = build_kernel_table(items, CPU)
    latency_s = np.array(factors) * (2e-6 + table.moved_bytes / 20e9)
    return TrainingData(
        table=table,
        latency_s=latency_s,
        groups=np.arange(len(table)),
        sweeps=("",) * len(table),
        dimensions=("",) * len(table),
        sheet=SHEET,
    )


def test_frequent_operators_of_a_family_have_forests_of_their_own() -> None:
    data = _activations(240)
    models = fit_layer_models(data, seed=0)
    own = {name for kind, name in models.contents if kind == OPERATOR_KIND}
    assert own == {"activation@plain/Relu", "activation@plain/Tanh"}
    error = np.abs(models.predict_s(data.table, "mixed") / data.latency_s - 1)
    assert np.median(error) < 0.1
    again = LayerModels.from_files(models.to_files())
    assert (again.predict_s(data.table, "mixed") == models.predict_s(data.table, "mixed")).all()
    few = fit_layer_models(data.take(np.arange(70)), seed=0)
    assert not [name for kind, name in few.contents if kind == OPERATOR_KIND]


def test_accelerators_have_no_forests_of_single_operators() -> None:
    data = dataclasses.replace(_activations(240), sheet=DataSheet())
    assert {kind for kind, _ in fit_layer_models(data, seed=0).contents} == {
        "generic",
        "mixed",
        "statistical",
    }
