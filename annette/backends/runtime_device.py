"""The identity of this machine's processor under a runtime: what its measurements depend on."""

from __future__ import annotations

import platform

from annette.backends.machine import read_machine
from annette.backends.runtime_options import RuntimeOptions
from annette.measurement import DeviceInfo

__all__ = ["runtime_device"]


def runtime_device(
    runtime: str, version: str, title: str, options: RuntimeOptions, *, protocol: str, **settings: str
) -> DeviceInfo:
    """The device of backend ``runtime``, named ``cpu-RUNTIME``.

    Parameters
    ----------
    title
        The runtime and its version for people.
    protocol
        Version of how the backend measures.
    settings
        Further options of this runtime: they are part of the identity as well.
    """
    machine = read_machine()
    threads = "1 thread" if options.threads == 1 else f"{options.threads} threads"
    environment = {
        "clock": "thread time" if options.threads == 1 else "wall time",
        "cpu": f"{machine.cpu_model} {machine.cpu_signature}".strip(),
        "host": machine.host,
        "kernels": options.kernels,
        runtime: version,
        "protocol": protocol,
        "system": platform.system(),
        "threads": str(options.threads),
        **settings,
    }
    return DeviceInfo(
        name=f"cpu-{runtime}",
        backend=runtime,
        description=f"{machine.cpu_model}, {title}, {threads}",
        cache_bytes=machine.cache_bytes,
        vector_bytes=machine.vector_bytes,
        visits=options.visits,
        is_exclusive=True,
        environment=tuple(sorted(environment.items())),
    )
