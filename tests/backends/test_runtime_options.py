"""Options of runtimes: what is understood, and how what is not is refused."""

from __future__ import annotations

import pytest

from annette.backends.runtime_options import OPTION_KEYS, RuntimeOptions, parse_runtime_options
from annette.errors import UsageError


def parse(text: str, **settings: object) -> RuntimeOptions:
    return parse_runtime_options(text, device="onnxruntime", cpus=4, **settings)  # type: ignore[arg-type]


def test_what_is_not_given_has_its_default() -> None:
    assert parse("") == RuntimeOptions()
    assert parse("visits=2") == RuntimeOptions(visits=2)


def test_all_options_are_understood_with_spaces_and_in_any_order() -> None:
    found = parse(" kernels=alone, visits=9 ,threads = 2,optimization=basic,")
    assert found == RuntimeOptions(threads=2, optimization="basic", kernels="alone", visits=9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "thread=2",
            "option 'thread' is not known, expected threads, optimization, kernels or visits; did you",
        ),
        ("threads=2,threads=3", "option 'threads' is given twice"),
        ("threads", "option 'threads', expected threads=NUMBER"),
        ("kernels=", "expected kernels=profile|alone|none"),
        ("threads=0", "option threads=0: expected a whole number from 1 to 1024"),
        ("threads=-1", "option threads=-1: expected a whole number from 1 to 1024"),
        ("threads=two", "option threads=two: expected a whole number from 1 to 1024"),
        ("threads=²", "expected a whole number from 1 to 1024"),
        ("threads=99999999999999999999", "expected a whole number from 1 to 1024"),
        ("threads=5", "option threads=5, expected 1 to 4, the processors"),
        ("visits=0", "option visits=0: expected a whole number from 1 to 1000"),
        ("visits=1001", "option visits=1001: expected a whole number from 1 to 1000"),
        ("optimization=extnded", "expected none, basic, extended or all; did you mean extended?"),
        ("kernels=solo", "option kernels=solo: expected profile, alone or none"),
        ("board.yaml", "option 'board.yaml' is not known"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("device onnxruntime: option ")
    assert "\n" not in str(caught.value)


def test_a_runtime_without_an_option_refuses_it() -> None:
    allowed = tuple(key for key in OPTION_KEYS if key != "optimization")
    assert parse("threads=2", allowed=allowed).threads == 2
    with pytest.raises(UsageError, match="'optimization' is not known, expected threads, kernels or visits"):
        parse("optimization=all", allowed=allowed)


@pytest.mark.parametrize("wrong", [{"threads": True}, {"threads": 1.5}, {"kernels": None}, {"visits": "2"}])
def test_wrong_options_cannot_exist(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected"):
        RuntimeOptions(**wrong)  # type: ignore[arg-type]
