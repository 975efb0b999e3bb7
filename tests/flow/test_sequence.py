"""Sequence numbers (chapter 2, 2.10.1): what is expected, what moves it, and what the sender is told."""

import pytest

from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_protocol import Agreed
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.trial import try_out
from tests.engine import message, request
from tests.messages import channel, texts

CHECK = channel(protocol=Agreed(sequence="check"))


def numbered(raw: bytes, number: str) -> bytes:
    """The message with that MSH-13."""
    head, _, rest = raw.partition(b"\r")
    fields = head.split(b"|") + [b""] * 20
    fields[12] = number.encode()
    return b"|".join(fields).rstrip(b"|") + b"\r" + rest


def sent(number: str, control_id: str = "", modes: tuple[str, str] = ("", "")) -> bytes:
    return numbered(request(control_id or f"C{number}", f"PA{number}", modes=modes), number)


def told(outcome: Outcome) -> list[str]:
    """MSA of each reply."""
    return [line for reply in texts(outcome) for line in reply if line.startswith("MSA")]


def tried(*raws: bytes, on: Channel = CHECK) -> list[Outcome]:
    return try_out(raws, on)


def test_p68_a_gap_is_refused_with_the_number_that_is_expected_and_changes_nothing() -> None:
    first, gap, after = tried(sent("5"), sent("7"), sent("6"))
    assert (first.disposition, told(first)) == (Disposition.ACCEPTED, ["MSA|AA|C5|pended|5"])
    assert (gap.disposition, gap.changes) == (Disposition.REFUSED, ())
    assert told(gap)[0].startswith("MSA|AR|C7|MSH-13 is not the sequence number that is expected, 6")
    assert told(gap)[0].endswith("|6")
    assert [finding.rule for finding in gap.findings] == ["sequence.expected"]
    assert told(after) == ["MSA|AA|C6|pended|6"]


def test_p68_enhanced_mode_gets_ce() -> None:
    _, gap = tried(sent("5"), sent("7", modes=("AL", "AL")))
    assert [line[:9] for line in told(gap)] == ["MSA|CE|C7"]
    assert told(gap)[0].endswith("|6")


def test_both_replies_of_enhanced_mode_say_the_number() -> None:
    (outcome,) = tried(sent("5", modes=("AL", "AL")))
    assert told(outcome) == ["MSA|CA|C5||5", "MSA|AA|C5|pended|5"]


def test_the_last_one_again_gets_its_stored_reply_and_an_older_one_does_not() -> None:
    first, second, again, old = tried(sent("1"), sent("2"), sent("2"), sent("1"))
    assert (again.disposition, again.replies) == (Disposition.DUPLICATE, second.replies)
    assert (old.disposition, told(old)[0][-2:]) == (Disposition.REFUSED, "|3")
    assert first.disposition is Disposition.ACCEPTED


def test_another_message_under_the_last_number_is_out_of_sequence() -> None:
    _, other = tried(sent("1"), sent("1", "OTHER"))
    assert (other.disposition, told(other)[0][-2:]) == (Disposition.REFUSED, "|2")


def test_what_is_refused_for_its_content_does_not_move_the_number() -> None:
    bad = numbered(message("MSH|^~\\&|EHR|NORTH|PAYER|SOUTH|20260301101500||RQA^I08|B|P|2.5", "PRD|RP|Moss^Ada"), "2")
    _, refused, mended = tried(sent("1"), bad, sent("2"))
    assert (refused.disposition, told(refused)[0][-2:]) == (Disposition.REFUSED, "|2")
    assert mended.disposition is Disposition.ACCEPTED


def test_zero_asks_for_the_next_number_and_carries_no_content() -> None:
    link = numbered(message("MSH|^~\\&|EHR|NORTH|PAYER|SOUTH|2026||RQA^I08|L|P|2.5"), "0")
    first, _, asked, again = tried(link, sent("41"), link, link)
    assert (first.disposition, told(first)) == (Disposition.LINK, ["MSA|AA|L||-1"])
    assert told(asked) == told(again) == ["MSA|AA|L||42"]  # never the stored reply of the first


def test_zero_with_content_applies_nothing_and_says_so() -> None:
    (outcome,) = tried(sent("0"))
    assert (outcome.disposition, outcome.changes) == (Disposition.LINK, ())
    assert told(outcome) == ["MSA|AA|C0|about the sequence numbers alone: nothing was applied|-1"]


def test_minus_one_begins_a_new_count() -> None:
    _, resync, first, second = tried(sent("41"), sent("-1"), sent("7"), sent("9"))
    assert told(resync)[0].endswith("|-1")
    assert (first.disposition, second.disposition) == (Disposition.ACCEPTED, Disposition.REFUSED)
    assert told(second)[0].endswith("|8")


@pytest.mark.parametrize("modes", [("AL", "NE"), ("NE", "NE"), ("", "")])
def test_the_link_is_always_answered(modes: tuple[str, str]) -> None:
    (outcome,) = tried(sent("0", modes=modes))
    assert [line[:6] for line in told(outcome)] == ["MSA|CA" if modes[0] == "AL" else "MSA|AA"]


@pytest.mark.parametrize("number", ["-2", "x", "1.5", "9" * 16, "\u0663", "+3", " 4", "4 ", " "])
def test_what_is_no_sequence_number_is_refused(number: str) -> None:
    (outcome,) = tried(sent(number, "C"))
    assert (outcome.disposition, [each.rule for each in outcome.findings]) == (
        Disposition.REFUSED,
        ["sequence.number"],
    )


def test_without_a_number_a_message_is_outside_of_the_count_unless_it_is_required() -> None:
    _, plain, second = tried(sent("1"), request("P"), sent("2"))
    assert (plain.disposition, second.disposition) == (Disposition.ACCEPTED, Disposition.ACCEPTED)
    assert told(plain) == ["MSA|AA|P|pended"]
    (missing,) = tried(request("P"), on=channel(protocol=Agreed(sequence="require")))
    assert missing.disposition is Disposition.REFUSED
    assert "ERR||MSH^1^13|101^Required field missing^HL70357|E|" in "\r".join(texts(missing)[0])


def test_senders_count_by_themselves() -> None:
    other = sent("9").replace(b"|NORTH|", b"|EAST|", 1)
    assert [each.disposition for each in tried(sent("1"), other, sent("2"))] == [Disposition.ACCEPTED] * 3


def test_a_refused_header_moves_nothing_and_says_what_is_expected() -> None:
    wrong = sent("2").replace(b"|P|2.5", b"|T|2.5")
    _, refused, right = tried(sent("1"), wrong, sent("2"))
    assert told(refused)[0][:6] == "MSA|AR"
    assert told(refused)[0].endswith("|2")
    assert right.disposition is Disposition.ACCEPTED


def test_a_channel_that_ignores_numbers_says_none() -> None:
    outcomes = tried(sent("5"), sent("7"), sent("0", "Z"), on=channel())
    assert [told(each)[0].count("|") for each in outcomes] == [3, 3, 3]
    assert {each.disposition for each in outcomes} == {Disposition.ACCEPTED}
