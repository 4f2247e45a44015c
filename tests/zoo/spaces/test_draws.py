"""Samples are of so many architectures and of a seed, both whole numbers that are not negative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from annette.errors import UsageError
from annette.zoo.spaces.registry import open_space


@pytest.mark.parametrize("name", ["nasbench101", "nasbench201"])
@pytest.mark.parametrize(
    ("count", "seed", "message"),
    [
        (1, -1, "seed -1, expected a whole number, 0 or more"),
        (1, None, "seed None"),
        (1.5, 0, "count 1.5, expected a whole number"),
        (-1, 0, "count -1"),
    ],
)
def test_other_draws_are_refused(name: str, count: Any, seed: Any, message: str) -> None:
    with pytest.raises(UsageError, match=f"{name}: {message}"):
        open_space(name).sample(count, seed=seed)


def test_numbers_of_numpy_are_whole_numbers_too() -> None:
    space = open_space("nasbench201")
    assert (space.sample(np.int64(3), seed=np.int64(1)) == space.sample(3, seed=1)).all()
