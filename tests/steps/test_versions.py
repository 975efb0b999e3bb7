"""Version and character set of a destination, and what they demand."""

from typing import Any

import pytest

from hl7auth.steps.faults import StepRefused
from tests.steps.shaping import HEAD, message, segments, shaped


def versioned(raw: bytes, **more: Any) -> bytes:
    """The message as another version."""
    return shaped(raw, {"version": more}).raw


def test_the_short_form_changes_msh_12_alone() -> None:
    raw = message("PID|1||5||", head=f"{HEAD}^AUS&Australia&ISO3166_1|||")
    assert shaped(raw, {"version": "2.4"}).raw == raw.replace(b"|2.5^", b"|2.4^")
    assert shaped(raw, {"version": {"to": "2.5"}}).raw == raw


def test_an_action_code_never_goes_below_2_8() -> None:
    raw = message("RF1||||||R1" + "|" * 19 + "U", "AUT||ACME" + "|" * 27 + "D", "AUT||ACME" + "|" * 27 + '""')
    for version in ("2.7.1", "2.3"):
        with pytest.raises(StepRefused) as caught:
            versioned(raw, to=version)
        assert caught.value.location == "AUT[1]-29"
        dropped = segments(raw, {"version": {"to": version, "action_codes": "drop"}})
        assert dropped == ["RF1||||||R1" + "|" * 19, "AUT||ACME" + "|" * 27, "AUT||ACME" + "|" * 27 + '""']
    assert versioned(raw, to="2.8") == raw.replace(b"|2.5", b"|2.8")


def test_fields_that_the_version_lacks_can_be_cut() -> None:
    raw = message("RF1" + "|x" * 25, "AUT" + "|x" * 28, "AUT|1||||||||3^visits", "ZAU" + "|x" * 40)
    counts = {"2.3": (11, 10), "2.5.1": (11, 10), "2.6": (12, 10), "2.7": (12, 12), "2.9.1": (25, 28)}
    for version, (rf1, aut) in counts.items():
        found = segments(raw, {"version": {"to": version, "beyond": "cut", "action_codes": "drop"}})
        assert found[0].rstrip("|").count("|") == min(rf1, 24 if version < "2.8" else 25)
        assert found[1].count("|") == aut
        assert found[2] == ("AUT|1||||||||3^visits" if version >= "2.7" else "AUT|1||||||||3")
        assert found[3].count("|") == 40


def test_errors_get_the_form_of_the_version() -> None:
    old = "ERR|AUT^1^2^101&Required field missing&HL70357~PID^1^^102"
    new = ["ERR||AUT^1^2|101^Required field missing^HL70357|E", "ERR||PID^1|102|E"]
    assert segments(message("MSA|AE|1", old), {"version": "2.5"}) == ["MSA|AE|1", *new]
    assert segments(message("MSA|AE|1", *new), {"version": "2.4"}) == [
        "MSA|AE|1", "ERR|AUT^1^2^101&Required field missing&HL70357~PID^1^^102",
    ]  # fmt: skip
    two = "ERR||AUT^1^2~AUT^2^2|101^X^HL70357|E|||diagnosis"
    assert segments(message(two), {"version": "2.3"}) == ["ERR|AUT^1^2^101&X&HL70357~AUT^2^2^101&X&HL70357"]


@pytest.mark.parametrize(
    ("version", "segment"), [("2.5", "ERR||AUT^1^2|101|E"), ("2.4", "ERR|AUT^1^2^101"), ("2.4", "ERR")]
)
def test_errors_that_have_the_form_stay(version: str, segment: str) -> None:
    assert segments(message(segment), {"version": version}) == [segment]


def test_errors_can_be_kept() -> None:
    raw = message("ERR|AUT^1^2^101")
    assert versioned(raw, to="2.8", err="keep") == raw.replace(b"|2.5", b"|2.8")


def test_errors_of_a_sender_without_subcomponents() -> None:
    raw = b"MSH|^~\\|A|B|C|D|2026||ACK|1|P|2.5\rERR||AUT^1^2|101^Required^HL70357|E\r"
    assert versioned(raw, to="2.4").endswith(b"\rERR|AUT^1^2^101\r")
    assert versioned(versioned(raw, to="2.4"), to="2.6").endswith(b"\rERR||AUT^1^2|101|E\r")


def test_a_truncation_character_is_remarked() -> None:
    raw = b"MSH|^~\\&#|A|B|C|D|2026||RQA^I08|1|P|2.7\r"
    assert shaped(raw, {"version": "2.7.1"}).remarks == ()
    assert shaped(raw, {"version": "2.6"}).remarks == (("1", "version", "2.6 knows no truncation character", "MSH-2"),)


@pytest.mark.parametrize(
    ("to", "value"),
    [
        ("8859/1", b"M\xfcller \\XE6BCA2\\"),
        ("UNICODE UTF-8", "Müller 漢".encode()),
        ("ASCII", b"M\\XC3BC\\ller \\XE6BCA2\\"),
        ("GB 18030-2000", "Müller 漢".encode("gb18030")),
        ("ISO IR87", b"M\\XC3BC\\ller \x1b$B4A\x1b(B"),
    ],
)
def test_the_whole_message_goes_in_another_character_set(to: str, value: bytes) -> None:
    raw = message("PID|1||Müller 漢", head=f"{HEAD}||||||UNICODE UTF-8~ASCII", codec="utf_8")
    assert shaped(raw, {"charset": to}).raw == f"{HEAD}||||||{to}\rPID|1||".encode() + value + b"\r"


def test_what_a_character_set_lacks_can_refuse_the_message() -> None:
    raw = message("PID|1||Müller", head=f"{HEAD}||||||UNICODE UTF-8", codec="utf_8")
    assert b"M\xfcller" in shaped(raw, {"charset": {"to": "8859/1", "lacking": "refuse"}}).raw
    with pytest.raises(StepRefused, match="characters that ASCII lacks"):
        shaped(raw, {"charset": {"to": "ASCII", "lacking": "refuse"}})


def test_values_behind_a_new_character_set_are_written_in_it() -> None:
    assert "漢字".encode() in shaped(message("PID|1"), {"charset": "UNICODE UTF-8"}, {"set": {"PID-5": "漢字"}}).raw


def test_the_same_character_set_changes_nothing_but_its_name() -> None:
    raw = message("PID|1||Müller", head=f"{HEAD}||||||8859/1", codec="latin_1")
    assert shaped(raw, {"charset": "8859/1"}).raw == raw
