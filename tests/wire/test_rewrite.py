"""Fields written anew: what changes, what stays byte for byte, and what can not be done."""

import pytest

from hl7auth.errors import Unreadable
from hl7auth.wire.message import parse
from hl7auth.wire.rewrite import rewritten

HEAD = "MSH|^~\\&|EHR|NORTH|PAYER|SOUTH|2026||RQA^I08|C1|P|2.5"


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        (f"{HEAD}\rPID|1\r", {"MSH": {10: "77"}}, f"{HEAD.replace('C1', '77')}\rPID|1\r"),
        (f"{HEAD}\rPID|1\r", {"MSH": {15: "AL", 16: "NE"}}, f"{HEAD}|||AL|NE\rPID|1\r"),
        (f"{HEAD}\rPID|1\r", {"MSH": {15: "", 16: ""}}, f"{HEAD}\rPID|1\r"),
        (f"{HEAD}|||ER|SU||8859/1\r", {"MSH": {15: "", 16: "AL"}}, f"{HEAD}||||AL||8859/1\r"),
        (f"{HEAD}\rMSA|AA|C1\rPID|1\r", {"MSA": {2: "X^Y"}}, f"{HEAD}\rMSA|AA|X^Y\rPID|1\r"),
        (f"{HEAD}\nMSA|AA\nPID|1", {"MSA": {1: "AE", 2: "X"}}, f"{HEAD}\nMSA|AE|X\nPID|1"),
        (f"{HEAD}\rPID|1\r", {"MSA": {2: "X"}}, f"{HEAD}\rPID|1\r"),
        (f"{HEAD.replace('|', '#')}\rMSA#AA#C1\r", {"MSH": {10: "7"}, "MSA": {2: "8"}},
         f"{HEAD.replace('|', '#').replace('C1', '7')}\rMSA#AA#8\r"),
    ],
)  # fmt: skip
def test_only_the_named_fields_change(before: str, changes: dict[str, dict[int, str]], after: str) -> None:
    assert rewritten(parse(before.encode()), changes) == after.encode()


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("utf_8", "UNICODE UTF-8"),
        ("latin_1", "8859/1"),
        ("gb18030", "GB 18030-2000"),
        ("big5", "BIG-5"),
        ("iso2022_jp", "ISO IR87"),
    ],
)
def test_bytes_of_any_character_set_stay(codec: str, name: str) -> None:
    word = {"gb18030": "保险", "big5": "保險", "iso2022_jp": "保険"}.get(codec, "Übersee")
    text = f"MSH|^~\\&|{word}|NORTH|PAYER|SOUTH|2026||RQA^I08|C1|P|2.5||||||{name}\rPID|||1||{word}\rZZZ|{word}\r"
    raw = text.encode(codec)
    new = rewritten(parse(raw), {"MSH": {10: "912467505610489856", 15: "AL", 16: "AL"}})
    assert new == raw.replace(b"|C1|", b"|912467505610489856|").replace(b"2.5||||||", b"2.5|||AL|AL||")


def test_what_the_character_set_lacks_becomes_an_escape() -> None:
    new = rewritten(parse(f"{HEAD}\rMSA|AA|C1\r".encode()), {"MSA": {2: "Ç1"}})
    assert parse(new).all("MSA")[0].value(2) == "Ç1"
    assert new.isascii()


def test_a_field_that_would_end_its_segment_is_not_written() -> None:
    with pytest.raises(Unreadable):
        rewritten(parse(f"{HEAD}\r".encode()), {"MSH": {10: "a|b"}})
