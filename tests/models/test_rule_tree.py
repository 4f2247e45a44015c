"""Small decision trees: exact on deterministic rules, in the order of preference, with thresholds mid-gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from annette.errors import ModelError
from annette.models.rule_text import tree_from_json, tree_rules, tree_to_json
from annette.models.rule_tree import (
    Leaf,
    Node,
    Sample,
    decide_sample,
    fit_tree,
)


def _samples(number: int, seed: int = 0) -> list[Sample]:
    rng = np.random.default_rng(seed)
    words = ("Conv", "Add", "MaxPool")
    return [
        {
            "size": float(rng.integers(1, 200)),
            "stride": float(rng.integers(1, 4)),
            "kernel": frozenset(word for word in words if rng.random() < 0.5),
        }
        for _ in range(number)
    ]


def _groups(samples: list[Sample]) -> list[str]:
    return [str(number) for number in range(len(samples))]


@settings(max_examples=20, deadline=None)
@given(
    limit=st.integers(20, 180), word=st.sampled_from(["Conv", "Add", "MaxPool"]), seed=st.integers(0, 1000)
)
def test_a_rule_of_two_conditions_is_recovered(limit: int, word: str, seed: int) -> None:
    def label(sample: Sample) -> str:
        kernel, size = sample["kernel"], sample["size"]
        assert isinstance(kernel, frozenset)
        assert isinstance(size, float)
        return "yes" if word in kernel and size <= limit else "no"

    samples = _samples(300, seed)
    tree = fit_tree(
        samples, [label(item) for item in samples], _groups(samples), features=("kernel", "size", "stride")
    )
    fresh = _samples(300, seed + 5000)
    wrong = [item for item in fresh if decide_sample(tree, item).label != label(item)]
    assert all(abs(float(item["size"]) - limit) < 20 for item in wrong)  # type: ignore[arg-type]
    assert len(wrong) <= 12


def test_of_two_equal_conditions_the_preferred_wins() -> None:
    samples: list[Sample] = [{"a": float(n % 2), "b": float(n % 2)} for n in range(40)]
    labels = ["odd" if n % 2 else "even" for n in range(40)]
    for order in (("a", "b"), ("b", "a")):
        tree = fit_tree(samples, labels, _groups(samples), features=order)
        assert isinstance(tree, Node)
        assert tree.feature == order[0]


def test_noise_alone_gives_the_majority() -> None:
    samples = _samples(200)
    rng = np.random.default_rng(1)
    labels = ["rare" if rng.random() < 0.1 else "common" for _ in samples]
    tree = fit_tree(samples, labels, _groups(samples), features=("size", "stride"))
    assert decide_sample(tree, samples[0]).label == "common"
    assert len(tree_rules(tree, "rare")) == 0


def test_a_threshold_ignores_observations_that_do_not_need_it() -> None:
    """Only 106 (merged) and 128 (apart) touch at stride 2; 107 at stride 3 must not narrow the gap."""
    samples: list[Sample] = []
    labels = []
    for size in (*range(10, 107, 4), *range(128, 230, 4)):
        samples.append({"stride": 2.0, "size": float(size)})
        labels.append("merged" if size <= 106 else "apart")
    for size in range(11, 230, 4):
        samples.append({"stride": 3.0, "size": float(size)})
        labels.append("apart")
    for order in (("size", "stride"), ("stride", "size")):
        tree = fit_tree(samples, labels, _groups(samples), features=order)
        assert decide_sample(tree, {"stride": 2.0, "size": 112.0}).label == "merged"
        assert decide_sample(tree, {"stride": 2.0, "size": 122.0}).label == "apart"


def test_a_rule_is_found_behind_a_first_condition_that_gains_less() -> None:
    """Vanishes if no producer is on the host and no network input is read; the producers' names mislead."""
    rng = np.random.default_rng(0)
    samples: list[Sample] = []
    for _ in range(75):
        host, reads = bool(rng.random() < 0.5), bool(rng.random() < 0.4)
        device = ("Conv", "Conv", "MaxPool", "Concat")[rng.integers(4)]
        names = {device} | ({("Resize", "Slice", "Elu")[rng.integers(3)]} if host else set())
        units = frozenset({"host", "array"} if host else {"array"})
        samples.append({"names": frozenset(names), "units": units, "reads": float(reads)})
    labels = ["stays" if item["reads"] or "host" in item["units"] else "goes" for item in samples]  # type: ignore[operator]
    tree = fit_tree(samples, labels, _groups(samples), features=("names", "reads", "units"))
    assert [rule for rule, _ in tree_rules(tree, "goes")] in (
        ["not reads and units lacks host"],
        ["units lacks host and not reads"],
    )


def test_the_same_observations_give_the_same_tree() -> None:
    samples = _samples(100)
    labels = [str(len(item["kernel"])) for item in samples]  # type: ignore[arg-type]
    trees = [fit_tree(samples, labels, _groups(samples), features=("kernel", "size")) for _ in range(2)]
    assert trees[0] == trees[1]


def test_json_keeps_a_tree() -> None:
    samples = _samples(100)
    labels = ["big" if float(item["size"]) > 50 else "small" for item in samples]  # type: ignore[arg-type]
    tree = fit_tree(samples, labels, _groups(samples), features=("size", "kernel"))
    assert tree_from_json(tree_to_json(tree), "here", ("size", "kernel")) == tree
    with pytest.raises(ModelError, match="here: node on 'size'"):
        tree_from_json(tree_to_json(tree), "here", ("other",))


def test_a_feature_that_a_sample_lacks_counts_as_nothing() -> None:
    tree = Node("kernel", 0.0, "Add", Leaf((("yes", 1),)), Leaf((("no", 1),)))
    assert decide_sample(tree, {}).label == "no"


def test_no_observations_are_an_error() -> None:
    with pytest.raises(ModelError, match="no observations"):
        fit_tree([], [], [], features=())


@pytest.mark.parametrize("seed", range(6))
def test_answers_on_new_observations_are_as_good_as_those_of_scikit_learn(seed: int) -> None:
    """Rules of three conditions on sizes among six features, of which three say nothing."""
    rng = np.random.default_rng(seed)
    sizes = np.round(2 ** rng.uniform(0, 9, (1200, 6)))
    limits = 2 ** rng.uniform(2, 7, 3)
    truth = (sizes[:, 0] <= limits[0]) & ((sizes[:, 1] > limits[1]) | (sizes[:, 2] <= limits[2]))
    labels = ["merged" if answer else "apart" for answer in truth]
    names = tuple(f"f{number}" for number in range(6))
    samples = [dict(zip(names, map(float, row), strict=True)) for row in sizes]
    groups = [str(number % 40) for number in range(400)]
    tree = fit_tree(samples[:400], labels[:400], groups, features=names)
    ours = np.mean([decide_sample(tree, sample).label == label for sample, label in
                    zip(samples[400:], labels[400:], strict=True)])  # fmt: skip
    peer = DecisionTreeClassifier(max_depth=8, random_state=0).fit(sizes[:400], labels[:400])
    assert ours >= peer.score(sizes[400:], labels[400:]) - 0.01
