"""The backend of devices behind a program: programs that behave, and programs that do not."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from annette.backends.command import CommandBackend, open_command
from annette.backends.command_answer import read_answer
from annette.backends.command_file import CommandFile, command_file_from_yaml, read_command_file
from annette.backends.command_program import MAX_LINE_BYTES
from annette.errors import DeviceLostError, MeasurementError, UsageError
from annette.graph.builder import NetworkBuilder
from annette.graph.network import Network
from annette.measurement import DeviceInfo

HEAD = """\
import json, os, sys, time
def say(text): print(text, flush=True)
count = 0
for line in sys.stdin:
    request = json.loads(line)
    if "hello" in request:
        say('{"hello": {"runtime": "fake 1"}}')
        continue
    count += 1
    good = json.dumps({"id": request["id"], "values_s": [0.5]})
"""


def network(layers: int = 1) -> Network:
    build = NetworkBuilder("some")
    x = build.input("x", (1, 3, 8, 8))
    for _ in range(layers):
        x = build.relu(x)
    return build.finish(x)


def program(folder: Path, body: str, **fields: object) -> CommandFile:
    (folder / "fake.py").write_text(body)
    settings = {"timeout_s": 20.0, "start_timeout_s": 20.0, "infer_mapping": False, **fields}
    command = (sys.executable, "fake.py")
    return CommandFile(name="fake", folder=folder, command=command, **settings)  # type: ignore[arg-type]


def answering(folder: Path, body: str, **fields: object) -> CommandBackend:
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    return CommandBackend.start(program(folder, HEAD + indented, **fields))


# Programs that behave ------------------------------------------------------------------------------


def test_a_program_is_asked_with_a_file_that_is_gone_afterwards(tmp_path: Path) -> None:
    backend = answering(
        tmp_path,
        "import onnx\n"
        "model = onnx.load(request['onnx'])\n"
        "open('seen', 'a').write(request['onnx'] + ' ' + model.graph.node[0].name + '\\n')\n"
        "say(json.dumps({'id': request['id'], 'values_s': [0.25, 0.5], 'conditions': {'clock_hz': 1e9}}))",
    )
    answer = backend.measure(network(), seed=3)
    assert answer.values_s == (0.25, 0.5)
    assert answer.conditions == {"clock_hz": 1e9}
    assert answer.kernels is None
    assert backend.measure(network(2)).values_s == (0.25, 0.5)
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    assert [name for _, name in seen] == ["relu_1", "relu_1"]
    assert not any(os.path.exists(path) for path, _ in seen)
    backend.close()


def test_what_the_handshake_says_is_part_of_the_identity(tmp_path: Path) -> None:
    backend = answering(tmp_path, "say(good)", environment=(("board", "Pi"),), visits=3, vector_bytes=16)
    environment = dict(backend.info.environment)
    assert environment["runtime"] == "fake 1"
    assert environment["board"] == "Pi"
    assert backend.info.visits == 3
    assert backend.info.is_exclusive
    backend.close()


def test_a_copy_in_another_process_starts_a_program_of_its_own(tmp_path: Path) -> None:
    backend = answering(tmp_path, "say(good)")
    twin = pickle.loads(pickle.dumps(backend))  # noqa: S301  # our own bytes
    assert twin.info == backend.info
    assert twin.measure(network()).values_s == (0.5,)
    twin.close()
    assert backend.measure(network()).values_s == (0.5,)
    backend.close()


def test_an_error_of_the_device_is_the_measurements_and_the_program_goes_on(tmp_path: Path) -> None:
    backend = answering(
        tmp_path,
        "if count == 1: say(json.dumps({'id': request['id'], 'error': 'no TopK, sorry'}))\n"
        "else: say(json.dumps({'id': request['id'], 'values_s': [count]}))",
    )
    assert backend.measure(network()).error == "no TopK, sorry"
    assert backend.measure(network()).values_s == (2.0,), "the same program answers again"
    backend.close()


def test_kernels_are_taken_as_the_program_tells_them(tmp_path: Path) -> None:
    backend = answering(
        tmp_path,
        "say(json.dumps({'id': request['id'], 'values_s': [1.0], 'eliminated_layers': ['relu_2'],"
        "'kernels': ["
        "{'tensor': 'x', 'unit': 'to_blocked', 'values_s': [0.1]},"
        "{'layers': ['relu_1'], 'primary': 'relu_1', 'unit': 'npu', 'values_s': [0.9], 'bound': 'memory',"
        " 'counters': {'cycles': 7}}]}))",
    )
    answer = backend.measure(network(2))
    assert answer.error is None
    assert [item.kernel.unit for item in answer.kernels or ()] == ["to_blocked", "npu"]
    assert answer.kernels is not None
    assert answer.kernels[1].counters == {"cycles": 7.0}
    assert answer.eliminated_layers == ("relu_2",)
    backend.close()


# Programs that do not ------------------------------------------------------------------------------

FAULTS = {
    "crash": (
        "sys.stderr.write('out of paper\\n'); sys.exit(3)",
        "exit code 3 without an answer; it said: out",
    ),
    "killed": ("import signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9"),
    "noise": ("say('Loading model...')", "'Loading model...'"),
    "number": ("say('7')", "expected a JSON object"),
    "wrong id": ('say(\'{"id": 99, "values_s": [1]}\')', "id 99, expected id"),
    "nothing": ("say('{}')", "id None, expected id"),
    "NaN": ("say(good.replace('0.5', 'NaN'))", "NaN is not a finite number"),
    "infinite": ("say(good.replace('0.5', '1e999'))", "not a finite number"),
    "negative": ("say(good.replace('0.5', '-1.0'))", "expected a list of seconds >= 0"),
    "no runs": ("say(good.replace('0.5', ''))", "expected a list of seconds >= 0"),
    "text": ("say(good.replace('0.5', '\"fast\"'))", "expected a list of seconds >= 0"),
    "unknown key": ("say(good.replace('values_s', 'values'))", "unknown key 'values'"),
    "binary": ("sys.stdout.buffer.write(b'\\xff\\xfe\\n'); sys.stdout.flush()", "is not UTF-8"),
    "partial line": ("sys.stdout.write(good[:9]); sys.stdout.flush(); sys.exit(0)", "not readable as JSON"),
    "huge line": (f"sys.stdout.write('x' * {MAX_LINE_BYTES + 70000}); say('')", "more than 16777216 bytes"),
    "closed output": ("os.close(1); time.sleep(60)", "closed its standard output"),
    "other layers": (
        "say(json.dumps({'id': request['id'], 'values_s': [1], 'kernels': ["
        "{'layers': ['conv_9'], 'unit': 'npu', 'values_s': [1]}]}))",
        "not mapped: relu_1",
    ),
    "primary": (
        "say(json.dumps({'id': request['id'], 'values_s': [1], 'kernels': ["
        "{'layers': ['relu_1'], 'primary': 'x', 'unit': 'npu', 'values_s': [1]}]}))",
        "primary 'x' is not one of its layers",
    ),
    "eliminated alone": (
        "say(json.dumps({'id': request['id'], 'values_s': [1], 'eliminated_layers': ['relu_1']}))",
        "eliminated_layers without kernels",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_that_networks_error_and_the_next_one_is_measured(tmp_path: Path, fault: str) -> None:
    body, message = FAULTS[fault]
    backend = answering(
        tmp_path,
        f"if not os.path.exists('failed'):\n    open('failed', 'w').close()\n    {body}\nelse: say(good)",
    )
    answer = backend.measure(network(), seed=1)
    assert answer.values_s is None
    assert answer.error is not None
    assert message in answer.error
    assert "\n" not in answer.error
    assert backend.measure(network()).values_s == (0.5,)
    backend.close()


def test_a_program_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    backend = answering(
        tmp_path,
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('child', 'w').write(str(child.pid))\n"
        "sys.stderr.write('waiting for the bus\\n'); sys.stderr.flush()\n"
        "time.sleep(60)",
        timeout_s=1.5,
    )
    start = time.monotonic()
    answer = backend.measure(network())
    assert time.monotonic() - start < 15
    assert "no answer within 1.5 s" in str(answer.error)
    assert "waiting for the bus" in str(answer.error)
    child = int((tmp_path / "child").read_text())
    assert _ends(child)


def test_a_line_that_nobody_asked_for_is_named(tmp_path: Path) -> None:
    backend = answering(tmp_path, "say(good)\nsay('bye for now')\ntime.sleep(0.2)")
    assert backend.measure(network()).error is None
    time.sleep(1.0)
    assert "'bye for now'" in str(backend.measure(network()).error)
    backend.close()


def test_a_loud_program_does_not_block(tmp_path: Path) -> None:
    backend = answering(tmp_path, "sys.stderr.write('chatter\\n' * 50_000)\nsay(good)")
    assert backend.measure(network()).values_s == (0.5,)
    backend.close()


def test_a_slow_start_is_waited_for(tmp_path: Path) -> None:
    backend = CommandBackend.start(
        program(tmp_path, "import time\ntime.sleep(1.0)\n" + HEAD + "    say(good)\n")
    )
    assert backend.measure(network()).values_s == (0.5,)
    backend.close()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import sys\nsys.exit('no such board')", "it said: no such board"),
        ("print('Welcome to Ubuntu', flush=True)\nimport time\ntime.sleep(9)", "'Welcome to Ubuntu'"),
        ('input()\nprint(\'{"error": "licence expired"}\', flush=True)', "licence expired"),
        ('input()\nprint(\'{"hello": {"a": []}}\', flush=True)', "expected a name"),
        ("import time\ntime.sleep(60)", "no answer within 1 s"),
    ],
)
def test_a_program_that_does_not_start_is_an_error_at_once(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(MeasurementError, match="device 'fake': at the start") as caught:
        CommandBackend.start(program(tmp_path, body, start_timeout_s=1.0 if "60" in body else 20.0))
    assert message in str(caught.value)


def test_a_program_that_is_not_there_says_so(tmp_path: Path) -> None:
    file = CommandFile(name="fake", folder=tmp_path, command=("annette-no-such-program",))
    with pytest.raises(MeasurementError, match=r"annette-no-such-program: cannot be started .* No such file"):
        CommandBackend.start(file)


def test_a_device_that_is_gone_is_lost_not_another_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annette.backends.command._PAUSE_S", 0.0)
    backend = answering(tmp_path, "sys.exit(1)")
    assert "exit code 1" in str(backend.measure(network()).error)
    (tmp_path / "fake.py").write_text("import sys\nsys.exit('unplugged')")
    with pytest.raises(DeviceLostError, match=r"3 times in a row.*unplugged"):
        backend.measure(network())


def test_a_program_that_comes_back_as_another_is_refused(tmp_path: Path) -> None:
    backend = answering(tmp_path, "sys.exit(1)")
    backend.measure(network())
    (tmp_path / "fake.py").write_text(HEAD.replace("fake 1", "fake 2"))
    with pytest.raises(DeviceLostError, match="runtime changed"):
        backend.measure(network())


def test_an_interruption_ends_the_program(tmp_path: Path) -> None:
    backend = answering(tmp_path, "open('pid', 'w').write(str(os.getpid()))\ntime.sleep(60)")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    try:
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            backend.measure(network())
    finally:
        signal.signal(signal.SIGINT, before)
    assert _ends(int((tmp_path / "pid").read_text()))


def test_a_program_ends_with_annette_even_if_that_is_killed(tmp_path: Path) -> None:
    file = program(tmp_path, HEAD + "    say(good)\nopen('ended', 'w').close()\n")
    (tmp_path / "fake.yaml").write_text(
        f"schema_version: 1\nname: fake\ninfer_mapping: false\ncommand: {json.dumps(file.command)}\n"
    )
    code = (
        "import os, signal, sys; from annette.backends.command import open_command; "
        "open_command(sys.argv[1]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "fake.yaml")], check=False)
    for _ in range(100):
        if (tmp_path / "ended").exists():
            break
        time.sleep(0.05)
    assert (tmp_path / "ended").exists()


# The file ------------------------------------------------------------------------------------------

GOOD = "schema_version: 1\nname: board\ncommand: [run, 1]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "expected keys: schema_version, name"),
        (GOOD + "comand: [x]", "unknown key 'comand', did you mean 'command'"),
        (GOOD.replace("name: board\n", ""), "name is missing"),
        (GOOD.replace("n: 1", "n: 2"), "schema_version: found 2, expected 1"),
        (GOOD.replace("board", "'a b'"), "name: found 'a b'"),
        (GOOD.replace("[run, 1]", "run --fast"), "expected a list: the program, then its arguments"),
        (GOOD.replace("[run, 1]", "[]"), "expected a list: the program"),
        (GOOD.replace("[run, 1]", "[run, [x]]"), r"command\[1\]: found a list, expected text"),
        (GOOD.replace("[run, 1]", ""), "command: found nothing"),
        (GOOD + "timeout_s: 0", "timeout_s: found 0, expected a number > 0"),
        (GOOD + "timeout_s: .nan", "timeout_s: found nan"),
        (GOOD + "visits: 0", "visits: found 0, expected a whole number from 1"),
        (GOOD + "exclusive: maybe", "exclusive: found 'maybe', expected true or false"),
        (GOOD + "cache_bytes: [2, 1]", "expected ascending sizes"),
        (GOOD + "environment: {a b: 1}", "the name 'a b'"),
        (GOOD + "environment: {a: [1]}", "environment.a: found a list"),
        (GOOD + "name: twice", "found key 'name' twice"),
    ],
)
def test_a_faulty_file_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        command_file_from_yaml(text, "board.yaml", folder=Path())


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_command_file(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="write command:FILE"):
        open_command("")


def test_the_program_runs_in_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "b.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert read_command_file("board/b.yaml").folder == tmp_path / "board"


def test_an_answer_for_another_request_is_refused() -> None:
    device = DeviceInfo(name="fake", backend="command")
    with pytest.raises(MeasurementError, match="id 1, expected id 2"):
        read_answer(b'{"id":1,"values_s":[1]}', number=2, network=network(), device=device, seed=0)


def _ends(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return True
        time.sleep(0.05)
    return False
