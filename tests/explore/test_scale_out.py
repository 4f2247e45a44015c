"""Scale-up against scale-out: all partitions, the formula of the paper, and what a memory changes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import HardwareError, UsageError
from annette.explore.partitions import list_partitions
from annette.explore.scale_out import ScaleStudy, study_scale
from annette.explore.scale_plot import draw_scale
from annette.hardware.systolic_array import DATAFLOWS, SystolicArray
from annette.simulator.products import MatrixProducts, network_products
from annette.simulator.systolic import count_systolic
from annette.simulator.systolic_traffic import BufferSizes, count_traffic
from annette.zoo.registry import open_network

FREE = math.inf
SIZES = st.integers(1, 400)


def _products(*sizes: tuple[int, int, int]) -> MatrixProducts:
    table = np.array(sizes, dtype=np.int64).reshape(len(sizes), 3)
    return MatrixProducts(
        names=tuple(f"layer_{index}" for index in range(len(sizes))),
        m=table[:, 0], k=table[:, 1], n=table[:, 2], repeats=np.ones(len(sizes), dtype=np.int64),
        input_elements=table[:, 0] * table[:, 1],
    )  # fmt: skip


def _study(products: MatrixProducts, macs: int, *dataflows: str, **options: object) -> ScaleStudy:
    fields: dict[str, object] = {
        "buffer_bytes": 3 * 2**17,
        "bandwidths_bytes_per_cycle": (8.0, 64.0, FREE),
        **options,
    }
    return study_scale(
        products,
        list_partitions(macs),
        dataflows=dataflows or ("OS",),
        **fields,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_a_single_array_takes_what_the_closed_form_says(dataflow: str) -> None:
    products = network_products(open_network("zoo:resnet18"))
    study = _study(products, 1024, dataflow)
    for position, partition in enumerate(study.partitions):
        if partition.arrays == 1:
            array = SystolicArray(rows=partition.rows, columns=partition.columns, dataflow=dataflow)
            alone = count_systolic(products.m, products.k, products.n, array)
            found = study.compute_cycles[study.kind_of_layer, position]
            assert (found == alone.cycles * products.repeats).all()


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_the_papers_formula_is_an_option(dataflow: str) -> None:
    study = _study(_products((100, 30, 70)), 512, dataflow, like_paper=True)
    rows, columns, through = {"OS": (100, 70, 30), "WS": (30, 70, 100), "IS": (30, 100, 70)}[dataflow]
    for position, item in enumerate(study.partitions):
        share = math.ceil(rows / item.partition_rows), math.ceil(columns / item.partition_columns)
        folds = math.ceil(share[0] / item.rows) * math.ceil(share[1] / item.columns)
        expected = (2 * item.rows + item.columns + through - 2) * folds
        assert study.compute_cycles[0, position] == expected, item


@given(
    sizes=st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=1, max_size=4),
    dataflow=st.sampled_from(DATAFLOWS),
)
@settings(max_examples=40)
def test_nothing_is_faster_than_its_work_or_lighter_than_its_operands(
    sizes: list[tuple[int, int, int]], dataflow: str
) -> None:
    products = _products(*sizes)
    study = _study(products, 1024, dataflow)
    peak = np.array([item.macs_per_cycle for item in study.partitions])
    kinds = study.kind_of_layer
    assert (study.compute_cycles[kinds] * peak >= products.macs[:, None]).all()
    least = products.m * products.k + products.k * products.n + products.m * products.n
    assert (study.dram_bytes[kinds] >= least[:, None]).all()
    totals = [study.total_cycles(value)[study.best(value)] for value in (1.0, 8.0, 64.0, FREE)]
    assert totals == sorted(totals, reverse=True), "more bandwidth is never slower"
    for value in (8.0, FREE):
        assert study.cycles(value)[kinds].min(axis=1).sum() <= study.total_cycles(value).min() + 1e-6


@given(m=SIZES, k=SIZES, n=SIZES, dataflow=st.sampled_from(DATAFLOWS), buffer=st.floats(1, 1e7))
def test_larger_buffers_never_move_more(m: int, k: int, n: int, dataflow: str, buffer: float) -> None:
    def traffic(size: float) -> float:
        buffers = BufferSizes(input_bytes=size, weight_bytes=size, output_bytes=size)
        sizes = (np.array([value]) for value in (m, k, n))
        found = count_traffic(
            *sizes, rows=16, columns=8, dataflow=dataflow, buffers=buffers, element_bytes=1.0
        )
        return float(found.total_bytes[0])

    assert traffic(buffer) >= traffic(2 * buffer) >= traffic(1e12) == m * k + k * n + m * n


def test_with_a_free_memory_many_arrays_win_and_with_a_slow_one_few() -> None:
    study = _study(network_products(open_network("zoo:resnet50")), 16384)
    free, slow = study.partitions[study.best(FREE)], study.partitions[study.best(8.0)]
    assert free.arrays > 16 > slow.arrays
    by_arrays = study.fastest_by_arrays(FREE)
    assert by_arrays[1][1] > by_arrays[free.arrays][1]


@given(m=SIZES, k=st.integers(1, 16), n=st.integers(1, 8), dataflow=st.sampled_from(("OS", "WS")))
def test_a_product_of_one_fold_moves_at_its_peak_what_it_moves_in_all(
    m: int, k: int, n: int, dataflow: str
) -> None:
    m = min(m, 16) if dataflow == "OS" else m
    for size in (1.0, 1e9):
        buffers = BufferSizes(input_bytes=size, weight_bytes=size, output_bytes=size)
        sizes = (np.array([value]) for value in (m, k, n))
        found = count_traffic(
            *sizes, rows=16, columns=8, dataflow=dataflow, buffers=buffers, element_bytes=1.0
        )
        assert found.peak_bytes_per_fold[0] == found.total_bytes[0] == m * k + k * n + m * n


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_at_the_bandwidth_for_no_stalls_no_layer_waits(dataflow: str) -> None:
    study = _study(network_products(open_network("zoo:alexnet")), 1024, dataflow)
    for position in range(len(study.partitions)):
        enough = float(study.stall_free_bytes_per_cycle[:, position].max())
        assert study.cycles(enough)[:, position] == pytest.approx(study.compute_cycles[:, position])


def test_partial_sums_of_arrays_along_k_are_added_up() -> None:
    """8 arrays along K, all operands fit: 7 write sums, which are read again; the last writes results."""
    for options, width in (({}, 4), ({"sum_bytes": 2.0}, 2), ({"sum_bytes": 1.0}, 1)):
        study = _study(_products((100, 64, 8)), 512, "WS", buffer_bytes=1e9, **options)
        names = [item.name for item in study.partitions]
        eight, one = (float(study.dram_bytes[0, names.index(name)]) for name in ("8x1 of 8x8", "64x8"))
        assert one == 100 * 64 + 64 * 8 + 100 * 8
        assert eight == 100 * 64 + 64 * 8 + 100 * 8 * (1 + 2 * 7 * width)


def test_documents_hold_plain_numbers_for_every_bandwidth() -> None:
    document = _study(_products((100, 30, 70), (9, 9, 9)), 1024).to_dict()
    assert [item["bandwidth_bytes_per_cycle"] for item in document["bandwidths"]] == [8.0, 64.0, None]
    for item in document["bandwidths"]:
        assert item["cycles"] <= item["single_array_cycles"]
        assert [layer["layer"] for layer in item["layers"]] == ["layer_0", "layer_1"]
        assert sum(layer["cycles"] for layer in item["layers"]) <= item["cycles"]


def test_several_dataflows_are_tried_at_once_and_the_best_is_taken() -> None:
    products = network_products(open_network("zoo:alexnet"))
    together = _study(products, 1024, *DATAFLOWS)
    alone = {dataflow: _study(products, 1024, dataflow) for dataflow in DATAFLOWS}
    for bandwidth in (8.0, FREE):
        totals = {name: study.total_cycles(bandwidth)[study.best(bandwidth)] for name, study in alone.items()}
        partition, dataflow = together.candidate(together.best(bandwidth))
        assert totals[dataflow] == min(totals.values())
        assert partition == alone[dataflow].candidate(alone[dataflow].best(bandwidth))[0]
        layers = [study.cycles(bandwidth)[study.kind_of_layer].min(axis=1) for study in alone.values()]
        found = together.cycles(bandwidth)[together.kind_of_layer, together.best_per_layer(bandwidth)]
        assert (found == np.min(layers, axis=0)).all()
    assert together.to_dict()["dataflow"] == "all"


def test_sides_of_all_sizes_are_never_slower_than_powers_of_two() -> None:
    products = network_products(open_network("zoo:alexnet"))
    powers, every = (
        study_scale(
            products, list_partitions(600, sides=sides), dataflows=("WS",), buffer_bytes=2**18,
            bandwidths_bytes_per_cycle=(8.0, FREE),
        )
        for sides in ("powers", "all")
    )  # fmt: skip
    for bandwidth in (8.0, FREE):
        found = [study.total_cycles(bandwidth)[study.best(bandwidth)] for study in (powers, every)]
        assert found[1] <= found[0]


def test_layers_of_one_kind_are_counted_once_and_summed_as_often_as_they_are() -> None:
    sizes = ((100, 30, 70), (9, 9, 9), (100, 30, 70))
    study = _study(_products(*sizes), 256)
    assert study.compute_cycles.shape == (2, len(study.partitions))
    each = [_study(_products(size), 256).total_cycles(8.0) for size in sizes]
    assert (study.total_cycles(8.0) == np.sum(each, axis=0)).all()


def test_the_study_is_drawn(tmp_path: Path) -> None:
    study = _study(_products((100, 30, 70)), 1024)
    draw_scale({"one": study, "two": study}, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match=r"expected a name that ends in \.png"):
        draw_scale({"one": study}, tmp_path / "scale.docx")


def test_what_cannot_be_studied_is_refused() -> None:
    with pytest.raises(UsageError, match="dataflow 'XS', expected one of OS, WS, IS"):
        _study(_products((1, 1, 1)), 64, "XS")
    many = _products(*((size, size, size) for size in range(1, 300)))
    with pytest.raises(UsageError, match="expected at most 33554432 pairs"):
        study_scale(
            many, list_partitions(4096, sides="all"), dataflows=DATAFLOWS, buffer_bytes=1.0,
            bandwidths_bytes_per_cycle=(1.0,),
        )  # fmt: skip
    with pytest.raises(UsageError, match="nothing to study"):
        _study(_products(), 64)
    with pytest.raises(HardwareError, match=r"more than 2\*\*44"):
        _study(_products((2**31, 2**31, 1)), 64)
