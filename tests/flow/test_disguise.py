"""Disguised messages: other people, the same story, and nothing left of who it was."""

import re
from pathlib import Path

import pytest

from hl7auth.errors import Fault
from hl7auth.flow.channel import find_channel
from hl7auth.flow.disguise import CITIES, STREETS, WORDS, NotDisguised, disguised, left_over
from hl7auth.flow.trial import try_out
from hl7auth.resources import shipped
from hl7auth.rules.compiled import CompiledProfile, compiled
from hl7auth.wire.message import Message, parse
from tests.engine import answer, message, msh, request

PERSON = (
    "PID|1||MRN-4711^5^M10^NORTH^MR~X99^^^GOV^SS||Quillon^Ivana^Maria^Jr^Dr||19800229|F||W|12 Hill Rd&Hill Rd&12^Apt 3"
    "^Cedarville^TX^75001^USA^H||(512)555-7788^PRN^PH^ivana@mail.example|||||ACC-1|123-45-6789"
)
NOTE = "NTE|1||Ivana Quillon asked for a wheelchair"


def profile_of(read: Message) -> CompiledProfile:
    return compiled("network-zqa" if read.header.message_type.startswith("Z") else "referral", read.header.version)


def disguise(*raws: bytes, days: int = -100) -> list[bytes]:
    return disguised([parse(raw) for raw in raws], profile_of, days)


def one(*segments: str, days: int = -100) -> list[str]:
    """The segments of a message, disguised, without its MSH."""
    (raw,) = disguise(message(msh(), *segments), days=days)
    return raw.decode().split("\r")[1:-1]


def test_a_person_becomes_another_one() -> None:
    person, note = one(PERSON, NOTE)
    assert person == (
        "PID|1||XXX-0001^^^NORTH^MR~X01^^^GOV^SS||Amberley^Aldis^^Jr^Dr||19791121|F||W|1 Specimen Road&&^"
        "^Sampleton^TX^^USA^H||(300)400-0100^PRN^PH^|||||XXX-1|000-00-0001"
    )
    assert note == "NTE|1||text"


def test_nothing_of_the_person_is_left() -> None:
    text = "\r".join(one(PERSON, NOTE)).casefold()
    for value in ("4711", "quillon", "ivana", "maria", "hill", "cedarville", "75001", "7788", "6789", "1980", "wheel"):
        assert value not in text


def test_the_same_patient_is_the_same_everywhere_and_in_every_message() -> None:
    asked, granted = disguise(request("C77", referral="R77"), answer("P77", "C77", referral="R77"))
    persons = [re.findall(rb"PID[^\r]*", raw) for raw in (asked, granted)]
    assert persons[0] == persons[1]
    assert b"77001" not in asked + granted
    before = try_out([request("C77", referral="R77"), answer("P77", "C77", referral="R77")], CHANNEL)
    after = try_out([asked, granted], CHANNEL)
    assert [(each.disposition, len(each.changes)) for each in after] == [
        (each.disposition, len(each.changes)) for each in before
    ]
    assert [change.rule for change in after[1].changes] == ["answer", "answer"]


CHANNEL = find_channel("referral-intake")


def test_names_are_consistent_by_family_and_by_given_name() -> None:
    found = one("PID|1||1||Quillon^Ivana", "NK1|1|QUILLON^Igor", "PRD|RP|Quillon^Ivana~Moss^Ivana")
    assert found[0].split("|")[5] == "Amberley^Aldis"
    assert found[1].split("|")[2] == "AMBERLEY^Briony"
    assert found[2].split("|")[2] == "Amberley^Aldis~Birchall^Aldis"


def test_more_names_than_there_are_in_the_list() -> None:
    families = [f"Name{chr(65 + at // 26)}{chr(97 + at % 26)}" for at in range(45)]
    found = one(f"PRD|RP|{'~'.join(families)}")[0].split("|")[2].split("~")
    assert len(set(found)) == 45
    assert found[20] == "Amberley2"


def test_no_stand_in_is_a_word_of_the_originals() -> None:
    (person,) = one("PID|1||XXX-0001^^^NORTH||Amberley^Briony")
    assert person == "PID|1||XXX-0002^^^NORTH||Birchall^Aldis"
    assert one("PID|1||1", "NTE|1||text", "NTE|2||words")[1:] == ["NTE|1||remark", "NTE|2||remark"]


