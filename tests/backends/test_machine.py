"""What a machine tells of itself, read from sample texts of Linux and from this machine."""

from __future__ import annotations

import platform
import re
import socket

import pytest

from annette.backends import machine as machine_module
from annette.backends.machine import (
    available_bytes,
    clock_hz,
    host_digest,
    load_fraction,
    parse_cache_size,
    parse_clock_hz,
    parse_cpu_flags,
    parse_cpu_model,
    parse_cpu_signature,
    parse_meminfo,
    read_machine,
    select_caches,
    select_vector_bytes,
)

EPYC = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
stepping\t: 1
cpu MHz\t\t: 2596.126
cache size\t: 1024 KB
flags\t\t: fpu sse sse2 avx avx2 avx512f avx512_vnni

processor\t: 1
model name\t: AMD EPYC
cpu MHz\t\t: 1500.000
"""
RASPBERRY = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41

Hardware\t: BCM2835
Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""
SYSCTL = "machdep.cpu.features: FPU SSE SSE2 AVX1.0\nmachdep.cpu.leaf7_features: AVX2 BMI1\n"


def test_a_server_s_processor_is_read() -> None:
    assert parse_cpu_model(EPYC) == "AMD EPYC"
    assert parse_cpu_signature(EPYC) == "family 25 model 17 stepping 1"
    assert parse_clock_hz(EPYC) == pytest.approx(2.596126e9)
    assert select_vector_bytes(parse_cpu_flags(EPYC)) == 64


def test_a_board_s_processor_is_read() -> None:
    assert parse_cpu_model(RASPBERRY) == "Raspberry Pi 4 Model B Rev 1.4"
    assert parse_cpu_signature(RASPBERRY) == ""
    assert parse_clock_hz(RASPBERRY) is None
    assert select_vector_bytes(parse_cpu_flags(RASPBERRY)) == 16


def test_flags_of_macos_are_read() -> None:
    assert select_vector_bytes(parse_cpu_flags(SYSCTL)) == 32


@pytest.mark.parametrize("text", ["", "nonsense", "model name\t:\n", "cpu MHz\t: fast\nflags\n"])
def test_a_machine_that_tells_nothing_is_not_known_rather_than_wrong(text: str) -> None:
    assert parse_cpu_model(text) == ""
    assert parse_cpu_signature(text) == ""
    assert parse_clock_hz(text) is None
    assert select_vector_bytes(parse_cpu_flags(text)) is None
    assert parse_meminfo(text) is None
    assert parse_cache_size(text) is None


def test_instruction_caches_and_caches_without_a_size_are_left_out() -> None:
    caches = (
        {"level": "1\n", "type": "Data\n", "size": "48K\n"},
        {"level": "1\n", "type": "Instruction\n", "size": "32K\n"},
        {"level": "2\n", "type": "Unified\n", "size": "2M\n"},
        {"level": "3\n", "type": "Unified\n", "size": ""},
        {"level": "", "type": "Unified\n", "size": "8M"},
    )
    assert select_caches(caches) == (48 << 10, 2 << 20)
    assert select_caches(()) == ()


def test_machines_differ_by_any_fact_and_the_digest_hides_it() -> None:
    one = host_digest("my-laptop", "A processor", "8")
    assert re.fullmatch("[0-9a-f]{8}", one)
    assert (
        len({one, host_digest("other", "A processor", "8"), host_digest("my-laptop", "A processor8", "")})
        == 3
    )


def test_this_machine_is_read_the_same_twice_and_without_its_name() -> None:
    machine = read_machine()
    read_machine.cache_clear()
    assert read_machine() == machine
    assert machine.cpus >= 1
    assert machine.cpu_model
    assert list(machine.cache_bytes) == sorted(machine.cache_bytes)
    assert machine.vector_bytes in (None, 16, 32, 64)
    assert {platform.node(), socket.gethostname()}.isdisjoint((machine.host, machine.cpu_model))


def test_what_changes_all_the_time_is_a_sensible_number_or_not_known() -> None:
    load, clock, available = load_fraction(), clock_hz(), available_bytes()
    assert load is None or 0 <= load < 1e4
    assert clock is None or 1e6 < clock < 1e11
    assert available is None or available > 0


def test_a_machine_without_files_to_read_is_still_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "_read", lambda path: "")
    read_machine.cache_clear()
    try:
        machine = read_machine()
        assert machine.cpu_model
        assert machine.cache_bytes == () or platform.system() == "Darwin"
        assert re.fullmatch("[0-9a-f]{8}", machine.host)
        assert clock_hz() is None
        assert available_bytes() is None
    finally:
        read_machine.cache_clear()
