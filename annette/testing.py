"""The promises of a backend as tests that others run on theirs: subclass `BackendContract` and name a device.

    from annette.backends.registry import open_device
    from annette.testing import BackendContract

    class TestMyBackend(BackendContract):
        @pytest.fixture(scope="class")
        @classmethod
        def opener(cls):
            return lambda: open_device("mine:target")

Needs pytest, which annette itself does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import ClassVar

import pytest

from annette.backends.protocol import Backend
from annette.benchmark.blocks import BLOCKS
from annette.benchmark.campaign import run_campaign
from annette.benchmark.plan import MICRO_KERNELS
from annette.benchmark.sampling import draws
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import require_complete
from annette.graph.network import Layer, Network, Tensor
from annette.graph.work import network_work
from annette.store.campaign import CampaignStore
from annette.store.codec import measurement_from_json, measurement_to_json
from annette.store.records import PlanRecord, Task

__all__ = ["BackendContract", "benchmark_network", "strange_networks"]

_KINDS = {**MICRO_KERNELS, **BLOCKS}
_TRIED = 6
_LONGEST_S = 3600.0

Opener = Callable[[], Backend]


@cache
def benchmark_network(kind: str, seed: int = 1) -> Network:
    """A small benchmark network of that kind: the one with the fewest MACs and bytes of a few draws.

    Examples
    --------
    >>> benchmark_network("conv").layers[0].op_type
    'Conv'
    """
    stream, found = draws(seed, kind), []
    for _ in range(_TRIED):
        build = NetworkBuilder(kind)
        found.append(build.finish(*_KINDS[kind](next(stream), build)))
    return min(found, key=lambda network: _size(network))


def _size(network: Network) -> float:
    return network_work(network).macs + 10.0 * sum(tensor.size for tensor in network.tensors.values())


def strange_networks() -> tuple[Network, ...]:
    """Networks that a device may refuse, but must answer: an operator nobody knows, and no layer at all."""
    layer = Layer(name="odd", op_type="Mystery", domain="org.example", inputs=("x",), outputs=("y",))
    tensors = {name: Tensor(name=name, shape=(1, 8, 4, 4)) for name in "xy"}
    odd = Network(name="odd", inputs=("x",), outputs=("y",), layers=(layer,), tensors=tensors)
    only = {"x": Tensor(name="x", shape=(1,))}
    return odd, Network(name="empty", inputs=("x",), outputs=("x",), layers=(), tensors=only)


class BackendContract:
    """What every backend promises; override the fixture `opener`, and where needed the three settings."""

    kinds: ClassVar[tuple[str, ...]] = tuple(sorted(_KINDS))
    """Kinds of benchmark networks to try; fewer for a slow device."""
    must_run: ClassVar[tuple[str, ...]] = ("conv", "gemm")
    """Kinds that the device must be able to run; none for one that answers from records."""
    is_deterministic: ClassVar[bool | None] = None
    """Whether equal seeds give equal answers; ``None``: unless the device is exclusive, as real ones are."""

    @pytest.fixture(scope="class")
    @classmethod
    def opener(cls) -> Opener:
        """Opens the device under test, each time anew."""
        raise NotImplementedError("override the fixture `opener` with one that returns a callable")

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, opener: Opener) -> Iterator[Backend]:
        """The device under test; closed at the end if it can be."""
        backend = opener()
        yield backend
        _close(backend)

    def _repeats(self, backend: Backend) -> bool:
        return not backend.info.is_exclusive if self.is_deterministic is None else self.is_deterministic

    def test_it_is_a_backend_with_an_identity(self, backend: Backend) -> None:
        """A short name of device and backend, equal whenever asked."""
        assert isinstance(backend, Backend)
        assert backend.info == backend.info
        assert backend.info.name
        assert backend.info.backend

    def test_opening_it_again_gives_the_same_identity(self, backend: Backend, opener: Opener) -> None:
        """Two sessions may go on with one store."""
        again = opener()
        assert again.info == backend.info
        _close(again)

    def test_it_survives_the_way_to_another_process(self, backend: Backend) -> None:
        """Campaigns measure in several processes."""
        twin: Backend = ForkingPickler.loads(ForkingPickler.dumps(backend))
        network = benchmark_network("conv", 4)
        assert twin.info == backend.info
        answer = twin.measure(network, seed=4)
        assert answer.network_id == network.id
        assert (answer.error is None) == (backend.measure(network, seed=4).error is None)
        if self._repeats(backend):
            assert answer == backend.measure(network, seed=4)
        _close(twin)

    def test_it_answers_for_every_kind_of_benchmark_network(self, backend: Backend) -> None:
        """Values or an error, and a mapping that holds each layer once."""
        for kind in self.kinds:
            network = benchmark_network(kind)
            answer = backend.measure(network, seed=1)
            assert answer.network_id == network.id, kind
            assert answer.device == backend.info, kind
            assert (answer.values_s is None) != (answer.error is None), kind
            if answer.error is not None:
                assert answer.error.strip(), kind
                assert "\n" not in answer.error, kind
                assert kind not in self.must_run, f"{kind}: {answer.error}"
                continue
            assert answer.latency_s < _LONGEST_S, kind
            if answer.mapping is not None:
                require_complete(network, answer.mapping)

    def test_kernels_take_time_and_no_more_than_the_whole(self, backend: Backend) -> None:
        """Times of kernels are those of one run, in seconds like the whole's."""
        for kind in self.must_run:
            answer = backend.measure(benchmark_network(kind, 3), seed=2)
            assert answer.latency_s > 0, kind
            if answer.kernels:
                assert sum(item.latency_s for item in answer.kernels) > 0, kind
                assert sum(item.latency_s for item in answer.kernels) <= 1.5 * answer.latency_s, kind

    def test_the_same_seed_gives_the_same_answer_in_any_order(self, backend: Backend) -> None:
        """Of devices that can promise it: simulated and recorded ones."""
        if not self._repeats(backend):
            pytest.skip("a real device never takes the same time twice")
        networks = [benchmark_network(kind) for kind in ("conv", "inception", "attention")]
        forwards = [backend.measure(network, seed=5) for network in networks]
        backwards = [backend.measure(network, seed=5) for network in reversed(networks)]
        assert forwards == backwards[::-1]

    def test_a_strange_network_is_answered_not_raised(self, backend: Backend) -> None:
        """Whatever cannot be run is an answer with an error."""
        for network in strange_networks():
            answer = backend.measure(network)
            assert answer.network_id == network.id
            assert (answer.values_s is None) != (answer.error is None)
        for kind in self.must_run:
            assert backend.measure(benchmark_network(kind)).error is None, "it must go on afterwards"

    def test_its_answers_can_be_stored(self, backend: Backend) -> None:
        """What is read back is what was measured."""
        for kind in self.must_run:
            network = benchmark_network(kind)
            answer = backend.measure(network, seed=1)
            text = measurement_to_json(answer)
            back = measurement_from_json(text, network_id=network.id, device=backend.info, seed=answer.seed)
            assert back.values_s == answer.values_s
            assert back.kernels == answer.kernels
            assert back.eliminated_layers == answer.eliminated_layers

    def test_a_campaign_runs_on_it(self, backend: Backend, tmp_path: Path) -> None:
        """Every task gets its answer, and the second run has nothing to do."""
        networks = (
            *(benchmark_network(kind) for kind in ("conv", "gemm", "residual")),
            strange_networks()[0],
        )
        tasks = [
            Task(network=network, category="block", group=f"block/{number}")
            for number, network in enumerate(networks)
        ]
        plan = PlanRecord(name="contract", seed=1, text="{}")
        with CampaignStore.create(tmp_path / "run.db", device=backend.info, plan=plan) as store:
            summary = run_campaign(tasks, backend, store)
            assert summary.measured + summary.failed == len(tasks)
            assert run_campaign(tasks, backend, store).done_before == len(tasks)
            assert len(list(store.records())) == len(tasks)


def _close(backend: Backend) -> None:
    close = getattr(backend, "close", None)
    if callable(close):
        close()
