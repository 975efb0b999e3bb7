"""The attribute table of a segment, and the names that come with it."""

import re

import pytest

from hl7auth.reports.attributes import TITLES, flat, names, rows
from hl7auth.rules.compiled import compiled
from hl7auth.rules.dictionary import dictionary
from hl7auth.wire.versions import VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_every_field_of_aut_has_its_row(version: str) -> None:
    rules = compiled("aut-standard", version)
    found = rows(rules.profile, rules.segments["AUT"], version)
    assert [row["number"] for row in found] == list(range(1, len(dictionary(version).segments["AUT"].fields) + 1))
    for row in found:
        assert TITLES.keys() <= row.keys()
        assert re.fullmatch(r"\d{5}", row["data_element"])
        assert row["type_name"]
        assert row["source"].startswith("profiles/aut-")


def test_every_data_type_of_the_shipped_profile_has_a_name() -> None:
    for version in VERSIONS:
        rules = compiled("referral", version)
        for name, segment in rules.segments.items():
            for row in rows(rules.profile, segment, version):
                assert row["type_name"] or not row["type"] or row["verb"] == "withdrawn", f"{name}-{row['number']}"


def test_no_number_of_an_element_stands_twice_in_a_segment() -> None:
    for segment, elements in names().elements.items():
        assert len(set(elements.values())) == len(elements), segment
        assert min(elements) >= 1


def test_components_follow_their_field() -> None:
    rules = compiled("aut-standard", "2.8")
    numbers = [row["number"] for row in flat(rows(rules.profile, rules.segments["AUT"], "2.8"))]
    assert numbers[5:8] == [6, "6.1", "6.3"]
