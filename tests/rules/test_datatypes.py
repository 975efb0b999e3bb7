"""Data types: which characters a value of each type may hold, in every version, and what is told of the others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hl7auth.rules.datatypes import TypeChecker, TypeFault, is_number, is_timestamp
from hl7auth.rules.dictionary import dictionary
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.versions import VERSIONS, at_least

MARKS = Delimiters()
CHECKERS = {version: TypeChecker(dictionary(version)) for version in VERSIONS}


def faults(datatype: str, raw: str, version: str = "2.5", marks: Delimiters = MARKS) -> tuple[TypeFault, ...]:
    return CHECKERS[version].check(datatype, raw, marks)


def places(datatype: str, raw: str, version: str = "2.5") -> list[tuple[int, int, str]]:
    """(component, subcomponent, severity) of each fault."""
    return [fault[:3] for fault in faults(datatype, raw, version)]


# values of each primitive type, apart by blanks
GOOD_VALUES = {
    "NM": "0 1 -1 +1 007 12.5 .5 1. -0.25",
    "SI": "0 1 4294967295",
    "DT": "2026 202603 20260301 20240229 20000229",
    "TM": "00 23 0000 2359 235959 235959.1 235959.1234 2359+0100 235959-0530",
    "DTM": "2026 202603 20260301 2026030123 202603012359 20260301235959 20260301235959.1 20260301235959.1234"
    " 20260301+0000 202603012359-0530 20260301235959.1234+1400 20240229",
    "ST": "anything O'Neill 1,5 Jones\\T\\Co",
    "ID": "AL free",
    "IS": "AL free",
    "FT": "\\.br\\",
    "TX": "\\.br\\",
}
BAD_VALUES = {
    "NM": "1,5 1e5 1_0 two -- + . 1.2.3 1- 0x1 1\xa0000 \u0661 \u00b2 NaN $5 5%",
    "SI": "-1 +1 1.0 one \u0661 \u00b2",
    "DT": "20230229 19000229 20261301 20260001 20260100 20260431 0000 00000000 203 2026030 202603011200 2026-03-01",
    "TM": "24 2360 235960 1 123 235959. 235959.12345 2359.5 2359+25 2359+2400",
    # 13 digits, and 17 without a point, are no guess at what was meant
    "DTM": "1994011015315 20260301235959123 20230229 20261301 202603012 2026030124 202603012360 20260301235960"
    " 20260301235959.12345 20260301235959. 202603012359.5 2026-03-01 20260301T2359 20260301+01 20260301+2500"
    " 20260301+0060 20260301Z 00000000 203 null \u0662\u0660\u0662\u0666",
}
GOOD = [(kind, raw) for kind, values in GOOD_VALUES.items() for raw in values.split(" ")]
BAD = [(kind, raw) for kind, values in BAD_VALUES.items() for raw in values.split(" ")]


@pytest.mark.parametrize("version", ["2.3", "2.5.1", "2.7", "2.9.1"])
@pytest.mark.parametrize(("datatype", "raw"), GOOD)
def test_good_values_of_primitive_types(datatype: str, raw: str, version: str) -> None:
    assert faults(datatype, raw, version) == ()


@pytest.mark.parametrize("version", ["2.3", "2.5.1", "2.7", "2.9.1"])
@pytest.mark.parametrize(("datatype", "raw"), BAD)
def test_bad_values_of_primitive_types(datatype: str, raw: str, version: str) -> None:
    (fault,) = faults(datatype, raw, version)
    assert fault[:3] == (0, 0, "E")
    assert f"({datatype}" in fault.text or datatype == "DTM"


@pytest.mark.parametrize(("datatype", "raw"), [(kind, raw) for kind, raw in GOOD + BAD if kind == "DTM"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_time_stamp_is_judged_as_its_time_in_every_version(version: str, datatype: str, raw: str) -> None:
    expected = [(1, 0, "E")] if (datatype, raw) in BAD else []
    assert places("TS", raw, version) == expected
    assert is_timestamp(raw) is (not expected)


def test_a_time_stamp_may_say_how_precise_it_is() -> None:
    for version in VERSIONS:
        assert places("TS", "20260301^D", version) == []
        assert places("TS", "20260301^D^x", version) == [(3, 0, "W")]
    # as a component its parts are subcomponents: XCN-19 is a TS in 2.5
    assert places("XCN", "1" + "^" * 18 + "20260301&D") == []
    assert places("XCN", "1" + "^" * 18 + "20260399&D") == [(19, 0, "E")]
    assert places("XCN", "1" + "^" * 18 + "20260301&D&x") == [(19, 3, "W")]
    assert places("CWE", "A" + "^" * 15 + "20260399", "2.7") == [(16, 0, "E")]


def test_a_number_is_told_from_text() -> None:
    assert [is_number(text) for text in ("12", "+1.5", "", "1 ", "x")] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("datatype", "raw", "expected"),
    [
        # a quantity with units, an amount with its currency, a price
        ("CQ", "1", []),
        ("CQ", "1^visits", []),
        ("CQ", "1^VST&visits&L", []),
        ("CQ", "two", [(1, 0, "E")]),
        ("CQ", "1^a^b", [(3, 0, "W")]),
        ("CQ", "1&2^a", [(1, 2, "W")]),
        ("MO", "175.0^USD", []),
        ("MO", "175,0^USD", [(1, 0, "E")]),
        ("CP", "175", []),
        ("CP", "175.0&USD", []),
        ("CP", "175.0&USD^TP^1^10^DAYS&days&L^F", []),
        ("CP", "0.00^$", []),
        ("CP", "free&USD", [(1, 1, "E")]),
        ("CP", "1&USD&x", [(1, 3, "W")]),
        ("CP", "1^TP^low^high", [(3, 0, "E"), (4, 0, "E")]),
        ("CP", "1^TP^1^2^D^F^x", [(7, 0, "W")]),
        # an identifier and its assigner
        ("EI", "PA1", []),
        ("EI", "PA1^ACME^1.2.3^ISO", []),
        ("EI", "PA1^ACME^1.2.3^ISO^x", [(5, 0, "W")]),
        ("EI", "PA1&2", [(1, 2, "W")]),
        ("CE", "A^b^c^d^e^f", []),
        ("CE", "A^b^c^d^e^f^g", [(7, 0, "W")]),
        # trailing separators and deleted values say nothing
        ("EI", "PA1^^^^^^^", []),
        ("CP", "175&&&", []),
        ("CQ", "^", []),
        ("NM", "5^^", []),
        ("NM", '""', []),
        ("NM", '""^', []),
        ("TS", '""^', []),
        ("CQ", '""^visits', []),
        ("CP", '""&USD', []),
        ("CP", '""&&^TP', []),
        ("MO", "1^\"\"", []),
    ],
)  # fmt: skip
def test_components_and_subcomponents(datatype: str, raw: str, expected: list[tuple[int, int, str]]) -> None:
    assert places(datatype, raw) == expected


@pytest.mark.parametrize(
    ("datatype", "raw", "expected"),
    [
        ("ST", "one^two", [(2, 0, "W")]),
        ("NM", "1^VISITS", [(2, 0, "W")]),
        ("NM", "x^VISITS", [(0, 0, "E"), (2, 0, "W")]),
    ],
)
def test_more_parts_than_the_type_has_are_a_warning(
    datatype: str, raw: str, expected: list[tuple[int, int, str]]
) -> None:
    for version in VERSIONS:
        assert places(datatype, raw, version) == expected
    assert f"{datatype} has 1 components" in faults(datatype, raw)[-1].text


@pytest.mark.parametrize("version", VERSIONS)
def test_p18_a_quantity_carries_its_units(version: str) -> None:
    assert places("CQ", "1^VISITS", version) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_telephone_numbers_by_version(version: str) -> None:
    """XTN-1 went with 2.6; country, area, number and extension are numbers, from 2.7 text of telephone characters."""
    good = "^PRN^PH^^1^555^0100200^12"
    assert places("XTN", good, version) == []
    assert places("XTN", f"(555)010-0200{good}", version) == []
    dialled = "^PRN^PH^^+1^555^010-0200 x9^#12"
    wrong = [(7, 0, "E"), (8, 0, "E")] if not at_least(version, "2.7") else []
    assert places("XTN", dialled, version) == wrong
    assert places("XTN", "^PRN^PH^^1^area", version) == [(6, 0, "E")]
    count = 9 if not at_least(version, "2.5") else 12 if not at_least(version, "2.6") else 18
    assert places("XTN", "^" * (count - 1) + ("1" if count == 18 else "x"), version) == []
    assert places("XTN", "^" * count + "x", version) == [(count + 1, 0, "W")]


def test_withdrawn_components_are_not_judged() -> None:
    # XPN-10 was a range of dates (DR) up to 2.6 and is withdrawn since
    name = "Moss^Ada" + "^" * 8 + "no dates&at all&here"
    assert places("XPN", name, "2.6") == [(10, 3, "W"), (10, 1, "E"), (10, 2, "E")]
    assert places("XPN", name, "2.7") == []


def test_an_unknown_or_open_type_takes_anything() -> None:
    for datatype in ("varies", "", "ED", "NOT_A_TYPE"):
        assert places(datatype, "x&y") == []


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ("one\\.br\\two", True),
        ("\\.sp 2\\", True),
        ("a \\T\\ b\\.br\\", True),
        ("Moss \\T\\. Quill", False),
        ("C:\\E\\.config", False),
        ("3.5 mg", False),
        ("\\H\\.\\N\\", False),
    ],
)
def test_p26_formatting_commands_in_plain_text_are_a_warning(raw: str, found: bool) -> None:
    for datatype in ("ST", "ID", "IS"):
        assert places(datatype, raw) == ([(0, 0, "W")] if found else [])
        assert faults(datatype, raw, marks=MARKS._replace(escape="")) == ()
    assert places("FT", raw) == places("TX", raw) == []
    assert places("CE", f"A^{raw}") == ([(2, 0, "W")] if found else [])


def test_the_senders_delimiters_decide_what_is_a_part() -> None:
    odd = Delimiters("$", "%", "*", "!", "?")
    assert faults("CP", "1?USD%TP", marks=odd) == ()
    assert faults("CP", "1&USD", marks=odd)[0][:3] == (1, 1, "E")
    assert faults("ST", "a!.br!b", marks=odd)[0].severity == "W"
    # P12: without a subcomponent separator nothing is a subcomponent
    assert faults("CE", "0&$^a", marks=Delimiters("|", "^", "~", "\\", "")) == ()


def test_a_verdict_is_the_same_the_second_time_and_for_each_type() -> None:
    checker = TypeChecker(dictionary("2.5"))
    for _ in range(2):
        assert checker.check("NM", "x", MARKS)[0].severity == "E"
        assert checker.check("ST", "x", MARKS) == ()
        assert checker.check("NM", "1^2", Delimiters(component="*")) != checker.check("NM", "1^2", MARKS)


_MARKS = st.sampled_from([MARKS, Delimiters("$", "%", "*", "!", "?"), Delimiters("|", "^", "~", "\\", "", "")])
_TYPES = st.sampled_from(sorted({*dictionary("2.5").datatypes, *dictionary("2.9.1").datatypes, "TS", "nonsense"}))
_RAW = st.one_of(st.text(), st.text(alphabet='^&~\\."0123456789+-?%a\u0661'))


@settings(deadline=None)
@given(_TYPES, _RAW, _MARKS, st.sampled_from(["2.3", "2.5", "2.6", "2.9.1"]))
def test_any_text_has_a_verdict(datatype: str, raw: str, marks: Delimiters, version: str) -> None:
    for fault in faults(datatype, raw, version, marks):
        assert fault.severity in ("E", "W")
        assert fault.component <= raw.count(marks.component) + 1
        assert fault.subcomponent <= (raw.count(marks.subcomponent) if marks.subcomponent else 0) + 1
        assert fault.text
