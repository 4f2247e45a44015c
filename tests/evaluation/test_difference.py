"""Comparisons: nothing gets lost between totals, kernels and families; sides from files are checked."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import annette
from annette.backends.registry import open_device
from annette.errors import UsageError
from annette.estimation.platform import Platform
from annette.evaluation.difference import Comparison, compare
from annette.evaluation.side_source import SideOptions, open_side
from annette.evaluation.sides import Side, side_from_document, side_of_estimate, side_of_measurement
from annette.graph.onnx_writer import write_onnx
from annette.measurement import DeviceInfo, Measurement
from annette.store.campaign import CampaignStore, PlanRecord, Task
from annette.zoo.registry import zoo_network


@pytest.fixture(scope="module")
def platform() -> Platform:
    return annette.load("zcu102-dpu")


@pytest.fixture(scope="module")
def pair(platform: Platform) -> Comparison:
    """The same network measured on a device and estimated for another: kernels split and merged."""
    network = zoo_network("mobilenet_v2")
    measured = side_of_measurement(open_device("nvdla-full").measure(network), network)
    return compare(measured, side_of_estimate(platform.estimate(network), network))


def test_changes_families_and_what_lies_beyond_add_up_to_the_difference(pair: Comparison) -> None:
    changed_s = sum(item.difference_s for item in pair.changes)
    assert pair.beyond_s is not None
    assert changed_s + pair.beyond_s == pytest.approx(pair.difference_s, abs=1e-15)
    assert sum(item.difference_s for item in pair.families) == pytest.approx(changed_s, abs=1e-15)
    for side, name in ((pair.a, "a"), (pair.b, "b")):
        assert sum(getattr(item, f"{name}_s") for item in pair.changes) == pytest.approx(side.kernels_s)
        assert sum(getattr(item, f"{name}_kernels") for item in pair.families) == len(side.kernels or ())


def test_the_other_way_round_everything_has_the_other_sign(pair: Comparison) -> None:
    back = compare(pair.b, pair.a)
    assert back.difference_s == -pair.difference_s
    opposite = {"split": "merged", "merged": "split", "only_a": "only_b", "only_b": "only_a"}
    for kind in ("same", "regrouped", *opposite):
        assert back.count(opposite.get(kind, kind)) == pair.count(kind)


def test_a_side_against_itself_does_not_change(pair: Comparison) -> None:
    same = compare(pair.a, pair.a)
    assert (same.difference_s, same.ratio, {item.kind for item in same.changes}) == (0.0, 1.0, {"same"})
    assert not any(item.difference_s for item in same.families)


def test_the_document_is_json_and_its_table_has_a_row_a_change(pair: Comparison) -> None:
    document = json.loads(json.dumps(pair.to_dict(), allow_nan=False))
    assert len(document["changes"]) == len(pair.changes) == len(pair.to_frame())
    assert document["difference_s"] == pair.difference_s


def test_layers_that_vanish_on_the_other_side_are_said_to(pair: Comparison) -> None:
    kernels = pair.b.kernels or ()
    gone = replace(pair.b, kernels=kernels[1:], eliminated_layers=kernels[0].layers)
    assert [item.remark for item in compare(gone, pair.b).changes if item.kind == "only_b"] == [
        "vanishes in A"
    ]
    assert [item.remark for item in compare(pair.b, gone).changes if item.kind == "only_a"] == [
        "vanishes in B"
    ]


def test_a_device_that_does_not_tell_its_kernels_is_compared_by_its_total(pair: Comparison) -> None:
    found = compare(replace(pair.a, kernels=None), pair.b)
    assert (found.way, found.changes, found.beyond_s) == (None, (), None)
    assert found.difference_s == pair.difference_s


def test_ranges_lie_apart_or_overlap_or_are_not_known(pair: Comparison) -> None:
    def estimate(low_s: float, high_s: float) -> Side:
        return replace(pair.b, interval_s=(low_s, high_s), latency_s=(low_s + high_s) / 2)

    assert compare(estimate(1, 2), estimate(3, 4)).is_apart is True
    assert compare(estimate(1, 3), estimate(2, 4)).is_apart is False
    measured = replace(pair.a, latency_s=1.0, repeats_s=(0.95, 1.05))
    assert compare(measured, estimate(1.04, 2)).is_apart is False
    assert compare(measured, estimate(0.5, 0.96)).is_apart is False
    assert compare(measured, estimate(1.06, 2)).is_apart is True
    assert compare(replace(measured, repeats_s=None), estimate(1, 2)).is_apart is None


def visited(*values_s: float, spread_fraction: float | None = None) -> Side:
    network = zoo_network("lenet5")
    device = DeviceInfo(name="cpu", backend="test", visits=1 if spread_fraction is None else 3)
    return side_of_measurement(
        Measurement(network_id=network.id, device=device, values_s=values_s, spread_fraction=spread_fraction),
        network,
    )


def test_repeats_of_one_visit_are_its_runs_and_of_several_lie_on_both_sides_of_the_least() -> None:
    assert visited(3.0, 1.0, 2.0).repeats_s == (1.0, 3.0)
    assert visited(2.0, spread_fraction=0.25).repeats_s == (1.5, 2.5)
    assert visited(2.0, spread_fraction=3.0).repeats_s == (0.0, 8.0)
    assert visited(2.0).repeats_s is None  # one run tells nothing of the next


def test_a_measurement_lies_within_the_noise_of_itself_measured_again() -> None:
    network, device = zoo_network("lenet5"), open_device("zcu102-dpu")
    sides = [side_of_measurement(device.measure(network, seed=seed), network) for seed in range(8)]
    found = [compare(a, b).is_apart for a, b in combinations(sides, 2)]
    assert found == [False] * 28


# From files ------------------------------------------------------------------------------------------


def test_a_printed_estimate_is_the_side_that_it_was_made_of(platform: Platform) -> None:
    estimate = platform.estimate("zoo:squeezenet1_1")
    side = side_from_document(json.loads(json.dumps(estimate.to_dict())), "x.json")
    assert side == side_of_estimate(estimate)


def test_a_store_gives_the_measurement_that_is_named(tmp_path: Path) -> None:
    backend, networks = open_device("zcu102-dpu"), [zoo_network("lenet5"), zoo_network("lenet5", classes=7)]
    networks[1] = replace(networks[1], name="seven")
    path = tmp_path / "run"
    plan = PlanRecord(name="mine", seed=1, text="{}")
    with CampaignStore.create(path, device=backend.info, plan=plan) as store:
        tasks = [Task(network=item, category="block", group=item.name) for item in networks]
        store.add_tasks(tasks)
        with pytest.raises(UsageError, match="was not measured yet"):
            open_side(str(path), SideOptions(network="seven"))
        for task in tasks:
            store.record(task.id, backend.measure(task.network))
    expected = [side_of_measurement(backend.measure(item), item) for item in networks]
    assert open_side(str(path), SideOptions(network="seven")) == expected[1]
    assert open_side(str(path), SideOptions(network="zoo:lenet5")) == expected[0]  # by content
    with pytest.raises(
        UsageError, match="holds 2 networks; say which by --network; expected one of lenet5, seven"
    ):
        open_side(str(path), SideOptions())
    with pytest.raises(UsageError, match="holds no network 'sevven'; did you mean seven"):
        open_side(str(path), SideOptions(network="sevven"))


def test_several_visits_of_a_printed_measurement_give_its_spread() -> None:
    document = {
        "network": "n", "device": "d", "latency_s": 2.0, "kernels": [], "values_s": [2.0],
        "stability": {"spread_fraction": 0.25}, "visits": [{}, {}],
    }  # fmt: skip
    side = side_from_document(document, "a.json")
    assert (side.spread_fraction, side.repeats_s) == (0.25, (1.5, 2.5))
    known = {**document, "stability": {"spread_fraction": 0.25, "visits_known": True}, "visits": [{}]}
    assert side_from_document(known, "a.json") == side


def test_networks_platforms_and_files_are_told_by_what_they_are(tmp_path: Path, platform: Platform) -> None:
    network = zoo_network("lenet5")
    write_onnx(network, tmp_path / "net.onnx")
    (tmp_path / "answer").write_text(json.dumps(platform.estimate(network).to_dict()))
    expected_s = platform.estimate(network).latency_s
    for spec, options in (
        ("zoo:lenet5", SideOptions(platform="zcu102-dpu")),
        (str(tmp_path / "net.onnx"), SideOptions(platform="zcu102-dpu")),
        ("zcu102-dpu", SideOptions(network="zoo:lenet5")),
        (str(tmp_path / "answer"), SideOptions()),
    ):
        assert open_side(spec, options).latency_s == expected_s


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latency_s": -1.0}, "a.json: latency_s: found -1.0, expected seconds from 0 to"),
        ({"latency_s": 1e300}, "a.json: latency_s: found 1e.300, expected seconds from 0 to"),
        ({"latency_s": True}, "a.json: latency_s: found True"),
        ({"network": 3}, "a.json: network: found 3, expected text"),
        ({"kernels": {}}, "a.json: kernels: found dict, expected a list"),
        ({"kernels": [1]}, r"a.json: kernels\[0\]: found int, expected a kernel"),
        ({"kernels": [{"family": "conv", "unit": "u", "name": "c"}]}, r"kernels\[0\]: latency_s: found None"),
        ({"eliminated_layers": "abc"}, "eliminated_layers: found str, expected a list"),
        ({"interval_s": [2.0, 1.0]}, "interval_s: .* expected a lower and an upper end"),
        ({"stability": {"spread_fraction": "x"}, "visits": [1, 2]}, "spread_fraction: found 'x'"),
        ({"values_s": [1.0, "x"]}, "a.json: values_s: found 'x', expected seconds"),
    ],
)
def test_a_document_with_a_wrong_field_is_one_line_that_names_it(
    change: dict[str, Any], message: str
) -> None:
    document = {"network": "n", "device": "d", "latency_s": 1.0, "kernels": [], **change}
    with pytest.raises(UsageError, match=message) as caught:
        side_from_document(document, "a.json")
    assert len(str(caught.value).splitlines()) == 1
