"""The search space of Once-for-all's MobileNetV3 against what is published of its sub-networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.graph.onnx_reader import read_onnx
from annette.graph.onnx_writer import write_onnx
from annette.graph.work import network_work
from annette.zoo.spaces.ofa import OnceForAll
from annette.zoo.spaces.space import ABSENT, Encoding

PUBLIC = Path(__file__).resolve().parents[4] / "shared" / "data" / "real" / "ofa_latency_s.parquet"
SPACE = OnceForAll()
GENES = 46
SMALLEST = (0,) * GENES
LARGEST = tuple(values - 1 for values in SPACE.choices)
ENCODINGS = st.tuples(*[st.integers(0, values - 1) for values in SPACE.choices])

FLOPS_595M = {
    "ks": [3, 5, 3, 3, 5, 5, 3, 5, 7, 5, 3, 5, 3, 5, 7, 3, 3, 3, 5, 3],
    "e": [3, 4, 3, 3, 4, 4, 6, 3, 6, 6, 3, 4, 6, 6, 6, 4, 6, 6, 6, 3],
    "d": [3, 4, 4, 4, 4],
    "r": 224,
}
"""The net.config that the reference's model zoo has for flops@595M_top1@80.0_finetune@75 (at 236x236)."""
NOTE8_31MS = {
    "ks": [5, 3, 3, 3, 5, 5, 3, 3, 3, 3, 5, 3, 3, 5, 7, 3, 3, 3, 5, 5],
    "e": [3, 3, 3, 3, 4, 3, 3, 3, 4, 4, 4, 4, 4, 3, 4, 3, 6, 3, 3, 3],
    "d": [2, 2, 3, 3, 4],
    "r": 152,
}
"""note8_lat@31ms_top1@72.8_finetune@25 as MMRazor's OFA_SUBNET_NOTE8_LAT31.yaml has it."""


def network_at(space: OnceForAll, encoding: Encoding, resolution: int) -> Network:
    """The network at a resolution that the space need not have."""
    pieces = space.pieces(space.check([encoding]))
    build = NetworkBuilder("sub-network")
    x = build.input("image", (1, 3, resolution, resolution))
    for kind, code in zip(pieces.kinds[1:], pieces.codes[0, 1:].tolist(), strict=True):
        x = space.build_piece(build, kind, code, (x,)) if code != ABSENT else x
    return build.finish(x)


def kernels(network: Network) -> list[int]:
    """Sizes of the depthwise kernels in order."""
    convs = [layer for layer in network.layers if layer.op_type == "Conv"]
    return [
        shape[0] for layer in convs
        if layer.int_attribute("group", 1) > 1 and (shape := layer.ints_attribute("kernel_shape"))
    ]  # fmt: skip


def with_gene(encoding: Encoding, gene: int, value: int) -> Encoding:
    return (*encoding[:gene], value, *encoding[gene + 1 :])


# Published figures ----------------------------------------------------------------------------------


def test_the_595_mmac_network_has_its_published_macs_and_parameters() -> None:
    """Source: Cai et al., ICLR 2020, table 2 (595M MACs, 9.1M parameters), and the name in the model zoo."""
    space = OnceForAll(width=1.2)
    work = network_work(network_at(space, space.parse(json.dumps(FLOPS_595M)), 236))
    assert work.macs == pytest.approx(595e6, rel=0.001)
    assert work.params == pytest.approx(9.1e6, rel=0.01)


def test_parameters_are_those_that_mmrazor_counts() -> None:
    """Source: MMRazor, configs/nas/mmcls/onceforall/README.md: 7.6 M (largest, width 1) and 4.6 M."""
    largest = network_work(SPACE.network(LARGEST))
    note8 = network_work(SPACE.network(SPACE.parse(json.dumps(NOTE8_31MS))))
    assert largest.params == pytest.approx(7.65e6, abs=0.05e6)
    assert note8.params == pytest.approx(4.6e6, abs=0.05e6)
    assert note8.macs == pytest.approx(105.4e6, rel=0.05)  # mmcv counts normalisations and activations, too


