"""Which micro-kernels to measure next: those that narrow a platform's intervals most, cut out of networks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annette.benchmark.cuttings import cut_layers, vary_sizes
from annette.benchmark.mosaics import Limits, NetworkSizes
from annette.benchmark.networks import THEMES, network_tasks
from annette.benchmark.suggested import KIND, SuggestedTasks
from annette.errors import ModelError, UsageError
from annette.estimation.bounds import require_spread
from annette.estimation.network_estimates import require_model
from annette.estimation.platform import Platform
from annette.evaluation.information import KernelErrors, TargetErrors, choose_measurements, novelty
from annette.graph.mapping import Kernel, Mapping
from annette.graph.network import Network
from annette.models.intervals import ErrorSpread
from annette.models.kernel_table import COLUMNS, KernelTable, build_kernel_table, concatenate_tables
from annette.models.training import training_data
from annette.store.campaign import CampaignStore
from annette.store.records import SUGGESTED, SUGGESTED_FOR, Task
from annette.zoo.spaces.space import SearchSpace

__all__ = ["SuggestedKernel", "Suggestion", "space_targets", "suggest_kernels", "typical_targets"]

Floats = NDArray[np.float64]

SPACE_SAMPLE = 48
"""Architectures that stand for a search space."""
_PER_THEME = 2
_FRAME = NetworkSizes(kernels=50, least_weight_elements=200_000, least_macs=20_000_000)
_LIMITS = Limits(macs=4_000_000_000, activation_elements=12_000_000, weight_elements=40_000_000)
_LEAST_BASES, _MOST_BASES = 40, 400
"""Kernels that are cut out: those with the greatest share of the networks' variance."""
_VARIANTS = 2
"""Kernels of other sizes beside each, at least."""
_SPARE = 1.5
"""So many candidates for each that is wanted, at least."""
_MOST_VARIANTS = 40
_MOST_NEIGHBOURS = 4
_ID_DIGITS = 12
"""Of `Network.id`: so many tell networks apart."""
_MOST_TARGETS = 1000
"""Each task names them all."""
_OF_THE_NETWORK = frozenset({"network_bytes", "near_bytes", "far_bytes", "recent_bytes"})
_OWN_COLUMNS = [place for place, name in enumerate(COLUMNS) if name not in _OF_THE_NETWORK]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestedKernel:
    """One micro-kernel to measure."""

    task: Task
    """For a campaign."""
    family: str
    """Family key of its main kernel."""
    source: str
    """The network and the layer that it was cut out of, as ``NETWORK: LAYER``."""
    is_varied: bool
    """Whether its sizes are others than in that network."""
    latency_s: float
    """Predicted seconds."""
    half_width: float
    """Expected median half-width of the networks' 90 % intervals, as a fraction, once this one and those
    before it are measured and the platform is trained again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What to measure, the most telling first, and what is expected of it."""

    platform: str
    device: str
    model: str
    """The layer model whose intervals are to be narrowed."""
    targets: tuple[str, ...]
    """Names of the networks, or what stands for them."""
    seed: int
    half_width: float
    """Median half-width of the networks' 90 % intervals now, as a fraction."""
    kernels: tuple[SuggestedKernel, ...]
    not_cut: int
    """Kernels among those with the greatest share of the variance that cannot stand alone."""

    def to_tasks(self) -> SuggestedTasks:
        """The content of the file that `annette benchmark` measures."""
        origin: dict[str, Any] = {
            "platform": self.platform,
            "device": self.device,
            "model": self.model,
            "targets": list(self.targets),
            "half_width_fraction": self.half_width,
            "expected_half_width_fraction": self.kernels[-1].half_width if self.kernels else self.half_width,
        }
        return SuggestedTasks(
            tasks=tuple(item.task for item in self.kernels), seed=self.seed, origin=MappingProxyType(origin)
        )


def typical_targets(*, seed: int) -> tuple[Network, ...]:
    """Random networks of every theme of annette's benchmarks: they stand for networks in general."""
    counts = [("float32", theme, _PER_THEME) for theme in THEMES]
    found = network_tasks(counts, _FRAME, _LIMITS, seed=seed, stream="suggest")
    return tuple(task.network for task in found)