def test_values_that_are_in_the_way_of_every_fitting_stand_in_do_not_stop_it() -> None:
    found = one("PID|1||XXX-77^^^NORTH", "NTE|1||XXX", "NTE|2||Sample", "PRD|RP|A^B|1 Elm St^^Elm", f"NTE|3||{WORDY}")
    assert found[0].startswith("PID|1||X2^")
    assert len({each.split("|")[3] for each in found[1:3]}) == 1


WORDY = "~".join((*WORDS, *STREETS, *CITIES))


def test_all_dates_move_by_the_same_days_and_stay_as_exact_as_they_were() -> None:
    (person, procedure) = one("PID|1||1||A^B||1980", "PR1|1||99213^Visit^C4||202604011015+0100~20260401", days=-31)
    assert person.split("|")[7] == "1980"
    assert procedure.split("|")[5] == "202603011015+0100~20260301"
    (person,) = one("PID|1||1||A^B||198003", days=-31)
    assert person.split("|")[7] == "198002"
    (person,) = one("PID|1||1||A^B||19801301")
    assert person.split("|")[7] != "19801301"  # no date: a number like any other
    (raw,) = disguise(message(msh(), "PID|1||1"), days=1)
    assert raw.split(b"|")[6] == b"20260302101500"


def test_a_code_stays_and_its_text_goes() -> None:
    assert one("PR1|1||99213^Visit of Ivana^C4") == ["PR1|1||99213^99213^C4"]
    assert one("PR1|1||^Visit of Ivana") == ["PR1|1||^text"]
    assert one("PR1|1||visit of Ivana Quillon^^L") == ["PR1|1||text^^L"]


def test_a_code_that_is_an_identity_goes_too() -> None:
    assert one("PID|1||99213^^^NORTH||Quillon^Ivana", "PR1|1||99213^Visit^C4") == [
        "PID|1||00001^^^NORTH||Amberley^Aldis",
        "PR1|1||00001^00001^C4",
    ]
    assert one("PID|1||M1||Gold^Ivana", "AUT|GOLD^Gold plan^L|ACME") == [
        "PID|1||X2||Amberley^Aldis",
        "AUT|text^text^L|ACME",
    ]


def test_who_pays_and_who_sends_stays() -> None:
    found = one("IN1|1|GOLD|ACME^^^NAIC|Acme Health|||||||Mill Works", "AUT|GOLD|ACME|Acme Health||||PA77^ACME||3")
    assert found[0] == "IN1|1|GOLD|ACME^^^NAIC|Acme Health|||||||Sample House"
    assert found[1].startswith("AUT|GOLD|ACME|Acme Health||||")
    (raw,) = disguise(message(msh(), "PID|1||1"))
    assert raw.startswith(b"MSH|^~\\&|EHR|NORTH|PAYER|SOUTH|")


def test_results_follow_their_own_data_type() -> None:
    found = one(
        "OBX|1|TX|X^Report^L||Ivana fell",
        "OBX|2|NM|X^Weight^L||72.5",
        "OBX|3|CE|X^Side^L||LEFT^left knee^L",
        "OBX|4|DT|X^Day^L||20260401",
        "OBX|5|XPN|X^Name^L||Quillon^Ivana",
        "OBX|6|ED|X^Letter^L||^AP^PDF^Base64^JVBERi0x",
        "OBX|7|NM|X^Phone^L||5125557788",
    )
    assert [each.split("|")[5] for each in found] == [
        "text", "72.5", "LEFT^LEFT^L", "20251222", "Amberley^Aldis", "^AP^PDF^Base64^XXXXXx1x", "0000000001",
    ]  # fmt: skip


def test_empty_deleted_and_short_values_stay() -> None:
    assert one('PID|1||""||""^""||""', "NTE|1||no", "NTE|2||") == ['PID|1||""||""^""||""', "NTE|1||no", "NTE|2||"]


def test_an_id_without_digits_gets_one() -> None:
    assert one("PID|1||abC-x^^^NORTH")[0] == "PID|1||xxX-x1^^^NORTH"


