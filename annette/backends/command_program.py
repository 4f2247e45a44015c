"""A program of the user's that is kept running: one line to it, one line back, within a limit of time."""

from __future__ import annotations

import os
import queue
import shlex
import signal
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from annette.errors import MeasurementError
from annette.store.strict_json import shorten

__all__ = ["MAX_LINE_BYTES", "Program"]

MAX_LINE_BYTES = 16 << 20
"""A longer line of the program is refused: an answer of a thousand kernels has some 100 kB."""
_CHUNK = 1 << 16
_KEPT_LINES = 5
_KEPT_BYTES = 4096
"""Of a line that the program writes to its standard error."""
_GRACE_S = 2.0
"""A program may take so long to end once its input is closed; then it is killed."""


class Program:
    """A running program with a line protocol on its standard input and output.

    It runs in a process group of its own, which is killed as a whole. Its standard error is read all the
    time, so that it never blocks, and the last lines are kept for messages.

    Raises
    ------
    MeasurementError
        If it cannot be started.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._name = shlex.join(command)
        try:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except (OSError, ValueError) as err:
            reason = getattr(err, "strerror", None) or str(err)
            raise MeasurementError(
                f"program {shorten(self._name)}: cannot be started in {folder}: {reason}; check the command "
                "of the device's YAML file"
            ) from err
        self._process = process
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._errors: deque[str] = deque(maxlen=_KEPT_LINES)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._input = process.stdin
        self._error_reader = threading.Thread(
            target=_read_errors, args=(process.stderr, self._errors), daemon=True
        )
        self._error_reader.start()
        threading.Thread(target=_read_lines, args=(process.stdout, self._lines), daemon=True).start()
        self._finalizer = weakref.finalize(self, _end, process)

    @property
    def pid(self) -> int:
        """The program's process id, which is also that of its group."""
        return self._process.pid

    def ask(self, line: bytes, timeout_s: float) -> bytes:
        """Send one line, without its end, and wait for one.

        The program is killed on any fault, and also if the wait is interrupted.

        Raises
        ------
        MeasurementError
            If no line comes in time, the program ends or closes its output, or the line is too long.
        """
        try:
            self._send(line)
            return self._receive(timeout_s)
        except BaseException:
            self.kill()
            raise

    def _send(self, line: bytes) -> None:
        if not self._lines.empty():  # nobody asked
            found = self._lines.get()
            if found is not None:
                raise MeasurementError(
                    f"the program wrote a line that nobody asked for: {_shown(found)}; expected one line an "
                    "answer, and anything else on its standard error"
                )
            raise self._ended()
        data = memoryview(line + b"\n")
        try:
            while data:
                data = data[os.write(self._input.fileno(), data) :]
        except OSError:
            raise self._ended() from None

    def _receive(self, timeout_s: float) -> bytes:
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise MeasurementError(
                f"the program gave no answer within {timeout_s:g} s and was killed; raise timeout_s of the "
                f"device's YAML file if it needs longer{self._last_errors()}"
            ) from None
        if line is None:
            raise self._ended()
        if len(line) > MAX_LINE_BYTES:
            raise MeasurementError(
                f"the program answered a line of more than {MAX_LINE_BYTES} bytes, "
                f"beginning {_shown(line)}; expected one line of JSON"
            )
        return line

    def _ended(self) -> MeasurementError:
        try:
            code = self._process.wait(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            return MeasurementError(
                "the program closed its standard output without an answer and was killed"
                f"{self._last_errors()}"
            )
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._error_reader.join(timeout=0.5)  # its last words may still be on their way
        return MeasurementError(f"the program {how} without an answer{self._last_errors()}")

    def _last_errors(self) -> str:
        lines = [line for line in tuple(self._errors) if line]
        return f"; it said: {shorten(' | '.join(lines), 500)}" if lines else "; it said nothing about it"

    def kill(self) -> None:
        """Kill the program and everything it started, at once."""
        _kill(self._process)
        self._finalizer()

    def close(self) -> None:
        """Close the program's input, which asks it to end; kill it if it does not within two seconds."""
        self._finalizer()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close, wait a little, kill the group: leftovers of a program that ended by itself included."""
    try:
        if process.stdin:
            process.stdin.close()
    except OSError:
        pass  # a broken pipe: it has ended already
    try:
        process.wait(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass  # nothing is left of the group
    deadline = time.monotonic() + _GRACE_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def _read_lines(stream: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    """Hand on each line; of one that is too long its beginning, and nothing after it; ``None`` at the end."""
    waiting: list[bytes] = []
    size = 0
    with stream:
        while chunk := _read(stream):
            *ended, rest = chunk.split(b"\n")
            for part in ended:
                lines.put(b"".join((*waiting, part)))
                waiting, size = [], 0
            if rest:
                waiting.append(rest)
                size += len(rest)
            if size > MAX_LINE_BYTES:
                lines.put(b"".join(waiting))
                break
    if waiting and size <= MAX_LINE_BYTES and b"".join(waiting).strip():
        lines.put(b"".join(waiting))  # a last line without an end
    lines.put(None)


def _read_errors(stream: IO[bytes], kept: deque[str]) -> None:
    rest = b""
    with stream:
        while chunk := _read(stream):
            *ended, rest = (rest + chunk).split(b"\n")
            kept.extend(_shown_text(line) for line in ended if line.strip())
            rest = rest[-_KEPT_BYTES:]
    if rest.strip():
        kept.append(_shown_text(rest))


def _read(stream: IO[bytes]) -> bytes:
    try:
        return os.read(stream.fileno(), _CHUNK)
    except (OSError, ValueError):  # closed meanwhile
        return b""


def _shown_text(line: bytes) -> str:
    text = line[-_KEPT_BYTES:].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def _shown(line: bytes) -> str:
    return shorten(repr(line[:200].decode("utf-8", "replace")), 120)
