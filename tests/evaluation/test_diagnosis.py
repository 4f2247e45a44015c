"""Diagnoses: the parts add up, and an error that was put in is found where it was put."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import annette
from annette.backends.registry import open_device
from annette.errors import MeasurementError
from annette.estimation.estimate import Interval
from annette.estimation.platform import Platform
from annette.evaluation.diagnosis import Diagnosis, diagnose, diagnose_on
from annette.evaluation.drift import Drift, find_drift
from annette.graph.mapping import Kernel
from annette.graph.network import Network
from annette.measurement import DeviceInfo, KernelMeasurement, Measurement
from annette.store.campaign import CampaignStore, PlanRecord, Task
from annette.zoo.registry import zoo_network

DRIFT = Drift(factor=1.25, how="reference", text="a quarter slower")


@pytest.fixture(scope="module")
def platform() -> Platform:
    return annette.load("zcu102-dpu")


@pytest.fixture(scope="module")
def network() -> Network:
    return zoo_network("mobilenet_v2")


Change = Callable[[KernelMeasurement], float]
Perfect = Callable[..., Measurement]


@pytest.fixture(scope="module")
def perfect(platform: Platform, network: Network) -> Perfect:
    """A device that takes to the last bit what the platform predicts, but for what is changed."""
    mapping = platform.mapping_model.predict(network)
    estimate = platform.estimate(network)

    def measure(change: Change = lambda item: item.latency_s, *, beyond_s: float = 0.0) -> Measurement:
        right = [
            KernelMeasurement(kernel=kernel, values_s=(priced.latency_s,))
            for kernel, priced in zip(mapping.kernels, estimate.kernels, strict=True)
        ]
        kernels = tuple(replace(item, values_s=(change(item),)) for item in right)
        return Measurement(
            network_id=network.id,
            device=platform.device,
            values_s=(sum(item.latency_s for item in kernels) + beyond_s,),
            kernels=kernels,
            eliminated_layers=mapping.eliminated_layers,
        )

    return measure


def parts(found: Diagnosis) -> dict[str, float]:
    return {part.name: part.fraction for part in found.parts}


def family_of(network: Network, item: KernelMeasurement) -> str:
    from annette.graph.families import layer_family

    return layer_family(network, network.layer(item.kernel.primary))


def test_an_estimate_that_is_right_has_nothing_to_tell(
    platform: Platform, network: Network, perfect: Perfect
) -> None:
    found = diagnose(network, platform, perfect())
    assert found.error_fraction == pytest.approx(0.0, abs=1e-12)
    assert all(abs(fraction) < 1e-12 for fraction in parts(found).values())
    assert "the estimate is as measured" in found.summary[0]
    assert [text for text in found.advice if "nothing to do about this network" in text]


def test_a_slower_family_is_found_with_its_share(
    platform: Platform, network: Network, perfect: Perfect
) -> None:
    def slower(item: KernelMeasurement) -> float:
        return item.latency_s * (1.5 if family_of(network, item) == "depthwise_conv" else 1.0)

    found = diagnose(network, platform, perfect(slower))
    first = found.parts[0]
    assert (first.kind, first.name, first.kernels) == ("family", "depthwise_conv", 17)
    assert first.error_s == pytest.approx(found.error_s)
    assert first.measured_s == pytest.approx(1.5 * (first.predicted_s or 0.0))
    points = f"{100 * found.error_fraction:+.1f}"
    assert f"Of the {points} %, {points} points are the family depthwise_conv (17 kernels)." in found.summary
    assert [text for text in found.advice if text.startswith("depthwise_conv: ")]


def test_another_mapping_is_found_as_the_mapping(platform: Platform, network: Network) -> None:
    """The device splits what the platform merges, and takes for each piece what the layer model says."""
    layers = [layer.name for layer in network.layers]
    split = [Kernel(layers=(name,), primary=name, unit="dpu") for name in layers]
    known = platform.mapping_model.predict(network).kernels
    split = [replace(item, unit=known[0].unit) for item in split]
    probe = Measurement(
        network_id=network.id, device=platform.device, values_s=(1.0,),
        kernels=tuple(KernelMeasurement(kernel=item, values_s=(1.0,)) for item in split),
    )  # fmt: skip
    assert probe.mapping is not None
    oracle = platform.estimate(network, mapping=probe.mapping)
    kernels = tuple(
        KernelMeasurement(kernel=item, values_s=(priced.latency_s,))
        for item, priced in zip(split, oracle.kernels, strict=True)
    )
    found = diagnose(network, platform, replace(probe, values_s=(oracle.latency_s,), kernels=kernels))
    assert parts(found)["mapping"] == pytest.approx(found.error_fraction)
    assert found.error_fraction < -0.01
    assert found.comparison.count("merged") > 30  # measured (A) has more kernels than predicted (B)
    assert (found.exact_kernels or 0) < len(split)
    assert [text for text in found.advice if text.startswith("Mapping: ")]


def test_kernels_that_run_elsewhere_are_named_with_their_units(
    platform: Platform, network: Network, perfect: Perfect
) -> None:
    measured = perfect()
    kernels = tuple(
        replace(item, kernel=replace(item.kernel, unit="host"), values_s=(0.01,)) if place == 5 else item
        for place, item in enumerate(measured.kernels or ())
    )
    total_s = sum(item.latency_s for item in kernels)
    found = diagnose(network, platform, replace(measured, kernels=kernels, values_s=(total_s,)))
    assert (
        "53 of the 54 kernels that the device executes were predicted exactly, 1 more on another"
        in "".join(found.summary)
    )
    assert parts(found)["mapping"]
    (moved,) = (item for item in found.comparison.changes if item.units)
    assert moved.units[0] == "host"
    assert moved.b_s - moved.a_s == pytest.approx(found.error_s)


def test_with_intervals_it_is_said_where_the_measurement_lies_and_what_would_tell_more(
    platform: Platform, network: Network, perfect: Perfect
) -> None:
    unsure = replace(platform, intervals=None)
    found = diagnose(network, unsure, perfect(lambda item: item.latency_s * 1.5))
    measured_s = found.measurement.latency_s
    for low_s, where in ((0.9 * measured_s, "in"), (1.1 * measured_s, "outside of")):
        interval = Interval(low_s=low_s, high_s=2 * measured_s)
        known = replace(found, estimate=replace(found.estimate, interval=interval))
        assert f"the measurement lies {where} the 90 % interval" in known.summary[0]
        assert "annette suggest NETWORK --platform" in known.advice[-1]
    assert not any("annette suggest" in text for text in found.advice)


def test_a_device_that_has_changed_is_said_to_have(
    platform: Platform, network: Network, perfect: Perfect
) -> None:
    device = replace(platform.device, environment=(*platform.device.environment, ("runtime", "2")))
    found = diagnose(network, platform, replace(perfect(), device=device))
    assert "runtime (not known then, '2' now)" in found.advice[0]


def test_what_lies_beyond_the_kernels_is_found(
    platform: Platform, network: Network, perfect: Perfect
) -> None:
    found = diagnose(network, platform, perfect(beyond_s=0.001))
    assert found.parts[0].kind == "beyond"
    assert found.parts[0].error_s == pytest.approx(-0.001) == pytest.approx(found.error_s)
    assert [
        text for text in found.advice if text.startswith("Beyond the kernels: the network takes 1.00 ms more")
    ]


def test_drift_is_a_part_of_its_own_and_taken_out_of_the_others(
    platform: Platform, network: Network, perfect: Perfect
) -> None:
    slowed = perfect(lambda item: item.latency_s * 1.25)
    found = diagnose(network, platform, slowed, drift=DRIFT)
    assert parts(found)["drift"] == pytest.approx(found.error_fraction) == pytest.approx(-0.2)
    assert parts(found)["conv"] == pytest.approx(0.0, abs=1e-12)
    assert "drift" not in parts(diagnose(network, platform, slowed))
    assert any("not known" in text for text in diagnose(network, platform, slowed).summary)


@pytest.mark.parametrize("drift", [None, DRIFT])
@pytest.mark.parametrize("device", ["ncs2", "nvdla-full"])
def test_the_parts_add_up_to_the_error_on_any_device(
    platform: Platform, network: Network, device: str, drift: Drift | None
) -> None:
    measured = open_device(device).measure(network)
    for measurement in (measured, replace(measured, kernels=None)):
        found = diagnose(network, platform, measurement, drift=drift)
        total_s = sum(part.error_s for part in found.parts)
        assert total_s == pytest.approx(found.error_s, rel=1e-9, abs=1e-12)
        document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert sum(part["share"] for part in document["parts"]) == pytest.approx(1.0)
        assert sum(part["fraction"] for part in document["parts"]) == pytest.approx(
            document["error_fraction"]
        )
        assert document["advice"]
        assert document["advice"][0].startswith("The platform is of another device, zcu102-dpu: train one")


def test_a_device_that_tells_no_kernels_gets_one_part(
    platform: Platform, network: Network, perfect: Perfect
) -> None:
    found = diagnose(network, platform, replace(perfect(beyond_s=0.001), kernels=None))
    assert [part.kind for part in found.parts] == ["whole"]
    assert "does not tell which kernels it executes" in found.summary[1]
    assert found.exact_kernels is None


def test_errors_that_cancel_are_said_to(platform: Platform, network: Network, perfect: Perfect) -> None:
    factors = {"conv": 1.2, "depthwise_conv": 0.85}
    found = diagnose(
        network,
        platform,
        perfect(lambda item: item.latency_s * factors.get(family_of(network, item), 1.0)),
    )
    assert abs(found.error_fraction) < 0.03
    assert any(text.startswith("Errors cancel here: ") for text in found.summary)


def test_another_layer_model_is_named_where_it_is_right(platform: Platform, network: Network) -> None:
    mapping = platform.mapping_model.predict(network)
    right = platform.estimate(network, model="statistical")
    kernels = tuple(
        KernelMeasurement(kernel=kernel, values_s=(priced.latency_s,))
        for kernel, priced in zip(mapping.kernels, right.kernels, strict=True)
    )
    measured = Measurement(
        network_id=network.id, device=platform.device, values_s=(right.latency_s,), kernels=kernels,
        eliminated_layers=mapping.eliminated_layers,
    )  # fmt: skip
    found = diagnose(network, platform, measured, model="roofline")
    assert any("--model statistical" in text for text in found.advice)


def test_an_error_within_the_noise_is_none(platform: Platform, network: Network, perfect: Perfect) -> None:
    found = diagnose(network, platform, replace(perfect(beyond_s=0.0001), spread_fraction=0.12))
    assert any(
        "no larger than what repeated measurements differ by (12.0 %)" in text for text in found.summary
    )
    assert found.advice[0].startswith("Measure again before anything else: unstable")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network_id": "0" * 32}, "of another network than 'mobilenet_v2'"),
        ({"values_s": (0.0,)}, "measured as 0 s"),
    ],
)
def test_a_measurement_that_says_nothing_is_refused(
    platform: Platform, network: Network, perfect: Perfect, change: dict[str, object], message: str
) -> None:
    with pytest.raises(MeasurementError, match=message):
        diagnose(network, platform, replace(perfect(), **change))  # type: ignore[arg-type]


# On a device, with its campaign ----------------------------------------------------------------------


@dataclass
class Slower:
    """A simulated device that has become slower, maybe with a reference network."""

    factor: float
    reference_s: float | None = None

    @property
    def info(self) -> DeviceInfo:
        return open_device("zcu102-dpu").info

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        found = open_device("zcu102-dpu").measure(network, seed=seed)
        return replace(
            found,
            values_s=tuple(value * self.factor for value in found.values_s or ()),
            kernels=tuple(
                replace(item, values_s=tuple(value * self.factor for value in item.values_s))
                for item in found.kernels or ()
            ),
            conditions={} if self.reference_s is None else {"reference_s": self.reference_s * self.factor},
        )


def campaign(path: Path, backend: Slower, tasks: int) -> Path:
    plan = PlanRecord(name="mine", seed=1, text="{}")
    with CampaignStore.create(path, device=backend.info, plan=plan) as store:
        networks = [zoo_network("lenet5", classes=2 + at) for at in range(tasks)]
        planned = [Task(network=item, category="block", group=item.id) for item in networks]
        store.add_tasks(planned)
        for at, task in enumerate(planned):
            store.record(task.id, backend.measure(task.network, seed=1000 + at))
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return campaign(tmp_path_factory.mktemp("campaign") / "run.db", Slower(1.0), 18)


def test_benchmarks_that_are_timed_again_tell_the_drift(recorded: Path, platform: Platform) -> None:
    found = diagnose_on(zoo_network("lenet5"), platform, Slower(1.3), store=recorded)
    assert found.drift.how == "repeated"
    assert found.drift.factor == pytest.approx(1.3, rel=0.02)
    assert "9 benchmarks of the campaign, timed again," in found.drift.text
    assert parts(found)["drift"] == pytest.approx(1 / 1.3 - 1, abs=0.02)
    assert any(text.startswith("Drift: the device has become ") for text in found.advice)


def test_a_reference_network_tells_the_drift_without_timing_anything_again(tmp_path: Path) -> None:
    store = campaign(tmp_path / "run.db", Slower(1.0, reference_s=0.002), 1)
    found = find_drift(Slower(1.0), store, reference_s=0.0025)
    assert (found.how, found.factor) == ("reference", pytest.approx(1.25))
    assert "2.00 ms then, 2.50 ms now" in found.text


def test_the_campaign_of_another_device_says_nothing(recorded: Path) -> None:
    found = find_drift(open_device("ncs2"), recorded)
    assert (found.how, found.factor) == ("unknown", None)
    assert "is of another device" in found.text
    assert "without the campaign" in find_drift(open_device("ncs2"), None).text
