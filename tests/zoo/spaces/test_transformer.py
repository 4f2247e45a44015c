"""The space of transformer encoders against BERT, and the sums that its layers are."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.graph.onnx_reader import read_onnx
from annette.graph.onnx_writer import write_onnx
from annette.graph.work import network_work
from annette.zoo.bert import bert_base, bert_mini
from annette.zoo.spaces.space import ABSENT, Encoding
from annette.zoo.spaces.transformer import TransformerSpace

SPACE = TransformerSpace()
SMALL = TransformerSpace(vocabulary=100)
LAYERS, HEADS, WIDTH, MLP, SEQUENCE = range(5)
BERT_BASE = "layers=12;heads=12;width=768;mlp=4;sequence=128"
BERT_MINI = "layers=4;heads=4;width=256;mlp=4;sequence=128"


def values_of(encoding: Encoding) -> dict[str, int]:
    items = (item.split("=") for item in SPACE.format(encoding).split(";"))
    return {key: int(value) for key, value in items}


def is_valid(encoding: Encoding) -> bool:
    return bool(SPACE.valid_mask(np.array([encoding]))[0])


ROWS = st.tuples(*[st.integers(0, values - 1) for values in SPACE.choices])
ENCODINGS = ROWS.filter(is_valid)


# Published figures ----------------------------------------------------------------------------------


def test_the_layers_of_bert_base_have_its_published_parameters() -> None:
    """Source: google-bert/bert-base-uncased: 12 layers of 7,087,872 parameters, 109,482,240 in all."""
    layers = [
        network_work(SPACE.network(SPACE.parse(BERT_BASE.replace("=12;h", f"={count};h")))).params
        for count in (2, 12)
    ]
    assert layers[1] - layers[0] == 10 * 7_087_872
    missing = (512 - 128) * 768 + 2 * 768  # other positions, and which sentence a token is of
    assert layers[1] + missing - 2 * (768 + 1) == 109_482_240


@pytest.mark.parametrize(("text", "width"), [(BERT_BASE, 768), (BERT_MINI, 256)])
def test_bert_has_the_work_of_the_zoos_bert(text: str, width: int) -> None:
    ours = network_work(SPACE.network(SPACE.parse(text)))
    zoo = network_work(bert_base() if width == 768 else bert_mini())
    assert ours.macs == zoo.macs + 2 * width  # the classifier
    assert ours.params == zoo.params + 2 * (width + 1) - 2 * width  # no table of two sentences


# Properties -----------------------------------------------------------------------------------------


@given(encoding=ENCODINGS)
def test_what_is_printed_is_parsed_to_the_same(encoding: Encoding) -> None:
    assert SPACE.parse(SPACE.format(encoding)) == encoding
    assert SPACE.parse(" ; ".join(reversed(SPACE.format(encoding).split(";")))) == encoding


@given(row=ROWS)
def test_rows_are_architectures_where_heads_divide_the_width(row: Encoding) -> None:
    widths, heads = (128, 192, 256, 320, 384, 512, 640, 768), (2, 3, 4, 6, 8, 12)
    assert is_valid(row) == (widths[row[WIDTH]] % heads[row[HEADS]] == 0)


@settings(max_examples=25, deadline=None)
@given(encoding=ENCODINGS)
def test_macs_and_parameters_are_the_sums_of_the_paper(encoding: Encoding) -> None:
    given_ = values_of(encoding)
    layers, width, mlp, tokens = (given_[key] for key in ("layers", "width", "mlp", "sequence"))
    work = network_work(SMALL.network(encoding))
    linear = (4 + 2 * mlp) * width**2
    head = width * width + 2 * width
    assert work.macs == layers * (tokens * linear + 2 * tokens**2 * width) + head
    vectors = (4 + mlp + 1 + 4) * width  # biases, and two normalisations
    tables = (100 + tokens + 2) * width
    assert work.params == layers * (linear + vectors) + tables + head + width + 2


@settings(max_examples=6, deadline=None)
@given(encoding=ENCODINGS, gene=st.sampled_from([LAYERS, WIDTH, MLP, SEQUENCE]))
def test_more_of_anything_but_heads_has_more_macs(encoding: Encoding, gene: int) -> None:
    rows = [(*encoding[:gene], value, *encoding[gene + 1 :]) for value in range(SPACE.choices[gene])]
    macs = [network_work(SMALL.network(row)).macs for row in rows if is_valid(row)][:4]
    assert all(less < more for less, more in pairwise(macs))


@settings(max_examples=6, deadline=None)
@given(encoding=ENCODINGS)
def test_heads_change_neither_macs_nor_parameters(encoding: Encoding) -> None:
    rows = [(encoding[0], heads, *encoding[2:]) for heads in range(SPACE.choices[HEADS])]
    works = [network_work(SMALL.network(row)) for row in rows if is_valid(row)]
    assert len({(work.macs, work.params) for work in works}) == 1


@given(encoding=ENCODINGS)
def test_there_are_as_many_layers_as_the_encoding_says(encoding: Encoding) -> None:
    codes = SPACE.pieces(np.array([encoding])).codes[0, 1:-1]
    layers = values_of(encoding)["layers"]
    assert (codes[:layers] == codes[0]).all()
    assert codes[0] != ABSENT
    assert (codes[layers:] == ABSENT).all()


@given(seed=st.integers(0, 1000))
def test_samples_neighbours_and_children_are_architectures(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (tuple(row) for row in SPACE.sample(2, seed=seed).tolist())
    for found in (SPACE.mutate(first, rng=rng), SPACE.crossover(first, second, rng=rng)):
        assert is_valid(found)
    assert all(is_valid(row) for row in SPACE.neighbours(first))


# Examples -------------------------------------------------------------------------------------------


def test_enumeration_gives_every_architecture_once() -> None:
    rows = list(SPACE.enumerate())
    assert len(set(rows)) == len(rows) == 11 * 33 * 4 * 6  # 33 pairs of heads and widths that fit


def test_a_network_has_the_batch_and_the_classes_asked_for() -> None:
    space = TransformerSpace(vocabulary=100, classes=5, batch=3)
    network = space.network(space.parse(BERT_MINI))
    assert network.tensors["input_ids"].shape == (3, 128)
    assert network.tensors["input_ids"].dtype == "int64"
    assert network.tensors[network.outputs[0]].shape == (3, 5)
    assert space.name == "transformer,vocabulary=100,classes=5,batch=3"


def test_a_network_survives_onnx(tmp_path: Path) -> None:
    network = SMALL.network(SMALL.parse(BERT_MINI))
    write_onnx(network, tmp_path / "bert.onnx")
    found = read_onnx(tmp_path / "bert.onnx")
    assert [layer.op_type for layer in found.layers] == [layer.op_type for layer in network.layers]
    assert network_work(found) == network_work(network)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected layers=...;heads=...;width=...;mlp=...;sequence=..."),
        ("layers=4", "expected layers="),
        (BERT_MINI + ";layers=4", "expected layers="),
        (BERT_MINI + ";dropout=0", "expected layers="),
        (BERT_MINI.replace("layers=4", "layers=13"), r"layers\[0\] is 13, expected one of 2 3 4"),
        (BERT_MINI.replace("heads=4", "heads=3"), "width=256 for heads=3, expected a multiple"),
        (BERT_MINI.replace("mlp=4", "mlp=4.0"), "'4.0' is no architecture, expected a whole number"),
        (BERT_MINI.replace("mlp=4", "mlp=" + "4" * 10_000), "expected a whole number"),
    ],
)
def test_text_that_is_no_architecture_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        SPACE.parse(text)
    assert "transformer" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_parameters_that_make_no_network_are_refused() -> None:
    with pytest.raises(UsageError, match="vocabulary=0, expected a number above 0"):
        TransformerSpace(vocabulary=0)