def test_channels_of_width_1_2_are_those_of_the_reference() -> None:
    network = OnceForAll(width=1.2).network(SMALLEST)
    names = [layer.outputs[0] for layer in network.layers if layer.op_type in {"Conv", "Gemm"}]
    channels = [network.tensors[name].shape[1] for name in names]
    assert channels[:3] == [24, 24, 24]
    assert {32, 48, 96, 136, 192} <= set(channels)
    assert channels[-3:] == [1152, 1536, 1000]


# Properties -----------------------------------------------------------------------------------------


@given(encoding=ENCODINGS)
def test_what_is_printed_is_parsed_to_the_same(encoding: Encoding) -> None:
    assert SPACE.parse(SPACE.format(encoding)) == encoding


@given(encoding=ENCODINGS)
def test_json_and_the_own_notation_mean_the_same(encoding: Encoding) -> None:
    parts = (part.split("=") for part in SPACE.format(encoding).split(";"))
    fields = {key: [int(item) for item in text.split(",")] for key, text in parts}
    (resolution,) = fields.pop("r")
    assert SPACE.parse(json.dumps({**fields, "r": resolution})) == encoding


@settings(max_examples=7, deadline=None)
@given(encoding=ENCODINGS)
def test_canonical_encodings_are_the_same_network(encoding: Encoding) -> None:
    canonical = tuple(SPACE.canonical(np.array([encoding]))[0].tolist())
    assert SPACE.network(canonical, name="n") == SPACE.network(encoding, name="n")
    assert SPACE.fingerprint(canonical) == SPACE.fingerprint(encoding)


@given(encoding=ENCODINGS)
def test_pieces_depend_on_the_canonical_encoding_only(encoding: Encoding) -> None:
    rows = np.array([encoding])
    canonical = SPACE.canonical(rows)
    assert (SPACE.canonical(canonical) == canonical).all()
    assert (SPACE.pieces(canonical).codes == SPACE.pieces(rows).codes).all()


@settings(max_examples=7, deadline=None)
@given(encoding=ENCODINGS, stage=st.integers(0, 4), depth=st.integers(0, 1))
def test_a_deeper_stage_has_more_macs_and_parameters(encoding: Encoding, stage: int, depth: int) -> None:
    less, more = (
        network_work(SPACE.network(with_gene(encoding, 40 + stage, value))) for value in (depth, depth + 1)
    )
    assert less.macs < more.macs
    assert less.params < more.params


