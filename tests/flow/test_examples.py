"""Tests of channels: how files make a test, what is written, what is compared, and how a difference is shown."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hl7auth.errors import ConfigError
from hl7auth.flow.channel import Channel, find_channel
from hl7auth.flow.channel_leaves import plain
from hl7auth.flow.examples import (
    Example,
    compare,
    example_of,
    expected_text,
    in_order,
    outcomes,
    read_expected,
)
from tests.engine import answer, request

CHANNEL = find_channel("referral-intake")
STORY = Example(
    "approved",
    (("approved.1.hl7", request("C1", referral="R1")), ("approved.2.hl7", answer("P1", "C1", referral="R1"))),
)


def expecting(folder: Path, example: Example, text: str) -> Example:
    path = folder / "approved.expected.yaml"
    path.write_text(text, encoding="utf-8")
    return example._replace(expected=read_expected(path))


def test_files_with_the_same_name_up_to_the_first_dot_are_one_test() -> None:
    assert [example_of(name) for name in ("a.hl7", "a.1-x.hl7", "a-1.hl7")] == ["a", "a", "a-1"]
    assert in_order(["a.10.hl7", "a.2.hl7", "a.1.hl7", "a.hl7"]) == ["a.1.hl7", "a.2.hl7", "a.10.hl7", "a.hl7"]


def test_messages_of_a_test_share_a_store_and_tests_do_not() -> None:
    asked, granted = outcomes(STORY, CHANNEL)
    assert [change["document"]["status"] for change in asked["changes"]] == ["pended"]
    assert [(change["by"], change["document"]["key"]) for change in granted["changes"]] == [
        ("answer", "PA1@ACME"),
        ("answer", "R1@EHR:NORTH"),
    ]
    (alone,) = outcomes(Example("late", STORY.messages[1:]), CHANNEL)
    assert [change["document"]["key"] for change in alone["changes"]] == ["PA1@ACME"]


def test_what_became_of_a_message() -> None:
    entry = outcomes(STORY, CHANNEL)[0]
    assert {key: entry[key] for key in ("file", "event", "control_id", "disposition", "code")} == {
        "file": "approved.1.hl7", "event": "RQA^I08", "control_id": "C1", "disposition": "accepted", "code": "AA",
    }  # fmt: skip
    assert (entry["findings"], entry["routes"]) == ([], [])
    assert "provenance" not in entry["changes"][0]["document"]
    (reply,) = entry["replies"]
    assert reply.startswith("MSH|^~\\&|PAYER|SOUTH|EHR|NORTH|{time}||RPA^I08^RPA_I08|{id}|P|2.5\nMSA|AA|C1|")


def test_findings_are_sentences_with_their_place() -> None:
    (entry,) = outcomes(Example("bad", (("bad.hl7", request().replace(b"|ACME|", b"||")),)), CHANNEL)
    assert entry["disposition"] == "refused"
    assert entry["findings"] == [
        "error AUT-2 (AUT-2.usage): AUT-2 Authorizing Payor, Company ID SHALL have a value and is empty"
    ]


def test_what_is_no_message_has_an_outcome_too() -> None:
    (entry,) = outcomes(Example("noise", (("noise.hl7", b"hello"),)), CHANNEL)
    assert (entry["disposition"], entry["code"], entry["event"]) == ("refused", "AR", "")


def test_the_destinations_of_a_message() -> None:
    data = plain(CHANNEL.file) | {
        "destinations": {name: {"file": {"folder": name}} for name in ("a", "b")},
        "routes": [{"to": ["b"], "events": ["RQA"]}],
    }
    routed = CHANNEL.model_copy(update={"file": type(CHANNEL.file).model_validate(data)})
    assert [entry["routes"] for entry in outcomes(STORY, routed)] == [["b"], []]


def test_what_is_written_is_what_is_expected(tmp_path: Path) -> None:
    found = outcomes(STORY, CHANNEL)
    verdict = compare(expecting(tmp_path, STORY, expected_text(STORY, found)), outcomes(STORY, CHANNEL))
    assert (verdict.passed, verdict.lines) == (True, ())


def test_nothing_is_expected_yet() -> None:
    verdict = compare(STORY, outcomes(STORY, CHANNEL))
    assert (verdict.passed, verdict.missing, verdict.lines) == (False, True, ())


def test_a_difference_is_a_unified_diff(tmp_path: Path) -> None:
    text = expected_text(STORY, outcomes(STORY, CHANNEL)).replace("status: approved", "status: denied", 1)
    verdict = compare(expecting(tmp_path, STORY, text), outcomes(STORY, CHANNEL))
    assert not verdict.passed
    assert verdict.lines[:2] == ("--- approved.expected.yaml (expected)", "+++ approved (found)")
    assert [line.strip() for line in verdict.lines if line[:2] in ("- ", "+ ")] == [
        "-          status: denied",
        "+          status: approved",
    ]


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        ({"file": "approved.1.hl7"}, True),
        ({"disposition": "accepted", "file": "approved.1.hl7", "code": "AA"}, True),
        ({"file": "approved.1.hl7", "disposition": "refused"}, False),
        ({"file": "approved.1.hl7", "routes": ["a"]}, False),
        ({"file": "other.hl7"}, False),
    ],
)
def test_only_what_is_written_is_compared(message: dict[str, Any], passes: bool, tmp_path: Path) -> None:
    one = Example("approved", STORY.messages[:1])
    text = yaml.safe_dump({"messages": [message]})
    assert compare(expecting(tmp_path, one, text), outcomes(one, CHANNEL)).passed is passes


def test_a_message_too_many_or_too_few_is_a_difference(tmp_path: Path) -> None:
    one = "messages:\n- file: approved.1.hl7\n"
    verdict = compare(expecting(tmp_path, STORY, one), outcomes(STORY, CHANNEL))
    assert not verdict.passed
    assert "+  - file: approved.2.hl7" in verdict.lines
    three = one + "- file: approved.2.hl7\n- file: approved.3.hl7\n"
    assert "-  - file: approved.3.hl7" in compare(expecting(tmp_path, STORY, three), outcomes(STORY, CHANNEL)).lines


def test_a_date_without_quotes_is_the_text_that_it_looks_like(tmp_path: Path) -> None:
    found = outcomes(STORY, CHANNEL)
    text = expected_text(STORY, found).replace("'2026-04-01'", "2026-04-01")
    assert "effective_date: 2026-04-01\n" in text
    assert compare(expecting(tmp_path, STORY, text), found).passed


def test_what_a_test_is_about_is_kept(tmp_path: Path) -> None:
    known = expecting(tmp_path, STORY, "about: Two visits are granted.\nmessages: [{file: approved.1.hl7}]\n")
    text = expected_text(known, outcomes(STORY, CHANNEL))
    assert "\nabout: Two visits are granted.\nmessages:\n" in text
    assert "about" not in expected_text(STORY, outcomes(STORY, CHANNEL))


def test_a_wrong_key_is_named_by_file_line_and_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"approved.expected.yaml:3: unknown key 'messages.0.route'"):
        expecting(tmp_path, STORY, "messages:\n- file: approved.1.hl7\n  route: [a]\n")


def test_a_reply_is_the_same_every_time_but_for_its_time_and_id() -> None:
    def replies(channel: Channel) -> list[str]:
        return [reply for entry in outcomes(STORY, channel) for reply in entry["replies"]]

    again = Example("other", (("other.hl7", request("C0", number="X")), *STORY.messages))
    assert [entry["replies"] for entry in outcomes(again, CHANNEL)][1] == replies(CHANNEL)
