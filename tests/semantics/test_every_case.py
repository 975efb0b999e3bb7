"""Every case of the semantics has tests here with messages of at least two versions."""

import importlib
import re
from collections import defaultdict
from pathlib import Path
from types import FunctionType

import pytest

CASES = (24, *range(33, 53), *range(59, 63))


def versions_of(test: FunctionType) -> set[str]:
    """The versions that a test is run with."""
    found: set[str] = set()
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "parametrize":
            names = (
                [name.strip() for name in mark.args[0].split(",")] if isinstance(mark.args[0], str) else mark.args[0]
            )
            if "version" in names:
                at = list(names).index("version")
                found |= {values[at] if len(names) > 1 else values for values in mark.args[1]}
    return found


def cases() -> dict[int, set[str]]:
    """The versions that each case is tested with, by its number in the names of the tests."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in sorted(Path(__file__).parent.glob("test_cases_*.py")):
        module = importlib.import_module(f"tests.semantics.{path.stem}")
        for name, test in vars(module).items():
            if isinstance(test, FunctionType) and name.startswith("test_"):
                for number in re.findall(r"(?<=_)p(\d\d)(?=_)", name):
                    found[int(number)] |= versions_of(test)
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_tested_in_two_versions(case: int) -> None:
    assert len(cases()[case]) >= 2
