"""What machine this is: processor, caches, vector width, how busy it is; never its name."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = [
    "Machine",
    "available_bytes",
    "clock_hz",
    "host_digest",
    "load_fraction",
    "parse_cache_size",
    "parse_clock_hz",
    "parse_cpu_flags",
    "parse_cpu_model",
    "parse_cpu_signature",
    "parse_meminfo",
    "read_machine",
    "select_caches",
    "select_vector_bytes",
]

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_CLOCK = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
_SCALES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_VECTORS = (
    (64, ("avx512f",)),
    (32, ("avx", "avx2", "avx1.0")),
    (16, ("sse2", "neon", "asimd", "altivec")),
)
"""Width of vector registers in bytes, and the processor flags any of which says so; the widest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a machine is; ``None`` or empty where it does not tell."""

    cpu_model: str
    """The processor's name in the maker's words; ``unknown`` if it has none."""
    host: str
    """8 hexadecimal digits that tell this machine from others, without its name."""
    cpu_signature: str = ""
    """The maker's numbers of the processor, where its name says little; empty where not known."""
    cpus: int
    """Processors that this process may use; >= 1."""
    cache_bytes: tuple[int, ...] = ()
    """Sizes of the data caches that one thread sees, level by level."""
    vector_bytes: int | None = None
    """Width of the widest vector registers."""


@cache
def read_machine() -> Machine:
    """This machine; read once."""
    cpuinfo = _read(Path("/proc/cpuinfo"))
    model = parse_cpu_model(cpuinfo) or _sysctl("machdep.cpu.brand_string") or platform.processor()
    model = " ".join(model.split()) or platform.machine() or "unknown"
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        cpu_model=model,
        host=host_digest(_identity(), model, str(os.cpu_count())),
        cpu_signature=parse_cpu_signature(cpuinfo),
        cpus=max(1, cpus),
        cache_bytes=_read_caches(),
        vector_bytes=select_vector_bytes(_read_flags(cpuinfo)),
    )


