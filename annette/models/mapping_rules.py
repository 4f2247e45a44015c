"""Turns observed mappings into decisions, and decisions into rules by operator and by family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from types import MappingProxyType

from annette.graph.mapping import Mapping
from annette.graph.network import Network
from annette.graph.operators import operator_key
from annette.models.mapping_features import (
    FEATURES,
    MERGE_FEATURES,
    PLACEMENT_FEATURES,
    VANISH_FEATURES,
    sample_of,
)
from annette.models.mapping_moves import MoveKey, ObservedEdge, fit_moves, observe_edges
from annette.models.mapping_walk import GraphView, Site, UnitOf, Walk
from annette.models.rule_tree import Leaf, Sample, Tree, decide, features_of, fit_tree, leaf_of

__all__ = [
    "APART",
    "MERGED",
    "RULE_FEATURES",
    "STAYS",
    "VANISHES",
    "Key",
    "Observation",
    "fit_rules",
    "growing_unit",
    "joining_operators",
    "learn_moves",
    "look_up",
    "majority",
    "merge_keys",
    "own_keys",
    "replay",
    "seen_producers",
    "transparent_operators",
    "uniting_pairs",
]

MERGED, APART = "merged", "apart"
VANISHES, STAYS = "vanishes", "stays"

Key = tuple[str, ...]
"""Operators, or ``family:NAME`` where a rule stands for a family."""

MIN_EVIDENCE = 3
"""Operators (or pairs) seen less often than this are decided with their family's observations."""
MAX_FAMILY_SAMPLES = 2000
"""Family rules are a fall-back; more observations than this only cost time."""

RULE_FEATURES = MappingProxyType(
    {"vanish": VANISH_FEATURES, "merge": MERGE_FEATURES, "placement": PLACEMENT_FEATURES}
)
"""The features that rules of each kind may look at; others need what that decision does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One network, what the device made of it, and the group that it belongs to in cross-validation."""

    network: Network
    mapping: Mapping
    group: str


@dataclass(slots=True)
class _Decisions:
    """All decisions under one key."""

    labels: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


Visit = Callable[[str, Site, str], None]


def own_keys(site: Site) -> tuple[Key, ...]:
    """Keys of a decision about one layer, most special first."""
    view = site.walk.view
    return ((view.op_types[site.layer],), (f"family:{view.rule_family(site.layer)}",))


def merge_keys(site: Site, anchor: int | None = None) -> tuple[Key, ...]:
    """Keys of a decision about a kernel and a layer, most special first.

    ``anchor`` is the layer that stands for the kernel; its primary by default.
    """
    view = site.walk.view
    anchor = site.walk.kernels[site.kernel].primary if anchor is None else anchor
    layer_op, layer_family = view.op_types[site.layer], f"family:{view.rule_family(site.layer)}"
    kernel_op, kernel_family = view.op_types[anchor], f"family:{view.rule_family(anchor)}"
    return (
        (kernel_op, layer_op),
        (kernel_op, layer_family),
        (kernel_family, layer_op),
        (kernel_family, layer_family),
    )


def transparent_operators(observations: Iterable[Observation]) -> frozenset[str]:
    """The operators that vanish at least every other time: asking who reads a layer looks through them."""
    seen: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    for observation in observations:
        vanished = set(observation.mapping.eliminated_layers)
        for layer in observation.network.layers:
            seen[operator_key(layer)] += 1
            gone[operator_key(layer)] += layer.name in vanished
    return frozenset(op for op, count in seen.items() if 2 * gone[op] >= count)


def joining_operators(observations: Iterable[Observation], transparent: frozenset[str]) -> frozenset[str]:
    """The operators seen to join a kernel that computes only a part of their operand.

    Behind a join that has vanished an operand comes from several kernels; what no device was seen to do is
    not to be expected.
    """
    found: set[str] = set()

    def visit(kind: str, site: Site, label: str) -> None:
        if kind == "merge" and label == MERGED and site.is_part:
            found.add(site.walk.view.op_types[site.layer])

    for observation in observations:
        view = GraphView(observation.network, transparent)
        replay(view, observation.mapping, frozenset(view.op_types), visit)
    return frozenset(found)


def uniting_pairs(
    observations: Iterable[Observation], transparent: frozenset[str], joins: frozenset[str]
) -> frozenset[Key]:
    """Kernels' primary and layers' operators where a layer was seen to unite several such kernels.

    A quantised addition does: its kernel begins with a dequantiser per operand.
    """
    found: set[Key] = set()
    for observation in observations:
        view = GraphView(observation.network, transparent)
        homes: dict[int, dict[int, Key]] = {}

        def visit(kind: str, site: Site, label: str, homes: dict[int, dict[int, Key]] = homes) -> None:
            if kind == "merge" and label == MERGED:
                homes.setdefault(site.layer, {})[site.kernel] = merge_keys(site)[0]

        replay(view, observation.mapping, joins, visit)
        found.update(key for keys in homes.values() if len(keys) > 1 for key in keys.values())
    return frozenset(found)


