"""The desk: a request goes from entry to its decision, each step one transaction, as the table of moves says.

Imports sqlalchemy, domain, flow, store, desk.answering and desk.elsewhere.

A request that nobody has touched has no row of its own and is in Entry. What was asked and granted is known from
messages alone: a decision is one, and the process only remembers which.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine

from hl7auth.desk.answering import asking, commit
from hl7auth.desk.elsewhere import Course, audited
from hl7auth.desk.enrolled import told as enrolled
from hl7auth.domain.clock import Clocks, iso_time
from hl7auth.domain.crosswalk import CROSSWALK, GRANTING, Decision
from hl7auth.domain.decided import Contact, Decided, pending, weighed
from hl7auth.domain.key import shown_key
from hl7auth.domain.process import OPEN, Event, Forbidden, Missing, Needed, Process, allowed, moved
from hl7auth.flow.channel import Channel
from hl7auth.store import processes
from hl7auth.store.authorizations import Wanted, list_authorizations
from hl7auth.store.database import lock_writers
from hl7auth.store.history import find
from hl7auth.store.processes import Stored, current_document
from hl7auth.store.statement import run

__all__ = ["Desk", "Forbidden", "Missing", "Needed", "Reason", "links"]

T = TypeVar("T")
FATAL = "fatal"
_DAY = 24 * 3_600_000_000


class Reason(NamedTuple):
    """Why a request is denied or pends: a code of the payor, and its text."""

    code: str
    text: str


def links(state: Process) -> list[str]:
    """What somebody may do now, in the words of clients: `deny` is also how work ends with a fatal message."""
    events = (Event.DENY if event is Event.REFUSE else event for event in allowed(state))
    return [f"authorization:{event}" for event in events if event is not Event.TECHNICAL_ERROR]


class Desk:
    """Works on requests. `now` gives microseconds since 1970, `new_id` ids that grow. Thread-safe as its engine is.

    `guard` is asked about a request before anything is done to it, in the same transaction; what it raises stops that.
    """

    def __init__(
        self, engine: Engine, channels: Mapping[str, Channel], new_id: Callable[[], int], now: Callable[[], int],
        guard: Callable[[Stored], None] | None = None,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._channels = channels
        self._new_id = new_id
        self._now = now
        self._guard = guard
        self._course = Course(self.clocks_of, now)

    def create(self, key: str, by: str) -> Process:
        """Begins the process of a request that is in the store; one that has begun stays as it is."""
        with self._engine.begin() as connection:
            return self._process(connection, key, by).state

    def submit(self, key: str, by: str) -> Process:
        """To In Process: what the system said before is taken back, and pend reasons are resolved."""

        def work(connection: Connection, process: Stored) -> None:
            processes.unsay(connection, process.id)
            processes.resolve(connection, process.id, self._now(), by)

        return self._move(key, Event.SUBMIT, by, "", work)

    def pend(self, key: str, by: str, reason: Reason, follow_up: str = "", contact: Contact | None = None) -> Process:
        """To Pended, with a reason and the day on which somebody looks again; the requester is told, and asked to call
        where there is a `contact`."""
        code = reason.code or (str(Decision.CONTACT_PAYER).upper() if contact else "")

        def work(connection: Connection, process: Stored) -> None:
            processes.pend(connection, process.id, code, reason.text, follow_up, self._now())

        return self._decide(key, Event.PEND, by, pending(reason.text, contact), work)

    def resume(self, key: str, by: str) -> Process:
        """From Pended to In Process: its reasons are resolved."""

        def work(connection: Connection, process: Stored) -> None:
            processes.resolve(connection, process.id, self._now(), by)

        return self._move(key, Event.RESUME, by, "", work)

    def tochange(self, key: str, by: str) -> Process:
        """From Pended to Changed; the reasons stay attached."""
        return self._move(key, Event.TOCHANGE, by, "")

    def approve(self, key: str, by: str, said: Decided) -> Process:
        """To Approved, in full, in part or modified. Raises Needed without a number, with a fatal message, and where
        procedures are left out that are not asked for, or all."""
        if said.decision not in GRANTING:
            raise Needed(f"'{said.decision}' approves nothing")

        def work(connection: Connection, process: Stored) -> None:
            if not (said.number or process.auth_number) and said.decision is not Decision.NOT_REQUIRED:
                raise Needed("an approval needs the number of the authorization")
            if said.number and not said.number.strip('" '):
                raise Needed('the number of the authorization can not be "": that is HL7 for none')
            if processes.has_fatal(connection, process.id):
                raise Needed("there is a fatal message, so that this can only be denied")

        return self._decide(key, Event.APPROVE, by, said, work)

    def deny(self, key: str, by: str, fatal: Reason | None, source: str = "user") -> Process:
        """To Denied. From Pended that is a person's word, from In Process the end of the work; both need a fatal
        message, whose text is AUT-17. What the `source` system says goes when the request is submitted anew. Raises
        Needed without a message."""
        if fatal is None or not fatal.text.strip():
            raise Needed("a denial needs a fatal message: say why")

        def work(connection: Connection, process: Stored) -> None:
            processes.say(connection, process.id, (FATAL, fatal.code, fatal.text), source, self._now())
            processes.resolve(connection, process.id, self._now(), by)

        text = fatal.text if source == "user" else f"{fatal.code}: {fatal.text}"
        said = Decided(Decision.NOT_CERTIFIED, reason=text)
        return self._decide(key, (Event.DENY, Event.REFUSE), by, said, work)

    def cancel(self, key: str, by: str, reason: str = "") -> Process:
        """To Cancelled; the requester is told by an answer with the event of cancellations."""
        return self._decide(key, Event.CANCEL, by, Decided(Decision.CANCELLED, reason=reason))

    def unfinalize(self, key: str, by: str, reason: str) -> Process:
        """A new version, in Changed. What was approved last holds until the new version is decided."""
        if not reason.strip():
            raise Needed("AUT-IP-AUTI-015: to un-finalize needs a reason")
        with self._engine.begin() as connection:
            process = self._process(connection, key, by)
            return self._course.anew(connection, process, by, reason, moved(process.state, Event.UNFINALIZE)).state

    def extend(self, key: str, by: str, days: float, reason: str, most_days: float = 14) -> int:
        """More time for an open request, in microseconds since 1970 when it is due now. Raises Needed without a
        reason, and for more than `most_days` beyond the first due time."""
        with self._engine.begin() as connection:
            process = self._process(connection, key, by)
            until = (process.extended_to or process.due_at) + int(days * _DAY)
            if process.state not in OPEN:
                raise Needed(f"a request that is {process.state} has no time to extend")
            if not reason.strip() or days <= 0:
                raise Needed("an extension needs a reason, and a number of days")
            if until > process.due_at + int(most_days * _DAY):
                raise Needed(f"a request can not be extended by more than {most_days:g} days in all")
            processes.change(connection, process, {"extended_to": until})
            self._recorded(connection, process, (process.state, "extend", process.state), by, reason)
            return until

    def show(self, key: str) -> dict[str, Any]:
        """The process as plain data: its state, what may be done, its versions and all that happened."""
        with self._engine.begin() as connection:
            process = self._process(connection, key, "system")
            versions = processes.read_versions(connection, process.key)
            told = {each.version: processes.happenings(connection, each.id) for each in versions}
            known = enrolled(connection, process, current_document(connection, process.key))
        entry = _entry(process, self._now()) | known | {"links": links(process.state)}
        entry["versions"] = [_entry(each, self._now()) | _timed(told[each.version]) for each in versions]
        return entry

    def work(self, *, overdue: bool = False) -> list[dict[str, Any]]:
        """What waits for a decision, first what is due first; begins what has come since."""
        with self._engine.begin() as connection:
            waiting = list_authorizations(connection, Wanted(open_requests=True), 0, self._now(), self.clocks_of)
            for each in waiting:
                self._process(connection, each["key"], "system")
            found = [self._course.followed(connection, each) for each in processes.read_open(connection)]
        entries = [_entry(each, self._now()) for each in found if each.state in OPEN]
        return [each for each in entries if each["overdue"] or not overdue]

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The channels by which requests come, by their names."""
        return self._channels

    @property
    def now(self) -> int:
        """Microseconds since 1970."""
        return self._now()

    def read(self, key: str, by: str, look: Callable[[Connection, Stored], T]) -> T:
        """What `look` finds about a request, which begins where it has not."""
        with self._engine.begin() as connection:
            return look(connection, self._process(connection, key, by))

    def noted(self, key: str, by: str, work: Callable[[Connection, Stored], None]) -> Process:
        """Something that is written down about a request, which stays in its state."""
        with self._engine.begin() as connection:
            lock_writers(connection)
            process = self._process(connection, key, by)
            work(connection, process)
            return process.state

    def decide(
        self, key: str, event: Event, by: str, said: Decided, work: Callable[[Connection, Stored], None]
    ) -> Process:
        """A decision that was made elsewhere: an event of the table, its answer, and what is written beside it."""
        return self._decide(key, event, by, said, work)

    def _move(
        self, key: str, event: Event, by: str, reason: str, work: Callable[[Connection, Stored], None] | None = None
    ) -> Process:
        with self._engine.begin() as connection:
            process = self._process(connection, key, by)
            after = moved(process.state, event)
            if work is not None:
                work(connection, process)
            processes.change(connection, process, {"state": str(after)})
            self._recorded(connection, process, (process.state, event, after), by, reason)
            return after

    def _decide(
        self, key: str, events: Event | tuple[Event, ...], by: str, said: Decided,
        work: Callable[[Connection, Stored], None] | None = None,
    ) -> Process:  # fmt: skip
        """A move that is a message: both are written, or nothing is."""
        with self._engine.begin() as connection:
            lock_writers(connection)
            process = self._process(connection, key, by)
            event = _fitting(process.state, events)
            after = moved(process.state, event)
            if work is not None:
                work(connection, process)
            said = weighed(self._filled(said, process), current_document(connection, process.key))
            if said.pends and processes.holds(connection, process.key):
                said = said._replace(unnumbered=True)  # what was granted holds while more is asked
            asked = asking(connection, process, self._channels, self._now(), self._new_id)
            outcome = commit(connection, process, asked, said, self._new_id)
            values: dict[str, Any] = {
                "state": str(after), "decision": str(said.decision), "answer_message_id": outcome.plan.message_id,
                "auth_number": said.number, "assigner": said.assigner,
            }  # fmt: skip
            if after not in OPEN:
                values |= {"decided_at": self._now(), "in_force": int(after is Process.APPROVED)}
                run(connection, "UPDATE process SET in_force = 0 WHERE key = {p} AND is_last = 0", (process.key,))
            processes.change(connection, process, values)
            self._recorded(connection, process, (process.state, event, after), by, said.reason)
            return after

    def _recorded(
        self, connection: Connection, process: Stored, step: tuple[str, str, str], by: str, reason: str
    ) -> None:
        """Writes history and audit log, as the last that is done."""
        processes.record(connection, process.id, step, self._now(), by, reason)
        audited(connection, process, step, by, reason, self._now())

    def _filled(self, said: Decided, process: Stored) -> Decided:
        day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self._now())).date()
        number = said.number or process.auth_number
        is_known = said.number in ("", process.auth_number) and process.assigner
        assigner = said.assigner or (process.assigner if is_known else process.payor)
        return said._replace(number=number, assigner=assigner if number else "", on=day)

    def _process(self, connection: Connection, key: str, by: str) -> Stored:
        """The version that is worked on; begun where it was not. Raises Missing."""
        stored, _ = find(connection, key)
        last = processes.read_last(connection, stored)
        course = self._course
        process = course.begun(connection, stored, by) if last is None else course.followed(connection, last)
        if self._guard is not None:
            self._guard(process)
        return process

    def clocks_of(self, name: str) -> Clocks:
        """What is agreed with the partners of a channel; the usual where there is none of that name."""
        channel = self._channels.get(name)
        if channel is None:
            return Clocks()
        return channel.file.clocks.agreed


