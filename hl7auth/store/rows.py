"""The rows of a batch: worked out from its outcomes, which may be before its transaction, and written in it.

Imports sqlalchemy, orjson, domain, flow, rules.check, and of store what writes the other tables.
"""

from collections.abc import Sequence

import orjson
from sqlalchemy import Connection

from hl7auth.domain.intent import Change
from hl7auth.flow.decision import Disposition, Outcome
from hl7auth.flow.outbox import Delivery, deliveries
from hl7auth.rules.check import finding_entry
from hl7auth.store.deliveries import write_deliveries
from hl7auth.store.direct import insert_all, write_all
from hl7auth.store.field_index import Row, field_rows, write_new_rows
from hl7auth.store.forwards import write_relays
from hl7auth.store.known import PARTY
from hl7auth.store.schema import authorization_version, message
from hl7auth.store.unmapped import Lacking, lacking, write_unmapped

_MESSAGE_COLUMNS = (
    "id", "channel", "received_at", "peer", "control_id", "digest", "message_type", "trigger_event", "version",
    "sender", "facility", "disposition", "code", "duplicate_of", "raw", "accept_ack", "reply", "findings", "shaped",
    "channel_version",
)  # fmt: skip
_VERSION_COLUMNS = (
    "key", "version", "current", "status", "referral", "requester", "control_id", "message_id", "at", "rule",
    "document",
)  # fmt: skip


class Rows:
    """The rows of the outcomes that were added, in their order."""

    def __init__(self) -> None:
        self._messages: list[tuple[object, ...]] = []
        self._fields: list[Row] = []
        self._deliveries: list[Delivery] = []
        self._lacking: list[Lacking] = []
        self._relays: list[Outcome] = []
        self._versions: list[tuple[object, ...]] = []
        self._newest: dict[str, int] = {}
        self._replaced: list[tuple[str, int]] = []

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """More outcomes, decided after those before."""
        self._messages += [_message_row(outcome) for outcome in outcomes]
        for outcome in outcomes:
            self._fields += field_rows(outcome)
            self._deliveries += _deliveries(outcome)
            if outcome.plan.shaping is not None:
                self._lacking += _unmapped(outcome)
            if outcome.relay is not None:
                self._relays.append(outcome)
            for change in outcome.changes:
                self._add_version(change, outcome)

    def _add_version(self, change: Change, outcome: Outcome) -> None:
        """A version may be replaced within its batch, before it is ever written: only the last of a key is current."""
        at = self._newest.get(change.record.key)
        if at is not None:
            row = self._versions[at]
            self._versions[at] = (*row[:2], 0, *row[3:])
        elif change.before is not None:
            self._replaced.append((change.before.key, change.before.version))
        self._newest[change.record.key] = len(self._versions)
        self._versions.append(_version_row(change, outcome))

    def write(self, connection: Connection) -> None:
        """Writes them, in the transaction of the caller."""
        mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        insert_all(connection, message, _MESSAGE_COLUMNS, self._messages)
        write_new_rows(connection, self._fields)
        write_deliveries(connection, self._deliveries)
        write_unmapped(connection, self._lacking)
        if self._relays:
            write_relays(connection, self._relays)
        sql = f"UPDATE authorization_version SET current = 0 WHERE key = {mark} AND version = {mark}"
        write_all(connection, sql, self._replaced)
        insert_all(connection, authorization_version, _VERSION_COLUMNS, self._versions)


def write(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Writes what was decided, in the transaction of the caller."""
    rows = Rows()
    rows.add(outcomes)
    rows.write(connection)


def _encode(value: object) -> str:
    return orjson.dumps(value).decode()


def _deliveries(outcome: Outcome) -> list[Delivery]:
    file = outcome.plan.channel.file
    return deliveries(outcome, file.destinations, file.routes, file.order_by)


def _unmapped(outcome: Outcome) -> list[Lacking]:
    """The codes of a message that tables lack; of one that came before they were counted then."""
    plan = outcome.plan
    if plan.shaping is None or outcome.disposition is Disposition.DUPLICATE:
        return []
    return lacking(plan.shaping.unmapped, plan.channel.name, plan.message_id, plan.received_at)


def _message_row(outcome: Outcome) -> tuple[object, ...]:
    plan, header = outcome.plan, outcome.plan.header
    findings = _encode([finding_entry(finding) for finding in outcome.findings]) if outcome.findings else None
    return (
        plan.message_id, plan.channel.name, plan.received_at, plan.peer, header.control_id, plan.digest,
        header.message_type, header.trigger_event, header.version, header.sending_application, header.sending_facility,
        outcome.disposition, outcome.code, outcome.duplicate_of, plan.raw, outcome.accept_ack, outcome.reply, findings,
        plan.shaping.raw if plan.shaping is not None else None,
        plan.channel.version or None,
    )  # fmt: skip


def _version_row(change: Change, outcome: Outcome) -> tuple[object, ...]:
    record = change.record
    return (
        record.key, record.version, 1, record.status, record.referral,
        PARTY.join(record.requester), record.control_id, record.message_id, outcome.plan.received_at, change.rule,
        _encode(record.document),
    )  # fmt: skip
