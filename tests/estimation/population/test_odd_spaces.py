"""Spaces that nobody would draw: their populations too are told what their networks are."""

from __future__ import annotations

import random

import numpy as np
import pytest

from annette.estimation.catalogue import load_platform
from annette.estimation.platform import Platform
from annette.graph.builder import NetworkBuilder
from annette.zoo.spaces.space import UNUSED, Encodings, Pieces, SearchSpace

OPERATIONS = 17


def _operation(build: NetworkBuilder, x: str, code: int) -> str:
    """One of many ways to keep a tensor's shape, or nearly so."""
    channels = build.channels(x)
    ways = (
        lambda: x,
        lambda: build.relu(x),
        lambda: build.conv(x, channels, kernel=3, padding=1),
        lambda: build.relu(build.batch_norm(build.conv(x, channels))),
        lambda: build.add("Add", build.relu(x), x),
        lambda: build.add("Identity", x),
        lambda: build.max_pool(x, kernel=3, stride=1, padding=1),
        lambda: build.concat(x, build.conv(x, 8)),
        lambda: build.add("Add", x, x),
        lambda: build.depthwise_conv(x, kernel=3),
        lambda: build.transpose(x, (0, 1, 3, 2)),
        lambda: build.add("Mul", x, build.constant((1, channels, 1, 1))),
        lambda: build.activation(x, "HardSwish"),
        lambda: build.add("Add", build.conv(x, channels), build.conv(build.relu(x), channels)),
        # Layers without any activation, ends that nobody reads, and a view that turns heights and widths.
        lambda: build.add("Add", x, build.relu(build.constant((1, channels, 1, 1)))),
        lambda: (build.flatten(build.relu(x)), build.conv(x, channels))[1],
        lambda: build.reshape(x, (1, channels, build.shape(x)[3], build.shape(x)[2])),
    )
    return ways[code]()


class _Odd(SearchSpace):
    """Repetitions of a few pieces with random wiring, after a first piece and before a head."""

    name = "odd"

    def __init__(self, rng: random.Random, *, hints: bool) -> None:
        self._times, self._length = rng.randint(2, 6), rng.randint(1, 3)
        self._steps = [
            (rng.randint(1, self._length), rng.choice((0, rng.randint(1, self._length))))
            for _ in range(self._length)
        ]
        self._hints = hints
        self.choices = (OPERATIONS,) * (self._length + 1)

    def pieces(self, encodings: Encodings) -> Pieces:
        length, times = self._length, self._times
        first = encodings[:, -1:]
        codes = np.concatenate([0 * first, first, np.tile(encodings[:, :-1], (1, times)), 0 * first], axis=1)
        sources = np.full((*codes.shape, 2), UNUSED, dtype=np.int64)
        sources[:, 1, 0] = 0
        for place in range(2, 2 + times * length):
            one, two = self._steps[(place - 2) % length]
            sources[:, place, 0] = max(place - one, 1)
            if two:
                sources[:, place, 1] = max(place - two, 1)
        sources[:, -1, 0] = codes.shape[1] - 2
        kinds = ("input", "one", *["two" if two else "one" for _, two in self._steps] * times, "head")
        repeats = ((2, length, times),) if self._hints else ()
        return Pieces(kinds=kinds, codes=codes, sources=sources, repeats=repeats)

    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        if kind == "input":
            return build.input("image", (1, 16, 12, 16))
        if kind == "head":
            return build.conv(inputs[0], 24)
        if kind == "one":
            return _operation(build, inputs[0], code)
        x, y = inputs
        if build.shape(x) == build.shape(y):
            return build.add("Add", x, y)
        return _operation(build, x, code)


class _Nothing(SearchSpace):
    """Networks without any layer."""

    name = "nothing"
    choices = (20,)

    def pieces(self, encodings: Encodings) -> Pieces:
        return Pieces(
            kinds=("input",),
            codes=0 * encodings,
            sources=np.full((len(encodings), 1, 1), UNUSED, dtype=np.int64),
        )

    def build_piece(self, build: NetworkBuilder, kind: str, code: int, inputs: tuple[str, ...]) -> str:
        return build.input("image", (1, 3, 8, 8))


@pytest.fixture(scope="module", params=["zcu102-dpu", "ncs2"])
def platform(request: pytest.FixtureRequest) -> Platform:
    return load_platform(request.param)


def test_odd_networks_are_told_alike_one_by_one_and_as_a_population(platform: Platform) -> None:
    compared = 0
    for seed in range(24):
        rng = random.Random(seed)
        space = _Odd(rng, hints=rng.random() < 0.7)
        rows = space.sample(14, seed=seed)
        found = platform.estimate_space(space, rows)
        expected = [platform.estimate(space.network(row)).latency_s for row in rows.tolist()]
        assert found.tolist() == expected, f"seed {seed}"
        compared += len(rows)
    assert compared == 24 * 14


def test_networks_without_layers_take_no_time(platform: Platform) -> None:
    space = _Nothing()
    assert platform.estimate_space(space, [[item] for item in range(20)]).tolist() == [0.0] * 20