def revision(process: Stored) -> str:
    """What is another one after every change of a request."""
    return f"{process.version}.{process.row_version}"


def _fitting(state: Process, events: Event | tuple[Event, ...]) -> Event:
    """The event that a state has for what is wanted, else the first: that is then forbidden."""
    if isinstance(events, Event):
        return events
    return next((event for event in events if event in allowed(state)), events[0])


def _entry(process: Stored, now: int) -> dict[str, Any]:
    """One version for people and programs."""
    due = process.extended_to or process.due_at
    row = CROSSWALK.get(Decision(process.decision)) if process.decision else None
    return {
        "key": shown_key(process.key),
        "version": process.version,
        "revision": revision(process),
        "state": str(process.state),
        "decision": process.decision or None,
        "x12": row.x12 if row else None,
        "number": process.auth_number or None,
        "in_force": bool(process.in_force),
        "payor": process.payor,
        "member": process.member,
        "channel": process.channel,
        "urgency": "expedited" if process.expedited else "standard",
        "received": iso_time(process.received_at),
        "due": iso_time(due),
        "extended": process.extended_to is not None,
        "overdue": process.state in OPEN and now > due,
        "decided": None if process.decided_at is None else iso_time(process.decided_at),
        "request": str(process.request_message_id),
        "answer": None if process.answer_message_id is None else str(process.answer_message_id),
    }


def _timed(told: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What happened, with times as people read them."""
    return {
        name: [{key: iso_time(value) if key == "at" or (key.endswith("_at") and value) else value
                for key, value in row.items()} for row in rows]
        for name, rows in told.items()
    }  # fmt: skip