def seen_producers(
    observations: Iterable[Observation],
    transparent: frozenset[str],
    joins: frozenset[str],
    unites: frozenset[Key] = frozenset(),
) -> dict[Key, frozenset[str]]:
    """By primary and layer operator: the operators in the kernel that handed their output to the layer."""
    found: dict[Key, set[str]] = {}

    def visit(kind: str, site: Site, label: str) -> None:
        if kind == "merge":
            found.setdefault(merge_keys(site)[0], set()).add(site.walk.view.op_types[site.feeder])

    for observation in observations:
        view = GraphView(observation.network, transparent)
        replay(view, observation.mapping, joins, visit, unites=unites)
    return {key: frozenset(found[key]) for key in sorted(found)}


def fit_rules(
    observations: Sequence[Observation],
    transparent: frozenset[str],
    joins: frozenset[str],
    unites: frozenset[Key] = frozenset(),
) -> dict[str, dict[Key, Tree]]:
    """Rules by kind of decision (``vanish``, ``merge``, ``placement``) and key.

    While a kernel grows its unit is not known yet. Where units depend on what joins a kernel later, merges
    are learned with what the rules of placement make of kernels as they are by then.
    """
    tables: dict[str, dict[Key, _Decisions]] = {kind: {} for kind in RULE_FEATURES}

    families: dict[str, dict[Key, dict[Key, Counter[str]]]] = {kind: {} for kind in RULE_FEATURES}

    def count(kind: str, site: Site, label: str) -> None:
        keys = _keys(kind, site)
        for key in keys:
            tables[kind].setdefault(key, _Decisions()).labels.append(label)
            if key is not keys[0]:
                families[kind].setdefault(key, {}).setdefault(keys[0], Counter())[label] += 1

    views = [GraphView(observation.network, transparent) for observation in observations]
    for view, observation in zip(views, observations, strict=True):
        replay(view, observation.mapping, joins, count, unites=unites)
    pure: dict[str, dict[Key, Tree]] = {
        kind: {key: leaf_of(item.labels) for key, item in table.items() if len(set(item.labels)) == 1}
        for kind, table in tables.items()
    }
    mixed = {
        kind: {key: _Decisions() for key in table if key not in pure[kind]} for kind, table in tables.items()
    }
    group = ""

    def collect(kind: str, site: Site, label: str) -> None:
        wanted = [mixed[kind][key] for key in _keys(kind, site) if key in mixed.get(kind, ())]
        sample = sample_of(site, RULE_FEATURES[kind]) if wanted else {}
        for item in wanted:
            item.labels.append(label)
            item.groups.append(group)
            item.samples.append(sample)

    for view, observation in zip(views, observations, strict=True):
        group = observation.group
        replay(view, observation.mapping, joins, collect, unites=unites)
    placed = dict(pure["placement"])
    placed.update({key: _fit("placement", key, item) for key, item in mixed.pop("placement").items()})
    if any("kernel" in features_of(tree) for tree in placed.values()):
        mixed = {kind: {key: _Decisions() for key in table} for kind, table in mixed.items()}
        for view, observation in zip(views, observations, strict=True):
            group = observation.group
            growing = growing_unit(
                placed, replay(view, observation.mapping, joins, _look_away, unites=unites)
            )
            replay(view, observation.mapping, joins, collect, unites=unites, unit_of=growing)
    fitted: dict[str, dict[Key, Tree]] = {}
    for kind in RULE_FEATURES:
        trees: dict[Key, Tree] = dict(pure[kind] if kind in mixed else placed)
        trees.update({key: _fit(kind, key, item) for key, item in mixed.get(kind, {}).items()})
        labels = {key: item.labels for key, item in tables[kind].items()}
        split = _divided_families(families[kind]) if kind != "placement" else frozenset()
        if kind == "merge":
            split |= _lone_families(families[kind])
        fitted[kind] = {
            key: trees[key]
            for key in sorted(trees)
            if key not in split and (_is_family(key) or len(labels[key]) >= MIN_EVIDENCE)
        }
    return fitted


def look_up(table: MappingType[Key, Tree], keys: Sequence[Key], site: Site) -> Leaf | None:
    """What the rules of the first of these keys that has some say of a site."""
    tree = next((table[key] for key in keys if key in table), None)
    return None if tree is None else decide(tree, lambda name: FEATURES[name](site))


def growing_unit(placement: MappingType[Key, Tree], observed: Walk) -> UnitOf:
    """Where kernels of an observed walk run while they grow.

    That is their observed unit, unless the rules of placement expect another one of the kernel as it is by
    then than of the whole kernel: so what joins later does not show, nor do errors of the rules.
    """

    def expected(walk: Walk, kernel: int) -> str:
        site = Site(walk, walk.kernels[kernel].primary, kernel)
        leaf = look_up(placement, own_keys(site), site)
        return "" if leaf is None else leaf.label

    whole = {
        number: (expected(observed, number), observed.unit(number))
        for number, state in enumerate(observed.kernels)
        if state.layers
    }

    def unit_of(walk: Walk, kernel: int) -> str:
        at_last, unit = whole[observed.kernel_of[walk.kernels[kernel].layers[0]]]
        now = expected(walk, kernel)
        return unit if now == at_last else now

    return unit_of


