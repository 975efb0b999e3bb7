"""The desk: a request goes from entry to its decision, each step one transaction, as the table of moves says.

Imports sqlalchemy, domain, flow, store, desk.answering and desk.elsewhere.

A request that nobody has touched has no row of its own and is in Entry. What was asked and granted is known from
messages alone: a decision is one, and the process only remembers which.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import orjson
from sqlalchemy import Connection, Engine

from hl7auth.desk.answering import asking, commit
from hl7auth.desk.elsewhere import answered, follow, taken_back
from hl7auth.desk.enrolled import told as enrolled
from hl7auth.domain.clock import Clocks, iso_time
from hl7auth.domain.crosswalk import CROSSWALK, GRANTING, Decision
from hl7auth.domain.decided import Contact, Decided, pending, weighed
from hl7auth.domain.key import shown_key
from hl7auth.domain.process import OPEN, Event, Forbidden, Missing, Needed, Process, allowed, moved
from hl7auth.domain.status import UNDECIDED, Status
from hl7auth.flow.channel import Channel
from hl7auth.store import audit, processes
from hl7auth.store.authorizations import Wanted, clocks_of_keys, list_authorizations
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
            return self._anew(connection, process, by, reason, moved(process.state, Event.UNFINALIZE)).state

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
            waiting = list_authorizations(connection, Wanted(open_requests=True), 0, self._now(), self._clocks)
            for each in waiting:
                self._process(connection, each["key"], "system")
            found = [self._followed(connection, each) for each in processes.read_open(connection)]
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
        now, (before, event, after) = self._now(), step
        processes.record(connection, process.id, step, now, by, reason)
        detail = {"version": process.version, "from": str(before), "to": str(after), "reason": reason}
        audit.write(connection, by, f"request.{event}", process.key, detail, now)

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
        process = self._begun(connection, stored, by) if last is None else self._followed(connection, last)
        if self._guard is not None:
            self._guard(process)
        return process

    def _begun(self, connection: Connection, key: str, by: str) -> Stored:
        lock_writers(connection)
        if (begun := processes.read_last(connection, key)) is not None:
            return self._followed(connection, begun)  # by somebody else, just now
        asked = processes.who_asked(connection, key)
        running = clocks_of_keys(connection, [key], self._now(), self._clocks).get(key)
        if asked is None or running is None:
            raise Missing(f"'{shown_key(key)}' is no request that waits for a decision")
        document = orjson.loads(asked.document)
        new = Stored(
            0, key, 1, 1, 0, Process.ENTRY, "", *processes.number_of(document), "hl7",
            asked.channel, _payor(document), document.get("patient", {}).get("id", ""), asked.id, None, running.since,
            int(running.expedited), running.due, None, None, 1,
        )  # fmt: skip
        new = processes.insert(connection, new)
        processes.record(connection, new.id, ("", "create", Process.ENTRY), running.since, by, "")
        return new

    def _followed(self, connection: Connection, process: Stored) -> Stored:
        """The process after what messages said since: a requester may take back what it asked for, or ask anew."""
        asked = processes.who_asked(connection, process.key)
        status = current_document(connection, process.key).get("status")
        may_end = process.state is Process.IN_PROCESS or Event.CANCEL in allowed(process.state)
        back = taken_back(connection, process.key) if status == Status.CANCELLED and may_end else ""
        if back:
            values = {"state": str(Process.CANCELLED), "decision": str(Decision.CANCELLED), "decided_at": self._now()}
            processes.change(connection, process, values | {"in_force": 0})
            step = (process.state, Event.CANCEL, Process.CANCELLED)
            processes.record(connection, process.id, step, self._now(), "hl7", back)
        elif (said := answered(connection, process)) is not None:
            follow(connection, process, said)
        elif asked is not None and asked.id != process.request_message_id and status in UNDECIDED:
            if process.state not in OPEN:
                again = Process.ENTRY if process.state is Process.CANCELLED else Process.CHANGED
                process = self._anew(connection, process, "hl7", "asked anew by its requester", again)
            processes.change(connection, process, {"request_message_id": asked.id})
        else:
            return process
        after = processes.read_last(connection, process.key)
        assert after is not None
        return after

    def _anew(self, connection: Connection, process: Stored, by: str, reason: str, after: Process) -> Stored:
        """The next version of what had ended, with as much time as it had at first."""
        now = self._now()
        processes.change(connection, process, {"is_last": 0})
        new = process._replace(
            version=process.version + 1, is_last=1, in_force=0, state=after, decision="", answer_message_id=None,
            received_at=now, due_at=now + process.due_at - process.received_at, extended_to=None, decided_at=None,
            row_version=1, source="hl7",
        )  # fmt: skip
        new = processes.insert(connection, new)
        event = "create" if after is Process.ENTRY else Event.UNFINALIZE
        self._recorded(connection, new, (process.state, event, after), by, reason)
        return new

    def _clocks(self, name: str) -> Clocks:
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


def _payor(document: Mapping[str, Any]) -> str:
    places = [document, *document.get("lines", [])]
    return next((code for each in places if (code := (each.get("payor") or {}).get("code"))), "")


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
