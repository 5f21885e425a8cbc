"""The examples in docstrings, run as they stand; those that need a server or files say +SKIP."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import neuralcodes

ROOT = Path(neuralcodes.__file__).parent
MODULES = sorted(
    ".".join(("neuralcodes", *path.relative_to(ROOT).with_suffix("").parts))
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
SKIPS = {  # examples that stand for a user's own pictures, or for a service of theirs
    "neuralcodes.collection.collection": 1,
    "neuralcodes.serve.client": 1,
}


def examples(module: str) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder().find(importlib.import_module(module))
    return [test for test in found if test.examples]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    runner = doctest.DocTestRunner(verbose=False)
    tests, said = examples(module), []
    assert tests, f"{module}: its examples are in no docstring"
    for test in tests:
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)
    skipped = sum(doctest.SKIP in one.options for test in tests for one in test.examples)
    assert skipped == SKIPS.get(module, 0)
    assert runner.tries > 0 or skipped


def test_most_are_run() -> None:
    assert len(MODULES) >= 7 and set(SKIPS) <= set(MODULES)
