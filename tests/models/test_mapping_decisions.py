"""Decisions made ready are those of the plain rules, at every site."""

from __future__ import annotations

import pytest

from annette.estimation.catalogue import load_platform
from annette.models.mapping_decisions import MergeDecisions, OwnDecisions, decide_at, prune, ready
from annette.models.mapping_features import FEATURES, VANISH_FEATURES
from annette.models.mapping_rules import MERGED, STAYS, look_up, merge_keys, own_keys
from annette.models.mapping_walk import GraphView, Site, Walk
from annette.models.rule_tree import Leaf, Node, decide
from annette.zoo.nasbench101 import nasbench101_network
from annette.zoo.nasbench101_sampling import sample_cells
from annette.zoo.registry import zoo_network

NAMES = ("mobilenet_v3_small", "shufflenet_v2", "swin_tiny", "yolov3_tiny", "bert_mini")


@pytest.mark.parametrize("name", ["zcu102-dpu", "ncs2", "onnxruntime-epyc"])
def test_every_decision_is_that_of_the_rules(name: str) -> None:
    model = load_platform(name).mapping_model
    merging, vanishing = MergeDecisions(model.merge, model.producers), OwnDecisions(model.vanish, STAYS)
    networks = [*map(zoo_network, NAMES), *(nasbench101_network(cell) for cell in sample_cells(3, seed=2))]
    n_merges = 0
    for network in networks:
        view = GraphView(network, model.transparent)
        walk = Walk(view, model.joins, model._unit, keeps_units=model._places_by_units)
        mapping = model.predict(network)
        target = {layer: number for number, kernel in enumerate(mapping.kernels) for layer in kernel.layers}
        for number, layer in enumerate(view.layers):
            site = Site(walk, number)
            leaf = look_up(model.vanish, own_keys(site), site)
            assert vanishing.label(walk, number) == (STAYS if leaf is None else leaf.label)
            if layer.name not in target:
                walk.vanish(number)
                continue
            homes = []
            for site in walk.sites(number):
                n_merges += 1
                chance = merging.chance(walk, number, site.kernel, site.feeder, site.operand)
                assert chance == plain_chance(site, model.merge, model.producers)
                first = view.layers[walk.kernels[site.kernel].layers[0]].name
                homes += [site.kernel] if target[first] == target[layer.name] else []
            if homes:
                walk.join_all(number, list(dict.fromkeys(homes)))
            else:
                walk.open(number)
    assert n_merges > 500


def plain_chance(site: Site, rules, producers) -> float:  # type: ignore[no-untyped-def]
    """As the mapping model is described: by the primary, or by the feeder where that place is new."""
    keys = merge_keys(site)
    tree = rules.get(keys[0])
    if isinstance(tree, Leaf) and tree.fraction(MERGED) <= 0.5:
        return 0.0
    seen = producers.get(keys[0])
    if seen is not None and site.walk.view.op_types[site.feeder] not in seen:
        keys = merge_keys(site, site.feeder)
    leaf = look_up(rules, keys, site)
    return 0.0 if leaf is None else (leaf.fraction(MERGED) * leaf.total + 0.5) / (leaf.total + 1)


def test_pruning_leaves_the_answer_as_it_is() -> None:
    network = zoo_network("shufflenet_v2")
    view = GraphView(network, frozenset())
    walk = Walk(view, (), lambda *_: "array")
    for number in range(len(view.layers)):
        walk.open(number)
    yes, no = Leaf((("yes", 1),)), Leaf((("no", 1),))
    for feature in VANISH_FEATURES:
        for word, threshold in ((None, 1.0), (None, 30.0), ("Conv", 0.0), ("pool", 0.0)):
            inner = Node(feature, threshold, word, yes, no)
            tree = Node("readers", 1.0, None, inner, Node("rank_in", 3.0, None, no, inner))
            decision = ready(tree, lambda leaf: leaf.label)
            for number in range(0, len(view.layers), 7):
                site = Site(walk, number, number)
                expected = decide(tree, lambda name, site=site: FEATURES[name](site)).label  # type: ignore[misc]
                assert decide_at(decision, site) == decide_at(prune(decision, site), site) == expected
