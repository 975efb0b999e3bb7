"""What a sender reads on the wire of what is wrong with a message: ERR by version, over a real socket.

P64: the segment that is meant is told by its number in the whole message, not by a set id or its group; P65: ERR-1 up
to 2.4, ERR-2 to ERR-5 from 2.5; P66: a warning never refuses, and comes with severity W or I if the channel wants it.
"""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import pytest

from hl7auth.wire.versions import VERSIONS, at_least
from tests.engine import message, msh
from tests.serving import Line, Serving

_NUMBERS = count(1)
UP_TO_24 = ("2.3", "2.3.1", "2.4")


class Told(NamedTuple):
    """MSA-1, MSA-3, and the fields of each ERR."""

    code: str
    text: str
    errors: list[list[str]]


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """An engine that tells all findings."""
    with Serving(tmp_path_factory.mktemp("telling"), 1, tells="all", duplicates="strict") as serving:
        yield serving


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """An engine that tells errors alone, as it is shipped."""
    with Serving(tmp_path_factory.mktemp("silent"), 1) as serving:
        yield serving


@pytest.fixture
def line(telling: Serving) -> Iterator[Line]:
    with Line(telling.port) as line:
        yield line


def aut(version: str, changes: dict[int, str] | None = None) -> str:
    """An AUT without a fault in that version, with some fields changed."""
    fields = {1: "GOLD", 2: "ACME", 3: "Acme Health", 8: "3"} | ({13: "REF"} if at_least(version, "2.8") else {})
    fields |= changes or {}
    return "|".join(["AUT", *(fields.get(number, "") for number in range(1, max(fields) + 1))])


def procedure(version: str, number: int) -> str:
    """PR1 with what each version requires of it."""
    coding = "C4" if version == "2.3" else ""
    return f"PR1|{number}|{coding}|99213^Visit^C4||20260401" + ("" if at_least(version, "2.4") else "|D")


def asked(
    version: str, third: str, patient: str = "77001", modes: tuple[str, str] = ("", ""), others: str = ""
) -> bytes:
    """A request with three AUTs: that of the message, and those under the first and the third of its PR1, which have
    the set ids 1, 1 and 2."""
    return message(
        msh(control_id=f"T{next(_NUMBERS)}", version=version, modes=modes),
        "RF1|||||O|R1",
        others or aut(version),
        "PRD|RP|Moss^Ada",
        f"PID|||{patient}||Quill^Ivo||19800102|F",
        procedure(version, 1),
        others or aut(version),
        procedure(version, 1),
        procedure(version, 2),
        third,
    )


def told(line: Line, raw: bytes) -> Told:
    line.send(raw)
    segments = [each.split("|") for each in line.text().split("\r") if each]
    msa = next(each for each in segments if each[0] == "MSA")
    return Told(msa[1], [*msa, "", ""][3], [each for each in segments if each[0] == "ERR"])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_message_of_these_tests_is_right(line: Line, version: str) -> None:
    found = told(line, asked(version, aut(version), modes=("AL", "NE")))
    assert (found.code, found.errors) == ("CA", [])


TEXTS = {
    "100": "Segment sequence error", "101": "Required field missing", "102": "Data type error",
    "103": "Table value not found", "104": "Value too long", "198": "Non-Conformant Cardinality",
    "199": "Other HL7 Error", "204": "Unknown key identifier", "207": "Application internal error",
}  # fmt: skip
# what is wrong: the fields of the third AUT, the versions from ... to before ..., the ERL, the code by version
FAULTS = {
    "a required field is missing": ({2: ""}, "2.3", "", "AUT^3^2", {"2.3": "101"}),
    "the referral type is missing": ({13: ""}, "2.8", "", "AUT^3^13", {"2.8": "101"}),
    "a date is none": ({4: "soon"}, "2.6", "", "AUT^3^4", {"2.6": "102"}),
    "a date is none, in TS": ({4: "soon"}, "2.3", "2.6", "AUT^3^4^1^1", {"2.3": "102"}),
    "an amount is none": ({7: "much&USD"}, "2.3", "", "AUT^3^7^1^1^1", {"2.3": "102"}),
    "a field occurs twice": ({1: "GOLD~SILVER"}, "2.3", "", "AUT^3^1", {"2.3": "100", "2.9": "198"}),
    "one discipline is deleted": ({11: 'CARD~""'}, "2.7", "", "AUT^3^11^2", {"2.7": "100", "2.9": "198"}),
    "a code is not in its table": ({29: "Q"}, "2.8", "", "AUT^3^29", {"2.8": "103"}),
    "a field of a later version": ({29: "U"}, "2.3", "2.8", "AUT^3^29", {"2.3": "207"}),
}  # fmt: skip
CASES = [
    (fault, version)
    for fault, (_, since, before, *_) in FAULTS.items()
    for version in VERSIONS
    if at_least(version, since) and not (before and at_least(version, before))
]


def code_in(codes: dict[str, str], version: str) -> str:
    return codes[max((each for each in codes if at_least(version, each)), key=VERSIONS.index)]


@pytest.mark.parametrize(("fault", "version"), CASES)
def test_an_error_of_the_third_authorization(line: Line, fault: str, version: str) -> None:
    changes, _, _, place, codes = FAULTS[fault]
    found = told(line, asked(version, aut(version, changes)))
    code = code_in(codes, version)
    assert found.code == "AE"
    assert len(found.errors) == 1
    if version in UP_TO_24:
        system = "L" if version == "2.3" else "HL70357"
        where = "^".join(place.split("^")[:3])
        assert found.errors[0][1:] == [f"{where}^{code}&{TEXTS[code]}&{system}"]
        return
    error = found.errors[0]
    assert error[1:7] == ["", place, f"{code}^{TEXTS[code]}^HL70357", "E", "", ""]
    assert error[7].startswith("AUT-")
    assert error[8].startswith("AUT-")
    assert bool(found.text) is not at_least(version, "2.7")  # MSA-3 is withdrawn


