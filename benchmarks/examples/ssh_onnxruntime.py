"""Times networks with ONNX Runtime on another machine over SSH; annette starts it (see board.yaml).

The board needs Python with numpy and onnxruntime, and a login without a password. Any command that passes a
line on to a shell there may take the place of ssh: --shell "adb shell" for a phone, --shell "sh -c" for here.
"""

import argparse
import json
import shlex
import subprocess
import sys

REMOTE = """
import json, sys, time, numpy, onnxruntime
def tell(answer): print(json.dumps(answer), flush=True)
def fed(item):
    sizes = [size if isinstance(size, int) else 1 for size in item.shape]
    dtype = item.type[7:-1]  # of "tensor(float)"
    return numpy.ones(sizes, {"float": "float32", "double": "float64"}.get(dtype, dtype))
tell({"hello": {"runtime": "onnxruntime " + onnxruntime.__version__, "threads": THREADS}})
for line in sys.stdin.buffer:
    number, size = json.loads(line)
    model = sys.stdin.buffer.read(size)
    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = THREADS, 4
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        feeds, values = {item.name: fed(item) for item in session.get_inputs()}, []
        end = time.perf_counter() + 0.3
        while len(values) < 5 or (time.perf_counter() < end and len(values) < 200):
            start = time.perf_counter()
            session.run(None, feeds)
            values.append(time.perf_counter() - start)
        tell({"id": number, "values_s": values[2:]})
    except Exception as error:
        tell({"id": number, "error": str(error)[:300]})
"""

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--shell", default="ssh pi@board", help="runs its last argument in the board's shell")
parser.add_argument("--python", default="python3", help="the board's Python")
parser.add_argument("--threads", type=int, default=1)
arguments = parser.parse_args()
remote = shlex.join([arguments.python, "-c", REMOTE.replace("THREADS", str(arguments.threads))])
board = subprocess.Popen(
    [*shlex.split(arguments.shell), remote], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
for line in sys.stdin:
    request = json.loads(line)
    if "onnx" in request:
        with open(request["onnx"], "rb") as file:
            model = file.read()
        board.stdin.write(json.dumps([request["id"], len(model)]).encode() + b"\n" + model)
        board.stdin.flush()
    answer = board.stdout.readline()  # the board greets once, then answers each network
    if not answer:
        sys.exit("the board's Python has ended")
    print(answer.decode(), end="", flush=True)