@settings(max_examples=7, deadline=None)
@given(encoding=ENCODINGS, gene=st.integers(0, 39), value=st.integers(0, 1))
def test_a_larger_kernel_or_expansion_never_has_fewer_macs(encoding: Encoding, gene: int, value: int) -> None:
    less, more = (
        network_work(SPACE.network(with_gene(encoding, gene, item))).macs for item in (value, value + 1)
    )
    has_block = gene % 20 % 4 < encoding[40 + gene % 20 // 4] + 2
    assert less < more if has_block else less == more


@settings(max_examples=7, deadline=None)
@given(encoding=ENCODINGS, value=st.integers(0, 23))
def test_a_higher_resolution_has_more_macs_and_the_same_parameters(encoding: Encoding, value: int) -> None:
    less, more = (network_work(SPACE.network(with_gene(encoding, 45, item))) for item in (value, value + 1))
    assert less.macs <= more.macs
    assert less.params == more.params


@settings(max_examples=7, deadline=None)
@given(encoding=ENCODINGS)
def test_a_wider_space_has_more_macs_and_as_many_layers(encoding: Encoding) -> None:
    narrow, wide = SPACE.network(encoding), OnceForAll(width=1.2).network(encoding)
    assert network_work(narrow).macs < network_work(wide).macs
    assert [layer.op_type for layer in narrow.layers] == [layer.op_type for layer in wide.layers]


@settings(max_examples=7, deadline=None)
@given(encoding=ENCODINGS)
def test_kernels_stand_where_the_encoding_says(encoding: Encoding) -> None:
    expected = [3]
    for stage in range(5):
        first = 4 * stage
        expected += [(3, 5, 7)[gene] for gene in encoding[first : first + encoding[40 + stage] + 2]]
    assert kernels(SPACE.network(encoding)) == expected


def test_samples_take_each_value_of_each_gene_evenly() -> None:
    rows = SPACE.sample(30_000, seed=1)
    for gene, values in enumerate(SPACE.choices):
        counts = np.bincount(rows[:, gene], minlength=values) * values / len(rows)
        assert counts == pytest.approx(np.ones(values), abs=0.15)


# Examples -------------------------------------------------------------------------------------------


def test_gates_and_activations_stand_in_the_stages_of_the_reference() -> None:
    types = [layer.op_type for layer in SPACE.network(LARGEST).layers]
    assert types.count("HardSigmoid") == 12  # stages 2, 4 and 5
    assert types.count("Relu") == 1 + 16 + 12  # first block without expansion, two stages, gates
    assert types.count("HardSwish") == 1 + 24 + 2  # stem, three stages, head


def test_a_network_has_the_batch_and_the_classes_asked_for() -> None:
    network = OnceForAll(batch=3, classes=10).network(SMALLEST)
    assert network.tensors["image"].shape == (3, 3, 128, 128)
    assert network.tensors[network.outputs[0]].shape == (3, 10)


def test_the_name_says_the_parameters_that_are_not_defaults() -> None:
    assert SPACE.name == "ofa"
    assert OnceForAll(width=1.2, batch=8).name == "ofa,width=1.2,batch=8"


def test_the_last_layers_are_those_of_the_reference() -> None:
    layers = SPACE.network(SMALLEST).layers[-5:]
    assert [layer.op_type for layer in layers] == [
        "GlobalAveragePool", "Conv", "HardSwish", "Flatten", "Gemm"
    ]  # fmt: skip
    assert len(layers[1].inputs) == 2


def test_a_network_survives_onnx(tmp_path: Path) -> None:
    network = SPACE.network(LARGEST)
    write_onnx(network, tmp_path / "largest.onnx")
    found = read_onnx(tmp_path / "largest.onnx")
    assert [layer.op_type for layer in found.layers] == [layer.op_type for layer in network.layers]
    assert network_work(found) == network_work(network)


def test_every_network_of_the_public_latencies_is_of_the_space() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    if not PUBLIC.exists():
        pytest.skip(f"{PUBLIC} is not there")
    columns = ["ks", "e", "d", "r"]
    rows = parquet.read_table(PUBLIC, columns=columns).to_pylist()
    assert len(rows) == 5000
    for row in rows:
        text = ";".join(f"{key}={row[key]}" for key in columns)
        assert SPACE.format(SPACE.parse(text)) == text.replace("[", "").replace("]", "").replace(" ", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ks=3",
        "ks=3,3;e=3,3;d=2,2;r=128",
        "{",
        "[]",
        "{}",
        '{"ks": 3, "e": 3, "d": 2, "r": 128}',
        SPACE.format(SMALLEST).replace("r=128", "r=130"),
        SPACE.format(SMALLEST).replace("r=128", "r=1e2"),
        SPACE.format(SMALLEST).replace("ks=3", "ks=4"),
        SPACE.format(SMALLEST).replace("d=2", "d=-2"),
        SPACE.format(SMALLEST).replace("e=3", "e=9"),
        SPACE.format(SMALLEST) + ";r=128",
        SPACE.format(SMALLEST) + ";w=1",
        "ks=" + "9" * 10_000,
    ],
)
def test_text_that_is_no_architecture_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="ofa") as caught:
        SPACE.parse(text)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "parameters", [{"width": 0.0}, {"width": float("nan")}, {"batch": 0}, {"classes": -1}]
)
def test_parameters_that_make_no_network_are_refused(parameters: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected a number above 0"):
        OnceForAll(**parameters)  # type: ignore[arg-type]