@pytest.mark.parametrize("version", VERSIONS)
def test_all_errors_are_told_at_once(line: Line, version: str) -> None:
    found = told(line, asked(version, aut(version, {2: "", 1: "A~B"}), others=aut(version, {4: "20261332"})))
    places = [f"AUT^{number}^{field}" for number, field in ((1, 4), (2, 4), (3, 1), (3, 2))]
    if version in UP_TO_24:
        assert ["^".join(each.split("^")[:3]) for each in found.errors[0][1].split("~")] == places
    else:
        assert ["^".join(each[2].split("^")[:3]) for each in found.errors] == places
        assert {each[4] for each in found.errors} == {"E"}


@pytest.mark.parametrize("version", [each for each in VERSIONS if at_least(each, "2.8")])
@pytest.mark.parametrize(
    ("action", "known", "code", "application"), [("U", False, "204", "101"), ("A", True, "205", "102")]
)
def test_p36_p37_a_key_that_is_not_known_and_one_that_is(
    line: Line, version: str, action: str, known: bool, code: str, application: str
) -> None:
    number = f"PA{next(_NUMBERS)}"
    before = aut(version, {6: f"{number}^ACME", 29: "A"})
    if known:
        assert told(line, asked(version, before, others=before).replace(b"\r" + before.encode(), b"", 2)).code == "AA"
    third = aut(version, {6: f"{number}^ACME", 29: action, 3: "Acme"})
    raw = asked(version, third)
    raw = raw.replace(b"\r" + aut(version).encode(), b"")  # one AUT alone: the message is in one mode
    found = told(line, raw)
    (error,) = found.errors
    assert (found.code, error[2]) == ("AE", "AUT^1^6")
    if at_least(version, "2.9"):
        assert error[3:6] == ["207^Application internal error^HL70357", "E", f"{application}^^HL70533"]
    else:
        assert error[3].startswith(f"{code}^")
        assert error[4:6] == ["E", ""]


# what is no error and is told all the same, from 2.5: the fields of the third AUT or PID-3, the version, ERR-2 to ERR-4
MILDER = [
    ({3: "x" * 60}, "", "2.5", "AUT^3^3 102 W"),
    ({3: "x" * 60}, "", "2.6", "AUT^3^3 102 W"),
    ({3: "x" * 60}, "", "2.7", "AUT^3^3 104 I"),
    ({3: "x" * 60}, "", "2.9", "AUT^3^3 104 I"),
    ({}, "77001~8^^^N&1.2&XYZ", "2.5", "PID^1^3^2^4^3 103 W"),
    ({}, "77001~8^^^N&1.2&XYZ", "2.9", "PID^1^3^2^4^3 103 W"),
    ({14: "AP"}, "", "2.5.1", "AUT^3^14 207 W"),
    ({30: "x"}, "", "2.8", "AUT^3^30 207 W"),
    ({30: "x"}, "", "2.9", "AUT^3^30 199 W"),
]


@pytest.mark.parametrize(("changes", "patient", "version", "expected"), MILDER)
def test_p66_what_is_no_error_refuses_nothing_and_is_told(
    line: Line, changes: dict[int, str], patient: str, version: str, expected: str
) -> None:
    found = told(line, asked(version, aut(version, changes), patient or "77001", ("AL", "NE")))
    assert found.code == "CA"
    assert [" ".join((each[2], each[3].split("^")[0], each[4])) for each in found.errors] == [expected]


@pytest.mark.parametrize("version", UP_TO_24)
def test_before_2_5_an_err_has_no_severity_so_what_is_no_error_is_not_told(line: Line, version: str) -> None:
    found = told(line, asked(version, aut(version, {3: "x" * 60}), modes=("AL", "NE")))
    assert (found.code, found.errors) == ("CA", [])


def test_a_channel_that_wants_errors_alone_tells_no_warning(silent: Serving) -> None:
    with Line(silent.port) as line:
        found = told(line, asked("2.5", aut("2.5", {3: "x" * 60}), modes=("AL", "NE")))
        assert (found.code, found.errors) == ("CA", [])
        found = told(line, asked("2.5", aut("2.5", {3: "x" * 60, 2: ""})))
        assert [(each[2], each[4]) for each in found.errors] == [("AUT^3^2", "E")]


@pytest.mark.parametrize(
    ("version", "change", "place", "code"),
    [
        ("2.5", (b"|RQA^I08|", b"|ORU^R01|"), "MSH^1^9^1^1", "200"),
        ("2.5", (b"|RQA^I08|", b"|RQA^I12|"), "MSH^1^9^1^2", "201"),
        ("2.9", (b"|P|2.9", b"|T|2.9"), "MSH^1^11", "202"),
        ("2.5", (b"|P|2.5", b"|P|2.2"), "MSH^1^12", "203"),
    ],
)
def test_a_header_that_is_not_accepted(
    line: Line, version: str, change: tuple[bytes, bytes], place: str, code: str
) -> None:
    found = told(line, asked(version, aut(version)).replace(*change, 1))
    assert found.code == "AR"
    assert [(each[2], each[3].split("^")[0]) for each in found.errors] == [(place, code)]
