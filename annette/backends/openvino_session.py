"""OpenVINO's CPU plug-in: imported without its telemetry, models compiled, run, and their profile read."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, get_args

from annette.backends.feeds import random_feeds
from annette.backends.openvino_names import number_names
from annette.backends.openvino_nodes import ExecutedNode
from annette.backends.timing import lower_half_mean
from annette.errors import MeasurementError
from annette.graph.network import Network
from annette.graph.onnx_values import Array

__all__ = [
    "OpenVinoModel",
    "OpenVinoSession",
    "Precision",
    "error_line",
    "import_openvino",
    "mean_run_s",
    "runtime_version",
]

Precision = Literal["f32", "bf16"]

PRECISIONS = get_args(Precision)
_TELEMETRY = "openvino_telemetry"
_MAX_ERROR = 400
_COUNTER_STEP_S = 1e-6
"""The plug-in counts whole microseconds, rounded down for each run of a node."""
_WARMUP = 3
"""Runs that are not kept: they touch memory for the first time."""
_DISTURBED = (1.3, 3e-6)
"""A run that surely took longer than this multiple of the usual, and this many seconds more, is left out."""
_SHARP_FRACTION = 0.05
"""A node is long if a microsecond for each run so far is at most this part of one of its runs."""
_CONSTANT = "Const"
_REINTERPRETED = MappingProxyType({"bfloat16": "bf16", "float8": "f8e4m3"})
"""dtypes that numpy lacks: their feeds hold the bits."""


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Hide the package that reports the import of OpenVINO to its makers: then it takes its own empty one."""
    hidden = _TELEMETRY not in sys.modules and "openvino" not in sys.modules
    if hidden:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # Python's way to make an import fail
    try:
        yield
    finally:
        if hidden:
            del sys.modules[_TELEMETRY]


def import_openvino() -> Any:
    """The module ``openvino``, imported so that it reports nothing over the network.

    Raises
    ------
    MeasurementError
        If it is not installed; says how to.
    """
    try:
        with _without_telemetry():
            import openvino
    except ImportError as err:
        raise MeasurementError(
            f"device openvino: the runtime cannot be imported ({err}), expected it installed; "
            'run pip install "annette[openvino]"'
        ) from err
    return openvino


@cache
def _core() -> Any:
    """The runtime's core of this process: making one loads the plug-in anew."""
    return import_openvino().Core()


def runtime_version() -> str:
    """Version and build of the installed runtime.

    Raises
    ------
    MeasurementError
        If it is not installed.
    """
    return str(import_openvino().__version__)


def error_line(err: BaseException) -> str:
    """What the runtime complains of in one line, without the marks of its source and its advice.

    Examples
    --------
    >>> error_line(RuntimeError("-- No conversion rule found for operations: my.Bar, Det-18\\nTo facilitate"))
    'operators not supported: my.Bar, Det-18'
    """
    text = str(err)
    missing = re.search(r"No conversion rule found for operations: ([^\n]*)", text)
    if missing:
        return f"operators not supported: {missing[1].strip()}"
    text = re.sub(r"Exception from \S+:\d+:|Check '.*?' failed at \S+:\d+:|Summary:.*", " ", text, flags=re.S)
    text = re.sub(r"FrontEnd API failed with \w+:|Model wasn't fully converted\.|--", " ", text)
    text = " ".join(text.split()) or type(err).__name__
    return text if len(text) <= _MAX_ERROR else f"{text[: _MAX_ERROR - 4]} ..."


class OpenVinoModel:
    """A network as the runtime has read it, and what to feed it.

    Raises
    ------
    MeasurementError
        If the runtime cannot read the model, or its inputs cannot be made up; says why in one line.
    """

    def __init__(self, network: Network, data: bytes, *, seed: int = 0) -> None:
        """
        Parameters
        ----------
        network
            What the model was written from, by its own names.
        data
            A serialized ``ModelProto`` of the network with numbers for names.
        seed
            Of the inputs' contents.
        """
        self.network = number_names(network)
        self.feeds = dict(zip(self.network.inputs, random_feeds(network, seed).values(), strict=True))
        self.core = _core()
        try:
            self.content = self.core.read_model(data)
        except Exception as err:  # foreign code: a runtime may raise anything for a model it dislikes
            raise MeasurementError(f"openvino: {error_line(err)}") from err


