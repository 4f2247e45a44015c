"""What every backend promises; run on each implementation by one fixture."""

from __future__ import annotations

import pickle

import pytest

from annette.backends.protocol import Backend
from annette.backends.registry import open_device
from annette.benchmark.blocks import BLOCKS
from annette.benchmark.plan import MICRO_KERNELS
from annette.benchmark.sampling import draws
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import require_complete
from annette.graph.network import Layer, Network, Tensor

KINDS = {**MICRO_KERNELS, **BLOCKS}


@pytest.fixture(scope="module", params=["simulator:zcu102-dpu", "simulator:ncs2"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return open_device(request.param)


def _network(kind: str, seed: int = 1) -> Network:
    build = NetworkBuilder(kind)
    return build.finish(*KINDS[kind](next(draws(seed, kind)), build))


def _unknown_operator() -> Network:
    layer = Layer(name="odd", op_type="Mystery", domain="org.example", inputs=("x",), outputs=("y",))
    tensors = {name: Tensor(name=name, shape=(1, 8, 4, 4)) for name in "xy"}
    return Network(name="odd", inputs=("x",), outputs=("y",), layers=(layer,), tensors=tensors)


def test_it_is_a_backend_with_an_identity(backend: Backend) -> None:
    assert isinstance(backend, Backend)
    assert backend.info == backend.info
    assert backend.info.name
    assert backend.info.backend


def test_it_survives_the_way_to_another_process(backend: Backend) -> None:
    twin = pickle.loads(pickle.dumps(backend))  # noqa: S301  # our own bytes
    network = _network("residual")
    assert twin.info == backend.info
    assert twin.measure(network, seed=4) == backend.measure(network, seed=4)


def test_opening_it_again_gives_the_same_identity(backend: Backend) -> None:
    assert open_device(f"{backend.info.backend}:{backend.info.name}").info == backend.info


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_it_answers_for_every_kind_of_benchmark_network(backend: Backend, kind: str) -> None:
    network = _network(kind)
    answer = backend.measure(network, seed=1)
    assert answer.network_id == network.id
    assert answer.device == backend.info
    assert (answer.values_s is None) != (answer.error is None)
    if answer.mapping is not None:
        require_complete(network, answer.mapping)


def test_the_same_seed_gives_the_same_answer_in_any_order(backend: Backend) -> None:
    networks = [_network(kind) for kind in ("conv", "inception", "attention")]
    forwards = [backend.measure(network, seed=5) for network in networks]
    backwards = [backend.measure(network, seed=5) for network in reversed(networks)]
    assert forwards == backwards[::-1]


def test_a_strange_network_is_answered_not_raised(backend: Backend) -> None:
    network = _unknown_operator()
    assert backend.measure(network).network_id == network.id
    empty = Network(
        name="empty", inputs=("x",), outputs=("x",), layers=(), tensors={"x": Tensor(name="x", shape=(1,))}
    )
    assert backend.measure(empty).network_id == empty.id


def test_every_operator_costs_something_unless_it_vanishes(backend: Backend) -> None:
    for kind in sorted(MICRO_KERNELS):
        answer = backend.measure(_network(kind, seed=3), seed=2)
        if answer.values_s is not None and answer.kernels:
            assert answer.latency_s > 0, kind
            assert all(kernel.latency_s > 0 for kernel in answer.kernels), kind