def space_targets(space: SearchSpace, *, seed: int, count: int = SPACE_SAMPLE) -> tuple[Network, ...]:
    """Random architectures that stand for a search space."""
    rows = np.unique(space.sample(count, seed=seed), axis=0)
    return tuple(space.network(row, name=f"{space.name}/{place}") for place, row in enumerate(rows))


def suggest_kernels(
    platform: Platform,
    networks: Sequence[Network],
    count: int,
    *,
    model: str = "mixed",
    seed: int = 0,
    store: CampaignStore | None = None,
    targets: Sequence[str] | None = None,
) -> Suggestion:
    """The micro-kernels to measure next, so that the intervals of networks get narrower; a pure function.

    Candidates are the kernels with the greatest share of the networks' variance, cut out as networks of their
    own, and kernels of other sizes near them. `choose_measurements` chooses among them.

    Parameters
    ----------
    platform : Platform
        Trained with intervals.
    networks : sequence of Network
        Whose intervals are to be narrowed, all with the same weight. Their kernels are measured and learned
        from: they are no longer unseen, and a platform must not be judged by them afterwards.
    count : int
        How many, >= 1.
    model : str
        The layer model whose intervals count.
    seed : int
        Of the other sizes.
    store : CampaignStore, optional
        The campaign that the platform was trained on: what it has is not suggested again, and kernels far
        from what it has count as more uncertain.
    targets : sequence of str, optional
        What the networks are called; their names by default.

    Raises
    ------
    UsageError
        If the platform has no intervals of that model, no network has kernels, or fewer candidates are found
        than are wanted.
    """
    require_model(model)
    if len(networks) > _MOST_TARGETS:
        raise UsageError(f"suggest: {len(networks)} networks, expected at most {_MOST_TARGETS}")
    if count < 1:
        raise UsageError(f"suggest: {count} micro-kernels asked for, expected 1 or more")
    spread = require_spread(platform, model)
    known = _Known(platform, model, spread, store)
    aims = _aims(known, networks)
    taken = set() if store is None else {task.network.id for task in store.tasks()}
    candidates, not_cut = _candidates(known, aims, networks, count, taken, seed)
    if len(candidates) < count:
        raise UsageError(
            f"suggest: {count} micro-kernels asked for, found {len(candidates)} that can be measured by "
            "themselves and are not measured yet; ask for fewer, or name more networks"
        )
    table = concatenate_tables([item.row for item in candidates])
    errors, latency_s = known.errors(table), known.latency_s(table)
    expected = TargetErrors.of([(aim.errors, aim.share) for aim in aims], errors, spread)
    chosen, left = choose_measurements(expected, errors.covariance(errors, spread), count)
    now = np.array([aim.spread for aim in aims])
    named = " ".join(dict.fromkeys(network.id[:_ID_DIGITS] for network in networks))
    kernels = tuple(
        SuggestedKernel(
            task=candidates[place].task(platform.name, named),
            family=candidates[place].family,
            source=candidates[place].source,
            is_varied=candidates[place].is_varied,
            latency_s=float(latency_s[place]),
            half_width=_half_width(spread, now * left[number]),
        )
        for number, place in enumerate(chosen)
    )
    return Suggestion(
        platform=platform.name,
        device=platform.device.name,
        model=model,
        targets=tuple(targets if targets is not None else (network.name for network in networks)),
        seed=seed,
        half_width=_half_width(spread, now),
        kernels=kernels,
        not_cut=not_cut,
    )


