"""What a batch needs to know: loaded with a few queries, kept current while the batch is decided.

Imports sqlalchemy, orjson, domain, flow, store.bodies, store.direct and store.forwards only.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection

from hl7auth.domain.authorization import Party
from hl7auth.domain.correlation import half_key, is_sent_to
from hl7auth.domain.intent import Intent, Record, asks_granted, sets_asked
from hl7auth.flow.decision import Disposition, Outcome, Stored
from hl7auth.flow.intake import Plan
from hl7auth.flow.relay import Forwarded
from hl7auth.flow.returning import answered_id, followed, sender, translated
from hl7auth.store.bodies import BodyFault, sealed_bodies
from hl7auth.store.direct import ask
from hl7auth.store.forwards import read_forwards

_COLUMNS = "key, version, status, referral, requester, control_id, message_id, document"
PARTY = "\n"
"""Stands between application and facility of a requester in its column."""

_MOST_PARAMETERS = 500
"""Values in one IN list of SQLite; more than these come as one JSON array, so that it stays one statement."""


class KnownToBatch:
    """The knowledge for one batch, and for each message of it the effects of those before it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stored: dict[tuple[str, int], Stored] = {}
        self._sealed: dict[int, int] = {}
        self._records: dict[str, Record] = {}
        self._by_referral: dict[str, set[str]] = defaultdict(set)
        self._by_control: dict[str, set[str]] = defaultdict(set)
        self._used: set[tuple[str, str, str, str, str]] = set()
        self._forwards: dict[int, Forwarded] = {}
        self._asked: list[tuple[str, tuple[object, ...], Sequence[Any]]] = []
        self._by_heart = True

    def load(self, plans: Sequence[Plan]) -> None:
        """Asks for everything that these plans can touch."""
        if any([plan.channel.returns for plan in plans]):
            plans = self._in_their_words(plans)
        ready = [plan for plan in plans if plan.intent is not None]
        self._load_stored([(plan.header.control_id, plan.digest) for plan in ready])
        keys: set[str] = set()
        referrals: set[str] = set()
        asked: set[str] = set()
        for plan in ready:
            intent = plan.intent
            assert intent is not None
            keys.update(claim.identifier.key for claim in intent.claims if claim.identifier)
            keys.add(intent.request_key)
            referrals |= sets_asked(intent)
            if not intent.is_request and intent.answers:
                asked.add(intent.answers)
        self._load_records("key", keys)
        self._load_records("referral", referrals)
        self._load_records("control_id", asked)
        self._load_records("referral", self._referrals_answered(ready, asked) - referrals)
        self._load_records("key", {key for plan in ready if plan.intent for key in self._elsewhere(plan.intent)})
        # what an earlier answer to the same request granted may end with it
        wide = [plan.intent for plan in ready if plan.intent is not None and asks_granted(plan.intent)]
        requests = [record for intent in wide for record in self._requests_of(intent)]
        granted = {key for record in requests for key in record.document.get("authorizations", [])}
        self._load_records("key", granted - self._records.keys())

    def still_so(self) -> bool:
        """Does the store answer all that it was asked as it did then? False too where that can not be told."""
        return self._by_heart and all(ask(self._connection, sql, values) == rows for sql, values, rows in self._asked)

    def _ask(self, sql: str, values: tuple[object, ...]) -> Sequence[Any]:
        rows = ask(self._connection, sql, values)
        self._asked.append((sql, values, rows))
        return rows

    def _referrals_answered(self, plans: Sequence[Plan], asked: set[str]) -> set[str]:
        """The referrals of requests that answers name by MSA-2, and may name less exactly by RF1-6."""
        if not asked:
            return set()
        intents = [plan.intent for plan in plans if plan.intent is not None]
        answers = {each.answers for each in intents if each.referral and each.referral in sets_asked(each)}
        stored = {record.referral for control_id in answers for record in self.asked_by(control_id)}
        return (stored | {each.referral for each in intents if each.is_request and each.control_id in answers}) - {""}

    def _elsewhere(self, intent: Intent) -> Iterable[str]:
        """Where the request of a referral may stand, if not under the referral alone."""
        if not intent.referral:
            return ()
        first = self.record(intent.request_key)
        if first is not None:
            return () if is_sent_to(intent, first) else intent.request_keys[1:]
        return () if intent.is_request else (half_key(intent),)

    def _in_their_words(self, plans: Sequence[Plan]) -> list[Plan]:
        """The plans, where answers to what was forwarded name what its sender sent: what they touch stands there."""
        self._by_heart = False
        named = {plan.message_id: answered_id(plan) for plan in plans if plan.channel.returns}
        stored = read_forwards(self._connection, sorted({number for number in named.values() if number is not None}))
        self._forwards |= {each.message_id: each for each in stored}
        # a rebuild has both in one batch
        askers = {plan.message_id: (plan.header.control_id, sender(plan)) for plan in plans}
        askers |= {each.message_id: (each.control_id, each.requester) for each in stored}
        asker = {number: askers.get(answered or 0) for number, answered in named.items()}
        return [translated(plan, *found) if (found := asker.get(plan.message_id)) else plan for plan in plans]

    def _requests_of(self, intent: Intent) -> list[Record]:
        named = self.record(intent.request_key)
        found = self.in_referral(intent.referral, requests=True) if intent.referral else []
        return self.asked_by(intent.answers) + found + ([named] if named and named not in found else [])

    def apply(self, outcome: Outcome) -> None:
        """Takes over what a message of this batch did."""
        header = outcome.plan.header
        if outcome.disposition is Disposition.ACCEPTED:
            stored = Stored(outcome.plan.message_id, outcome.accept_ack, outcome.reply)
            self._stored[(header.control_id, outcome.plan.digest)] = stored
            self._used.add(_identity(outcome.plan))
        for change in outcome.changes:
            self._remember(change.record)
        if outcome.relay is not None:
            self._forwards |= followed(outcome, self._forwards)

    def same_message(self, control_id: str, digest: int) -> Stored | None:
        """The accepted message with this control id and content. Raises BodyFault where its replies are lost."""
        stored = self._stored.get((control_id, digest))
        if stored is not None and stored.message_id in self._sealed:
            self._by_heart = False
            try:
                bodies = sealed_bodies(self._connection, self._sealed[stored.message_id], stored.message_id)
            except BodyFault as fault:
                if not fault.dropped:
                    raise
                return Stored(stored.message_id, None, None, dropped=True)
            return Stored(stored.message_id, bodies.accept_ack, bodies.reply)
        return stored

    def control_id_used(self, plan: Plan) -> bool:
        """True when an accepted message of this sender and event has this control id (only strict channels ask)."""
        if _identity(plan) in self._used:
            return True
        self._by_heart = False
        sql = (
            "SELECT 1 FROM message WHERE control_id = {p} AND channel = {p} AND sender = {p} AND facility = {p}"
            " AND trigger_event = {p} AND disposition = 'accepted' LIMIT 1"
        )
        values = _identity(plan)
        return self._connection.exec_driver_sql(_filled(sql, self._mark), values).first() is not None

    def forward(self, message_id: int) -> Forwarded | None:
        """How it stands with a message, if it was forwarded."""
        self._by_heart = False
        if message_id not in self._forwards:
            self._forwards |= {each.message_id: each for each in read_forwards(self._connection, [message_id])}
        return self._forwards.get(message_id)

    def forwarded(self, plan: Plan) -> Forwarded | None:
        """The forwarded message that this one answers: from where it was sent to, or on a channel that answers may
        come to."""
        number = answered_id(plan)
        found = self._forwards.get(number) if number is not None else None
        if found is None:
            return None
        # a destination has a name, which no address of a sender is like
        return found if found.channel in plan.channel.returns or found.destination == plan.peer else None

    def record(self, key: str) -> Record | None:
        """The current record of a key."""
        return self._records.get(key)

    def in_referral(self, referral: str, *, requests: bool = False) -> list[Record]:
        """The current authorizations of a referral (or another set), or the requests."""
        found = [self._records[key] for key in sorted(self._by_referral.get(referral, ()))]
        return [each for each in found if each.is_request is requests and each.referral == referral]

    def asked_by(self, control_id: str) -> list[Record]:
        """The current requests that a message with this control id made."""
        found = [self._records[key] for key in sorted(self._by_control.get(control_id, ()))]
        # a request that was made again in this batch is known by its new control id alone, as in the store
        return [each for each in found if each.control_id == control_id]

    @property
    def _mark(self) -> str:
        return "?" if self._connection.dialect.paramstyle == "qmark" else "%s"

    def _remember(self, record: Record) -> None:
        self._records[record.key] = record
        if record.referral:
            self._by_referral[record.referral].add(record.key)
        if record.is_request:
            self._by_control[record.control_id].add(record.key)

    def _load_stored(self, wanted: list[tuple[str, int]]) -> None:
        if not wanted:
            return
        few = len(wanted) <= _MOST_PARAMETERS // 2
        values: tuple[object, ...] = tuple(value for pair in wanted for value in pair)
        if self._mark == "%s":
            values = ([pair[0] for pair in wanted], [pair[1] for pair in wanted])
        elif not few:
            values = (orjson.dumps(wanted).decode(),)
        for row in self._ask(_same_message_sql(len(wanted) if few else 0, self._mark), values):
            self._stored.setdefault((row[0], row[1]), Stored(row[2], row[3], row[4]))
            if row[5] is not None:
                self._sealed[row[2]] = row[5]

    def _load_records(self, column: str, wanted: Collection[str]) -> None:
        if not wanted:
            return
        keys = sorted(wanted)
        few = len(keys) <= _MOST_PARAMETERS
        values: tuple[object, ...] = tuple(keys) if few else (orjson.dumps(keys).decode(),)
        sql = _records_sql(column, len(keys) if few else 0, self._mark)
        for row in self._ask(sql, (keys,) if self._mark == "%s" else values):
            if row[0] not in self._records:  # most are asked for by key, by referral and by control id
                self._remember(read_record(row))


