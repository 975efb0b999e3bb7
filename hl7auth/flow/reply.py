"""The replies to a message as bytes: acknowledgements, and the answer from what the store knows.

Imports wire, rules, domain and flow.intake only.
"""

from collections.abc import Sequence

from hl7auth.domain.answer import ANSWERS, Name, Standing, answer
from hl7auth.domain.intent import Intent
from hl7auth.flow.intake import Plan, timestamp
from hl7auth.rules.check import Finding
from hl7auth.wire import charset
from hl7auth.wire.ack import Problem, Reply, reply_version
from hl7auth.wire.versions import at_least

MAX_REPORTED = 50
"""ERR segments in one reply: more than this helps nobody, and a bad message must not make a giant reply."""

ACCEPT, APPLICATION = 0, 1
"""Which of the control ids that a plan has for its replies."""


def milder(plan: Plan, findings: Sequence[Finding]) -> tuple[Problem, ...]:
    """What is no error and is told all the same, where the channel says so; before 2.5 an ERR has no severity."""
    severities = _TOLD[plan.channel.file.tells]
    if not severities or plan.message is None or not at_least(reply_version(plan.header), "2.5"):
        return ()
    return tuple(finding.problem for finding in findings if finding.severity in severities)


#: by the channel's `tells`: the findings that are told beside errors
_TOLD: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "warnings": frozenset({"warning", "alert"}),
    "all": frozenset({"warning", "alert", "information"}),
}


def answer_text(plan: Plan, intent: Intent, now: Standing, reply: Reply, modes: tuple[str, str]) -> str:
    """RPA or RRI with what the store knows; `modes` are its MSH-15 and MSH-16."""
    assert plan.message is not None
    return answer(plan.message, intent.claims, now, reply, modes, own_name(plan))


def own_name(plan: Plan, answering: str = "") -> Name | None:
    """What the answer is called where the partner has names of its own; `answering` is its event where that is not the
    one of the request (a decision that cancels)."""
    kind, event = plan.acts_as
    event = answering or event
    if plan.dialect is None or plan.message is None or kind not in ANSWERS:
        return None
    name = plan.dialect.own_name(f"{ANSWERS[kind][0]}^{event}", plan.header.trigger_event)
    if not name or plan.header.event not in plan.dialect.events:
        return None
    own, _, trigger = name.partition("^")
    profile = plan.channel.compiled(plan.channel.file.profile_of(plan.message), reply_version(plan.header))
    structure = profile.structure_of(own, trigger) or f"{own}_{trigger}"
    return Name(own, trigger, structure, profile.structures.get(structure))


def reply_to(plan: Plan, number: int) -> Reply:
    """What a reply needs of its message; ACCEPT or APPLICATION says which of the two it is."""
    expected = plan.link.expected if plan.link is not None else ""
    sent_at = timestamp(plan.received_at // 1_000_000)
    return Reply(plan.header, plan.delimiters, sent_at, plan.reply_ids[number], expected)


def encoded(plan: Plan, text: str) -> bytes:
    """In the bytes that the sender used; what they can not carry becomes escapes.

    Framing bytes that a sender left raw inside a segment are never sent back raw: they would end the frame.
    """
    mark = plan.delimiters.escape
    for byte in ("\x0b", "\x1c"):
        if byte in text:
            text = text.replace(byte, f"{mark}X{ord(byte):02X}{mark}" if mark else "?")
    received = plan.shaping or plan.message
    if received is None:
        return text.encode("ascii", "replace")
    if not received.charset:
        try:
            return text.encode(received.codec)
        except UnicodeEncodeError:
            pass
    return charset.encode(text, received.charset, plan.delimiters.escape)
