"""The message structures around AUT agree with a second source, the package hl7types, in every version that it has.

Imports hl7auth.rules and pytest; reads the sources of hl7types, because its models take seconds to build.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from hl7auth.rules.dictionary import Node, dictionary
from hl7auth.wire.versions import VERSIONS, at_least

IN_HL7TYPES = tuple(version for version in VERSIONS if not at_least(version, "2.9"))
REFERRAL = ("RQA_I08", "RPA_I08", "REF_I12", "RRI_I12", "RQI_I01", "RPI_I01", "RPI_I04", "RQP_I04", "ACK")
INVOICE = ("EHC_E01", "EHC_E21", "EHC_E24")
PATIENT = ("ADT_A01", "ADT_A03", "ADT_A05", "ADT_A16")

_CHILD = re.compile(r"^    \w+: (Optional\[)?(List\[)?_(\w+)\]{0,2} = Field", re.MULTILINE)

each_version = pytest.mark.parametrize("version", IN_HL7TYPES)

Shape = tuple[str, int, int | None, tuple["Shape", ...]]
"""Name (none for a group: their names differ from version to version), least, most, children."""


@cache
def _folder() -> Path:
    spec = find_spec("hl7types")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))) / "hl7"


def _source(version: str, kind: str, name: str) -> Path:
    return _folder() / f"v{version.replace('.', '_')}" / kind / f"{name}.py"


def _others(version: str, path: Path) -> tuple[Shape, ...]:
    def shapes() -> Iterator[Shape]:
        for optional, many, name in _CHILD.findall(path.read_text(encoding="utf-8")):
            group = _source(version, "groups", name)
            inner = _others(version, group) if group.is_file() else ()
            yield "" if inner else name, 0 if optional else 1, None if many else 1, inner

    return tuple(shapes())


def theirs(version: str, structure: str) -> tuple[Shape, ...]:
    path = _source(version, "messages", structure)
    return _others(version, path) if path.is_file() else ()


def ours(node: Node) -> tuple[Shape, ...]:
    return tuple(("" if child.children else child.name, child.min, child.max, ours(child)) for child in node.children)


def mine(version: str, structure: str) -> tuple[Shape, ...]:
    root = dictionary(version).structures.get(structure)
    return ours(root) if root else ()


@each_version
@pytest.mark.parametrize("structure", REFERRAL)
def test_structures_of_the_referral_chapter(version: str, structure: str) -> None:
    there = theirs(version, structure)
    assert mine(version, structure) == there
    assert bool(there) is (structure != "RPI_I04" or at_least(version, "2.4"))


@each_version
@pytest.mark.parametrize("structure", INVOICE)
def test_structures_of_the_invoice_chapter(version: str, structure: str) -> None:
    """hl7types takes the outermost group for a choice, so that none of its children has to come: see corrections."""
    found = mine(version, structure)
    there = theirs(version, structure)
    assert bool(found) is bool(there) is at_least(version, "2.6")
    for one, other in zip(found, there, strict=True):
        name, least, most, inner = one
        loose = tuple((child, 0, high, below) for child, _, high, below in inner)
        assert (name, least, most, loose) == other


@each_version
@pytest.mark.parametrize("structure", PATIENT)
def test_structures_of_the_patient_chapter(version: str, structure: str) -> None:
    """hl7types holds a segment that stands at two places of a group at the first of them alone."""

    def once(shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
        seen: set[str] = set()
        kept = []
        for name, least, most, inner in shapes:
            if not name or name not in seen:
                kept.append((name, least, most, once(inner)))
            seen.add(name)
        return tuple(kept)

    assert once(mine(version, structure)) == theirs(version, structure)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_place_of_an_aut(version: str) -> None:
    """AUT is one of its group, which may be missing; it repeats in ADT alone, as itself or (2.9.1) as its group."""
    structures = dictionary(version).structures
    found = {name: list(places(root)) for name, root in structures.items() if any(places(root))}
    for name in ("RQA_I08", "RPA_I08", "REF_I12", "RRI_I12"):
        assert found.pop(name) == [(0, 1, 1, 1), (0, 1, 1, 1)]  # of the message, and of each PR1
    if at_least(version, "2.6"):
        assert len(found.pop("EHC_E01")) == 2
        assert found.pop("EHC_E21") == found.pop("EHC_E24") == [(1, None, 0, 1)]
    if at_least(version, "2.8"):
        insured = (0, None, 1, 1) if at_least(version, "2.9.1") else (0, None, 0, None)
        assert [found.pop(name) for name in PATIENT] == [[insured]] * 4
    assert {name.partition("_")[0] for name in found} <= {"ADT"}
    assert not found or at_least(version, "2.8")


def places(node: Node) -> Iterator[tuple[int, int | None, int, int | None]]:
    """Least and most of the group around each AUT, and of the AUT in it."""
    for child in node.children:
        if child.name == "AUT" and not child.children:
            yield node.min, node.max, child.min, child.max
        yield from places(child)
