"""Mappings found by timing: on devices whose truth is known, and which keep it to themselves."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from annette.backends.mapping_inference import call_cost, infer_fusions, judge_saving, timed_by
from annette.backends.mapping_inferring import InferringBackend
from annette.backends.mapping_probe import PairProbe, cut_out, layer_signature, pair_probe, repeated
from annette.backends.protocol import Backend
from annette.backends.simulator import open_simulator
from annette.benchmark.campaign import run_campaign
from annette.benchmark.plan import load_plan, plan_campaign
from annette.errors import GraphError, MeasurementError
from annette.graph.builder import NetworkBuilder
from annette.graph.mapping import require_complete
from annette.graph.network import Layer, Network
from annette.measurement import DeviceInfo, Measurement
from annette.models.generator import generate_platform
from annette.store.campaign import CampaignStore

CALL_S = 300e-6


@dataclass
class Secretive:
    """A device that tells how long a network takes and nothing else; each call costs something."""

    inner: Backend
    calls: int = 0

    @property
    def info(self) -> DeviceInfo:
        return self.inner.info

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        self.calls += 1
        answer = self.inner.measure(network, seed=seed)
        if answer.values_s is None:
            return answer
        values_s = tuple(value + CALL_S for value in answer.values_s)
        return replace(answer, values_s=values_s, kernels=None, eliminated_layers=())


def conv_and(add: Callable[[NetworkBuilder, str], str], *, size: int = 28) -> Network:
    build = NetworkBuilder("pair")
    x = build.conv(build.input("x", (1, 16, size, size)), 32, kernel=3, padding=1, name="first")
    return build.finish(add(build, x))


def pair_of(network: Network) -> PairProbe:
    return pair_probe(network, ["first"], network.layers[-1].name)


PAIRS = {
    "relu": conv_and(lambda build, x: build.relu(x)),
    "norm": conv_and(lambda build, x: build.batch_norm(x)),
    "sigmoid": conv_and(lambda build, x: build.add("Sigmoid", x)),
    "residual": conv_and(lambda build, x: build.add("Add", x, build.input("r", build.shape(x)))),
    "pool": conv_and(lambda build, x: build.max_pool(x, kernel=2, stride=2)),
}
FUSED = {"zcu102-dpu": {"relu", "norm", "residual", "pool", "sigmoid"}, "ncs2": {"relu", "norm", "pool"}}


@pytest.mark.parametrize("preset", FUSED)
def test_noisy_times_tell_what_is_merged(preset: str) -> None:
    device = Secretive(open_simulator(preset))
    seeds = itertools.count()
    for name, network in PAIRS.items():
        findings = infer_fusions(
            lambda item: device.measure(item, seed=next(seeds)),
            pairs=[pair_of(network)],
            shapes=[(1, 64, 14, 14), (1, 32, 56, 56)],
        )
        expected = "fused" if name in FUSED[preset] else "apart"
        assert [item.verdict for item in findings] == [expected] * 2, (name, findings)
        assert all(item.low <= item.saving <= item.high for item in findings)


def test_the_cost_of_a_call_is_no_fusion() -> None:
    def measure(network: Network) -> Measurement:
        info = DeviceInfo(name="slow to call", backend="fake")
        values_s = (1.0 + 0.01 * len(network.layers),) * 4
        return Measurement(network_id=network.id, device=info, values_s=values_s)

    (finding,) = infer_fusions(measure, pairs=[pair_of(PAIRS["relu"])], shapes=[(1, 32, 28, 28)])
    assert finding.verdict == "apart"
    assert finding.saving == pytest.approx(0.0, abs=1e-9)
    assert call_cost(timed_by(measure)) == pytest.approx(1.0)


def test_a_device_too_noisy_to_tell_is_undecided() -> None:
    rng = np.random.default_rng(1)

    def measure(network: Network) -> Measurement:
        info = DeviceInfo(name="noisy", backend="fake")
        values_s = tuple((0.1 * len(network.layers) * rng.lognormal(0.0, 1.0, size=4)).tolist())
        return Measurement(network_id=network.id, device=info, values_s=values_s)

    (finding,) = infer_fusions(measure, pairs=[pair_of(PAIRS["relu"])], shapes=[(1, 32, 28, 28)])
    assert finding.verdict == "undecided"


def test_a_layer_that_merges_with_itself_is_priced_by_one_of_it() -> None:
    def measure(network: Network) -> Measurement:  # a row of activations is one pass, but nothing else merges
        passes = [
            layer
            for layer in network.layers
            if not (
                layer.op_type == "Relu" and network.predecessors(layer)[:1] and _follows_relu(network, layer)
            )
        ]
        info = DeviceInfo(name="element-wise", backend="fake")
        return Measurement(network_id=network.id, device=info, values_s=(1e-4 + 1e-3 * len(passes),) * 2)

    (finding,) = infer_fusions(measure, pairs=[pair_of(PAIRS["relu"])], shapes=[(1, 32, 28, 28)])
    assert finding.verdict == "apart"
    assert finding.saving == pytest.approx(0.0, abs=0.05)


def _follows_relu(network: Network, layer: Layer) -> bool:
    return all(before.op_type == "Relu" for before in network.predecessors(layer))


def test_a_network_that_cannot_be_run_gives_no_finding() -> None:
    def measure(network: Network) -> Measurement:
        return Measurement(network_id=network.id, device=DeviceInfo(name="d", backend="b"), error="no")

    assert infer_fusions(measure, pairs=[pair_of(PAIRS["relu"])]) == ()
    with pytest.raises(MeasurementError, match="no"):
        call_cost(timed_by(measure))


def test_the_saving_is_a_share_of_the_cheaper_part() -> None:
    # A call 1 s, then a layer 1 s, 0.5 s, both together no more than the first, and a cheap one 0.125 s.
    times = [[6.0], [2.0], [3.5], [1.5], [6.0], [2.0], [1.625], [1.125]]
    timed = [np.array(item) for item in times]
    saving, low, high = judge_saving(timed, [4, 4, 4, 4], rng=np.random.default_rng(0))
    assert (saving, low, high) == (1.0, 1.0, 1.0)


# Probes --------------------------------------------------------------------------------------------


def test_chains_repeat_the_layers_at_any_number_of_channels() -> None:
    build = NetworkBuilder("many")
    x = build.conv(build.input("x", (1, 3, 20, 20)), 24, kernel=3, padding=1, name="first")
    x = build.batch_norm(x, name="norm")
    network = build.finish(build.add("Mul", x, build.constant((24, 1, 1)), name="scale"))
    chain, after = repeated(network, ["first", "norm", "scale"], (1, 64, 14, 14), 3)
    assert [layer.op_type for layer in chain.layers] == ["Conv", "BatchNormalization", "Mul"] * 3
    assert after == (1, 64, 14, 14)
    assert chain.inputs == ("x",)


def test_layers_that_shrink_go_on_at_the_smaller_size() -> None:
    _, after = repeated(PAIRS["pool"], ["first", "maxpool_1"], (1, 32, 56, 56), 2)
    assert after == (1, 32, 14, 14)


def test_a_pair_is_known_by_what_it_is_not_by_its_size() -> None:
    assert pair_of(PAIRS["relu"]).key == ("Conv", "Relu")
    assert pair_of(PAIRS["pool"]).key == ("Conv(3x3)", "MaxPool(2x2/2x2)")
    assert pair_of(PAIRS["residual"]).key == ("Conv", "Add(alike)")
    other = conv_and(lambda build, x: build.relu(x), size=7)
    assert pair_of(other).key == pair_of(PAIRS["relu"]).key
    build = NetworkBuilder("depthwise")
    network = build.finish(build.depthwise_conv(build.input("x", (1, 8, 8, 8))))
    assert layer_signature(network, network.layers[0]) == "Conv(3x3, depthwise)"


def test_layers_that_are_not_in_a_row_are_no_pair() -> None:
    with pytest.raises(GraphError, match="does not read"):
        pair_probe(PAIRS["relu"], ["relu_1"], "first")


def test_what_is_cut_out_keeps_its_layers_and_tensors() -> None:
    network = PAIRS["residual"]
    part = cut_out(network, [network.layers[-1].name])
    assert part.inputs == ("first:out", "r")
    assert [layer.op_type for layer in part.layers] == ["Add"]


# Backends ------------------------------------------------------------------------------------------


def test_kernels_together_take_what_the_whole_takes_less_the_call() -> None:
    device = Secretive(open_simulator("zcu102-dpu"))
    backend = InferringBackend(device)
    build = NetworkBuilder("some")
    x = build.relu(build.conv(build.input("x", (1, 16, 56, 56)), 32, kernel=3, padding=1))
    x = build.max_pool(x, kernel=3, stride=1, padding=1)
    x = build.flatten(build.global_avg_pool(x))
    network = build.finish(build.linear(x, 10))
    answer = backend.measure(network, seed=1)
    mapping, truth = answer.mapping, device.inner.measure(network).mapping
    assert mapping is not None
    assert truth is not None
    require_complete(network, mapping)
    assert [set(item.layers) for item in mapping.kernels] == [set(item.layers) for item in truth.kernels]
    assert answer.conditions["call_s"] == pytest.approx(CALL_S, rel=0.1)
    assert answer.values_s is not None
    total = sum(item.values_s[0] for item in answer.kernels or ())
    assert total == pytest.approx(answer.values_s[0] - answer.conditions["call_s"])


def test_what_the_device_reports_is_left_alone() -> None:
    inner = open_simulator("ncs2")
    assert InferringBackend(inner).measure(PAIRS["relu"], seed=2) == inner.measure(PAIRS["relu"], seed=2)


def test_a_size_on_which_a_merge_depends_is_found() -> None:
    backend = InferringBackend(Secretive(open_simulator("zcu102-dpu")))

    def kernels(size: int) -> int:
        network = conv_and(lambda build, x: build.max_pool(x, kernel=2, stride=2), size=size)
        return len(backend.infer_mapping(network).kernels)

    assert [kernels(size) for size in (28, 96, 160, 224)] == [1, 1, 2, 2], "merged up to a width of 120"


def test_a_pair_is_probed_once_and_a_copy_starts_anew() -> None:
    device = Secretive(open_simulator("ncs2"))
    backend = InferringBackend(device)
    backend.infer_mapping(PAIRS["relu"])
    asked = device.calls
    backend.infer_mapping(conv_and(lambda build, x: build.relu(x), size=9))
    assert device.calls == asked
    assert len(backend.findings) == 3
    assert pickle.loads(pickle.dumps(backend)).findings == ()  # noqa: S301  # our own bytes


def test_a_platform_is_trained_on_a_device_that_tells_nothing_but_times(tmp_path: Path) -> None:
    backend = InferringBackend(Secretive(open_simulator("zcu102-dpu")))
    tasks = [task for task in plan_campaign(load_plan("quick")) if task.category != "sweep"]
    plan = load_plan("quick").record
    with CampaignStore.create(tmp_path / "run.db", device=backend.info, plan=plan) as store:
        run_campaign(tasks[::10], backend, store)
        parts = generate_platform(store, seed=1)
    network = PAIRS["relu"]
    assert [kernel.name for kernel in parts.mapping_model.predict(network).kernels] == ["first+relu_1"]


def test_where_nothing_is_sure_the_likelier_answer_is_taken() -> None:
    class Noisy(Secretive):
        def measure(self, network: Network, *, seed: int = 0) -> Measurement:
            answer = super().measure(network, seed=seed)
            factor = np.random.default_rng(seed).lognormal(0.0, 0.15)
            return replace(answer, values_s=tuple(value * factor for value in answer.values_s or ()))

    backend = InferringBackend(Noisy(open_simulator("ncs2")))
    assert len(backend.infer_mapping(PAIRS["relu"]).kernels) == 1
    assert {item.verdict for item in backend.findings} <= {"undecided", "fused"}
