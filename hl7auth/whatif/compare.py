"""In what two outcomes of the same message differ, down to the field.

Imports steps, domain and flow only.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import zip_longest
from typing import Any

from hl7auth.domain.intent import Change
from hl7auth.domain.story import differences
from hl7auth.flow.decision import Outcome
from hl7auth.flow.outbox import deliveries
from hl7auth.flow.shaping import shape_copy
from hl7auth.steps.calls import Runner
from hl7auth.steps.run import Shaped
from hl7auth.whatif.tally import Found

_OUR_CONTROL_ID = 9
"""Of a first segment that is split at its separators: MSH-10, another one in each reply."""


def compared(before: Outcome, after: Outcome) -> Iterator[Found]:
    """What differs between an outcome and another one of the same message."""
    one, other = (f"{each.disposition} ({each.code or 'no reply'})" for each in (before, after))
    if one != other:
        yield Found("disposition", f"{one} -> {other}", one, other)
    if before.findings or after.findings:
        yield from _findings(before, after)
    yield from _reply("accept_ack", before.accept_ack, after.accept_ack)
    yield from _reply("reply", before.reply, after.reply)
    yield from _routes(before, after)
    if before.changes or after.changes:
        yield from _changes(before, after)
    made = [each.plan.shaping.raw if each.plan.shaping else None for each in (before, after)]
    if made[0] != made[1]:
        raws = [each or before.plan.raw for each in made]
        yield from _fields("message", "", raws[0], raws[1])


def alike(one: bytes | None, other: bytes | None) -> bool:
    """Are two replies the same, but for the control id (MSH-10) that is another one each time?"""
    if one is None or other is None or one == other:
        return one is other or one == other
    mark = one[3:4]
    if other[3:4] != mark:
        return False
    first, second = one.split(mark, 10), other.split(mark, 10)
    return first[:_OUR_CONTROL_ID] == second[:_OUR_CONTROL_ID] and first[10:] == second[10:]


def routed(outcome: Outcome) -> list[str]:
    """Where a message goes: the destinations, and what for where it is not the message itself."""
    file = outcome.plan.channel.file
    found = deliveries(outcome, file.destinations, file.routes, file.order_by)
    return sorted(f"{each.destination} ({each.kind})" if each.kind else each.destination for each in found)


def copied(before: Outcome, after: Outcome, names: Collection[str], runner: Runner) -> Iterator[Found]:
    """In what the copies differ that the steps of these destinations make, where a message goes there on both sides."""
    there = [{each.rpartition("/")[2] for each in routed(side)} for side in (before, after)] if names else []
    for name in names:
        if all(name in each for each in there):
            one, other = (_copy(side, name, runner) for side in (before, after))
            said = [_ended(each) for each in (one, other)]
            if said[0] != said[1]:
                yield Found("copy", f"{name}: {said[0]} -> {said[1]}", *said)
            elif one.raw != other.raw and not one.dropped:
                yield from _fields("copy", f"{name}: ", one.raw, other.raw)


def _copy(outcome: Outcome, name: str, runner: Runner) -> Shaped:
    plan, steps = outcome.plan, outcome.plan.channel.steps_out
    raw = (plan.shaping.raw if plan.shaping else None) or plan.raw
    return shape_copy(raw, steps[name], plan.channel, runner) if name in steps else Shaped(raw)


def _ended(shaped: Shaped) -> str:
    return "fails" if shaped.fault is not None else "is skipped" if shaped.dropped else "is sent"


def _findings(before: Outcome, after: Outcome) -> Iterator[Found]:
    one, other = (
        Counter((each.severity, each.path, each.rule, each.text) for each in side.findings) for side in (before, after)
    )
    for sign, found in (("gone", one - other), ("new", other - one)):
        for severity, path, rule, text in found:
            what = f"{sign}: {severity} {_plain(path) or 'message'} ({rule})"
            yield Found("finding", what, *((text, None) if sign == "gone" else (None, text)))


def _reply(name: str, one: bytes | None, other: bytes | None) -> Iterator[Found]:
    if alike(one, other):
        return
    if one is None or other is None:
        yield Found("reply", f"{name}: {'is sent' if one is None else 'is not sent'}", _text(one), _text(other))
    else:
        yield from _fields("reply", f"{name}: ", one, other)


def _routes(before: Outcome, after: Outcome) -> Iterator[Found]:
    if not any(each.plan.channel.file.destinations or each.relay for each in (before, after)):
        return
    one, other = routed(before), routed(after)
    yield from (Found("route", f"gone: {name}", name, None) for name in one if name not in other)
    yield from (Found("route", f"new: {name}", None, name) for name in other if name not in one)


def _changes(before: Outcome, after: Outcome) -> Iterator[Found]:
    one, other = ({each.record.key: each for each in side.changes} for side in (before, after))
    for key in one | other:
        yield from _change(one.get(key), other.get(key))


def _change(one: Change | None, other: Change | None) -> Iterator[Found]:
    if one is None or other is None:
        there = one or other
        assert there is not None
        kind = "request" if there.record.is_request else "authorization"
        status = str(there.record.status)
        said = f"{kind} is {'also' if one is None else 'not'} changed ({there.rule}: {status})"
        yield Found("authorization", said, *((None, status) if one is None else (status, None)))
        return
    states = str(one.record.status), str(other.record.status)
    if states[0] != states[1]:
        yield Found("authorization", f"status: {states[0]} -> {states[1]}", *states)
    if one.rule != other.rule:
        yield Found("authorization", f"rule: {one.rule} -> {other.rule}", one.rule, other.rule)
    if one.record.referral != other.record.referral:
        yield Found("authorization", "referral", one.record.referral, other.record.referral)
    if one.record.document == other.record.document:
        return
    for each in differences(one.record.document, other.record.document):
        name = ".".join(str(part) for part in each.field if isinstance(part, str))
        if name != "status":
            yield Found("authorization", name, _shown(each.before), _shown(each.after))


def _fields(kind: str, name: str, one: bytes, other: bytes) -> Iterator[Found]:
    """The fields of segments that differ, segment by segment of the same name."""
    mark = one[3:4].decode("latin_1") or "|"
    before, after = _segments(_text(one) or ""), _segments(_text(other) or "")
    for segment in before | after:
        for left, right in zip_longest(before.get(segment, ()), after.get(segment, ())):
            if left is None or right is None:
                yield Found(kind, f"{name}{segment} is {'new' if left is None else 'gone'}", left, right)
            elif left != right:
                yield from _differing(kind, f"{name}{segment}", left.split(mark), right.split(mark))


def _differing(kind: str, name: str, left: list[str], right: list[str]) -> Iterator[Found]:
    shift = 1 if name.endswith(("MSH", "BHS", "FHS")) else 0
    for number, (one, other) in enumerate(zip_longest(left, right, fillvalue="")):
        if one != other and not (kind == "reply" and shift and number == _OUR_CONTROL_ID):
            yield Found(kind, f"{name}-{number + shift}", one, other)


def _segments(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.replace("\n", "\r").split("\r"):
        if line:
            found.setdefault(line[:3], []).append(line)
    return found


def _plain(path: str) -> str:
    """A path without the numbers of repetitions: what is the same thing in a thousand places is one kind."""
    return "".join(part.partition("]")[2] if at else part for at, part in enumerate(path.split("[")))


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "replace")


def _shown(value: Any) -> str | None:
    return None if value is None else str(value)
