"""Messages with other people in them, for a bundle that may leave the house.

Imports the standard library, errors, and inside the functions flow, rules and wire.

One patient is one pseudonym in all of the messages, and all dates move by the same days, which nobody keeps.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hl7auth.errors import Fault, UserError

if TYPE_CHECKING:
    from hl7auth.flow.channel import Channel
    from hl7auth.rules.compiled import CompiledProfile
    from hl7auth.wire.message import Message

MOST_MESSAGES = 2_000
"""Of one bundle: each is searched for every value of all."""
_LEAST_DAYS, _MOST_DAYS = 30, 400
_TRIES = 5


class Bundle(NamedTuple):
    """The `messages` by their ids; `skipped` are no HL7 messages and can not be rewritten; of those `judged_otherwise`
    the check does not find the same as before."""

    messages: dict[int, bytes]
    skipped: list[int]
    judged_otherwise: list[int]


def bundle_of(found: Sequence[tuple[int, str, bytes]], folder: Path | None) -> Bundle:
    """Messages (id, channel, bytes) with other identities. Raises UserError where a value would be left."""
    from hl7auth.flow.channel import find_channel
    from hl7auth.wire.message import parse

    if len(found) > MOST_MESSAGES:
        raise UserError(f"at most {MOST_MESSAGES} messages can be disguised together; choose fewer")
    channels = {name: find_channel(name, folder, os.environ) for name in {name for _, name, _ in found}}
    messages: dict[int, Message] = {}
    skipped = []
    for number, name, raw in found:
        try:
            messages[number] = parse(raw, channels[name].file.fallback_charset)
        except Fault:
            skipped.append(number)
    of = {number: channels[name] for number, name, _ in found}
    texts = _disguised(messages, of)
    otherwise = [each for each in texts if _findings(messages[each].raw, of[each]) != _findings(texts[each], of[each])]
    return Bundle(texts, skipped, otherwise)


def _disguised(messages: Mapping[int, "Message"], of: Mapping[int, "Channel"]) -> dict[int, bytes]:
    from hl7auth.flow.disguise import NotDisguised, disguised
    from hl7auth.wire.versions import VERSIONS

    channels = {id(message): of[number] for number, message in messages.items()}

    def profile_of(message: "Message") -> "CompiledProfile":
        version, channel = message.header.version, channels[id(message)]
        return channel.compiled(channel.file.profile_of(message), version if version in VERSIONS else VERSIONS[-1])

    for left in reversed(range(_TRIES)):
        days = _LEAST_DAYS + secrets.randbelow(_MOST_DAYS - _LEAST_DAYS)
        try:
            return dict(zip(messages, disguised(list(messages.values()), profile_of, -days), strict=True))
        except NotDisguised:
            # a date that moved onto a date of birth: other days will do
            if not left:
                raise
    raise AssertionError("unreachable")


def _findings(raw: bytes, channel: "Channel") -> Any:
    """What the check finds, and where; not how a message was framed, which is not kept."""
    from hl7auth.flow.intake import plan

    planned = plan(raw, channel, 0, lambda: 1)
    found = sorted((each.rule, each.severity, each.path) for each in planned.findings)
    found = [each for each in found if not each[0].startswith("wire.segment-end")]
    refusal = planned.refusal
    return found, refusal and (refusal.ack, [(each.code, each.location) for each in refusal.problems])
