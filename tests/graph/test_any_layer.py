"""Whatever the shape rules accept has a geometry, a family and a work."""

from __future__ import annotations

import dataclasses

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from annette.errors import GraphError
from annette.graph.families import FAMILIES, layer_family
from annette.graph.geometry import layer_geometry
from annette.graph.network import AttributeValue, Layer, Network, Tensor
from annette.graph.shapes import SHAPE_RULES, infer_outputs
from annette.graph.work import layer_work, network_work

OPERATORS = tuple((domain, op_type) for domain, rules in SHAPE_RULES.items() for op_type in rules)
SHAPES = st.one_of(
    st.lists(st.integers(0, 4), max_size=5).map(tuple),
    st.sampled_from(
        [(2, 4, 4, 4), (4, 4, 1, 1), (4, 1, 2, 2), (4, 4), (4,), (2, 4, 4), (1, 16, 4), (1, 4, 4)]
    ),
)


@st.composite
def attributes(draw: st.DrawFn) -> tuple[tuple[str, AttributeValue], ...]:
    pair = st.lists(st.integers(1, 2), min_size=2, max_size=2).map(tuple)
    choices: dict[str, st.SearchStrategy[AttributeValue]] = {
        "axis": st.integers(-2, 3),
        "group": st.sampled_from([1, 2, 4]),
        "num_heads": st.sampled_from([1, 2, 4]),
        "q_num_heads": st.sampled_from([1, 2, 4]),
        "kv_num_heads": st.sampled_from([1, 2, 4]),
        "blocksize": st.integers(1, 2),
        "batch_dims": st.integers(0, 1),
        "channels_last": st.integers(0, 1),
        "transA": st.integers(0, 1),
        "kernel_shape": pair,
        "strides": pair,
        "dilations": pair,
        "pooled_shape": pair,
        "K": st.just(4),
        "N": st.just(3),
        "k": st.integers(0, 3),
        "size": st.integers(1, 3),
        "equation": st.sampled_from(["ij,jk->ik", "...ij,...jk->...ik", "ii->i", "ab->", "i,j"]),
        "scales": st.just((1.0, 1.0, 2.0, 1.5)),
        "mode": st.sampled_from(["linear", "cubic", "nearest"]),
        "axes": st.lists(st.integers(0, 2), max_size=2, unique=True).map(tuple),
    }
    names = draw(st.lists(st.sampled_from(sorted(choices)), max_size=6, unique=True))
    names += ["kernel_shape", "num_heads", "q_num_heads", "kv_num_heads", "equation"]
    return tuple((name, draw(choices[name])) for name in dict.fromkeys(names))


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    operator=st.sampled_from(OPERATORS),
    shapes=st.lists(SHAPES, max_size=6),
    constants=st.lists(st.booleans(), min_size=6, max_size=6),
    values=st.lists(st.integers(0, 2), max_size=4).map(tuple),
    pairs=attributes(),
)
def test_any_accepted_layer_has_geometry_family_and_work(
    operator: tuple[str, str],
    shapes: list[tuple[int, ...]],
    constants: list[bool],
    values: tuple[int, ...],
    pairs: tuple[tuple[str, AttributeValue], ...],
) -> None:
    tensors = {
        f"x{index}": Tensor(name=f"x{index}", shape=shape, is_constant=constants[index])
        for index, shape in enumerate(shapes)
    }
    if len(shapes) > 1 and constants[5]:
        tensors["x1"] = Tensor(name="x1", shape=(len(values),), dtype="int64", value=values, is_constant=True)
    domain, op_type = operator
    layer = Layer(
        name="any", op_type=op_type, domain=domain, inputs=tuple(tensors), outputs=("y",), attributes=pairs
    )
    try:
        (output,) = infer_outputs(layer, tensors)
    except GraphError:
        assume(False)
    tensors["y"] = output
    inputs = tuple(name for name, tensor in tensors.items() if name != "y" and not tensor.is_constant)
    network = Network(name="any", inputs=inputs, outputs=("y",), layers=(layer,), tensors=tensors)
    assert min(dataclasses.astuple(layer_geometry(network, layer))) >= 1
    assert layer_family(network, layer) in FAMILIES
    work = layer_work(network, layer)
    assert all(isinstance(item, int) and item >= 0 for item in dataclasses.astuple(work))
    assert work.ops >= 2 * work.macs
    assert work == network_work(network)