class OpenVinoSession:
    """A compiled model with its inputs set: `run` computes in the calling thread, if with one thread.

    Raises
    ------
    MeasurementError
        If the runtime cannot read, compile or run the model; says why in one line.
    """

    def __init__(
        self,
        model: OpenVinoModel,
        *,
        threads: int,
        precision: Precision = "f32",
        is_profiled: bool = False,
    ) -> None:
        """
        Parameters
        ----------
        precision
            Of floats within the plug-in, which would choose bfloat16 by itself where the processor has it.
        is_profiled
            Whether nodes are counted, for `profile` and `executed_nodes`; costs 0.4 us a node.
        """
        runtime = import_openvino()
        self._averages: dict[str, list[int]] = {}
        feeds = model.feeds
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERF_COUNT": is_profiled,
            "INFERENCE_PRECISION_HINT": precision,
        }
        try:
            self._compiled = model.core.compile_model(model.content, "CPU", settings)
            self._request = self._compiled.create_infer_request()
            for port, usual in zip(self._compiled.inputs, model.network.inputs, strict=True):
                # an input that is handed out unchanged bears the name of the output
                name = next((name for name in port.get_names() if name in feeds), usual)
                dtype = model.network.tensors[name].dtype
                self._request.set_tensor(port, _tensor(runtime, feeds[name], dtype))
        except Exception as err:  # foreign code: a runtime may raise anything for a model it dislikes
            raise MeasurementError(f"openvino: {error_line(err)}") from err

    def run(self) -> None:
        """Run once."""
        self._request.infer()

    def run_checked(self) -> None:
        """Run once; for the first run, which may fail.

        Raises
        ------
        MeasurementError
            If it does; says why in one line.
        """
        try:
            self._request.infer()
        except Exception as err:  # foreign code: a runtime may raise anything for a model it dislikes
            raise MeasurementError(f"openvino: {error_line(err)}") from err

    def profile(self, runs: int) -> None:
        """Run so often, and read the counters after each run; for sessions that run in no other way."""
        for _ in range(runs):
            self.run_checked()
            for item in self._request.profiling_info:
                average = round(item.real_time.total_seconds() / _COUNTER_STEP_S)
                self._averages.setdefault(item.node_name, []).append(average)

    def executed_nodes(self) -> tuple[ExecutedNode, ...]:
        """The nodes that the plug-in runs, in order, without constants and what depends on them alone."""
        graph = self._compiled.get_runtime_model()
        nodes = []
        kept: set[str] = set()
        for operation in graph.get_ordered_ops():
            facts = {key: value.astype(str) for key, value in operation.rt_info.items()}
            if facts["layerType"] != _CONSTANT and operation.friendly_name in self._averages:
                nodes.append((int(facts["execOrder"]), operation, facts))
                kept.add(operation.friendly_name)
        nodes.sort(key=lambda item: item[0])
        return tuple(self._node(operation, facts, kept) for _, operation, facts in nodes)

    def _node(self, operation: Any, facts: Mapping[str, str], kept: set[str]) -> ExecutedNode:
        sources = ((value.get_node().friendly_name, value.get_index()) for value in operation.input_values())
        name = operation.friendly_name
        return ExecutedNode(
            name=name,
            kind=facts["layerType"],
            originals=tuple(filter(None, facts.get("originalLayersNames", "").split(","))),
            primitive=facts.get("primitiveType", ""),
            layout=facts.get("outputLayouts", "").split(",")[0],
            precision=facts.get("outputPrecisions", "").split(",")[0],
            shape=_static_shape(operation),
            inputs=tuple(source for source in sources if source[0] in kept),
            run_s=mean_run_s(self._averages[name]),
        )


def _static_shape(operation: Any) -> tuple[int, ...]:
    shape = operation.output(0).get_partial_shape() if operation.get_output_size() else None
    return tuple(shape.to_shape()) if shape is not None and shape.is_static else ()


def _tensor(runtime: Any, feed: Array, dtype: str) -> Any:
    kind = _REINTERPRETED.get(dtype)
    if kind is None:
        return runtime.Tensor(feed)
    return runtime.Tensor(feed, list(feed.shape), getattr(runtime.Type, kind))


def mean_run_s(averages_us: Sequence[int]) -> float:
    """Seconds of an undisturbed run of a node, from its counter read after each run; 0 if it never showed.

    The counter is the mean over all runs so far, in whole microseconds rounded down, and each run enters it
    rounded down as well. So the sum over the runs is known within bounds that later readings narrow: the sum
    never falls. The first runs are left out, and those that surely were disturbed; of long nodes the slower
    half is left out as well. Half a microsecond makes up for the rounding of each run. Exact to about one
    microsecond.

    Examples
    --------
    >>> round(1e6 * mean_run_s((30, 20, 16, 15, 14, 13, 12, 12)), 1)
    10.6
    >>> mean_run_s((0, 0, 0))
    0.0
    """
    if not any(averages_us):
        return 0.0
    lows, highs = _sum_bounds(averages_us)
    sums = [(low + high) / 2 for low, high in zip(lows, highs, strict=True)]
    if averages_us[-1] == 0:
        return 0.5 * _COUNTER_STEP_S
    if len(sums) == 1:
        return (sums[0] + 0.5) * _COUNTER_STEP_S
    kept = range(min(_WARMUP, len(sums) - 1), len(sums))
    rises = [sums[index] - sums[index - 1] for index in kept]
    least = [lows[index] - highs[index - 1] for index in kept]
    usual = sorted(rises)[len(rises) // 4]
    factor, more_s = _DISTURBED
    limit = max(factor * usual, usual + more_s / _COUNTER_STEP_S)
    calm = tuple(rise for rise, low in zip(rises, least, strict=True) if low <= limit)
    is_sharp = len(sums) <= _SHARP_FRACTION * usual  # each rise is then known well enough to sort by it
    mean = lower_half_mean(calm) if is_sharp else math.fsum(calm) / len(calm)
    return (mean + 0.5) * _COUNTER_STEP_S


def _sum_bounds(averages_us: Sequence[int]) -> tuple[list[int], list[int]]:
    """Least and most that a node's runs can have taken up to each reading, in whole microseconds."""
    lows = [count * average for count, average in enumerate(averages_us, start=1)]
    highs = [low + count - 1 for count, low in enumerate(lows, start=1)]
    for index in range(1, len(lows)):
        lows[index] = max(lows[index], lows[index - 1])
    for index in reversed(range(len(highs) - 1)):
        highs[index] = min(highs[index], highs[index + 1])
    return lows, highs
