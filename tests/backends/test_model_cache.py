"""The bounded memory of prepared models: never above its bound, and of use to a campaign's rounds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from annette.backends.model_cache import ModelCache, network_key
from annette.graph.builder import NetworkBuilder


@settings(deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), max_size=60),
    most=st.integers(0, 60),
)
def test_it_never_holds_more_than_its_bound_and_forgets_nothing_for_nothing(
    sizes: list[tuple[int, int]], most: int
) -> None:
    cache = ModelCache[int](most)
    last: dict[int, int] = {}
    for key, size in sizes:
        cache.put(key, size, size_bytes=size)
        last[key] = size
        assert cache.size_bytes <= most
        assert cache.get(key) == (size if size <= most else None)
    held = [key for key in last if cache.get(key) is not None]
    assert sum(last[key] for key in held) == cache.size_bytes
    if sum(size for _, size in sizes) <= most:
        assert set(held) == set(last)


def test_a_campaign_that_goes_round_and_round_finds_most_of_what_fits() -> None:
    cache = ModelCache[int](50)
    found = 0
    for _ in range(4):
        for key in range(100):
            if cache.get(key) is None:
                cache.put(key, key, size_bytes=1)
            else:
                found += 1
    assert found >= 3 * 45


def test_networks_that_differ_in_names_alone_are_kept_apart() -> None:
    networks = []
    for name in ("x", "y"):
        build = NetworkBuilder("one")
        networks.append(build.finish(build.relu(build.input(name, (1, 3)))))
    assert networks[0].id == networks[1].id
    assert network_key(networks[0]) != network_key(networks[1])
