"""Sessions of ONNX Runtime on the processor: made alike, bound once to fixed inputs and outputs, profiled."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from annette.backends.feeds import random_feeds
from annette.backends.ort_graph import import_onnxruntime, session_options
from annette.backends.runtime_options import Optimization, RuntimeOptions
from annette.errors import MeasurementError
from annette.graph.network import Network
from annette.graph.onnx_values import ONNX_NUMBERS, Array

__all__ = [
    "NodeDurations",
    "OrtSession",
    "error_line",
    "node_durations",
    "profile_folder",
    "read_profile",
]

_PROVIDERS = ("CPUExecutionProvider",)
_REINTERPRETED = frozenset(("bfloat16", "float8"))
"""dtypes that numpy lacks: their feeds hold the bits."""
_KERNEL_EVENT = "_kernel_time"
_MAX_ERROR = 400

NodeDurations = Mapping[str, tuple[float, ...]]
"""Seconds of each run by the executed node's name, in the order of the runs."""


def error_line(err: BaseException) -> str:
    """What the runtime complains of in one line, without the paths and marks of its source.

    Examples
    --------
    >>> error_line(RuntimeError("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : No kernel   for  Foo(1)"))
    'NOT_IMPLEMENTED : No kernel for Foo(1)'
    """
    text = " ".join(str(err).split()) or type(err).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : ", "", text)
    text = re.sub(r"\S*/\S+\.(?:cc|cpp|h|hpp):\d+\s*", "", text)
    return text if len(text) <= _MAX_ERROR else f"{text[: _MAX_ERROR - 4]} ..."


class OrtSession:
    """A loaded model whose inputs and outputs are bound once: `run` computes and copies nothing else.

    Raises
    ------
    MeasurementError
        If the runtime cannot load the model or run it; says why in one line.
    """

    def __init__(
        self,
        model: bytes,
        options: RuntimeOptions,
        *,
        feeds: Mapping[str, Array],
        dtypes: Mapping[str, str],
        optimization: Optimization = "none",
        profile_prefix: str | None = None,
    ) -> None:
        """
        Parameters
        ----------
        model
            A serialized ``ModelProto``.
        feeds
            Contents of the inputs by name; those that the model lacks are left out.
        dtypes
            annette's dtype of each input by name.
        optimization
            How far the runtime may still rewrite the graph.
        profile_prefix
            Where to write the profile of the runs up to `end_profile`; ``None``: no profile.
        """
        self._runtime = import_onnxruntime()
        settings = _settings(replace(options, optimization=optimization), profile_prefix)
        try:
            self._session = self._runtime.InferenceSession(model, settings, providers=list(_PROVIDERS))
            self._binding = self._bind(feeds, dtypes)
        except MeasurementError:
            raise
        except Exception as err:  # foreign code: a runtime may raise anything for a model it dislikes
            raise MeasurementError(f"onnxruntime: {error_line(err)}") from err

    @classmethod
    def of_network(
        cls,
        network: Network,
        model: bytes,
        options: RuntimeOptions,
        *,
        seed: int = 0,
        optimization: Optimization = "none",
        profile_prefix: str | None = None,
    ) -> OrtSession:
        """The session of a model with the network's inputs, fed with random contents of that seed."""
        return cls(
            model,
            options,
            feeds=random_feeds(network, seed),
            dtypes={name: network.tensors[name].dtype for name in network.inputs},
            optimization=optimization,
            profile_prefix=profile_prefix,
        )

    def run(self) -> None:
        """Run once."""
        self._session.run_with_iobinding(self._binding)

    def end_profile(self) -> Path:
        """Stop profiling for good; where the profile was written."""
        return Path(self._session.end_profiling())

    def _bind(self, feeds: Mapping[str, Array], dtypes: Mapping[str, str]) -> Any:
        """Inputs bound to the feeds, outputs to what a first run made of them."""
        make = self._runtime.OrtValue
        binding = self._session.io_binding()
        self._kept: list[Any] = []  # bound values may lie on the feeds' memory
        for item in self._session.get_inputs():
            if item.name not in feeds:
                raise MeasurementError(f"input {item.name!r} of the model has no contents to feed")
            feed, dtype = feeds[item.name], dtypes[item.name]
            if dtype in _REINTERPRETED:
                value = make.ortvalue_from_numpy_with_onnx_type(feed, ONNX_NUMBERS[dtype])
            else:
                value = make.ortvalue_from_numpy(feed)
            self._kept += (feed, value)
            binding.bind_ortvalue_input(item.name, value)
        names = [item.name for item in self._session.get_outputs()]
        for name in names:
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        outputs = binding.get_outputs()
        if all(value.is_tensor() for value in outputs):
            binding.clear_binding_outputs()
            for name, value in zip(names, outputs, strict=True):
                binding.bind_ortvalue_output(name, value)
            self._kept += outputs
        return binding


def _settings(options: RuntimeOptions, profile_prefix: str | None) -> Any:
    settings = session_options(options)
    settings.execution_mode = import_onnxruntime().ExecutionMode.ORT_SEQUENTIAL
    for pool in ("intra_op", "inter_op"):  # waiting threads must not burn what is being measured
        settings.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    if profile_prefix is not None:
        settings.enable_profiling = True
        settings.profile_file_prefix = profile_prefix
    return settings


@contextmanager
def profile_folder() -> Iterator[str]:
    """A prefix for profiles in a folder that is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="annette-profile-", ignore_cleanup_errors=True) as folder:
        yield str(Path(folder) / "profile")


def read_profile(path: Path) -> list[dict[str, Any]]:
    """The events of a profile that the runtime wrote.

    Raises
    ------
    MeasurementError
        If it is not such a profile.
    """
    try:
        events = json.loads(path.read_bytes())
    except (OSError, ValueError) as err:
        raise _no_profile(path.name, err) from err
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise _no_profile(path.name, TypeError("something else"))
    return events


def node_durations(events: Iterable[Mapping[str, Any]]) -> NodeDurations:
    """Seconds of each run by the node's name, from the events of a profile.

    The runtime writes whole microseconds, rounded down: half a microsecond is added to each.

    Raises
    ------
    MeasurementError
        If an event of a node is not as the runtime writes them.

    Examples
    --------
    >>> node_durations([{"cat": "Node", "name": "conv_kernel_time", "dur": 3}])
    {'conv': (3.5e-06,)}
    """
    found: dict[str, list[float]] = {}
    try:
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith(_KERNEL_EVENT):
                seconds = round(float(event["dur"]) + 0.5, 3) / 1e6
                found.setdefault(event["name"].removesuffix(_KERNEL_EVENT), []).append(seconds)
    except (KeyError, ValueError, TypeError, AttributeError) as err:
        raise _no_profile("of the runtime", err) from err
    return {name: tuple(values) for name, values in found.items()}


def _no_profile(name: str, err: Exception) -> MeasurementError:
    return MeasurementError(
        f"profile {name}: {type(err).__name__}: {error_line(err)}, expected the list of events that "
        "onnxruntime writes; is there space left for temporary files?"
    )
