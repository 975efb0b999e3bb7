"""Values set by hand: at their place, escaped, in segments as long as needed, and nothing else is touched."""

import pytest

from hl7auth.errors import UserError
from hl7auth.flow.editing import as_new, edited, encoded, read_setting
from hl7auth.wire.message import parse
from tests.engine import message, msh, request


def changed(raw: bytes, *settings: str) -> list[str]:
    """The lines that are other than they were."""
    parsed = parse(raw)
    text = edited(parsed, [read_setting(each) for each in settings])
    old = [segment.text for segment in parsed.segments]
    return [new for new, before in zip(text.split("\r")[:-1], old, strict=True) if new != before]


def test_a_value_is_set_at_its_place() -> None:
    raw = message(msh(), "PID|1||A^^^N~B", "AUT|GOLD|ACME", "AUT|GOLD|OTHER")
    assert changed(raw, "AUT-2.1=HH001") == ["AUT|GOLD|HH001"]
    assert changed(raw, "AUT[2]-6.2=X") == ["AUT|GOLD|OTHER||||^X"]
    assert changed(raw, "PID-3[2].1=C", "PID-3[1].4.2=9") == ["PID|1||A^^^N&9~C"]
    assert changed(raw, "PID-3=Z^^^HILL") == ["PID|1||Z^^^HILL~B"]
    assert changed(raw, "AUT-1=") == ["AUT||ACME"]
    assert changed(raw, "MSH-5.1=ELSE")[0].startswith("MSH|^~\\&|EHR|NORTH|ELSE|")


def test_a_value_with_delimiters_is_escaped() -> None:
    assert changed(request(), "AUT-3.1=A&B|C^D")[0].split("|")[3] == r"A\T\B\F\C\S\D"


def test_what_can_not_be_set_is_told() -> None:
    for text, said in (
        ("AUT2.1", "sets nothing"), ("MSH-10=X", "can not be set"), ("MSH-2=^", "can not be set"),
        ("PID-0=X", "numbers go from 1"), ("PID-999=X", "numbers go from 1"), ("PID-3=A\rZZZ|1", "end its segment"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=said):
            read_setting(text)
    with pytest.raises(UserError, match=r"has 1 segment\(s\) AUT"):
        changed(request(), "AUT[3]-1=X")
    with pytest.raises(UserError, match="has no 'ł'"):
        encoded("ł", "latin_1")


def test_a_new_message_has_its_own_control_id_and_time() -> None:
    parsed = parse(request("C1"))
    made = parse(as_new(edited(parsed, []), "E1", "20260303", parsed.delimiters).encode())
    assert (made.header.control_id, made.header.sent_at) == ("E1", "20260303")
    assert [each.text for each in made.segments[1:]] == [each.text for each in parsed.segments[1:]]
