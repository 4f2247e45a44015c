"""Parameters of functions and classes, as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annette.errors import UsageError
from annette.zoo.parameters import nearest, parameters_of, split_parameters


def network(*, width: float = 1.0, classes: int = 10, lite: bool = False, dataset: str = "cifar10") -> None:
    """A function as the zoo has them."""


class Space:
    """A class as the search spaces are."""

    def __init__(self, *, batch: int = 1) -> None:
        self.batch = batch


class Plain:
    """A class without parameters."""


KNOWN = parameters_of(network, "tiny")


@given(
    width=st.floats(0.01, 10),
    classes=st.integers(-5, 5000),
    lite=st.booleans(),
    word=st.text("abc-0", min_size=1),
)
def test_values_written_as_text_are_read_back(width: float, classes: int, lite: bool, word: str) -> None:
    text = f"tiny , width={width},classes = {classes}, lite={lite},dataset={word}"
    name, items = split_parameters(text)
    assert name == "tiny"
    assert KNOWN.parse(text, items) == {"width": width, "classes": classes, "lite": lite, "dataset": word}


def test_defaults_and_types_are_those_of_the_signature() -> None:
    assert dict(KNOWN.defaults) == {"width": 1.0, "classes": 10, "lite": False, "dataset": "cifar10"}
    assert dict(KNOWN.types) == {"width": float, "classes": int, "lite": bool, "dataset": str}
    assert dict(parameters_of(Space, "space").types) == {"batch": int}
    assert dict(parameters_of(Plain, "plain").types) == {}
    assert KNOWN.parse("tiny", []) == {}


@pytest.mark.parametrize(
    ("items", "fragments"),
    [
        (["width"], ["tiny,...: 'width' is no parameter", "NAME=VALUE"]),
        (["=2"], ["'=2' is no parameter"]),
        (["width=1", "width=2"], ["'width' is given twice"]),
        (["widht=2"], ["did you mean 'width'", "its parameters: width=1.0"]),
        (["width=wide"], ["width='wide'", "a number"]),
        (["classes=1.5"], ["a whole number"]),
        (["lite=yes"], ["true or false"]),
    ],
)
def test_a_wrong_item_is_refused_in_one_line(items: list[str], fragments: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        KNOWN.parse("tiny,...", items)
    message = str(caught.value)
    assert "\n" not in message
    assert all(fragment in message for fragment in fragments), message


def test_a_name_like_none_of_the_known_gets_no_hint() -> None:
    assert nearest("ResNet-50", ["resnet50", "vgg16"]) == "; did you mean 'resnet50'?"
    assert nearest("zzz", ["resnet50", "vgg16"]) == ""
    with pytest.raises(UsageError, match="it has no parameters"):
        parameters_of(Plain, "plain").parse("plain,a=1", ["a=1"])
