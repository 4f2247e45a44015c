"""The public API: what is promised exists, is documented, and its examples run."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

import annette

PACKAGE = Path(annette.__file__).resolve().parent
MODULES = sorted(
    ".".join(("annette", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in PACKAGE.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)


def test_the_front_door_offers_what_is_promised() -> None:
    assert set(annette.__all__) == {"__version__", "list_platforms", "load"}
    assert {name for name, _ in annette.list_platforms()} >= {"zcu102-dpu", "ncs2"}


def test_the_version_is_the_packages() -> None:
    text = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{annette.__version__}"' in text


@pytest.mark.parametrize("name", MODULES)
def test_each_module_says_what_it_offers_and_documents_it(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__all__, f"{name}: nothing in __all__"
    for item in module.__all__:
        offered = getattr(module, item)
        if inspect.isclass(offered) or inspect.isfunction(offered):
            assert inspect.getdoc(offered), f"{name}.{item} has no docstring"
            _check_methods(module, offered)


@pytest.mark.parametrize("name", MODULES)
def test_each_module_offers_what_has_no_private_name(name: str) -> None:
    module = importlib.import_module(name)
    own = {
        item
        for item, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == name
    }
    assert {item for item in own if not item.startswith("_")} <= set(module.__all__)


def _check_methods(module: ModuleType, offered: object) -> None:
    if not inspect.isclass(offered) or offered.__module__ != module.__name__:
        return
    for name, member in vars(offered).items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            assert inspect.getdoc(member), f"{offered.__name__}.{name} has no docstring"


@pytest.mark.parametrize("name", ["annette", *MODULES])
def test_the_examples_in_docstrings_run(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.failed == 0