def learn_moves(
    observations: Sequence[Observation],
    transparent: frozenset[str],
    joins: frozenset[str],
    unites: frozenset[Key],
) -> dict[MoveKey, Tree]:
    """The rules for moves of tensors; none where no device was seen to move any."""
    if not any(kernel.is_move for item in observations for kernel in item.mapping.kernels):
        return {}
    observed: list[ObservedEdge] = []
    for number, item in enumerate(observations):
        view = GraphView(item.network, transparent)
        walk = replay(view, item.mapping, joins, _look_away, unites=unites)
        observed.extend(observe_edges(walk, item.mapping.kernels, item.group, number))
    return fit_moves(observed)


def _look_away(kind: str, site: Site, label: str) -> None:
    """Nobody wants to know of this decision."""


def _keys(kind: str, site: Site) -> tuple[Key, ...]:
    return merge_keys(site) if kind == "merge" else own_keys(site)


def _is_family(key: Key) -> bool:
    return any(part.startswith("family:") for part in key)


def _divided_families(members: MappingType[Key, MappingType[Key, Counter[str]]]) -> frozenset[Key]:
    """The families whose operators do not agree: they say nothing about an operator never seen."""
    return frozenset(
        key
        for key, operators in members.items()
        if len({min(votes, key=lambda label: (-votes[label], label)) for votes in operators.values()}) > 1
    )


def _lone_families(members: MappingType[Key, MappingType[Key, Counter[str]]]) -> frozenset[Key]:
    """Pairs of families of which a single pair of operators was seen, mostly merged: no rule for others."""
    return frozenset(
        key
        for key, operators in members.items()
        if all(part.startswith("family:") for part in key)
        and len(operators) == 1
        and all(2 * votes[MERGED] > votes.total() for votes in operators.values())
    )


def _fit(kind: str, key: Key, item: _Decisions) -> Tree:
    step = -(-len(item.labels) // MAX_FAMILY_SAMPLES) if _is_family(key) else 1
    return fit_tree(
        item.samples[::step],
        item.labels[::step],
        item.groups[::step],
        features=RULE_FEATURES[kind],
        cross_validate=not _is_family(key),
    )


def replay(
    view: GraphView,
    mapping: Mapping,
    joins: Container[str],
    visit: Visit,
    *,
    unites: Container[Key] | None = None,
    unit_of: UnitOf | None = None,
) -> Walk:
    """Walk through a network as an observed mapping tells, and report each decision on the way.

    ``unites`` are the pairs of primary and layer that may unite kernels; any by default. ``unit_of`` tells
    units instead of the mapping.
    """
    truth = {name: number for number, kernel in enumerate(mapping.kernels) for name in kernel.layers}
    targets: list[int] = []
    if unit_of is None:
        walk = Walk(view, joins, lambda _, kernel: mapping.kernels[targets[kernel]].unit)
    else:
        walk = Walk(view, joins, unit_of, keeps_units=True)
    opened: dict[int, int] = {}
    for number, layer in enumerate(view.layers):
        target = truth.get(layer.name)
        visit("vanish", Site(walk, number), VANISHES if target is None else STAYS)
        if target is None:
            walk.vanish(number)
            continue
        home = opened.get(target, -1)
        sites = walk.sites(number)
        own = {home}
        parts = {site.kernel: site for site in sites if targets[site.kernel] == target}
        if len(parts) > 1:
            keys = {kernel: merge_keys(site)[0] for kernel, site in parts.items()}
            own |= {kernel for kernel, key in keys.items() if unites is None or key in unites}
        for site in sites:
            visit("merge", site, MERGED if site.kernel in own else APART)
        joined = sorted({site.kernel for site in sites} & own)
        if joined:
            kernel = opened[target] = walk.join_all(number, joined)
        else:
            kernel = opened[target] = walk.open(number)
            targets.append(target)
        if unit_of is not None:  # from the front, so that no question has to reach back far
            walk.unit(kernel)
    numbers = {layer.name: number for number, layer in enumerate(view.layers)}
    for target, item in enumerate(mapping.kernels):
        if not item.is_move:
            visit("placement", Site(walk, numbers[item.primary], opened[target]), item.unit)
    return walk


def majority(trees: Iterable[Tree], default: str) -> str:
    """The most frequent label over all leaves of the trees."""
    counts: Counter[str] = Counter()
    for tree in trees:
        pending = [tree]
        while pending:
            item = pending.pop()
            if isinstance(item, Leaf):
                counts.update(dict(item.counts))
            else:
                pending += (item.holds, item.fails)
    return min(counts, key=lambda label: (-counts[label], label)) if counts else default