class _Known:
    """What a platform, and the campaign behind it, know of kernels."""

    def __init__(
        self, platform: Platform, model: str, spread: ErrorSpread, store: CampaignStore | None
    ) -> None:
        self.platform, self.model, self.spread = platform, model, spread
        self._codes: dict[str, int] = {}
        self._measured: KernelErrors | None = None
        if store is not None:
            try:
                measured = training_data(store.records(), store.device).table
            except ModelError:
                return  # nothing measured yet
            self._measured = KernelErrors.of(measured, np.ones(len(measured)), self._code)

    def _code(self, family: str) -> int:
        return self._codes.setdefault(family, len(self._codes))

    def latency_s(self, table: KernelTable) -> Floats:
        """Predicted seconds of each kernel."""
        return self.platform.layer_models.predict_s(table, self.model)

    def errors(self, table: KernelTable) -> KernelErrors:
        """How uncertain each kernel is."""
        models = self.platform.layer_models
        found = self.spread.kernel_spread(table, self.latency_s(table), models)
        errors = KernelErrors.of(table, found, self._code)
        if self._measured is None:
            return errors
        return KernelErrors(
            spread=found * novelty(errors, self._measured),
            family=errors.family,
            operator=errors.operator,
            place=errors.place,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Aim:
    """A network with its kernels, equal ones counted once."""

    number: int
    """Of the network."""
    mapping: Mapping
    kernels: tuple[Kernel, ...]
    """One of each kind."""
    table: KernelTable
    errors: KernelErrors
    share: Floats
    """Of the network's latency, those of equal kernels together."""
    spread: float
    """Of the network, as its interval has it."""


def _aims(known: _Known, networks: Sequence[Network]) -> list[_Aim]:
    found = []
    for number, network in enumerate(networks):
        mapping = known.platform.mapping_model.predict(network)
        table = build_kernel_table([(network, mapping)], known.platform.device)
        if not len(table):
            continue
        latency_s = known.latency_s(table)
        doubt_s = latency_s * known.spread.kernel_spread(table, latency_s, known.platform.layer_models)
        whole = known.spread.network_spread(
            np.array([latency_s.sum()]), table.sums_by_family(doubt_s), np.array([(doubt_s**2).sum()])
        )
        keys = np.column_stack([table.values[:, _OWN_COLUMNS], table.family_index])
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        kinds = table.take(first)
        found.append(
            _Aim(
                number=number,
                mapping=mapping,
                kernels=tuple(mapping.kernels[place] for place in first),
                table=kinds,
                errors=known.errors(kinds),
                share=np.bincount(inverse.ravel(), latency_s) / latency_s.sum(),
                spread=float(whole[0]),
            )
        )
    if not found:
        raise UsageError("suggest: the networks have no kernels on this platform; name others")
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A network that could be measured."""

    network: Network
    row: KernelTable
    """Its main kernel."""
    family: str
    source: str
    group: str
    is_varied: bool

    def task(self, platform: str, targets: str) -> Task:
        """The task of it, suggested by a platform for networks."""
        return Task(
            network=self.network,
            category="micro-kernel" if len(self.network.layers) == 1 else "block",
            group=self.group,
            tags=(
                ("kind", KIND),
                (SUGGESTED, platform),
                ("family", self.family),
                ("source", self.source[:200]),
                (SUGGESTED_FOR, targets),
            ),
        )


def _candidates(
    known: _Known, aims: Sequence[_Aim], networks: Sequence[Network], count: int, taken: set[str], seed: int
) -> tuple[list[_Candidate], int]:
    """Kernels cut out of the networks, and others near each, none twice; and how many could not be cut."""
    bases = _bases(aims, known.spread)[: min(max(2 * count, _LEAST_BASES), _MOST_BASES)]
    variants = min(max(_VARIANTS, math.ceil(_SPARE * count / len(bases))), _MOST_VARIANTS)
    alone = _tells_no_kernels(known.platform)
    found: list[_Candidate] = []
    seen, not_cut = set(taken), 0
    for place, (aim, row) in enumerate(bases):
        network, kernel = networks[aim.number], aim.kernels[row]
        family = aim.table.families[row]
        names = {kernel.primary} if alone else _with_neighbours(network, aim.mapping, kernel)
        base = cut_layers(network, _with_vanished(network, aim.mapping, names), name=f"{KIND}/{place}/0")
        if base is None:
            not_cut += 1
            continue
        rng = np.random.default_rng((seed, place))
        near = (vary_sizes(base, rng, name=f"{KIND}/{place}/{step}") for step in range(1, variants + 1))
        for item in (base, *near):
            if item is None or item.id in seen:
                continue
            seen.add(item.id)
            main = _main_kernel(known, item, family)
            if main is not None:
                source = f"{network.name}: {kernel.primary}"
                group = f"{KIND}/{int(base.id[:12], 16)}"  # the same in every suggestion
                found.append(_Candidate(item, main, family, source, group, item is not base))
    return found, not_cut


def _bases(aims: Sequence[_Aim], spread: ErrorSpread) -> list[tuple[_Aim, int]]:
    """The kernels of all networks, each kind once, the greatest share of the variance first; moves of tensors
    have no layers and are left out."""
    shares: dict[bytes, float] = {}
    places: dict[bytes, tuple[_Aim, int]] = {}
    for aim in aims:
        doubt = aim.errors.covariance(aim.errors, spread) @ aim.share
        variance = float(aim.share @ doubt) or 1.0
        for row, kernel in enumerate(aim.kernels):
            if not kernel.layers:
                continue
            key = aim.table.values[row, _OWN_COLUMNS].tobytes() + aim.table.families[row].encode()
            shares[key] = shares.get(key, 0.0) + float(aim.share[row] * doubt[row]) / variance
            places.setdefault(key, (aim, row))
    return [places[key] for key in sorted(shares, key=lambda key: (-shares[key], key))]


def _tells_no_kernels(platform: Platform) -> bool:
    """Whether the platform's campaign held no kernels of networks of several layers: then only the time of
    single layers can be learned from."""
    mapping = platform.metrics.get("mapping")
    return isinstance(mapping, dict) and mapping.get("kernels") == 0


def _with_neighbours(network: Network, mapping: Mapping, kernel: Kernel) -> set[str]:
    """The layers of the kernel, of those that read what it writes, and of those that write what it reads.

    In their company the device shows whether it merges what the platform expects; and each of them is a
    kernel more.
    """
    owner = {name: item for item in mapping.kernels for name in item.layers}
    found = set(kernel.layers)
    count = 0
    for step in (network.successors, network.predecessors):
        pending, seen = [network.layer(name) for name in kernel.layers], set(kernel.layers)
        while pending:
            for layer in step(pending.pop(0)):
                if layer.name in seen:
                    continue
                seen.add(layer.name)
                other = owner.get(layer.name)
                if other is None:  # vanishes: what lies behind it is the neighbour
                    pending.append(layer)
                elif not found.issuperset(other.layers) and count < _MOST_NEIGHBOURS:
                    count += 1
                    found.update(other.layers)
    return found


def _with_vanished(network: Network, mapping: Mapping, layers: Iterable[str]) -> list[str]:
    """These layers, and those that vanish between them, such as a folded normalisation."""
    names, gone = set(layers), set(mapping.eliminated_layers)
    pending = [network.layer(name) for name in sorted(names)]
    while pending:
        layer = pending.pop()
        for before in network.predecessors(layer):
            if (
                before.name in gone
                and before.name not in names
                and _leads_to(network, before.name, names, gone)
            ):
                names.add(before.name)
                pending.append(before)
    return [layer.name for layer in network.layers if layer.name in names]


def _leads_to(network: Network, name: str, names: Iterable[str], gone: set[str]) -> bool:
    """Whether a vanished layer reads, through vanished ones, what one of these layers writes."""
    own, pending, seen = set(names), [network.layer(name)], {name}
    while pending:
        for before in network.predecessors(pending.pop()):
            if before.name in own:
                return True
            if before.name in gone and before.name not in seen:
                seen.add(before.name)
                pending.append(before)
    return False


def _main_kernel(known: _Known, network: Network, family: str) -> KernelTable | None:
    """The longest kernel of that family that the network is expected to have; ``None``: it has none."""
    mapping = known.platform.mapping_model.predict(network)
    table = build_kernel_table([(network, mapping)], known.platform.device)
    rows = table.rows_of(family)
    if not len(rows):
        return None
    return table.take(rows[[int(known.latency_s(table)[rows].argmax())]])


def _half_width(spread: ErrorSpread, spreads: Floats) -> float:
    """The median half-width of the networks' intervals over their latencies."""
    low, high = spread.network_factors(spreads)
    return float(statistics.median((high - low) / 2.0))