def load_fraction() -> float | None:
    """Programs that want a processor, per processor, over the last minute; ``None`` where not known."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except (OSError, AttributeError):
        return None


def clock_hz() -> float | None:
    """Hertz of the first processor just now; ``None`` where not known."""
    text = _read(_CLOCK).strip()
    if text.isdigit():
        return 1e3 * int(text)
    return parse_clock_hz(_read(Path("/proc/cpuinfo")))


def available_bytes() -> int | None:
    """Memory that a program can still get without swapping; ``None`` where not known."""
    return parse_meminfo(_read(Path("/proc/meminfo")))


def host_digest(*facts: str) -> str:
    """8 hexadecimal digits of a hash over what tells a machine from others.

    Examples
    --------
    >>> host_digest("0123", "A processor", "8")
    'e2831dab'
    """
    return hashlib.sha256("\n".join(("annette host", *facts)).encode()).hexdigest()[:8]


def parse_cpu_model(cpuinfo: str) -> str:
    """The processor's name in the text of ``/proc/cpuinfo``; empty if it has none.

    Examples
    --------
    >>> parse_cpu_model("processor : 0\\nmodel name\\t: Some CPU @ 2.0GHz\\n")
    'Some CPU @ 2.0GHz'
    """
    for key in ("model name", "Model", "Hardware", "cpu model", "cpu"):
        found = re.search(rf"^{key}[ \t]*:[ \t]*(\S.*)$", cpuinfo, re.MULTILINE)
        if found:
            return found[1].strip()
    return ""


def parse_cpu_signature(cpuinfo: str) -> str:
    """The processor's family, model and stepping in the text of ``/proc/cpuinfo``; empty if it has none.

    Examples
    --------
    >>> parse_cpu_signature("cpu family\\t: 25\\nmodel\\t\\t: 17\\nmodel name\\t: A\\nstepping\\t: 1\\n")
    'family 25 model 17 stepping 1'
    """
    words = []
    for key, word in (("cpu family", "family"), ("model", "model"), ("stepping", "stepping")):
        found = re.search(rf"^{key}[ \t]*:[ \t]*(\d+)[ \t]*$", cpuinfo, re.MULTILINE)
        if found:
            words.append(f"{word} {found[1]}")
    return " ".join(words)


def parse_cpu_flags(text: str) -> frozenset[str]:
    """Lower-case flags of the processor in the text of ``/proc/cpuinfo``, or of sysctl.

    Examples
    --------
    >>> sorted(parse_cpu_flags("flags : fpu SSE2 avx\\n"))
    ['avx', 'fpu', 'sse2']
    """
    lines = re.findall(r"^(?:flags|Features|machdep\.cpu\.\w*features)[ \t]*:(.*)$", text, re.MULTILINE)
    return frozenset(word.lower() for line in lines for word in line.split())


def parse_clock_hz(cpuinfo: str) -> float | None:
    """Hertz of the first processor in the text of ``/proc/cpuinfo``; ``None`` if it has none.

    Examples
    --------
    >>> parse_clock_hz("cpu MHz : 2500.5\\n")
    2500500000.0
    """
    found = re.search(r"^cpu MHz[ \t]*:[ \t]*(\d+(?:\.\d+)?)", cpuinfo, re.MULTILINE)
    return 1e6 * float(found[1]) if found and float(found[1]) > 0 else None


def parse_meminfo(meminfo: str) -> int | None:
    """Bytes that are available in the text of ``/proc/meminfo``; ``None`` if it does not say.

    Examples
    --------
    >>> parse_meminfo("MemTotal: 2048 kB\\nMemAvailable:  1024 kB\\n")
    1048576
    """
    found = re.search(r"^MemAvailable:\s*(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) << 10 if found else None


def parse_cache_size(text: str) -> int | None:
    """Bytes of a cache as sysfs writes them; ``None`` for anything else.

    Examples
    --------
    >>> parse_cache_size("1024K\\n"), parse_cache_size("32M"), parse_cache_size("large")
    (1048576, 33554432, None)
    """
    found = re.fullmatch(r"(\d+)([KMG]?)", text.strip())
    return int(found[1]) * _SCALES[found[2]] if found else None


def select_caches(entries: Iterable[Mapping[str, str]]) -> tuple[int, ...]:
    """Sizes in bytes of the data and unified caches, level by level, from sysfs's ``level type size``.

    Examples
    --------
    >>> select_caches(({"level": "2", "type": "Unified", "size": "1024K"},
    ...                {"level": "1", "type": "Instruction", "size": "64K"},
    ...                {"level": "1", "type": "Data", "size": "32K"}))
    (32768, 1048576)
    """
    sizes: dict[int, int] = {}
    for entry in entries:
        level, size = entry.get("level", "").strip(), parse_cache_size(entry.get("size", ""))
        if entry.get("type", "").strip() in ("Data", "Unified") and level.isdigit() and size:
            sizes[int(level)] = max(size, sizes.get(int(level), 0))
    return tuple(sizes[level] for level in sorted(sizes))


def select_vector_bytes(flags: Iterable[str]) -> int | None:
    """Width of the widest vector registers in bytes that the processor's flags name; ``None`` if none.

    Examples
    --------
    >>> select_vector_bytes(("sse2", "avx", "avx2")), select_vector_bytes(("asimd",)), select_vector_bytes(())
    (32, 16, None)
    """
    known = set(flags)
    return next((width for width, words in _VECTORS if known.intersection(words)), None)


def _identity() -> str:
    """Text that no other machine has, and that outlasts a restart."""
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        text = _read(path).strip()
        if text:
            return text
    return _sysctl("kern.uuid") or platform.node()


def _read_caches() -> tuple[int, ...]:
    folders = sorted(_CACHES.glob("index*")) if _CACHES.is_dir() else []
    found = select_caches(
        {key: _read(folder / key) for key in ("level", "type", "size")} for folder in folders
    )
    if found or sys.platform != "darwin":
        return found
    names = ("hw.perflevel0.l1dcachesize", "hw.perflevel0.l2cachesize", "hw.l3cachesize")
    plain = ("hw.l1dcachesize", "hw.l2cachesize", "hw.l3cachesize")
    sizes = (
        parse_cache_size(_sysctl(name) or _sysctl(other)) for name, other in zip(names, plain, strict=True)
    )
    return tuple(size for size in sizes if size)


def _read_flags(cpuinfo: str) -> frozenset[str]:
    if sys.platform == "darwin":
        if platform.machine() == "arm64":
            return frozenset(("neon",))
        keys = ("machdep.cpu.features", "machdep.cpu.leaf7_features")
        return parse_cpu_flags("\n".join(f"{key}: {_sysctl(key)}" for key in keys))
    return parse_cpu_flags(cpuinfo)


def _sysctl(name: str) -> str:
    """The value of that name on macOS; empty elsewhere."""
    if sys.platform != "darwin":
        return ""
    try:
        done = subprocess.run(
            ("/usr/sbin/sysctl", "-n", name), capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
