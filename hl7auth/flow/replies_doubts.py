"""What is doubtful in the `replies` of a channel: rules that are never reached, words that say nothing.

Imports flow.channel, flow.channel_leaves and flow.replies only.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_leaves import Keys, spelled
from hl7auth.flow.replies import CONNECTION, Forward, Replies, ReplyRule

_SAID_ONCE = ("sender", "facility", "events", "payor", "status", "when")


class Doubtful(NamedTuple):
    """A key, and what about it."""

    keys: Keys
    text: str


def doubtful(channel: Channel, others: Sequence[Channel]) -> Iterator[Doubtful]:
    """What is doubtful; `others` are the channels that are served beside this one."""
    replies = channel.file.replies
    if replies is None:
        return
    yield from _rules(channel, replies)
    yield from _never(replies)
    for keys, forward in _forwards(replies):
        yield from _forward(keys, forward, replies, [channel, *others])


def _rules(channel: Channel, replies: Replies) -> Iterator[Doubtful]:
    for number, rule in enumerate(replies.rules):
        keys: Keys = ("replies", "rules", number)
        before = next((at for at, each in enumerate(replies.rules[:number]) if _covers(each, rule)), None)
        if before is not None:
            text = f"{spelled((*keys[:-1], before))} fits every message that fits this: it is never reached"
            yield Doubtful(keys, text)
        for at, event in enumerate(rule.events):
            kind, _, trigger = event.partition("^")
            events = channel.file.events(kind)
            if not events or (trigger and trigger not in events):
                yield Doubtful((*keys, "events", at), f"the channel accepts no {event}")


def _covers(one: ReplyRule, other: ReplyRule) -> bool:
    """Does the first of two rules fit whatever the other fits?"""
    pairs = [(getattr(one, name), getattr(other, name)) for name in _SAID_ONCE]
    return all(
        not mine or mine == theirs or (isinstance(mine, tuple) and theirs and set(theirs) <= set(mine))
        for mine, theirs in pairs
    )


def _never(replies: Replies) -> Iterator[Doubtful]:
    if replies.destinations and replies.acknowledgments == "original":
        text = "in original mode answers go back on the connection: no answer goes to a destination"
        yield Doubtful(("replies", "acknowledgments"), text)
    answers = {replies.answer, *(rule.answer for rule in replies.rules)}
    if replies.forwards and "forward" not in answers:
        yield Doubtful(("replies",), "nothing is forwarded: answer is forward nowhere")


def _forwards(replies: Replies) -> Iterator[tuple[Keys, Forward]]:
    if replies.forward is not None:
        yield ("replies", "forward"), replies.forward
    for number, rule in enumerate(replies.rules):
        if rule.forward is not None:
            yield ("replies", "rules", number, "forward"), rule.forward


def _forward(keys: Keys, forward: Forward, replies: Replies, channels: Sequence[Channel]) -> Iterator[Doubtful]:
    if replies.destinations == () and not forward.within_seconds:
        text = "0 seconds and no destination for answers: they only come to who sends the message again"
        yield Doubtful((*keys, "within_seconds"), text)
    if replies.destinations == () and forward.late == "pended":
        text = f"who is told that it pends gets the answer only by asking again: replies go to the {CONNECTION} alone"
        yield Doubtful((*keys, "late"), text)
    back = next((each for each in channels if each.name == forward.answers_on), None)
    if back is not None and not (back.file.events("RPA") or back.file.events("RRI")):
        yield Doubtful((*keys, "answers_on"), f"channel {back.name} accepts neither RPA nor RRI")
