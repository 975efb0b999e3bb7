"""What messages make of a request beside the desk: asked for, answered by its payor, taken back, asked for anew; and an
authorization that is entered by hand.

Imports sqlalchemy, orjson, domain and store.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection

from hl7auth.domain.clock import Clocks, clock
from hl7auth.domain.course import DECISIONS, Happening, Told, asked_anew, asks_since, happening
from hl7auth.domain.crosswalk import CROSSWALK, Decision
from hl7auth.domain.key import shown_key
from hl7auth.domain.process import ANSWERED, BEGINNINGS, Event, Missing, Process
from hl7auth.domain.status import STATUSES, UNDECIDED
from hl7auth.store import audit, processes
from hl7auth.store.courses import payor_of, read_courses
from hl7auth.store.database import lock_writers
from hl7auth.store.processes import MANUAL, Stored
from hl7auth.store.statement import run

BY_MESSAGE = "hl7"
"""Who did what a message did."""
_DOCUMENT = "SELECT document FROM authorization_version WHERE key = {p} AND message_id = {p} ORDER BY version LIMIT 1"
_NEWEST = "SELECT message_id FROM authorization_version WHERE key = {p} AND current = 1"
_A_WEEK = 7 * 86_400_000_000
"""As long as a request has by itself, for a version that follows."""
_ENTERED = (
    "SELECT v.document, m.id, m.channel FROM authorization_version v JOIN message m ON m.id = v.message_id"
    " WHERE v.key = {p} AND v.current = 1 AND v.status = 'approved'"
)
_GRANTED = (
    "SELECT document FROM authorization_version WHERE message_id = {p} AND key NOT LIKE {p} AND status <> 'cancelled'"
)
_GRANTED += " ORDER BY key"


ClocksOf = Callable[[str], Clocks]


class Course:
    """Keeps processes in step with what messages say. `clocks_of` takes a channel's name, `now` gives microseconds."""

    def __init__(self, clocks_of: ClocksOf, now: Callable[[], int]) -> None:
        self._clocks_of = clocks_of
        self._now = now

    def begun(self, connection: Connection, key: str, by: str) -> Stored:
        """The process of a request, from the receipt of the message that asked first. Raises Missing where none did."""
        lock_writers(connection)
        if (begun := processes.read_last(connection, key)) is not None:
            return self.followed(connection, begun)  # by somebody else, just now
        course = read_courses(connection, [key]).get(key, [])
        asked = next((each for each in course if each.asks and STATUSES[each.status] in UNDECIDED), None)
        if asked is None:
            raise Missing(f"'{shown_key(key)}' is no request that waits for a decision")
        running = clock([asked.asked], self._now(), self._clocks_of(asked.channel))
        assert running is not None
        document = orjson.loads(run(connection, _DOCUMENT, (key, asked.message_id)).scalar_one())
        new = processes.insert(connection, Stored(
            0, key, 1, 1, 0, Process.ENTRY, "", *processes.number_of(document), BY_MESSAGE, asked.channel,
            payor_of(document), document.get("patient", {}).get("id", ""), asked.message_id, None, asked.at,
            int(running.expedited), running.due, None, None, 1,
        ))  # fmt: skip
        processes.record(connection, new.id, ("", "create", Process.ENTRY), asked.at, by, "")
        return self.followed(connection, new)

    def followed(self, connection: Connection, process: Stored) -> Stored:
        """The process after all that messages have said since, one after the other."""
        seen = (process.request_message_id, process.answer_message_id)
        if run(connection, _NEWEST, (process.key,)).scalar() in seen:
            return process
        course = read_courses(connection, [process.key]).get(process.key, [])
        place = max((at for at, each in enumerate(course) if each.message_id in seen), default=-1)
        for told in course[place + 1 :]:
            happens = happening(process.state, told) if told.at >= process.received_at else None
            if happens is not None:
                self._apply(connection, process, happens, told, course)
                after = processes.read_last(connection, process.key)
                assert after is not None
                process = after
        return process

    def anew(
        self, connection: Connection, process: Stored, by: str, reason: str, after: Process, at: int | None = None
    ) -> Stored:  # fmt: skip
        """The next version of what had ended, with as much time as it had at first, from now on or since `at`."""
        begins = self._now() if at is None else at
        processes.change(connection, process, {"is_last": 0})
        new = process._replace(
            version=process.version + 1, is_last=1, in_force=0, state=after, decision="", answer_message_id=None,
            received_at=begins, due_at=begins + process.due_at - process.received_at, extended_to=None, decided_at=None,
            row_version=1, source=BY_MESSAGE,
        )  # fmt: skip
        new = processes.insert(connection, new)
        event = "create" if after is Process.ENTRY else Event.UNFINALIZE
        processes.record(connection, new.id, (process.state, event, after), begins, by, reason)
        audited(connection, new, (process.state, event, after), by, reason, self._now())
        return new

    def _apply(
        self, connection: Connection, process: Stored, happens: Happening, told: Told, course: Sequence[Told]
    ) -> None:  # fmt: skip
        if happens is Happening.TAKEN_BACK:
            _take_back(connection, process, told)
        elif happens is Happening.ANSWERED:
            _answer(connection, process, told)
        elif happens is Happening.REOPENED:
            self.anew(connection, process, BY_MESSAGE, "opened again by its payor", Process.CHANGED, told.at)
        else:
            if happens is Happening.ANEW:
                again = asked_anew(process.state)
                process = self.anew(connection, process, BY_MESSAGE, "asked anew by its requester", again, told.at)
            self._change(connection, process, told, course)

    def _change(self, connection: Connection, process: Stored, told: Told, course: Sequence[Told]) -> None:
        """What was asked last counts. To ask again wins no time; what is expedited by it gets the shorter time."""
        asks = [each for each in asks_since(course, process.received_at) if each.at <= told.at]
        values: dict[str, Any] = {"request_message_id": told.message_id, "payor": told.payor or process.payor}
        is_first = bool(asks) and asks[0].at == process.received_at
        times = [each.asked for each in (asks if is_first else [told])]
        running = clock(times, self._now(), self._clocks_of(told.channel))
        if running is not None and is_first:
            values |= {"expedited": int(running.expedited), "due_at": running.due}
        elif running is not None and running.expedited:
            values |= {"expedited": 1, "due_at": min(process.due_at, running.due)}
        processes.change(connection, process, values)


