"""Search spaces by name, and their parameters as text."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from annette.errors import UsageError
from annette.zoo.spaces.registry import list_spaces, open_space, space_parameters

NAMES = [entry.name for entry in list_spaces()]


@pytest.mark.parametrize("name", NAMES)
def test_every_listed_space_opens_under_its_own_name(name: str) -> None:
    assert open_space(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_defaults_written_out_are_the_space_itself(name: str) -> None:
    parameters = space_parameters(name)
    assert inspect.Parameter.empty not in parameters.values()
    spec = ",".join([name, *(f"{key}={value}" for key, value in parameters.items())])
    assert open_space(spec).name == name


@pytest.mark.parametrize("name", NAMES)
def test_every_space_has_a_batch(name: str) -> None:
    space = open_space(f"{name},batch=3")
    network = space.network(space.sample(1, seed=0)[0].tolist())
    assert all(network.tensors[tensor].shape[0] == 3 for tensor in (*network.inputs, *network.outputs))


@pytest.mark.parametrize(
    "spec", ["nasbench201,dataset=cifar100", "nasbench201,dead_code=True,batch=2", "nasbench101,batch=8"]
)
def test_a_space_with_parameters_opens_by_its_name_again(spec: str) -> None:
    assert open_space(spec).name == spec
    assert open_space(f" {spec.replace(',', ' , ')} ").name == spec


def test_descriptions_are_single_lines() -> None:
    assert all(entry.description and "\n" not in entry.description for entry in list_spaces())
    assert len(set(NAMES)) == len(NAMES)


def test_listing_imports_no_space_and_nothing_heavy() -> None:
    code = (
        "import sys; from annette.zoo.spaces.registry import list_spaces; list_spaces();"
        "print([m for m in ('onnx', 'pandas', 'annette.zoo.spaces.nasbench201') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("spec", "fragments"),
    [
        ("nasbench_201", ["did you mean 'nasbench201'", "transformer"]),
        ("NASBench201", ["did you mean 'nasbench201'"]),
        ("", ["no such search space", "nasbench101, nasbench201"]),
        ("nasbench201,data=cifar10", ["no parameter 'data'", "'dataset'", "dead_code=False"]),
        ("nasbench201,dataset=cifar-10", ["cifar-10", "did you mean 'cifar10'"]),
        ("nasbench201,dataset=mnist", ["'mnist'", "imagenet16-120"]),
        ("nasbench201,dead_code=perhaps", ["'perhaps'", "true or false"]),
        ("nasbench201,dataset", ["NAME=VALUE"]),
        ("nasbench201,batch=2,batch=2", ["given twice"]),
        ("nasbench201,batch=0", ["batch=0"]),
        ("nasbench101,batch=half", ["'half'", "a whole number"]),
        ("nasbench101,batch=-1", ["batch=-1"]),
    ],
)
def test_a_wrong_specification_says_in_one_line_what_there_is(spec: str, fragments: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        open_space(spec)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert all(fragment in message for fragment in fragments), message
