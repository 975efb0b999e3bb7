"""What is learned from traffic: counts and shared codes, and nothing of a patient."""

import pytest

from hl7auth.rules.learn import LEAST, FieldUse, Use
from hl7auth.rules.profile import resolved
from hl7auth.wire.message import parse
from tests.rules.said import head

PID = "PID|||77001^^^NORTH||Quillfeather^Tamsin||19800102|F"


def learned(*segments: str, times: int = LEAST, version: str = "2.5", base: str = "aut-standard") -> Use:
    """What so many messages of these segments teach; `#` stands for the number of the message."""
    use = Use(resolved(base))
    for number in range(times):
        text = "\r".join((head(version), *segments)).replace("#", str(number))
        use.learn(parse(text.encode()))
    return use


def field(use: Use, segment: str, number: int) -> FieldUse:
    return use.segments[segment].fields[number]


def test_segments_and_fields_are_counted() -> None:
    use = learned(PID, "AUT|GOLD|ACME||||PA1", "AUT||ACME||||PA22~PA1~PA3")
    aut = use.segments["AUT"]
    assert (use.messages, aut.messages, aut.segments, aut.most) == (5, 5, 10, 2)
    assert (aut.fields[1].valued, aut.fields[2].valued) == (5, 10)
    assert (aut.fields[6].valued, aut.fields[6].repetitions, aut.fields[6].longest) == (10, 3, 4)
    assert use.events == {"RQA^I08": 5}
    assert use.versions == {"2.5": 5}


def test_what_is_required_and_does_not_come_is_counted() -> None:
    assert field(learned("AUT|GOLD"), "AUT", 2).missed == 5
    assert field(learned("AUT|GOLD|ACME", version="2.8"), "AUT", 13).missed == 5
    assert field(learned(PID.replace("Quillfeather^Tamsin", "")), "PID", 5).missed == 5


def test_a_deleted_field_is_neither_missed_nor_valued() -> None:
    use = field(learned('AUT|GOLD|""'), "AUT", 2)
    assert (use.valued, use.deleted, use.missed) == (0, 5, 0)


def test_separators_alone_are_no_value() -> None:
    assert field(learned("AUT|GOLD|ACME|||||||~~"), "AUT", 9).valued == 0


def test_codes_are_counted_by_message() -> None:
    use = field(learned("AUT|GOLD|ACME", "AUT|GOLD~SILVER|ACME"), "AUT", 1)
    assert use.codes == {"GOLD": 5, "SILVER": 5}
    assert use.table == "0072"


@pytest.mark.parametrize(
    ("segments", "segment", "number"),
    [
        ((PID,), "PID", 8),  # about a person
        (("NK1|1|Quill^Ivo|SPO",), "NK1", 3),
        (("IN1|1|GOLD|ACME",), "IN1", 2),
        (("AUT|GOLD|ACME|Acme Health",), "AUT", 3),  # a text
        (("AUT|GOLD|ACME||||PA1",), "AUT", 6),  # an identifier
        (("DG1|1||M17.1",), "DG1", 3),  # clinical
        (("PR1|1||99213",), "PR1", 3),
        (("PV1|1|O|||||DR1^Moss^Ada",), "PV1", 7),  # a name
        (("ZAU|A",), "ZAU", 1),  # nobody knows what it is
    ],
)
def test_where_no_code_is_ever_kept(segments: tuple[str, ...], segment: str, number: int) -> None:
    assert field(learned(*segments), segment, number).codes is None


@pytest.mark.parametrize(
    "value", ["123456", "P12345", "20260401", "two words", "Quillfeather", "quillfeather-1", "x" * 16, "77001", "é"]
)
def test_a_code_that_could_be_something_else_is_counted_and_not_kept(value: str) -> None:
    use = field(learned(PID, f"AUT|{value}|ACME"), "AUT", 1)
    assert not use.codes
    assert use.others == 5


def test_a_field_of_ever_new_codes_is_no_table() -> None:
    assert field(learned("AUT|K#|ACME", times=600), "AUT", 1).codes is None


def test_a_message_of_an_unknown_version_teaches_nothing() -> None:
    use = learned("AUT|GOLD|ACME", version="7.1")
    assert (use.messages, use.unknown_versions, use.segments) == (0, 5, {})


def test_lines_that_look_like_segments_are_left_out() -> None:
    assert "IVO" not in learned("IVO|Quill").segments


def test_an_odd_event_is_not_kept() -> None:
    use = Use(None)
    use.learn(parse(head(kind="Quill^Ivo").encode()))
    assert use.events == {"?": 1}
