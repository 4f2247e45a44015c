"""The backend of any device behind a program of the user's: a board over SSH, a vendor's tool, a phone.

`annette.backends.command_file` says how the device is described, `annette.backends.command_answer` what the
program and annette say to each other.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

from annette.backends.command_answer import hello_request, network_request, read_answer, read_hello
from annette.backends.command_file import CommandFile, read_command_file
from annette.backends.command_program import Program
from annette.backends.mapping_inferring import InferringBackend
from annette.backends.protocol import Backend
from annette.errors import DeviceLostError, GraphError, MeasurementError, UsageError
from annette.graph.network import Network
from annette.measurement import DeviceInfo, Measurement

__all__ = ["CommandBackend", "open_command"]

_LOG = logging.getLogger(__name__)

MAX_STARTS = 3
"""A program that cannot be started this often in a row is given up."""
_PAUSE_S = 1.0
_WEIGHTS_SEED = 0


class CommandBackend:
    """Times networks through a program that the user wrote, started once and kept running.

    The program is started with the first network, also after pickling; a crash, a time-out or an answer that
    is none fails that network, and the next one gets a new program.
    """

    def __init__(self, file: CommandFile, info: DeviceInfo, hello: tuple[tuple[str, str], ...]) -> None:
        self._file = file
        self._info = info
        self._hello = hello
        self._program: Program | None = None
        self._number = 0

    @classmethod
    def start(cls, file: CommandFile) -> CommandBackend:
        """The backend of a program that has answered the handshake.

        Raises
        ------
        MeasurementError
            If it does not.
        """
        program, hello = _start(file)
        try:
            backend = cls(file, _device_info(file, hello), hello)
        except BaseException:
            program.kill()
            raise
        backend._program = program
        return backend

    @property
    def info(self) -> DeviceInfo:
        """Identity and data sheet of the device, with what the program's handshake said."""
        return self._info

    def measure(self, network: Network, *, seed: int = 0) -> Measurement:
        """Have the program time ``network``, written as ONNX with random weights.

        Raises
        ------
        DeviceLostError
            If the program cannot be started any more, or has become another one.
        """
        from annette.graph.onnx_writer import write_onnx

        self._number += 1
        try:
            with tempfile.TemporaryDirectory(prefix="annette-", ignore_cleanup_errors=True) as folder:
                path = Path(folder) / "network.onnx"
                write_onnx(network, path, weights="random", seed=_WEIGHTS_SEED)
                program = self._running()
                answer = program.ask(network_request(self._number, path, seed), self._file.timeout_s)
                return read_answer(answer, number=self._number, network=network, device=self._info, seed=seed)
        except DeviceLostError:
            raise
        except (GraphError, MeasurementError, OSError) as err:
            if not isinstance(err, GraphError):  # answers and requests may be out of step: start afresh
                self._drop()
            return Measurement(network_id=network.id, device=self._info, error=str(err), seed=seed)
        except BaseException:
            self._drop()
            raise

    def close(self) -> None:
        """End the program; the next network starts it again."""
        if self._program is not None:
            self._program.close()
            self._program = None

    def _drop(self) -> None:
        if self._program is not None:
            self._program.kill()
            self._program = None

    def _running(self) -> Program:
        if self._program is None:
            program, hello = _restart(self._file)
            if hello != self._hello:
                program.kill()
                changed = ", ".join(sorted({key for key, _ in {*hello} ^ {*self._hello}}))
                raise DeviceLostError(
                    f"device {self._info.name!r}: started again, its program says something else: {changed} "
                    "changed; expected the same device. Name a new store for this one"
                )
            self._program = program
        return self._program

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_program": None}


def open_command(target: str) -> Backend:
    """The device described by the YAML file ``target``, its program started.

    Where the program reports no kernels, they are found by timing, unless the file says otherwise.

    Raises
    ------
    UsageError
        If the file is missing or faulty.
    MeasurementError
        If the program cannot be started or does not answer the handshake.
    """
    if not target:
        raise UsageError("device 'command': names no file; write command:FILE.yaml")
    file = read_command_file(target)
    backend = CommandBackend.start(file)
    return InferringBackend(backend) if file.infer_mapping else backend


def _start(file: CommandFile) -> tuple[Program, tuple[tuple[str, str], ...]]:
    """A new program and what its handshake said."""
    program = Program(file.command, file.folder)
    try:
        return program, read_hello(program.ask(hello_request(), file.start_timeout_s))
    except BaseException as err:
        program.kill()
        if isinstance(err, MeasurementError):
            raise MeasurementError(f"device {file.name!r}: at the start: {err}") from err
        raise


def _restart(file: CommandFile) -> tuple[Program, tuple[tuple[str, str], ...]]:
    for attempt in range(1, MAX_STARTS + 1):
        try:
            return _start(file)
        except MeasurementError as err:
            _LOG.warning("start %d of %d failed: %s", attempt, MAX_STARTS, err)
            last = err
            if attempt < MAX_STARTS:
                time.sleep(_PAUSE_S)
    raise DeviceLostError(
        f"device {file.name!r}: its program failed {MAX_STARTS} times in a row to start, so nothing more is "
        f"measured; mend it and run the same command again. The last time: {last}"
    ) from last


def _device_info(file: CommandFile, hello: tuple[tuple[str, str], ...]) -> DeviceInfo:
    doubled = {key for key, _ in file.environment} & {key for key, _ in hello}
    if doubled:
        raise UsageError(
            f"device {file.name!r}: {', '.join(sorted(doubled))}: in the YAML file's environment and in the "
            "program's handshake; remove one of them"
        )
    command = hashlib.sha256(json.dumps(file.command).encode()).hexdigest()[:8]
    own = (("command_hash", command), ("infer_mapping", "yes" if file.infer_mapping else "no"))
    return DeviceInfo(
        name=file.name,
        backend="command",
        description=file.description,
        activation_bytes=file.activation_bytes,
        weight_bytes=file.weight_bytes,
        peak_ops_per_s=file.peak_ops_per_s,
        bandwidth_bytes_per_s=file.bandwidth_bytes_per_s,
        cache_bytes=file.cache_bytes,
        vector_bytes=file.vector_bytes,
        visits=file.visits,
        is_exclusive=file.exclusive,
        environment=tuple(sorted((*file.environment, *hello, *own))),
    )
