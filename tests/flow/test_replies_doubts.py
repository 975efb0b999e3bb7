"""What is doubtful about the replies of a channel."""

from pathlib import Path

import pytest

from hl7auth.flow.channel import load_channel
from hl7auth.flow.channel_links import linked
from hl7auth.flow.replies_doubts import doubtful

HEAD = """\
channel: north
listen: tcp:4001:interface=127.0.0.1
destinations:
  payer: {mllp: {connect: "tcp:127.0.0.1:4002"}}
  ehr: {mllp: {connect: "tcp:127.0.0.1:4003"}}
replies:
"""
BACK = "channel: back\nlisten: tcp:4004:interface=127.0.0.1\naccepts: {messages: [RQA]}\n"


def keys(tmp_path: Path, lines: str) -> list[str]:
    (tmp_path / "north.yaml").write_text(HEAD + lines, encoding="utf-8")
    (tmp_path / "back.yaml").write_text(BACK, encoding="utf-8")
    north, back = linked([load_channel(tmp_path / f"{name}.yaml") for name in ("north", "back")])
    return [".".join(map(str, each.keys)) for each in doubtful(north, [back])]


def test_rules_are_numbered_as_people_count(tmp_path: Path) -> None:
    """As `channel check` does with the key of what it tells."""
    lines = "  rules: [{answer: ack}, {payor: [ACME]}]\n"
    (tmp_path / "north.yaml").write_text(HEAD + lines, encoding="utf-8")
    (doubt,) = doubtful(load_channel(tmp_path / "north.yaml"), [])
    assert doubt.text.startswith("replies.rules.1 fits every message")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("  to: ehr\n", []),
        ("  answer: forward\n  to: ehr\n  forward: {to: payer}\n", []),
        ("  rules: [{sender: [A], answer: ack}, {sender: [B], answer: ack}]\n", []),
        ("  rules: [{sender: [A, B]}, {sender: [B], events: [RQA]}]\n", ["replies.rules.1"]),
        ("  rules: [{answer: ack}, {payor: [ACME]}]\n", ["replies.rules.1"]),
        ("  rules: [{when: 'PID-3 valued'}, {when: 'PID-3 valued'}]\n", ["replies.rules.1"]),
        ("  rules: [{events: [RQA^I12, ORM]}]\n", ["replies.rules.0.events.0", "replies.rules.0.events.1"]),
        ("  acknowledgments: original\n  to: ehr\n", ["replies.acknowledgments"]),
        ("  forward: {to: payer}\n", ["replies"]),
        ("  answer: forward\n  forward: {to: payer, within_seconds: 0}\n", ["replies.forward.within_seconds"]),
        ("  answer: forward\n  forward: {to: payer, late: pended}\n", ["replies.forward.late"]),
        ("  answer: forward\n  forward: {to: payer, answers_on: back}\n", ["replies.forward.answers_on"]),
        (
            "  rules: [{answer: forward, forward: {to: payer, answers_on: back}}]\n",
            ["replies.rules.0.forward.answers_on"],
        ),
    ],
)  # fmt: skip
def test_what_is_asked_about(tmp_path: Path, lines: str, found: list[str]) -> None:
    assert keys(tmp_path, lines) == found