def test_escapes_and_other_delimiters_are_respected() -> None:
    assert one("NTE|1||A\\T\\B-12")[0] == "NTE|1||X-X-01"
    raw = b"MSH!*~\\&!EHR!NORTH!PAYER!SOUTH!20260301!!RQA*I08!C1!P!2.5\rPID!1!!M-12***N!!Quillon*Ivana\r"
    assert disguise(raw)[0].split(b"\r")[1] == b"PID!1!!X-01***N!!Amberley*Aldis"


def test_what_stands_where_nothing_is_expected_goes() -> None:
    assert one("ZZZ|Ivana|4711-A|ok")[0] == "ZZZ|text|0001-X|ok"
    assert one("PID|1&Ivana||1")[0] == "PID|1&text||2"
    assert one("PID|1||1||Quillon&von&Ivana^Ivana")[0].split("|")[5] == "Amberley&&^Aldis"


def test_a_word_that_makes_the_message_what_it_is_may_be_a_text() -> None:
    (raw,) = disguise(message(msh(), "PID|1||1", "NTE|1||RQA", "NTE|2||PID"))
    assert raw.startswith(b"MSH|^~\\&|EHR|NORTH|PAYER|SOUTH|20251121101500||RQA^I08|")
    assert b"\rNTE|1||text\r" in raw


def test_a_partners_status_and_its_word_for_nothing_stay() -> None:
    names = ("102-zqa-z02-v2.4-request", "103-zpa-z02-v2.4-partially-approved")
    raws = [(shipped("sample_messages") / f"{name}.hl7").read_bytes() for name in names]
    asked, granted = (raw.decode("latin_1").split("\r") for raw in disguise(*raws))
    before = [raw.decode("latin_1").split("\r") for raw in raws]
    zau = [next(line for line in lines if line.startswith("ZAU")).split("|") for lines in (asked, granted, *before)]
    assert zau[0] == zau[2]  # ZAU-2 is 0: no number yet
    assert zau[1][3] == zau[3][3]  # the code that decides
    assert zau[1][2] != zau[3][2]


def test_text_beyond_ascii_is_written_in_the_set_that_it_came_in() -> None:
    raw = message(msh() + "||||||UNICODE UTF-8", "PID|1||1||Müller^Zoë", "NTE|1||größer")
    assert disguise(raw)[0].split(b"\r")[1:] == [b"PID|1||2||Amberley^Aldis", b"NTE|1||text", b""]


def readable() -> list[Path]:
    """The samples that are messages of a version that there is."""
    found = []
    for path in sorted(shipped("sample_messages").glob("*.hl7")):
        try:
            profile_of(parse(path.read_bytes()))
        except Fault:
            continue
        found.append(path)
    assert len(found) > 90
    return found


@pytest.mark.parametrize("path", readable(), ids=lambda path: path.stem)
def test_no_value_of_a_sample_is_left_over(path: Path) -> None:
    read = parse(path.read_bytes())
    (raw,) = disguised([read], profile_of, -100)
    again = parse(raw)
    assert [each.name for each in again.segments] == [each.name for each in read.segments]
    for name, fields in (("PID", (3, 5, 7, 11, 13)), ("NK1", (2, 4, 5)), ("NTE", (3,)), ("AUT", (6,))):
        for before, after in zip(read.all(name), again.all(name), strict=True):
            for number in fields:
                value = before.value(number)
                assert len(value) < 3 or value == '""' or after.value(number) != value, f"{name}-{number}"


def test_what_is_left_is_a_fault_and_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A birth date that another date moves onto."""
    segments = ("PID|1||1||A^B||19800101", "PR1|1||99213||19800411")
    with pytest.raises(NotDisguised) as caught:
        one(*segments, days=-101)
    assert "1 value(s) of the message are left" in str(caught.value)
    assert "1980" not in str(caught.value)
    assert one(*segments, days=-100)


def test_a_search_is_for_whole_words_in_any_case() -> None:
    assert list(left_over("PID|QUILLON^Al", ["Quillon", "Ill", "Al", "Ivana", "--"])) == ["Quillon", "Al"]
    assert list(left_over("a 12 Hill-Rd b", ["12 Hill Rd", "Hill b"])) == ["12 Hill Rd"]
