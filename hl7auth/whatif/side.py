"""What one configuration knows while some messages run: what was there before them, and what they did.

Imports sqlalchemy (rows), domain, flow and store only.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import orjson
from sqlalchemy import Row

from hl7auth.domain.authorization import Party
from hl7auth.domain.intent import Record
from hl7auth.flow.decision import Disposition, Outcome, Stored
from hl7auth.flow.intake import Plan
from hl7auth.flow.relay import Forwarded
from hl7auth.flow.returning import answered_id, followed
from hl7auth.store.known import PARTY

Fetch = Callable[[int], Stored]
"""Reads the replies of a stored message."""


class Side:
    """The knowledge of one side."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self.records: dict[str, Record] = {}
        self._by_referral: dict[str, set[str]] = defaultdict(set)
        self._by_control: dict[str, set[str]] = defaultdict(set)
        self._stored: dict[tuple[str, int], Stored | int] = {}
        self._used: set[tuple[str, ...]] = set()
        self._forwards: dict[int, Forwarded] = {}

    def apply(self, outcome: Outcome) -> None:
        """Takes over what a message did."""
        plan = outcome.plan
        if outcome.disposition is Disposition.ACCEPTED:
            stored = Stored(plan.message_id, outcome.accept_ack, outcome.reply)
            self._stored.setdefault((plan.header.control_id, plan.digest), stored)
            self._used.add(_identity(plan))
        for change in outcome.changes:
            self._remember(change.record)
        if outcome.relay is not None:
            self._forwards |= followed(outcome, self._forwards)

    def take(self, row: Row[Any], versions: list[Row[Any]]) -> None:
        """Takes over a stored message as it was decided then: its row, and the versions that it made."""
        if row.disposition == "accepted":
            self._stored.setdefault((row.control_id, row.digest), row.id)
            self._used.add((row.control_id, row.channel, row.sender, row.facility, row.trigger_event))
        for each in versions:
            application, _, facility = each.requester.partition(PARTY)
            party, document = Party(application, facility), orjson.loads(each.document)
            named = (each.key, each.version, each.status, each.referral, party, each.control_id, each.message_id)
            self._remember(Record(*named, document))

    def forwards(self, known: list[Forwarded]) -> None:
        """Takes over which messages were forwarded."""
        self._forwards |= {each.message_id: each for each in known}

    def same_message(self, control_id: str, digest: int) -> Stored | None:
        """The accepted message with this control id and content. Raises BodyFault where its replies are lost."""
        found = self._stored.get((control_id, digest))
        return self._fetch(found) if isinstance(found, int) else found

    def control_id_used(self, plan: Plan) -> bool:
        """True when the sender used this control id before for the same event, with any content."""
        return _identity(plan) in self._used

    def forward(self, message_id: int) -> Forwarded | None:
        """How it stands with a message, if it was forwarded."""
        return self._forwards.get(message_id)

    def forwarded(self, plan: Plan) -> Forwarded | None:
        """The forwarded message that this one answers."""
        found = self._forwards.get(answered_id(plan) or 0)
        if found is None:
            return None
        return found if found.channel in plan.channel.returns or found.destination == plan.peer else None

    def record(self, key: str) -> Record | None:
        """The current record of a key."""
        return self.records.get(key)

    def in_referral(self, referral: str, *, requests: bool = False) -> list[Record]:
        """The current authorizations of a referral (or another set), or the requests."""
        found = [self.records[key] for key in sorted(self._by_referral.get(referral, ()))]
        return [each for each in found if each.is_request is requests and each.referral == referral]

    def asked_by(self, control_id: str) -> list[Record]:
        """The current requests that a message with this control id made."""
        found = [self.records[key] for key in sorted(self._by_control.get(control_id, ()))]
        return [each for each in found if each.control_id == control_id]

    def _remember(self, record: Record) -> None:
        self.records[record.key] = record
        if record.referral:
            self._by_referral[record.referral].add(record.key)
        if record.is_request:
            self._by_control[record.control_id].add(record.key)


def _identity(plan: Plan) -> tuple[str, ...]:
    header = plan.header
    named = (header.control_id, plan.channel.name, header.sending_application, header.sending_facility)
    return (*named, header.trigger_event)
