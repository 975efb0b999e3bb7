"""The journal: a batch of plans becomes durable in one transaction, and only then has outcomes.

Imports sqlalchemy, orjson, domain, flow, observe and errors only.
"""

import logging
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise

import orjson
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from hl7auth.domain.intent import Change
from hl7auth.errors import UserError
from hl7auth.flow.decision import Disposition, Outcome, decide, failed
from hl7auth.flow.intake import Plan
from hl7auth.flow.linked_decision import decide_linked, rows
from hl7auth.flow.outbox import Delivery, deliveries
from hl7auth.observe import log
from hl7auth.rules.check import finding_entry
from hl7auth.store.database import KeptFile, connect, lock_writers
from hl7auth.store.deliveries import write_deliveries
from hl7auth.store.field_index import write_fields
from hl7auth.store.forwards import write_relays
from hl7auth.store.known import PARTY, KnownToBatch
from hl7auth.store.links import Links
from hl7auth.store.log import Log
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


Beside = Callable[[Connection, Sequence[Outcome]], None]


def _encode(value: object) -> str:
    return orjson.dumps(value).decode()


class Journal:
    """The one writer of a process. Not thread-safe: whoever owns it commits one batch after the other.

    Where several processes write, `new_id` numbers the messages once more inside of the transaction, so that ids grow
    in the order of the commits: that is the order in which the archive is read, and replayed. On a server there may
    always be several, each with ids of its own: there the journal numbers them whoever made them.

    `beside` is called with what was decided, in its transaction: what it writes is there with it, or not at all.
    """

    def __init__(self, engine: Engine, new_id: Callable[[], int] | None = None, beside: Beside | None = None) -> None:
        self._engine = engine
        self._new_id = new_id
        self._beside = beside
        self._connection: Connection | None = None
        self._file = KeptFile(engine)
        self._in_doubt: list[Outcome] = []
        self._log = Log()

    def commit(self, plans: Sequence[Plan]) -> list[Outcome]:
        """The outcomes of the plans, in order, each durable, or `failed` where that could not be had. Never raises.

        A batch that the database refuses is tried again message by message, so that one can not hurt the others. Where
        the database itself is the trouble (locked, full, gone), all are told at once instead: to try each would keep
        every sender waiting as many times. Only where a connection is lost, or two transactions were in each other's
        way, the batch is tried once more as a whole: the server may be back already.
        """
        try:
            return self._commit_again(plans)
        except (OperationalError, UserError) as error:
            self._give_up(error, len(plans))
            return [failed(plan) for plan in plans]
        except Exception as error:
            self._give_up(error, len(plans))
        if len(plans) == 1:
            return [failed(plans[0])]
        return [outcome for plan in plans for outcome in self.commit([plan])]

    def tidy(self) -> None:
        """Work of the store that no reply and no other writer has to wait for: for between two batches. Never raises."""
        if self._connection is not None:
            self._log.tidy(self._connection)

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _commit_again(self, plans: Sequence[Plan]) -> list[Outcome]:
        try:
            return self._commit(plans)
        except OperationalError as error:
            if not (error.connection_invalidated or _in_the_way(error)):
                raise
            log("store.again", "a batch is tried again", level=logging.WARNING, messages=len(plans))
            self._forget()
            return self._commit(plans)
        finally:
            self._in_doubt = []  # not at the next begin: to free a batch takes time, of which a turn has none

    def _commit(self, plans: Sequence[Plan]) -> list[Outcome]:
        self._file.require()
        if self._connection is None:
            self._connection = connect(self._engine)
        connection = self._connection
        with connection.begin():
            lock_writers(connection)
            if self._in_doubt and _is_stored(connection, self._in_doubt):
                return self._in_doubt
            if connection.dialect.name == "postgresql":
                plans = _numbered_behind(connection, plans)
            elif self._new_id is not None:
                plans = _numbered_anew(connection, plans, self._new_id)
            if any([plan.link for plan in plans]):
                outcomes = _decided_with_links(connection, plans)
            else:
                outcomes = _decided(connection, plans)
                _write(connection, outcomes)
            if self._beside is not None:
                self._beside(connection, outcomes)
            self._in_doubt = outcomes
        self._file.require()  # else it is nowhere, whatever SQLite says
        self._log.messages += len(plans)
        return outcomes

    def _give_up(self, error: Exception, count: int) -> None:
        action = "store.failed" if isinstance(error, SQLAlchemyError | UserError) else "journal.failed"
        log(action, "a batch could not be committed", level=logging.ERROR, error=True, messages=count)
        self._forget()

    def _forget(self) -> None:
        try:
            self.close()
        except SQLAlchemyError:
            self._connection = None


