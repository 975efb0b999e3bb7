"""Whether a message is older, by MSH-7, than what it changes.

Imports rules.datatypes and domain only.

Clocks differ between senders, so an older message of another sender is remarked and never parked; and a clock of twelve
hours, or one that was set back, is why messages are applied as they come unless a channel says otherwise.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from hl7auth.domain.document import about
from hl7auth.domain.intent import Change, Intent
from hl7auth.rules.datatypes import is_timestamp

_ZONE = re.compile(r"([+-])(\d\d)(\d\d)\Z")


def is_older(one: str, other: str) -> bool:
    """True when the first MSH-7 is surely before the second: compared as precisely as both are, in UTC where both name
    their time zone."""
    if one == other or not is_timestamp(one) or not is_timestamp(other):
        return False
    zones = _ZONE.search(one), _ZONE.search(other)
    clocks = [text[: zone.start()] if zone else text for text, zone in zip((one, other), zones, strict=True)]
    if zones[0] and zones[1] and zones[0][0] != zones[1][0] and min(map(len, clocks)) >= 12:
        clocks = [_utc(clock, zone) for clock, zone in zip(clocks, (zones[0], zones[1]), strict=True)]
    precise = min(map(len, clocks))
    return clocks[0][:precise] < clocks[1][:precise]


def older_changes(intent: Intent, changes: Iterable[Change]) -> list[tuple[Change, bool]]:
    """The changes of what was said later than this message, each with whether the same sender said it."""
    if not intent.sent_at:
        return []
    found = []
    for change in changes:
        if change.before is not None:
            sent_at, sender, _ = about(change.before.document)
            if is_older(intent.sent_at, sent_at):
                found.append((change, sender == "\n".join(intent.sender)))
    return found


def _utc(clock: str, zone: re.Match[str]) -> str:
    sign = 1 if zone[1] == "+" else -1
    away = sign * timedelta(hours=int(zone[2]), minutes=int(zone[3]))
    whole, _, fraction = clock.partition(".")
    moment = datetime.strptime(f"{whole:0<14}+0000", "%Y%m%d%H%M%S%z") - away
    return moment.strftime("%Y%m%d%H%M%S")[: len(whole)] + (f".{fraction}" if fraction else "")
