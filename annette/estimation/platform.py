"""The platform: everything learned about one device, and the estimates it gives."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annette.errors import ModelError, StoreError, UsageError
from annette.estimation.bounds import LatencyIntervals
from annette.estimation.end_to_end import read_overhead
from annette.estimation.estimate import Estimate
from annette.estimation.manifest import read_device, read_table, read_text
from annette.estimation.many_networks import OnProgress, estimate_many, estimate_many_intervals
from annette.estimation.memory import CacheInfo, PlatformMemory
from annette.estimation.network_estimates import estimate_network, require_model
from annette.estimation.travel import pack, unpack
from annette.graph.mapping import Mapping
from annette.graph.network import Network
from annette.measurement import DeviceInfo
from annette.models.generator import PlatformParts
from annette.models.intervals import INTERVALS_FILE, Intervals
from annette.models.layer_models import MODEL_NAMES, LayerModels
from annette.models.mapping_model import MappingModel
from annette.models.network_overhead import NetworkOverhead
from annette.models.network_residual import NetworkResidual
from annette.models.target import ENERGY, LATENCY
from annette.store.bundle import MANIFEST_NAME, read_bundle, write_bundle
from annette.store.codec import device_to_json

if TYPE_CHECKING:
    from annette.zoo.spaces.space import SearchSpace

__all__ = ["Platform", "is_platform_name"]

MAPPING_FILE = "mapping.json"
UNITS = MappingProxyType({"latency": "s", "size": "bytes", "work": "ops (1 MAC = 2 ops)", "mape": "fraction"})
_ENERGY_PREFIX = "energy."
"""Of the files of the energy models, which are named as those of latency otherwise."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Platform:
    """Mapping model and layer models of one device, with where they come from.

    Examples
    --------
    >>> import annette
    >>> platform = annette.load("zcu102-dpu")
    >>> estimate = platform.estimate("zoo:resnet18")
    >>> 0.001 < estimate.latency_s < 0.1
    True
    """

    name: str
    """Short name, for example ``zcu102-dpu``."""
    description: str
    """One line for people."""
    device: DeviceInfo
    """The device that was measured, with its data sheet."""
    mapping_model: MappingModel
    """Predicts which layers form which kernels."""
    layer_models: LayerModels
    """Predict seconds for kernels."""
    provenance: MappingType[str, Any] = field(default_factory=dict)
    """Versions, plan, store and seed that it was made from."""
    metrics: MappingType[str, Any] = field(default_factory=dict)
    """What cross-validation on the campaign said."""
    energy_models: LayerModels | None = None
    """Predict joules for kernels; ``None``: the campaign carried no energy."""
    overhead: NetworkOverhead | NetworkResidual | None = None
    """What a network takes beyond its kernels, as networks or blocks showed it; ``None``: a network takes the
    sum of its kernels."""
    intervals: Intervals | None = None
    """How far off its latencies are; ``None``: it was trained before platforms knew."""
    memory: PlatformMemory = field(default_factory=PlatformMemory, init=False, repr=False, compare=False)
    """Kernels and estimates asked for before."""

    def __post_init__(self) -> None:
        for models, target in ((self.layer_models, LATENCY), (self.energy_models, ENERGY)):
            if models is not None and models.target is not target:
                raise ModelError(
                    f"platform {self.name!r}: models of {models.target.name} in place of {target.name}; "
                    "train the platform again"
                )

    # On disk -----------------------------------------------------------------------------------------

    @classmethod
    def from_parts(cls, parts: PlatformParts) -> Platform:
        """The platform that a campaign gave."""
        return cls(
            name=parts.name,
            description=parts.description,
            device=parts.device,
            mapping_model=parts.mapping_model,
            layer_models=parts.layer_models,
            provenance=MappingProxyType(dict(parts.provenance)),
            metrics=MappingProxyType(dict(parts.metrics)),
            energy_models=parts.energy_models,
            overhead=parts.overhead,
            intervals=parts.intervals,
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Platform:
        """The platform in a folder.

        Raises
        ------
        StoreError
            If the folder is missing, damaged or of another schema version.
        ModelError
            If a model in it cannot be read.
        """
        folder = Path(path)
        bundle = read_bundle(folder)
        return cls.from_files(bundle.manifest, dict(bundle.files), folder)

    @classmethod
    def from_files(cls, manifest: MappingType[str, Any], files: dict[str, bytes], folder: Path) -> Platform:
        """The platform that `to_files` took apart; ``folder`` is where errors say that it comes from.

        Raises
        ------
        StoreError, ModelError
            As `load`.
        """
        mapping = files.pop(MAPPING_FILE, None)
        if mapping is None:
            raise StoreError(f"{folder}: no {MAPPING_FILE}; restore a copy or train the platform again")
        try:
            text = mapping.decode()
        except UnicodeDecodeError as err:
            raise StoreError(f"{folder / MAPPING_FILE}: not text: {err}; train the platform again") from err
        where = folder / MANIFEST_NAME
        intervals = files.pop(INTERVALS_FILE, None)
        energy = {name: files.pop(name) for name in list(files) if name.startswith(_ENERGY_PREFIX)}
        energy = {name.removeprefix(_ENERGY_PREFIX): data for name, data in energy.items()}
        return cls(
            name=read_text(manifest, "name", where),
            description=read_text(manifest, "description", where),
            device=read_device(manifest, where),
            mapping_model=MappingModel.from_json(text),
            layer_models=LayerModels.from_files(files),
            provenance=MappingProxyType(read_table(manifest, "provenance", where)),
            metrics=MappingProxyType(read_table(manifest, "metrics", where)),
            energy_models=LayerModels.from_files(energy) if energy else None,
            overhead=read_overhead(manifest["overhead"]) if "overhead" in manifest else None,
            intervals=None if intervals is None else Intervals.from_bytes(intervals),
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the platform as a folder; the same platform gives the same bytes.

        Raises
        ------
        StoreError
            If the path is taken by something else or cannot be written.
        """
        write_bundle(Path(path), *self.to_files())

    def to_files(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The manifest and the other files by name."""
        files = self.layer_models.to_files()
        if self.intervals is not None:
            files[INTERVALS_FILE] = self.intervals.to_bytes()
        units = dict(UNITS)
        if self.energy_models is not None:
            units["energy"] = "J"
            energy = self.energy_models.to_files()
            files.update({f"{_ENERGY_PREFIX}{name}": data for name, data in energy.items()})
        manifest = {
            "name": self.name,
            "description": self.description,
            "device": json.loads(device_to_json(self.device)),
            "units": units,
            "provenance": dict(self.provenance),
            "metrics": dict(self.metrics),
        }
        if self.overhead is not None:
            manifest["overhead"] = self.overhead.to_json()
        return manifest, {**files, MAPPING_FILE: self.mapping_model.to_json().encode()}

    def __reduce__(self) -> tuple[Any, ...]:
        return unpack, self._packed

    def __copy__(self) -> Platform:
        return replace(self)  # remembers nothing yet

    def __deepcopy__(self, memo: dict[int, Any]) -> Platform:
        return replace(self)

    @cached_property
    def _packed(self) -> tuple[str, bytes]:
        return pack(*self.to_files())

    # Asking ------------------------------------------------------------------------------------------

    def estimate(
        self,
        network: Network | str | PathLike[str],
        *,
        model: str = "mixed",
        mapping: Mapping | None = None,
        shapes: MappingType[str, tuple[int, ...]] | None = None,
        batch: int | None = None,
    ) -> Estimate:
        """Predict the latency of one network, and its energy where the platform was trained with it.

        Parameters
        ----------
        network : Network, str or path
            A network, an ONNX file, or ``zoo:NAME``.
        model : str
            One of `MODEL_NAMES`.
        mapping : Mapping, optional
            Use this mapping instead of the predicted one: tells errors of the mapping from errors of the
            layer models.
        shapes : mapping, optional
            Dimensions of an ONNX file's inputs by name, for example ``{"image": (1, 3, 224, 224)}``.
        batch : int, optional
            Size of every dynamic first dimension of an ONNX file's inputs, or the batch of a zoo network.

        Raises
        ------
        UsageError
            For an unknown model or network name, or what is no network at all.
        GraphError
            If the network cannot be read or the mapping does not fit it.

        Examples
        --------
        >>> from annette.estimation.catalogue import load_platform
        >>> estimate = load_platform("zcu102-dpu").estimate("zoo:mobilenet_v2")
        >>> abs(sum(kernel.latency_s for kernel in estimate.kernels) - estimate.latency_s) < 1e-12
        True
        """
        opened = _open(network, shapes, batch)
        return self.estimate_models(opened, models=(model,), mapping=mapping)[model]

    def estimate_models(
        self,
        network: Network | str | PathLike[str],
        *,
        models: Sequence[str] = MODEL_NAMES,
        mapping: Mapping | None = None,
    ) -> dict[str, Estimate]:
        """Predict the latency of one network with several layer models, mapping it once; by model name.

        Raises
        ------
        UsageError, GraphError
            As `estimate`.
        """
        for model in models:
            require_model(model)
        return estimate_network(self, _open(network, None, None), models=models, mapping=mapping)

    def estimate_many(
        self,
        networks: Iterable[Network],
        *,
        model: str = "mixed",
        target: str = "latency",
        n_jobs: int = 1,
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float64]:
        """Seconds (or joules) of each network: to the last bit the numbers that `estimate` gives one by one.

        Parameters
        ----------
        networks : iterable of Network
            Any number of them; of a generator some hundred are kept at a time.
        model : str
            One of `MODEL_NAMES`.
        target : str
            ``latency`` or ``energy``.
        n_jobs : int
            Processes, or with ``joblib.parallel_config`` workers of another backend; -1: one a processor.
        on_progress : callable, optional
            Called now and then with the networks done and to do (``None`` for a generator).

        Returns
        -------
        ndarray of shape (n_networks,)
            In the order of ``networks``; >= 0, and 0 only for a network without work.

        Raises
        ------
        UsageError
            For an unknown model or target, for energy of a platform that was trained without, and for what
            is no Network.

        Examples
        --------
        >>> from annette.estimation.catalogue import load_platform
        >>> from annette.zoo.registry import zoo_network
        >>> widths = [zoo_network("mobilenet_v2", width=width) for width in (0.5, 1.0)]
        >>> half_s, whole_s = load_platform("zcu102-dpu").estimate_many(widths)
        >>> bool(half_s < whole_s)
        True
        """
        return estimate_many(
            self, networks, model=model, target=target, n_jobs=n_jobs, on_progress=on_progress
        )

    def estimate_many_intervals(
        self,
        networks: Iterable[Network],
        *,
        model: str = "mixed",
        n_jobs: int = 1,
        on_progress: OnProgress | None = None,
    ) -> LatencyIntervals:
        """Seconds of each network with its 90 % interval, to the last bit what `estimate` gives one by one.

        Parameters as of `estimate_many`.

        Raises
        ------
        UsageError
            As `estimate_many`, and for a platform that was trained without intervals.
        """
        return estimate_many_intervals(self, networks, model=model, n_jobs=n_jobs, on_progress=on_progress)

    def estimate_space_intervals(
        self,
        space: SearchSpace,
        encodings: ArrayLike | Sequence[str],
        *,
        model: str = "mixed",
        n_jobs: int = 1,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> LatencyIntervals:
        """Seconds of each architecture with its 90 % interval, as `estimate` gives them, to the last bit.

        Parameters as of `estimate_space`; it takes at most twice the time.

        Raises
        ------
        UsageError
            As `estimate_space`, and for a platform that was trained without intervals.
        """
        from annette.estimation.space_estimates import estimate_space_intervals

        return estimate_space_intervals(
            self, space, encodings, model=model, n_jobs=n_jobs, on_progress=on_progress
        )

    def estimate_space(
        self,
        space: SearchSpace,
        encodings: ArrayLike | Sequence[str],
        *,
        model: str = "mixed",
        target: str = "latency",
        n_jobs: int = 1,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.float64]:
        """Seconds (or joules) of each architecture of a search space, without building networks.

        The numbers are those of `estimate` for ``space.network(encoding)``, to the last bit. Where the
        platform's mapping needs more than arrays carry (runtimes that move tensors between layouts, caches),
        networks are built and estimated after all: the same numbers, later.

        Parameters
        ----------
        space : SearchSpace
            See `annette.zoo.spaces.registry.open_space`. What is learned of a space is kept as long as this
            object lives: keep it between calls.
        encodings : array of whole numbers, shape (n, n_genes), or sequence of str
            Architectures as rows of genes, or in the space's own notation.
        model : str
            One of `MODEL_NAMES`.
        target : str
            ``latency`` or ``energy``.
        n_jobs : int
            Processes, or with ``joblib.parallel_config`` workers of another backend; -1: one a processor.
        on_progress : callable, optional
            Called now and then with the architectures done and to do.

        Returns
        -------
        ndarray of shape (n,)
            In the order of ``encodings``.

        Raises
        ------
        UsageError
            For what is no architecture of the space, for an unknown model or target, and for energy of a
            platform that was trained without.

        Examples
        --------
        >>> from annette.estimation.catalogue import load_platform
        >>> from annette.zoo.spaces.registry import open_space
        >>> space = open_space("nasbench201")
        >>> cells = space.parse_many(["|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"] * 2)
        >>> first_s, second_s = load_platform("zcu102-dpu").estimate_space(space, cells)
        >>> bool(first_s == second_s > 0)
        True
        """
        from annette.estimation.space_estimates import estimate_space

        return estimate_space(
            self, space, encodings, model=model, target=target, n_jobs=n_jobs, on_progress=on_progress
        )

    def cache_info(self) -> CacheInfo:
        """How many kernels and estimates are remembered, and how often one of them was the answer."""
        from annette.estimation.space_estimates import count_space_kernels

        return self.memory.info(space_kernels=count_space_kernels(self))

    def clear_cache(self) -> None:
        """Forget all kernels, estimates and search spaces; no answer depends on them."""
        from annette.estimation.space_estimates import forget_spaces

        self.memory.clear()
        forget_spaces(self)

    def describe(self) -> tuple[str, ...]:
        """The mapping rules as text, one a line."""
        return self.mapping_model.describe()


def is_platform_name(text: str) -> bool:
    """Whether a platform may be called so: short, and the same as a folder's name on every system.

    Examples
    --------
    >>> is_platform_name("zcu102-dpu"), is_platform_name("../zcu102")
    (True, False)
    """
    return _NAME.fullmatch(text) is not None


def _open(
    network: Network | str | PathLike[str],
    shapes: MappingType[str, tuple[int, ...]] | None,
    batch: int | None,
) -> Network:
    if isinstance(network, Network):
        if shapes is not None or batch is not None:
            raise UsageError("shapes and batch bind the inputs of a file: a Network has its shapes already")
        return network
    if not isinstance(network, str | PathLike):
        raise UsageError(
            f"found {type(network).__name__}, expected a Network, the path of an ONNX file or zoo:NAME; "
            "annette.graph.onnx_reader.network_from_onnx_bytes makes a Network of a serialised model"
        )
    from annette.zoo.registry import open_network

    return open_network(str(network), shapes=shapes, batch=batch)
