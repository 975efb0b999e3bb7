"""The journal: a batch of plans becomes durable in one transaction, and only then has outcomes.

Imports sqlalchemy, flow, observe, errors, and of store what numbers, decides and writes.
"""

import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from hl7auth.errors import UserError
from hl7auth.flow.decision import Disposition, Outcome, failed
from hl7auth.flow.intake import Plan
from hl7auth.flow.linked_decision import rows
from hl7auth.observe import log
from hl7auth.store.ahead import Ahead
from hl7auth.store.database import KeptFile, connect, lock_writers
from hl7auth.store.deciding import decided, decided_with_links
from hl7auth.store.known import KnownToBatch
from hl7auth.store.log import Log
from hl7auth.store.numbering import numbered_anew, numbered_behind
from hl7auth.store.rows import write

Beside = Callable[[Connection, Sequence[Outcome]], None]


class Journal:
    """The one writer of a process. Not thread-safe: whoever owns it commits one batch after the other.

    Where several processes write, `new_id` numbers the messages once more inside of the transaction, so that ids grow
    in the order of the commits: that is the order in which the archive is read, and replayed. On a server there may
    always be several, each with ids of its own: there the journal numbers them whoever made them.

    `beside` is called with what was decided, in its transaction: what it writes is there with it, or not at all; `kept`
    is called when it is there.
    """

    def __init__(
        self,
        engine: Engine,
        new_id: Callable[[], int] | None = None,
        beside: Beside | None = None,
        kept: Callable[[], None] | None = None,
    ) -> None:
        self._engine = engine
        self._new_id = new_id
        self._beside = beside
        self._kept = kept
        self._connection: Connection | None = None
        self._file = KeptFile(engine)
        self._in_doubt: list[Outcome] = []
        self._ahead: Ahead | None = None
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

    def decide_ahead(self, plans: Sequence[Plan]) -> None:
        """Decides while another process has the turn; again, when there are more plans behind these. Never raises.

        A `commit` of the same takes it as it is, where the store has got nothing new that it depends on.
        """
        connection, new_id = self._connection, self._new_id
        ahead = self._ahead if self._ahead is not None and self._ahead.begins(plans) else None
        more = plans[len(ahead.outcomes) :] if ahead is not None else plans
        if connection is None or new_id is None or not more or any([plan.link for plan in more]):
            return
        try:
            connection.execution_options(reads_only=True)
            with connection.begin():
                ahead = ahead or Ahead(connection)
                ahead.add(more, new_id)
            connection.execution_options(reads_only=False)
            self._ahead = ahead
        except Exception as error:
            self._give_up(error, len(plans))

    def share(self, new_id: Callable[[], int]) -> None:
        """From the next batch on, others write as well."""
        self._new_id = self._new_id or new_id

    def tidy(self) -> None:
        """Work of the store that no reply and no other writer has to wait for. Never raises."""
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
            ahead, self._ahead = self._ahead, None
            if ahead is not None and self._new_id is not None and ahead.begins(plans) and ahead.holds():
                ahead.add(plans[len(ahead.outcomes) :], self._new_id)
                ahead.rows.write(connection)
                outcomes = ahead.outcomes
            else:
                outcomes = self._decided_now(connection, plans)
            if self._beside is not None:
                self._beside(connection, outcomes)
            self._in_doubt = outcomes
        self._file.require()  # else it is nowhere, whatever SQLite says
        if self._kept is not None:
            self._kept()
        self._log.messages += len(plans)
        return outcomes

    def _decided_now(self, connection: Connection, plans: Sequence[Plan]) -> list[Outcome]:
        if connection.dialect.name == "postgresql":
            plans = numbered_behind(connection, plans)
        elif self._new_id is not None:
            plans = numbered_anew(connection, plans, self._new_id)
        if any([plan.link for plan in plans]):
            return decided_with_links(connection, plans)
        outcomes = decided(plans, KnownToBatch(connection))
        write(connection, outcomes)
        return outcomes

    def _give_up(self, error: Exception, count: int) -> None:
        action = "store.failed" if isinstance(error, SQLAlchemyError | UserError) else "journal.failed"
        log(action, "a batch could not be committed", level=logging.ERROR, error=True, messages=count)
        self._forget()

    def _forget(self) -> None:
        self._ahead = None
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
        (plan,) = numbered_behind(connection, [planned])
    else:
        (plan,) = numbered_anew(connection, [planned], new_id)
    (outcome,) = decided([plan], KnownToBatch(connection))
    if outcome.disposition is not Disposition.ACCEPTED:
        return outcome
    outcome = sends(outcome)
    write(connection, [outcome])
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
