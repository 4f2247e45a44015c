"""Runs under the Python of a peer, nn-Meter: how long its import and its detection of kernels take.

    /path/to/its/python benchmarks/studies/nas_speed_peer.py '{"resnet50": "/tmp/resnet50.onnx"}'

Its predictors are downloads; what is timed here comes before them: reading an ONNX file into its own form,
and cutting that into kernels with their features. The rules of fusion are written here, in its format, since
those of its devices come with the predictors. The answer is the last line, as JSON.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPEATS = 5
RULES = {
    "MON": {"obey": 0},
    "FN": {"obey": True},
    "BF_conv_bn": {"obey": True},
    "BF_conv_relu": {"obey": True},
    "BF_dwconv_bn": {"obey": True},
    "BF_dwconv_relu": {"obey": True},
    "BF_bn_relu": {"obey": True},
    "BF_add_relu": {"obey": True},
    "BF_fc_relu": {"obey": True},
}
"""What runtimes for phones fuse: convolutions with what follows, additions with activations."""


def detect(path: str, rules: str) -> dict[str, Any]:
    """Median seconds of a network's way to kernels with features."""
    from nn_meter.ir_converter import model_file_to_graph
    from nn_meter.kernel_detector import KernelDetector
    from nn_meter.predictor.prediction.extract_feature import get_predict_features

    detector = KernelDetector(rules)  # made once, as its predictor does
    read, cut = [], []
    for _ in range(REPEATS):
        start = time.perf_counter()
        graph = model_file_to_graph(path, "onnx")
        middle = time.perf_counter()
        detector.load_graph(graph)
        kernels = detector.get_kernels()
        features = get_predict_features(kernels)
        read.append(middle - start)
        cut.append(time.perf_counter() - middle)
    return {
        "read_s": statistics.median(read),
        "detect_s": statistics.median(cut),
        "kernels": len(kernels),
        "priced_kernels": len(features),
        "operators": sorted({kernel["op"] for kernel in kernels}),
    }


def main() -> None:
    files = json.loads(sys.argv[1])
    start = time.perf_counter()
    import nn_meter  # noqa: F401 - its import is what is timed

    answer: dict[str, Any] = {"import_s": time.perf_counter() - start, "networks": {}}
    from importlib.metadata import version

    answer["version"] = version("nn-meter")
    answer["python"] = sys.version.split()[0]
    logging.getLogger("nn-Meter").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "fusion_rules.json"
        rules.write_text(json.dumps(RULES), encoding="utf-8")
        for name, path in files.items():
            try:
                answer["networks"][name] = detect(path, str(rules))
            except Exception as err:  # noqa: BLE001 - whatever stops a peer is what the study reports
                answer["networks"][name] = {"error": f"{type(err).__name__}: {err}"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
