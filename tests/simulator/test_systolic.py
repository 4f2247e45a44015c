"""Systolic arrays in closed form: SCALE-Sim's own numbers, conservation, monotony, a count fold by fold."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.errors import HardwareError
from annette.hardware.systolic_array import DATAFLOWS, SystolicArray
from annette.simulator.systolic import count_systolic

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "data" / "scalesim"
SIZES = st.integers(1, 300)
SIDES = st.integers(1, 40)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_every_column_equals_scale_sim(dataflow: str) -> None:
    paths = sorted(GOLDEN.glob(f"*_{dataflow.lower()}.csv"))
    if not paths:
        pytest.skip("the golden cases of SCALE-Sim 3.0.0 are not at hand")
    for path in paths:
        _, sides, _ = path.stem.rsplit("_", 2)
        rows, columns = map(int, sides.split("x"))
        array = SystolicArray(rows=rows, columns=columns, dataflow=dataflow)
        with path.open(encoding="utf-8") as file:
            layers = list(csv.DictReader(file))
        whole = {
            name: [int(layer[name]) for layer in layers]
            for name in layers[0]
            if "pct" not in name and name != "layer"
        }
        share = {name: [float(layer[name]) for layer in layers] for name in layers[0] if "pct" in name}
        found = count_systolic(whole["M"], whole["K"], whole["N"], array)
        assert found.macs.tolist() == whole["macs"], path.name
        assert found.total_cycles.tolist() == whole["total_cycles"], path.name
        assert found.input_reads.tolist() == whole["sram_ifmap_reads"], path.name
        assert found.weight_reads.tolist() == whole["sram_filter_reads"], path.name
        assert found.output_writes.tolist() == whole["sram_ofmap_writes"], path.name
        for name, values in (
            ("overall_util_pct", found.overall_efficiency(array)),
            ("mapping_eff_pct", found.mapping_efficiency),
            ("compute_util_pct", found.compute_efficiency),
        ):
            assert (100 * values).tolist() == pytest.approx(share[name], rel=1e-12), (path.name, name)


def _count_folds(m: int, k: int, n: int, array: SystolicArray) -> tuple[int, int, float, float]:
    """The same counts fold by fold: cycles, folds, mapping and compute efficiency."""
    rows, columns = array.rows, array.columns
    down, across, through = {"OS": (m, n, k), "WS": (k, n, m), "IS": (k, m, n)}[array.dataflow]
    cycles, mapped, computed, folds = 0, 0.0, 0.0, 0
    for top in range(0, down, rows):
        for left in range(0, across, columns):
            used = min(rows, down - top) * min(columns, across - left)
            loading = 0 if array.dataflow == "OS" else rows
            cycles += loading + rows + columns - 2 + through
            lasts = (
                through + rows + columns - 2
                if array.dataflow == "OS"
                else through + 2 * rows + 2 * columns - 3
            )
            mapped += used / (rows * columns)
            computed += used * through / (rows * columns * lasts)
            folds += 1
    return cycles, folds, mapped / folds, computed / folds


@given(m=SIZES, k=SIZES, n=SIZES, rows=SIDES, columns=SIDES, dataflow=st.sampled_from(DATAFLOWS))
def test_the_closed_form_equals_a_count_fold_by_fold(
    m: int, k: int, n: int, rows: int, columns: int, dataflow: str
) -> None:
    array = SystolicArray(rows=rows, columns=columns, dataflow=dataflow)
    found = count_systolic([m], [k], [n], array)
    cycles, folds, mapping, computing = _count_folds(m, k, n, array)
    assert (int(found.cycles[0]), int(found.folds[0])) == (cycles, folds)
    assert float(found.mapping_efficiency[0]) == pytest.approx(mapping)
    assert float(found.compute_efficiency[0]) == pytest.approx(computing)
    assert int(found.macs[0]) <= int(found.cycles[0]) * array.macs_per_cycle
    assert int(found.output_writes[0]) >= m * n
    assert int(found.input_reads[0]) >= m * k
    assert int(found.weight_reads[0]) >= k * n


@given(m=SIZES, k=SIZES, n=SIZES, rows=SIDES, columns=SIDES, dataflow=st.sampled_from(DATAFLOWS))
def test_a_larger_product_never_takes_fewer_cycles(
    m: int, k: int, n: int, rows: int, columns: int, dataflow: str
) -> None:
    array = SystolicArray(rows=rows, columns=columns, dataflow=dataflow)
    found = count_systolic([m, m + 1, m, m], [k, k, k + 1, k], [n, n, n, n + 1], array).cycles
    assert (found[1:] >= found[0]).all()


def test_many_products_at_once_equal_one_by_one() -> None:
    rng = np.random.default_rng(5)
    sizes = rng.integers(1, 4000, size=(3, 200))
    array = SystolicArray(rows=12, columns=14, dataflow="WS")
    found = count_systolic(*sizes, array)
    for index in range(0, 200, 17):
        alone = count_systolic(*sizes[:, index : index + 1], array)
        assert alone.cycles[0] == found.cycles[index]
        assert alone.compute_efficiency[0] == found.compute_efficiency[index]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 0}, "rows: found 0, expected an integer >= 1 and <= 65536"),
        ({"columns": 2**17}, "columns: found 131072"),
        ({"rows": 2.0}, r"rows: found 2\.0"),
        ({"dataflow": "ws"}, "dataflow: found 'ws', expected one of OS, WS, IS"),
    ],
)
def test_arrays_that_cannot_be_are_refused(changes: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {"rows": 8, "columns": 8, "dataflow": "OS", **changes}
    with pytest.raises(HardwareError, match=message):
        SystolicArray(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("m", "message"),
    [([0], "M: found"), ([1.5], "M: found"), ([2**30], "more than 2"), ([2**63], "more than 2")],
)
def test_sizes_that_cannot_be_are_refused(m: list[int], message: str) -> None:
    array = SystolicArray(rows=8, columns=8, dataflow="OS")
    with pytest.raises(HardwareError, match=message):
        count_systolic(m, [2**10], [2**10], array)


def test_no_products_give_no_counts() -> None:
    array = SystolicArray(rows=8, columns=8, dataflow="OS")
    assert count_systolic(*np.empty((3, 0), dtype=int), array).cycles.shape == (0,)