def audited(
    connection: Connection, process: Stored, step: tuple[str, str, str], by: str, reason: str, at: int
) -> None:  # fmt: skip
    """Writes the audit log, as the last that is done."""
    before, event, after = step
    detail = {"version": process.version, "from": str(before), "to": str(after), "reason": reason}
    audit.write(connection, by, f"request.{event}", process.key, detail, at)


def _take_back(connection: Connection, process: Stored, told: Told) -> None:
    values = {"state": str(Process.CANCELLED), "decision": str(Decision.CANCELLED), "decided_at": told.at}
    processes.change(connection, process, values | {"in_force": 0})
    step = (process.state, Event.CANCEL, Process.CANCELLED)
    who = "payor" if told.is_answer else "requester"
    processes.record(connection, process.id, step, told.at, BY_MESSAGE, f"taken back by its {who}")


def _answer(connection: Connection, process: Stored, told: Told) -> None:
    """Ends the work on a request that somebody else has decided, under the number that its payor gave."""
    decision = DECISIONS[STATUSES[told.status]]
    after = CROSSWALK[decision].process
    found = run(connection, _GRANTED, (told.message_id, "?%")).scalars().first()
    granted: dict[str, Any] = orjson.loads(found) if found else {}
    processes.change(connection, process, {
        "state": str(after), "decision": str(decision), "answer_message_id": told.message_id,
        "auth_number": granted.get("identifier", ""), "assigner": granted.get("assigner", ""), "decided_at": told.at,
        "in_force": int(after is Process.APPROVED),
    })  # fmt: skip
    processes.resolve(connection, process.id, told.at, BY_MESSAGE)
    run(connection, "UPDATE process SET in_force = 0 WHERE key = {p} AND is_last = 0", (process.key,))
    step = (process.state, ANSWERED, after)
    processes.record(connection, process.id, step, told.at, BY_MESSAGE, "its payor answered")


def manual_save(connection: Connection, key: str, by: str, now: int) -> None:
    """The process of an authorization that was entered by hand: approved, and the first or next version of its key.
    Nothing where it is in the store as something else."""
    row = run(connection, _ENTERED, (key,)).first()
    if row is None:
        return
    document: dict[str, Any] = orjson.loads(row.document)
    last = processes.read_last(connection, key)
    if last is not None:
        processes.change(connection, last, {"is_last": 0, "in_force": 0})
    event, state = "manual_save", BEGINNINGS["manual_save"]
    new = processes.insert(connection, Stored(
        0, key, last.version + 1 if last else 1, 1, 1, state, str(Decision.CERTIFIED_TOTAL),
        document.get("identifier", ""), document.get("assigner", ""), MANUAL, row.channel,
        (document.get("payor") or {}).get("code", ""), (document.get("patient") or {}).get("id", ""), row.id, row.id,
        now, 0, now + _A_WEEK, None, now, 1,
    ))  # fmt: skip
    processes.record(connection, new.id, ("", event, state), now, by, "")
