"""The MnasNet space against the parameters of Accel-NASBench's published table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.evaluation.latency_table import read_latency_table
from annette.graph.work import network_work
from annette.zoo.spaces.mnasnet import MnasNetSpace
from annette.zoo.spaces.space import ABSENT

PUBLIC = Path(__file__).resolve().parents[4] / "shared" / "data" / "real" / "mnasnet_space_zcu102.parquet"
SPACE = MnasNetSpace()
ENCODINGS = st.tuples(*[st.integers(0, count - 1) for count in SPACE.choices])


@given(ENCODINGS)
def test_notation_and_encoding_are_each_others_inverse(encoding: tuple[int, ...]) -> None:
    assert SPACE.parse(SPACE.format(encoding)) == encoding


@settings(max_examples=10)
@given(ENCODINGS)
def test_there_are_as_many_layers_as_the_encoding_says(encoding: tuple[int, ...]) -> None:
    codes = SPACE.pieces(np.array([encoding])).codes[0]
    assert (codes != ABSENT).sum() == 3 + sum(gene + 1 for gene in encoding[2::4])


def test_efficientnet_b0_is_in_the_space() -> None:
    """Its parameters with ReLU and this table's gates: Tan and Le, table 2, have 5.3 M."""
    network = SPACE.network(SPACE.parse("e1k3l1s e6k3l2s e6k5l2s e6k3l3s e6k5l3s e6k5l4s e6k3l1s"))
    assert network_work(network).params == pytest.approx(5.3e6, rel=0.01)


@pytest.mark.parametrize(
    "text", ["", "e6k3l1", "e2k3l1 " * 7, "e6k3l4 " * 7, "e6k3l1x " * 7, "e6k3l0s " * 7, "e6k3l1 " * 8]
)
def test_other_texts_are_no_architecture(text: str) -> None:
    with pytest.raises(UsageError, match="7 words as e6k5l2s"):
        SPACE.parse(text)


@pytest.mark.skipif(not PUBLIC.exists(), reason="the published table is not there")
def test_networks_of_the_published_table_have_its_parameters(tmp_path: Path) -> None:
    import pandas as pd

    pd.read_parquet(PUBLIC).head(900).to_parquet(
        tmp_path / "first.parquet"
    )  # further rows repeat earlier ones
    table = read_latency_table(tmp_path / "first.parquet")
    assert table.space.name == "mnasnet"
    params = table.numbers("params").values
    for row in range(0, len(table), 150):
        work = network_work(SPACE.network(table.encodings[row].tolist()))
        assert work.params == pytest.approx(params[row] * 1e6, abs=1)
