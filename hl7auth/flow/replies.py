"""Who answers a request and where the answer goes, as people write it in a channel: `replies`.

Imports domain (names of statuses), flow.condition, flow.handshake, flow.route, rules and wire only.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from hl7auth.domain.status import UNDECIDED
from hl7auth.flow.condition import condition
from hl7auth.flow.handshake import ORIGINAL, Handshake, handshake
from hl7auth.flow.route import Status
from hl7auth.rules.strict_yaml import Misplaced, Step, Strict
from hl7auth.wire.message import Header, Message

CONNECTION = "connection"
"""The word for where a message came from."""

Answerer = Literal["rpa", "ack", "forward"]

_PAIR = re.compile(r"(AL|NE|ER|SU)/(AL|NE|ER|SU)")
_MODES = {"original": ORIGINAL, "enhanced": Handshake(True, "AL", "AL")}


class Forward(Strict):
    """The payor's system, asked by `answer: forward`. `to` is an mllp destination of this channel.

    `within_seconds`: so long its answer may come back on the connection that asked; 0 is never. After that it goes
    where `to` of the replies says. `mode`: how MSH-15 and MSH-16 ask there; original has the answer come back on the
    same connection, enhanced (AL/AL) after a commit acknowledgement. `answers_on`: the channel that listens for
    answers that come later. `late` is what the sender is told on its connection when the seconds are over: refuse
    (AR 207), pended (an answer that says so, which is no decision) or silent. `failed` when there will be no answer:
    refuse or silent.
    """

    to: str
    within_seconds: float = Field(20.0, ge=0, le=3_600)
    mode: Literal["original", "enhanced"] = "original"
    answers_on: str = ""
    late: Literal["refuse", "pended", "silent"] = "refuse"
    failed: Literal["refuse", "silent"] = "refuse"


class ReplyRule(Strict):
    """A request that fits all that is said here is answered as this rule says; what it leaves out is as for all.

    `sender` is MSH-3, `facility` MSH-4, `events` are `RQA^I08` or `RQA`; `payor` is AUT-2, or IN1-3 where no AUT has
    one; `status` is how what is asked for stands; `when` is a condition as in routes.
    """

    sender: tuple[str, ...] = ()
    facility: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    payor: tuple[str, ...] = ()
    status: tuple[Status, ...] = ()
    when: str = ""
    answer: Answerer | None = None
    to: str | None = None
    forward: Forward | None = None

    @field_validator("when")
    @classmethod
    def _compiles(cls, text: str) -> str:
        if text:
            condition(text)
        return text

    @property
    def is_for_all(self) -> bool:
        """True for a rule without any condition."""
        return not (self.sender or self.facility or self.events or self.payor or self.status or self.when)


class Replies(Strict):
    """How requests are answered. Without it: by the engine from its store, on the connection, as MSH-15 and 16 ask.

    `acknowledgments`: as_asked, or for senders that do not say what they want (or not what they mean) original,
    enhanced (AL/AL) or a pair for MSH-15 and MSH-16 like AL/NE. `answer`: rpa (RPA or RRI from the store), ack (only an
    ACK) or forward (the payor's system answers). `to`: connection, a destination of this channel, or CHANNEL/NAME for
    one of another. Original mode knows only the connection. `decided_within_seconds`: with `rpa`, so long a request
    that is not decided waits on its connection for the decision of rules or of a person, before it is told that it
    pends; 0 is never. `rules`: the first that fits says otherwise.
    """

    acknowledgments: str = "as_asked"
    answer: Answerer = "rpa"
    to: str = CONNECTION
    decided_within_seconds: float = Field(0.0, ge=0, le=3_600)
    forward: Forward | None = None
    rules: tuple[ReplyRule, ...] = ()

    @field_validator("acknowledgments")
    @classmethod
    def _mode(cls, text: str) -> str:
        if text != "as_asked" and text not in _MODES and not _PAIR.fullmatch(text):
            raise ValueError(
                f"'{text}' is none of as_asked, original, enhanced, or a pair of AL, NE, ER, SU like AL/NE"
            )
        return text

    @model_validator(mode="after")
    def _forwarded(self) -> "Replies":
        asked: list[tuple[Answerer | None, Forward | None]] = [(self.answer, self.forward)]
        asked += [(rule.answer, rule.forward) for rule in self.rules]
        for answer, forward in asked:
            if answer == "forward" and forward is None and self.forward is None:
                raise ValueError("answer is forward, and forward does not say where to")
        if self.decided_within_seconds and all(answer != "rpa" for answer, _ in asked):
            raise ValueError("decided_within_seconds is for answer: rpa, and no request is answered so")
        return self

    @property
    def forwards(self) -> tuple[Forward, ...]:
        """Every `forward` that a request may go by."""
        return tuple(each for each in (self.forward, *(rule.forward for rule in self.rules)) if each is not None)

    @property
    def destinations(self) -> tuple[str, ...]:
        """Where answers may go but the connection."""
        names = [self.to, *(rule.to for rule in self.rules if rule.to)]
        return tuple(dict.fromkeys(name for name in names if name != CONNECTION))

    @property
    def taken(self) -> frozenset[str]:
        """The destinations of the channel that are there for answers and what is forwarded."""
        return frozenset((*self.destinations, *(each.to for each in self.forwards)))

    def asked(self, header: Header) -> Handshake:
        """The handshake of a message on this channel."""
        if self.acknowledgments == "as_asked":
            return handshake(header)
        if self.acknowledgments in _MODES:
            return _MODES[self.acknowledgments]
        accept, _, application = self.acknowledgments.partition("/")
        return Handshake(True, accept, application)


class Chosen(NamedTuple):
    """Who answers one request, and where the answer goes."""

    answer: Answerer
    to: str
    forward: Forward | None


def placed(replies: Replies, destinations: Mapping[str, bool]) -> None:
    """Raises Misplaced for what goes to no destination of the channel; `destinations` tells which are mllp."""
    if CONNECTION in destinations:
        text = f"a destination can not be called '{CONNECTION}' where replies go to one or the other"
        raise Misplaced(text, "destinations", CONNECTION)
    mllp = [name for name, is_mllp in destinations.items() if is_mllp]
    for keys, to, forward in _said(replies):
        if to and to != CONNECTION and "/" not in to:
            _known(to, list(destinations), "destination", *keys, "to")
        if forward is not None:
            _known(forward.to, mllp, "mllp destination", *keys, "forward", "to")


def _said(replies: Replies) -> Iterator[tuple[tuple[Step, ...], str | None, Forward | None]]:
    """What is said for all, and by each rule, with where it stands in the file."""
    yield ("replies",), replies.to, replies.forward
    for number, rule in enumerate(replies.rules):
        yield ("replies", "rules", number), rule.to, rule.forward


def _known(name: str, known: list[str], what: str, *keys: Step) -> None:
    if name not in known:
        raise Misplaced(f"unknown {what} '{name}' (allowed: {', '.join(known) or 'none'})", *keys)


def choose(replies: Replies, message: Message, status: str) -> Chosen:
    """The words of the first rule that fits, else those for all. No `status`: nothing is known of what is asked for."""
    statuses = statuses_of(status)
    for rule in replies.rules:
        if fits(rule, message) and (not rule.status or not statuses.isdisjoint(rule.status)):
            return _chosen(replies, rule)
    return Chosen(replies.answer, replies.to, replies.forward)


def ways(replies: Replies, message: Message) -> list[tuple[tuple[str, ...], str]]:
    """Where an answer that is still to come may go: statuses and `to`, the first that fits; no statuses fit all."""
    found: list[tuple[tuple[str, ...], str]] = [
        (rule.status, rule.to or replies.to) for rule in replies.rules if fits(rule, message)
    ]
    return [*found, ((), replies.to)]


def fits(rule: ReplyRule, message: Message) -> bool:
    """Does a rule mean this message, whatever its status?"""
    header = message.header
    if rule.sender and header.sending_application not in rule.sender:
        return False
    if rule.facility and header.sending_facility not in rule.facility:
        return False
    if rule.events and header.event not in rule.events and header.message_type not in rule.events:
        return False
    if rule.payor and payors(message).isdisjoint(rule.payor):
        return False
    return not rule.when or condition(rule.when)(message, message.segments[0])


def payors(message: Message) -> set[str]:
    """AUT-2 of every AUT, else IN1-3."""
    found = {segment.value(2) for segment in message.all("AUT")} - {""}
    return found or {segment.value(3) for segment in message.all("IN1")} - {""}


def statuses_of(status: str) -> frozenset[str]:
    """Requested and pended differ only in what the sender was told: a rule for one of them means both."""
    if status in UNDECIDED:
        return frozenset(UNDECIDED)
    return frozenset((status,) if status else ())


def _chosen(replies: Replies, rule: ReplyRule) -> Chosen:
    return Chosen(rule.answer or replies.answer, rule.to or replies.to, rule.forward or replies.forward)
