"""What would be sent to a destination or an endpoint, and what went there before; no channel judges it again.

Imports sqlalchemy, flow, store, replay, wire and errors only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from hl7auth.errors import Fault
from hl7auth.replay.material import Piece
from hl7auth.replay.wish import DESTINATION, Expected, Wish, unfit
from hl7auth.store.replays import Before, Item, State, has_plans_before, replayed_before
from hl7auth.store.statement import run
from hl7auth.wire.message import parse

_THERE = ("queued", "in_flight", "sent", "parked")
"""Deliveries that arrived, or will."""
_NO_MESSAGE = "a destination takes messages of the archive: replay files to a channel or an endpoint"
_NO_CONTROL_ID = "it has no control id (MSH-10): its answer could not be told from another's"
_REPEATED = "it repeats another message of this replay"


def delivered(connection: Connection, message_id: int, destination: str) -> tuple[int, str] | None:
    """The delivery of a message to a destination that arrived or will, and its state."""
    sql = (
        "SELECT id, state FROM delivery WHERE message_id = {p} AND destination = {p} AND part = 0 AND kind IS NULL"
        f" AND state IN ({', '.join(['{p}'] * len(_THERE))}) ORDER BY id DESC LIMIT 1"
    )
    row: Any = run(connection, sql, (message_id, destination, *_THERE)).first()
    return None if row is None else (row[0], row[1])


class Sending:
    """Looks at the messages of a plan that are sent on as they are."""

    def __init__(self, connection: Connection, plan: int, wish: Wish) -> None:
        self._connection, self._plan, self._wish = connection, plan, wish
        self._has_plans = has_plans_before(connection, plan)
        self._seen: set[tuple[int, str]] = set()
        self.versions: dict[str, str] = {}

    @property
    def notes(self) -> list[str]:
        """Nothing has to be known."""
        return []

    def look(self, pieces: Sequence[Piece], first: int, at: int) -> list[Item]:  # noqa: ARG002 - no time counts here
        """The items of some messages, the first of which has that number."""
        items = [self._begin(piece, number) for number, piece in enumerate(pieces, start=first)]
        before: Mapping[tuple[int, str], Before] = {}
        if self._has_plans:
            wanted = [(each.fingerprint, each.target) for each in items if each.state == State.WAITING]
            before = replayed_before(self._connection, self._plan, wanted)
        return [
            self._judged(item, before.get((item.fingerprint, item.target))) if item.state == State.WAITING else item
            for item in items
        ]

    def _begin(self, piece: Piece, number: int) -> Item:
        item = Item(self._plan, number, piece.source, piece.place, "", "", piece.fingerprint, self._wish.target)
        failed = item._replace(state=State.FAILED, expected=Expected.LEFT_OUT)
        if piece.fault:
            return failed._replace(reason=piece.fault)
        try:
            header = parse(piece.raw).header
        except Fault as fault:
            return failed._replace(reason=f"it is no HL7 message: {fault}")
        item = item._replace(control_id=header.control_id, event=header.event)
        reason = unfit(piece) or self._unwanted(piece)
        if not reason and not header.control_id:
            reason = _NO_CONTROL_ID
        if not reason and (item.fingerprint, item.control_id) in self._seen:
            reason = _REPEATED
        self._seen.add((item.fingerprint, item.control_id))
        return item._replace(state=State.SKIPPED, expected=Expected.LEFT_OUT, reason=reason) if reason else item

    def _unwanted(self, piece: Piece) -> str:
        if piece.source and self._wish.target.startswith(DESTINATION):
            return _NO_MESSAGE
        if piece.disposition and piece.disposition not in self._wish.dispositions:
            return f"it was {piece.disposition}: --disposition {piece.disposition} sends such messages"
        return ""

    def _judged(self, item: Item, before: Before | None) -> Item:
        reason = self._went(item, before)
        if not reason:
            return item._replace(expected=Expected.SEND)
        if self._wish.again:
            return item._replace(expected=Expected.SEND, again=1)
        return item._replace(state=State.SKIPPED, expected=Expected.DONE, reason=reason)

    def _went(self, item: Item, before: Before | None) -> str:
        """How it went there before; empty where it did not."""
        if item.target.startswith(DESTINATION):
            # the queue knows better than any replay
            found = delivered(self._connection, item.place, item.target.removeprefix(DESTINATION))
            return f"delivery {found[0]} of it is {found[1]}" if found is not None else ""
        if before is None or before.state in (State.REFUSED, State.NOTHING):
            return ""
        told = "sent there, with an answer that nobody knows" if before.state != State.DONE else "sent there"
        return f"it was {told} by replay {before.plan}"
