"""The walk over arrays takes the decisions of the walk over one network, whatever the rules say."""

from __future__ import annotations

import importlib.util
import random
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from annette.estimation.catalogue import load_platform
from annette.estimation.population.contents import map_population
from annette.estimation.population.errors import NotVectorisedError
from annette.estimation.population.layers import assemble
from annette.estimation.population.prices import KernelPrices
from annette.estimation.population.templates import Templates
from annette.models.kernel_table import build_kernel_table
from annette.models.mapping_model import MappingModel
from annette.models.mapping_rules import MERGED, VANISHES
from annette.models.rule_tree import Leaf, Node, Tree
from annette.zoo.spaces.registry import open_space
from annette.zoo.spaces.space import SearchSpace

OPERATORS = (
    "Conv", "Add", "Relu", "BatchNormalization", "Concat", "MaxPool", "Flatten", "AveragePool", "Slice",
)  # fmt: skip
NUMBERS = (
    "producer_readers", "producer_is_output", "readers", "is_output", "is_latest", "only_from_kernel",
    "other_is_input", "is_direct", "joined_sources", "kernel_layers", "kernel_h", "out_w",
    "channel_alignment", "operands_agree", "primary.kernel_h", "edge_keeps_shape", "edge_elements",
    "producer_agrees", "is_latest_kernel",
)  # fmt: skip
WORDS = (
    "kernel", "others", "other_kernels", "producers", "producer_kernels", "next", "producer", "layer",
    "direct_producers", "siblings", "earlier_unshared",
)  # fmt: skip
UNITS = ("array", "vector", "host")
UNIT_WORDS = ("unit", "other_units", "producer_units")
VANISH_NUMBERS = (
    "reads_input", "readers", "is_output", "channel_alignment", "operand_count", "keeps_shape",
    "source_count", "shared_operand", "reads_twice",
)  # fmt: skip
VANISH_WORDS = ("producer_content", "only_next", "only_producer_kernels", "producers", "direct_producers")
PLACEMENT_NUMBERS = ("kernel_h", "out_w", "readers", "is_output", "operands_agree")
MODELS = 20


def _tree(
    rng: random.Random,
    labels: tuple[str, str],
    numbers: tuple[str, ...],
    words: tuple[str, ...] = (),
    depth: int = 3,
) -> Tree:
    if depth == 0 or rng.random() < 0.35:
        counts = [(label, rng.randint(0, 9)) for label in labels]
        known = [(label, count) for label, count in counts if count] or [(labels[0], 1)]
        return Leaf(tuple(sorted(known, key=lambda item: -item[1])))
    kind = rng.random() if words else 1.0
    if kind < 0.35:
        condition = rng.choice(words), 0.0, rng.choice(OPERATORS)
    elif kind < 0.5:
        condition = rng.choice(UNIT_WORDS if words is WORDS else UNIT_WORDS[2:]), 0.0, rng.choice(UNITS)
    else:
        condition = rng.choice(numbers), rng.choice((0.0, 1.0, 2.0, 3.0, 16.0, 300.0)), None
    holds, fails = (_tree(rng, labels, numbers, words, depth - 1) for _ in range(2))
    return Node(*condition, holds, fails)


def _by_inputs(rng: random.Random, tree: Tree) -> Tree:
    """Sometimes a tree that asks for the units of kernels before, of some layers only."""
    if rng.random() < 0.8:
        return tree
    asking = Node("input_units", 0.0, rng.choice(UNITS), tree, Leaf((("host", 4),)))
    return Node(rng.choice(PLACEMENT_NUMBERS), rng.choice((1.0, 3.0, 16.0)), None, tree, asking)


def _model(rng: random.Random) -> MappingModel:
    """Rules that no compiler would have."""

    def pair() -> tuple[str, str]:
        return rng.choice(OPERATORS), rng.choice(OPERATORS)

    vanishing = [name for name in ("Concat", "Flatten", "Relu", "Add") if rng.random() < 0.4]
    return MappingModel(
        vanish={(name,): _tree(rng, (VANISHES, "stays"), VANISH_NUMBERS, VANISH_WORDS) for name in vanishing},
        merge={pair(): _tree(rng, (MERGED, "apart"), NUMBERS, WORDS) for _ in range(rng.randint(0, 30))},
        placement={
            (rng.choice(OPERATORS),): _by_inputs(rng, _tree(rng, ("array", "host"), PLACEMENT_NUMBERS))
            for _ in range(rng.randint(0, 4))
        },
        primaries={},
        producers={pair(): frozenset(rng.sample(OPERATORS, 3)) for _ in range(rng.randint(0, 3))},
        transparent=frozenset(("Flatten", "Relu")[: rng.randint(0, 2)]),
        joins=frozenset(),
        default_unit="vector",
    )


def _example_space() -> ModuleType:
    path = Path(__file__).parents[2] / "zoo" / "spaces" / "example_space.py"
    spec = importlib.util.spec_from_file_location("example_space", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SPACES: dict[str, SearchSpace] = {
    "staged": _example_space().StagedNetworks(),
    "nasbench101": open_space("nasbench101"),
    "nasbench201": open_space("nasbench201,dead_code=true"),
}


@pytest.mark.parametrize("name", SPACES)
def test_arrays_hold_the_kernels_that_the_walk_finds(name: str) -> None:
    space, device = SPACES[name], load_platform("zcu102-dpu").device
    compared = 0
    for seed in range(MODELS):
        model, rows = _model(random.Random(seed)), space.sample(2, seed=seed)
        templates = Templates(space)
        try:
            kernels = map_population(assemble(space.pieces(rows), templates), templates.signatures, model)
        except NotVectorisedError:
            continue  # networks are built instead
        prices = KernelPrices(device)
        numbers = prices.numbers(kernels)
        for place, row in enumerate(rows.tolist()):
            network = space.network(row)
            table = build_kernel_table([(network, model.predict(network))], device)
            expected = Counter(zip(table.families, map(tuple, table.values.tolist()), strict=True))
            own = numbers[kernels.network == place]
            found = zip(prices.bank.families(own), map(tuple, prices.bank.rows(own).tolist()), strict=True)
            assert Counter(found) == expected, f"seed {seed}, architecture {row}"
            compared += 1
    assert compared > MODELS
