"""Every example in a docstring gives what it says."""

import doctest
import importlib
from collections.abc import Iterator

import pytest

import wsicomp
from tests.paths import ROOT


def _modules_with_examples() -> Iterator[str]:
    """Yield the modules with an example that can run without a slide; others can take long to load."""
    for path in sorted((ROOT / "wsicomp").rglob("*.py")):
        lines = path.read_text("utf-8").splitlines()
        if any(">>> " in line and "doctest: +SKIP" not in line for line in lines):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


MODULES = [*_modules_with_examples()]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_give_what_they_say(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), extraglobs={"wsicomp": wsicomp})
    assert found.attempted > 0
    assert found.failed == 0
