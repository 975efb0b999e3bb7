"""The verdict of a proof: what the senders were told against what the store holds, message by message.

Imports sqlalchemy, store and proof.ledger only.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from hl7auth.proof.ledger import Ledger, Sent
from hl7auth.store.database import connect


class Verdict:
    """Reads what a store has gained since the last look, and keeps what must not be: `violations`, in words."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.violations: list[str] = []
        self.accepted: dict[str, int] = {}
        self.order: dict[str, list[str]] = defaultdict(list)
        self._versions: dict[str, int] = defaultdict(int)
        self._looked_at: set[int] = set()
        self._promised: set[str] = set()

    def look(self, engine: Engine) -> None:
        """Compares everything that has come since the last look; a store that can not be read has kept nothing."""
        try:
            with connect(engine) as connection:
                self._compare(connection)
        except SQLAlchemyError as error:
            self.violations.append(f"the store can not be read: {getattr(error, 'orig', None) or error}")
        self._promises()

    def _compare(self, connection: Connection) -> None:
        effects = self._effects(connection)
        new = [
            row[0] for row in _rows(connection, "SELECT id FROM message ORDER BY id") if row[0] not in self._looked_at
        ]
        for number in new:
            self._looked_at.add(number)
            for row in _rows(connection, f"{_MESSAGE} {number}"):
                self._message(row, effects.get(number, []))
        self._gaps(effects)

    def _message(self, row: Any, effects: list[tuple[str, int]]) -> None:
        number, control_id, disposition, accept_ack, reply = row
        sent = self._ledger.sent.get(control_id)
        if sent is None:
            self.violations.append(f"{control_id}: stored, and never sent")
            return
        if disposition != "accepted":
            if effects:
                self.violations.append(f"{control_id}: {disposition}, and yet it changed {effects}")
            if disposition != "duplicate":
                self.violations.append(f"{control_id}: {disposition}, where every message is a good one")
            return
        if control_id in self.accepted:
            self.violations.append(f"{control_id}: accepted twice")
        self.accepted[control_id] = number
        if effects != [(sent.key, sent.version)]:
            self.violations.append(f"{control_id}: changed {effects}, not {(sent.key, sent.version)}")
        self.order[sent.key].append(control_id)
        if sent.told is not None and sent.told not in (accept_ack, reply):
            self.violations.append(f"{control_id}: the stored reply is not the one that was told")

    def _effects(self, connection: Connection) -> dict[int, list[tuple[str, int]]]:
        found: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for message_id, key, version in _rows(connection, _VERSIONS):
            if message_id not in self._looked_at:
                found[message_id].append((key, version))
        return found

    def _gaps(self, effects: dict[int, list[tuple[str, int]]]) -> None:
        made = sorted((key, version) for each in effects.values() for key, version in each)
        for key, version in made:
            if version != self._versions[key] + 1:
                self.violations.append(f"{key}: version {version} behind version {self._versions[key]}")
            self._versions[key] = version

    def _promises(self) -> None:
        for sent in self._ledger.sent.values():
            if sent.is_promised and sent.control_id not in self._promised:
                self._promised.add(sent.control_id)
                if sent.control_id not in self.accepted:
                    self.violations.append(f"{sent.control_id}: promised, and not in the store")
            elif sent.told is not None and not sent.is_promised:
                self.violations.append(f"{sent.control_id}: a good message was refused")
        self.violations += [f"{each}: two replies that differ" for each in self._ledger.contradictions]
        self._ledger.contradictions.clear()

    def deliveries(self, engine: Engine, received: Sequence[str]) -> int:
        """Compares what was sent on with what the sink got; returns how many came more than once.

        Once is promised for what is applied. A delivery whose answer was lost in a crash is made again, because nobody
        can know; its order within the authorization is kept all the same.
        """
        with connect(engine) as connection:
            states: dict[int, list[str]] = defaultdict(list)
            for message_id, state in _rows(connection, _DELIVERIES):
                states[message_id].append(state)
        for control_id, number in self.accepted.items():
            if states[number] != ["sent"]:
                self.violations.append(f"{control_id}: its deliveries are {states[number]}, not one that was sent")
        first = {control_id: at for at, control_id in reversed(list(enumerate(received)))}
        self.violations += [f"{each}: accepted, and never delivered" for each in self.accepted if each not in first]
        self.violations += [f"{each}: delivered, and not accepted" for each in first if each not in self.accepted]
        for key, control_ids in self.order.items():
            places = [first[each] for each in self._in_order(control_ids) if each in first]
            if places != sorted(places):
                self.violations.append(f"{key}: delivered out of order")
        return len(received) - len(first)

    def _in_order(self, control_ids: Iterable[str]) -> list[str]:
        return sorted(control_ids, key=lambda each: self._ledger.sent[each].version)

    def in_doubt(self, sent: Iterable[Sent]) -> int:
        """How many of these messages, whose senders heard nothing, are in the store all the same."""
        return sum(each.control_id in self.accepted for each in sent)


_MESSAGE = "SELECT id, control_id, disposition, accept_ack, reply FROM message WHERE id ="
_VERSIONS = "SELECT message_id, key, version FROM authorization_version"
_DELIVERIES = "SELECT message_id, state FROM delivery WHERE part = 0"


def _rows(connection: Connection, sql: str) -> list[Any]:
    return list(connection.exec_driver_sql(sql))