def commit_within(
    connection: Connection, planned: Plan, new_id: Callable[[], int], sends: Callable[[Outcome], Outcome]
) -> Outcome:
    """One message in the transaction of who has more to write with it: after this, nobody else takes messages in until
    that ends. `sends` says what it leaves for others. A message that is not accepted leaves nothing, and is told.
    """
    lock_writers(connection)
    if connection.dialect.name == "postgresql":
        (numbered,) = _numbered_behind(connection, [planned])
    else:
        (numbered,) = _numbered_anew(connection, [planned], new_id)
    (outcome,) = _decided(connection, [numbered])
    if outcome.disposition is not Disposition.ACCEPTED:
        return outcome
    outcome = sends(outcome)
    _write(connection, [outcome])
    return outcome


_IN_THE_WAY = ("40001", "40P01")
"""Serialization failure and deadlock, as SQL names them."""


def _in_the_way(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _IN_THE_WAY


def _is_stored(connection: Connection, outcomes: Sequence[Outcome]) -> bool:
    """Did a batch reach the disk whose commit was never confirmed? Another writer may have taken its first id."""
    written = next((row for outcome in outcomes for row in rows(outcome)), None)
    if written is None:
        return False
    plan = written.plan
    sql = "SELECT 1 FROM message WHERE id = %s AND control_id = %s AND digest = %s AND received_at = %s AND peer = %s"
    values = (plan.message_id, plan.header.control_id, plan.digest, plan.received_at, plan.peer)
    return connection.exec_driver_sql(sql, values).first() is not None


def _numbered_behind(connection: Connection, plans: Sequence[Plan]) -> list[Plan]:
    """The plans with ids behind all that are stored, and with control ids of replies that nobody else has.

    Ids are given as they were planned wherever they can be: a message and its two replies have three in a row.
    """
    last: int = connection.exec_driver_sql("SELECT max(id) + 2 FROM message").scalar() or 0
    numbered = []
    for plan in plans:
        number = max(last + 1, plan.message_id)
        last = number + 2
        if number != plan.message_id:
            plan = _renumbered(plan, number)._replace(reply_ids=(str(number + 1), str(last)))  # noqa: PLW2901
        if plan.link is not None and plan.link.spare:
            last = max(last + 1, plan.link.spare)
            plan = plan._replace(link=plan.link._replace(spare=last))  # noqa: PLW2901
        numbered.append(plan)
    return numbered


def _renumbered(plan: Plan, number: int) -> Plan:
    intent = plan.intent._replace(message_id=number) if plan.intent is not None else None
    return plan._replace(message_id=number, intent=intent)


_MOST_WAITED = 100_000
"""Ids asked for in vain, some 20 ms: a clock that was set back is not waited for."""


def _numbered_anew(connection: Connection, plans: Sequence[Plan], new_id: Callable[[], int]) -> Sequence[Plan]:
    """The plans with ids behind all that are stored: their own, where nobody has stored a message since they got them.

    Another process may have stored some within this millisecond.
    """
    newest = connection.exec_driver_sql("SELECT max(id) FROM message").scalar() or 0
    if plans and plans[0].message_id > newest and _grow([plan.message_id for plan in plans]):
        return plans
    number = new_id()
    for _ in range(_MOST_WAITED):
        if number > newest:
            break
        number = new_id()
    return _numbered(plans, number, new_id)


def _grow(numbers: list[int]) -> bool:
    return all([one < other for one, other in pairwise(numbers)])


def _numbered(plans: Sequence[Plan], first: int, new_id: Callable[[], int]) -> list[Plan]:
    """The plans with ids from `first` on, in the order in which they are decided."""
    numbered: list[Plan] = []
    for each in plans:
        plan = _renumbered(each, new_id() if numbered else first)
        if plan.link is not None and plan.link.spare:
            plan = plan._replace(link=plan.link._replace(spare=new_id()))
        numbered.append(plan)
    return numbered


def _decided(connection: Connection, plans: Sequence[Plan], links: Links | None = None) -> list[Outcome]:
    known = KnownToBatch(connection)
    known.load(plans)
    outcomes = []
    for plan in plans:
        outcome = _decide(plan, known) if links is None or plan.link is None else _decide_linked(plan, known, links)
        known.apply(outcome)
        outcomes.append(outcome)
    return outcomes


def _decided_with_links(connection: Connection, plans: Sequence[Plan]) -> list[Outcome]:
    """What has to find everything before it in the store is decided by itself, between the others; all is written."""
    links, outcomes = Links(connection), []
    for alone, run in groupby(plans, lambda plan: plan.link is not None and plan.link.alone):
        for some in ([each] for each in run) if alone else (list(run),):
            found = _decided(connection, some, links)
            _write(connection, [row for outcome in found for row in rows(outcome)])
            links.write(found)
            outcomes += found
    return outcomes


def _decide_linked(plan: Plan, known: KnownToBatch, links: Links) -> Outcome:
    """As `_decide`; and what was to be written about the links of a message that failed is not."""
    waiting = links.waiting
    try:
        return decide_linked(plan, known, links)
    except SQLAlchemyError:
        raise
    except Exception:
        links.back_to(waiting)
        text = "a message could not be decided"
        log("decide.failed", text, level=logging.ERROR, error=True, message=plan.message_id)
        return failed(plan)


def _decide(plan: Plan, known: KnownToBatch) -> Outcome:
    """A fault in deciding one message is that message's alone."""
    try:
        return decide(plan, known)
    except Exception:
        log("decide.failed", "a message could not be decided", level=logging.ERROR, error=True, message=plan.message_id)
        return failed(plan)


def _write(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        return
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    messages = [_message_row(outcome) for outcome in outcomes]
    connection.exec_driver_sql(_insert("message", _MESSAGE_COLUMNS, mark), messages)
    write_fields(connection, outcomes)
    write_deliveries(connection, [each for outcome in outcomes for each in _deliveries(outcome)])
    shaped = [outcome for outcome in outcomes if outcome.plan.shaping is not None]
    write_unmapped(connection, [each for outcome in shaped for each in _unmapped(outcome)])
    if relays := [outcome for outcome in outcomes if outcome.relay is not None]:
        write_relays(connection, relays)
    changes = [(change, outcome) for outcome in outcomes for change in outcome.changes]
    if not changes:
        return
    replaced = [(change.before.key, change.before.version) for change, _ in changes if change.before is not None]
    # within a batch a version may be replaced before it was ever written: only the last one of a key is current
    last = {change.record.key: change.record.version for change, _ in changes}
    rows = [_version_row(change, outcome, last) for change, outcome in changes]
    if replaced:
        sql = f"UPDATE authorization_version SET current = 0 WHERE key = {mark} AND version = {mark}"
        connection.exec_driver_sql(sql, replaced)
    connection.exec_driver_sql(_insert("authorization_version", _VERSION_COLUMNS, mark), rows)


def _deliveries(outcome: Outcome) -> list[Delivery]:
    file = outcome.plan.channel.file
    return deliveries(outcome, file.destinations, file.routes, file.order_by)


def _unmapped(outcome: Outcome) -> list[Lacking]:
    """The codes of a message that tables lack; of one that came before they were counted then."""
    plan = outcome.plan
    if plan.shaping is None or outcome.disposition is Disposition.DUPLICATE:
        return []
    return lacking(plan.shaping.unmapped, plan.channel.name, plan.message_id, plan.received_at)


def _insert(table: str, columns: tuple[str, ...], mark: str) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"


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


def _version_row(change: Change, outcome: Outcome, last: dict[str, int]) -> tuple[object, ...]:
    record = change.record
    return (
        record.key, record.version, int(last[record.key] == record.version), record.status, record.referral,
        PARTY.join(record.requester), record.control_id, record.message_id, outcome.plan.received_at, change.rule,
        _encode(record.document),
    )  # fmt: skip