def read_record(row: Any) -> Record:
    """A Record from a row of the columns key to document."""
    application, _, facility = row[4].partition(PARTY)
    requester = Party(application, facility)
    return Record(row[0], row[1], row[2], row[3], requester, row[5], row[6], orjson.loads(row[7]))


def _identity(plan: Plan) -> tuple[str, str, str, str, str]:
    header = plan.header
    return (
        header.control_id,
        plan.channel.name,
        header.sending_application,
        header.sending_facility,
        header.trigger_event,
    )


def _filled(sql: str, mark: str) -> str:
    return sql.replace("{p}", mark)


@lru_cache(maxsize=1024)
def _same_message_sql(count: int, mark: str) -> str:
    """A join, because SQLite scans the whole table for `(a, b) IN (VALUES ...)`. A count of 0 stands for many.

    PostgreSQL gets two arrays: one statement for every size of a batch, which it prepares once.
    """
    pairs = (
        "SELECT value ->> 0, value ->> 1 FROM json_each(?)"
        if not count
        else "VALUES " + ", ".join([f"({mark}, {mark})"] * count)
    )
    if mark == "%s":
        pairs = "SELECT * FROM unnest(%s::text[], %s::bigint[])"
    return (
        f"WITH wanted (control, content) AS ({pairs})"
        " SELECT control_id, digest, id, accept_ack, reply, pack FROM wanted"
        " JOIN message ON control_id = control AND digest = content WHERE disposition = 'accepted'"
    )


#: spelled as the partial indexes spell it, or the planner does not see that they fit
_CONDITIONS = {"key": "", "referral": " AND referral <> ''", "control_id": " AND key >= '?' AND key < '@'"}


@lru_cache(maxsize=2048)
def _records_sql(column: str, count: int, mark: str) -> str:
    some = ", ".join([mark] * count) or "SELECT value FROM json_each(?)"
    chosen = "= ANY(%s::text[])" if mark == "%s" else f"IN ({some})"
    return f"SELECT {_COLUMNS} FROM authorization_version WHERE {column} {chosen} AND current = 1{_CONDITIONS[column]}"
