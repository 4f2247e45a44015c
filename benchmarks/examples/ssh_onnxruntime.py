"""Times networks with ONNX Runtime on another machine; annette starts it as board.yaml says.

The arguments bring one line into the board's shell and name its Python: ssh pi@board python3.
"""

import json
import shlex
import subprocess
import sys

REMOTE = """
import json, sys, time, numpy, onnxruntime as ort
kinds = {"float": "float32", "double": "float64"}  # whatever is called otherwise than in numpy
print(json.dumps({"hello": {"runtime": "onnxruntime " + ort.__version__, "threads": 1}}), flush=True)
for line in sys.stdin.buffer:
    number, size = json.loads(line)
    model, values = sys.stdin.buffer.read(size), []
    try:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        inputs = [(item.name, item.shape, item.type[7:-1]) for item in session.get_inputs()]
        feeds = {name: numpy.ones(shape, kinds.get(kind, kind)) for name, shape, kind in inputs}
        while len(values) < 5 or (sum(values) < 0.3 and len(values) < 200):
            start = time.perf_counter()
            session.run(None, feeds)
            values.append(time.perf_counter() - start)
        answer = {"id": number, "values_s": values[2:]}  # the first runs warm up
    except Exception as error:
        answer = {"id": number, "error": str(error)[:300]}
    print(json.dumps(answer), flush=True)
"""

*shell, python = sys.argv[1:]
remote = shlex.join([python, "-c", REMOTE])
board = subprocess.Popen([*shell, remote], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
for line in sys.stdin:
    request = json.loads(line)
    if "onnx" in request:
        with open(request["onnx"], "rb") as file:
            model = file.read()
        board.stdin.write(b"[%d, %d]\n" % (request["id"], len(model)) + model)
        board.stdin.flush()
    # The board greets once, then answers each network; without an answer it has ended, and so does this.
    print(board.stdout.readline().decode() or sys.exit("the board's Python has ended"), end="", flush=True)
