"""The platform: everything learned about one device, and the estimates it gives."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.errors import ModelError, StoreError, UsageError
from annette.estimation.estimate import Coverage, Estimate, KernelEstimate
from annette.estimation.manifest import read_device, read_table, read_text
from annette.graph.families import layer_family
from annette.graph.mapping import Kernel, Mapping, require_complete
from annette.graph.network import Network
from annette.graph.operators import operator_key
from annette.measurement import DeviceInfo
from annette.models.generator import PlatformParts
from annette.models.kernel_table import KernelTable, build_kernel_table
from annette.models.layer_models import MODEL_NAMES, LayerModels
from annette.models.mapping_model import MappingModel
from annette.models.target import ENERGY, LATENCY
from annette.store.bundle import MANIFEST_NAME, read_bundle, write_bundle
from annette.store.codec import device_to_json

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
        manifest, files = bundle.manifest, dict(bundle.files)
        mapping = files.pop(MAPPING_FILE, None)
        if mapping is None:
            raise StoreError(f"{folder}: no {MAPPING_FILE}; restore a copy or train the platform again")
        try:
            text = mapping.decode()
        except UnicodeDecodeError as err:
            raise StoreError(f"{folder / MAPPING_FILE}: not text: {err}; train the platform again") from err
        where = folder / MANIFEST_NAME
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
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the platform as a folder; the same platform gives the same bytes.

        Raises
        ------
        StoreError
            If the path is taken by something else or cannot be written.
        """
        files = self.layer_models.to_files()
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
        write_bundle(Path(path), manifest, {**files, MAPPING_FILE: self.mapping_model.to_json().encode()})

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
            _require_model(model)
        network = _open(network, None, None)
        if mapping is None:
            mapping = self.mapping_model.predict(network)
        else:
            require_complete(network, mapping)
        table = build_kernel_table([(network, mapping)], self.device)
        bounds = self.layer_models.bounds(table)
        generic = self.layer_models.generic_mask(table)
        outside = self.layer_models.out_of_range_mask(table)
        estimates = {}
        for model in models:
            latency_s = self.layer_models.predict_s(table, model)
            energy_j = None if self.energy_models is None else self.energy_models.predict_j(table, model)
            estimates[model] = Estimate(
                network=network.name,
                network_id=network.id,
                platform=self.name,
                device=self.device.name,
                model=model,
                latency_s=float(_sum_by_network(table, latency_s)[0]),
                energy_j=None if energy_j is None else float(_sum_by_network(table, energy_j)[0]),
                kernels=_kernels(network, mapping, latency_s, energy_j, bounds, generic, outside),
                eliminated_layers=mapping.eliminated_layers,
                coverage=_coverage(network, mapping, latency_s, generic, outside),
            )
        return estimates

    def estimate_latencies(self, networks: Sequence[Network], *, model: str = "mixed") -> NDArray[np.float64]:
        """Seconds for each network, shape (n_networks,): the numbers that `estimate` gives one by one.

        Raises
        ------
        UsageError
            For an unknown model.
        """
        _require_model(model)
        table = self._table(networks)
        return _sum_by_network(table, self.layer_models.predict_s(table, model))

    def estimate_energies(self, networks: Sequence[Network], *, model: str = "mixed") -> NDArray[np.float64]:
        """Joules for each network, shape (n_networks,): the numbers that `estimate` gives one by one.

        Raises
        ------
        UsageError
            For an unknown model, and for a platform that was trained without energy.
        """
        _require_model(model)
        if self.energy_models is None:
            raise UsageError(f"platform {self.name!r}: trained on measurements without energy, predicts none")
        table = self._table(networks)
        return _sum_by_network(table, self.energy_models.predict_j(table, model))

    def _table(self, networks: Sequence[Network]) -> KernelTable:
        items = [(network, self.mapping_model.predict(network)) for network in networks]
        return build_kernel_table(items, self.device)

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


def _require_model(model: str) -> None:
    if model not in MODEL_NAMES:
        raise UsageError(f"layer model {model!r}: not known, expected one of {', '.join(MODEL_NAMES)}")


def _sum_by_network(table: KernelTable, per_kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.bincount(table.network_index, weights=per_kernel, minlength=table.n_networks)
    return np.asarray(sums, dtype=np.float64)


def _kernels(
    network: Network,
    mapping: Mapping,
    latency_s: NDArray[np.float64],
    energy_j: NDArray[np.float64] | None,
    bounds: Sequence[str],
    generic: NDArray[np.bool_],
    outside: NDArray[np.bool_],
) -> tuple[KernelEstimate, ...]:
    joules = [None] * len(latency_s) if energy_j is None else energy_j.tolist()
    flags = (generic.tolist(), outside.tolist())
    rows = zip(mapping.kernels, latency_s.tolist(), joules, bounds, *flags, strict=True)
    return tuple(
        KernelEstimate(
            name=kernel.name,
            family=_family(network, kernel),
            layers=kernel.layers,
            unit=kernel.unit,
            latency_s=seconds,
            energy_j=energy,
            bound=bound,
            is_generic=is_generic,
            is_out_of_range=is_outside,
        )
        for kernel, seconds, energy, bound, is_generic, is_outside in rows
    )


def _family(network: Network, kernel: Kernel) -> str:
    return "move" if kernel.is_move else layer_family(network, network.layer(kernel.primary))


def _coverage(
    network: Network,
    mapping: Mapping,
    latency_s: NDArray[np.float64],
    generic: NDArray[np.bool_],
    outside: NDArray[np.bool_],
) -> Coverage:
    total = float(latency_s.sum())
    shares = [float(latency_s[mask].sum()) / total if total > 0 else 0.0 for mask in (generic, outside)]
    kernels = (kernel for kernel, is_generic in zip(mapping.kernels, generic, strict=True) if is_generic)
    operators = {
        f"move {kernel.unit}" if kernel.is_move else operator_key(network.layer(kernel.primary))
        for kernel in kernels
    }
    return Coverage(
        modelled_fraction=max(0.0, 1.0 - shares[0]),
        generic_fraction=min(1.0, shares[0]),
        out_of_range_fraction=min(1.0, shares[1]),
        generic_operators=tuple(sorted(operators)),
    )
