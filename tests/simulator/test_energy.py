"""Energy of kernels: every action at its price, time at its own, nothing without a table."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annette.backends.simulator import SimulatorBackend
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.hardware.accelerator import Accelerator
from annette.hardware.codec import load_accelerator
from annette.hardware.kept_memory import KeptMemory
from annette.simulator.accesses import Accesses, MemoryAccesses
from annette.simulator.energy import KernelEnergy, kernel_energy
from annette.simulator.run import simulate
from annette.zoo.registry import zoo_network

DEVICE = "systolic-32x32-ws"


def product(rows: int, depth: int, columns: int) -> Network:
    build = NetworkBuilder("one")
    return build.finish(build.linear(build.input("x", (rows, depth)), columns, bias=False))


def test_a_small_product_costs_what_one_adds_up_by_hand() -> None:
    """32 x 32 by 32 x 32 on 32 x 32 cells: one fold, every operand once through its buffer."""
    device = load_accelerator(DEVICE)
    assert device.energy is not None
    kernel = simulate(product(32, 32, 32), device).kernels[0]
    table, found = device.energy, kernel.energy
    assert found is not None
    macs, operand = 32**3, 32 * 32
    assert found.mac_j == pytest.approx(macs * 0.3e-12)
    assert found.register_j == pytest.approx(macs * (2 * 1 + 1 + 2 * 4) * table.register_j_per_byte)
    # Inputs and weights filled and read, results written and drained, 10 pJ a byte each time.
    assert found.buffer_j == pytest.approx(6 * operand * 10e-12)
    assert found.external_j == pytest.approx(3 * operand * 64e-12)
    assert found.vector_j == found.host_j == 0
    assert found.leakage_j == pytest.approx(kernel.latency_s * table.leakage_w)
    assert kernel.energy_j == pytest.approx(sum(dataclasses.astuple(found)))


def test_a_run_costs_what_its_kernels_do_and_nothing_is_known_without_a_table() -> None:
    network, device = zoo_network("mobilenet_v2"), load_accelerator(DEVICE)
    run = simulate(network, device)
    assert run.energy_j == pytest.approx(sum(item.energy_j or 0.0 for item in run.kernels))
    assert run.energy_j is not None
    assert run.energy_j > 0
    bare = simulate(network, load_accelerator("zcu102-dpu"))
    assert bare.energy_j is None
    assert all(item.energy is None and item.energy_j is None for item in bare.kernels)


_COUNTS = st.floats(0, 1e12)


@settings(deadline=None)
@given(
    counts=st.tuples(*[_COUNTS] * 10), ports=st.tuples(*[_COUNTS] * 4), latency_s=st.floats(0, 10),
    factor=st.floats(0, 100),
)  # fmt: skip
def test_energy_is_linear_in_what_is_done(
    counts: tuple[float, ...], ports: tuple[float, ...], latency_s: float, factor: float
) -> None:
    device = load_accelerator(DEVICE)

    def energy(scale: float) -> KernelEnergy:
        memory = MemoryAccesses(
            read_bytes=ports[0] * scale, write_bytes=ports[1] * scale,
            fill_bytes=ports[2] * scale, drain_bytes=ports[3] * scale,
        )  # fmt: skip
        names = [item.name for item in dataclasses.fields(Accesses) if item.name != "memories"]
        values = dict(zip(names, (count * scale for count in counts), strict=True))
        values["external_read_bytes"] += values["external_weight_bytes"]  # the latter are among the former
        found = kernel_energy(Accesses(memories=(memory,) * 3, **values), latency_s * scale, device)
        assert found is not None
        return found

    once, scaled = dataclasses.astuple(energy(1.0)), dataclasses.astuple(energy(factor))
    assert scaled == pytest.approx([value * factor for value in once], rel=1e-9, abs=1e-30)
    assert min(once) >= 0


def test_partial_sums_cost_what_their_accumulators_do() -> None:
    device = load_accelerator(DEVICE)
    assert device.energy is not None
    sums = Accesses(partial_sum_read_bytes=3.0, partial_sum_write_bytes=2.0)
    own = replace(device, energy=replace(device.energy, accumulator_j_per_byte=1e-13))
    found = [kernel_energy(sums, 0.0, item) for item in (device, own)]
    assert [item.buffer_j for item in found if item is not None] == pytest.approx([5 * 10e-12, 5 * 1e-13])


@pytest.mark.parametrize("name", ["mac_j", "register_j_per_byte", "external_j_per_byte", "leakage_w"])
def test_a_dearer_action_never_makes_a_network_cheaper(name: str) -> None:
    network, device = zoo_network("resnet18"), load_accelerator(DEVICE)
    assert device.energy is not None
    table = replace(device.energy, **{name: 2 * getattr(device.energy, name)})
    first, second = (simulate(network, item) for item in (device, replace(device, energy=table)))
    assert first.energy_j is not None
    assert second.energy_j is not None
    assert first.energy_j < second.energy_j < 2 * first.energy_j
    assert first.latency_s == second.latency_s


def test_measurements_carry_energy_where_it_is_known() -> None:
    network = product(64, 64, 64)
    device = load_accelerator(DEVICE)
    found = SimulatorBackend(accelerator=device).measure(network)
    kernels = found.kernels or ()
    energies = [item.energy_j for item in simulate(network, device).kernels]
    assert [item.counters["energy_j"] for item in kernels] == energies
    bare = SimulatorBackend(accelerator=load_accelerator("zcu102-dpu")).measure(network)
    assert all("energy_j" not in item.counters for item in bare.kernels or ())


def test_larger_arrays_of_a_name_leak_more() -> None:
    small, large = (load_accelerator(f"systolic-{side}x{side}-os") for side in (16, 128))
    leaks = [leakage_by_area(item) for item in (small, large, load_accelerator(DEVICE))]
    assert leaks == pytest.approx([leaks[0]] * 3)


def leakage_by_area(accelerator: Accelerator) -> float:
    assert accelerator.energy is not None
    assert accelerator.area_mm2 is not None
    return accelerator.energy.leakage_w / accelerator.area_mm2


def test_tensors_that_stay_on_the_chip_cost_what_their_memory_does() -> None:
    device = load_accelerator(DEVICE)
    kept = KeptMemory(
        size_bytes=1 << 24, bandwidth_bytes_per_s=1e11, latency_s=1e-8,
        read_j_per_byte=1e-12, write_j_per_byte=2e-12, area_mm2=1.0,
    )  # fmt: skip
    with_both = replace(
        device, activation_memory=kept, weight_memory=replace(kept, read_j_per_byte=4e-12, area_mm2=2.0)
    )
    moved = Accesses(external_read_bytes=10.0, external_weight_bytes=4.0, external_write_bytes=5.0)
    expected = {
        (False, False): 15 * 64e-12,
        (True, False): 6 * 1e-12 + 5 * 2e-12 + 4 * 64e-12,
        (False, True): 11 * 64e-12 + 4 * 4e-12,
        (True, True): 6 * 1e-12 + 5 * 2e-12 + 4 * 4e-12,
    }
    for (activations, weights), joules in expected.items():
        found = kernel_energy(moved, 0.0, with_both, keeps_activations=activations, keeps_weights=weights)
        assert found is not None
        assert found.external_j == pytest.approx(joules)
    assert device.area_mm2 is not None
    assert with_both.area_mm2 == pytest.approx(device.area_mm2 + 3.0)
    run = simulate(zoo_network("mobilenet_v2"), with_both)
    parts = [item.energy.external_j for item in run.kernels if item.energy is not None]
    moved_bytes = sum(item.moved_bytes for item in run.kernels)
    assert sum(parts) < 5e-12 * moved_bytes  # all of it fits
