"""A store with many authorizations for the benchmark of the API, and charges that they cover.

Imports the standard library, sqlalchemy, hl7auth and template.

One answer of a payor goes through the engine as it would come in (the message of the benchmark, granted). What that
left in the store is then written again and again under other numbers, members and ids, so that documents are as long
and balances as many as real ones, and a million takes minutes instead of an hour.
"""

import json
import random
import secrets
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, func, insert, select

from benchmarks.template import TEMPLATE, message
from hl7auth.flow.channel import load_channels
from hl7auth.flow.intake import plan
from hl7auth.observe import ids
from hl7auth.store import units
from hl7auth.store.balance_table import balance, charge
from hl7auth.store.balances import MARK, refresh_one
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal
from hl7auth.store.schema import authorization_version, search_mark
from hl7auth.store.schema import message as messages

START = 1_772_000_000_000_000
CHANNEL = "referral-intake"
PAYOR, CODE, DOS = "HH001", "PHYS-K", "2026-05-10"
_ROWS = 5_000
_BEYOND = 1_000_000_000
_MEMBERS = 10
"""Authorizations of one member."""
_GRANTED = (
    ("|P|2.8.2|", "|P|2.9|"),
    ("PEND^Pending^L", "AP^Approved^L"),
    ("|0^VISITS|0^VISITS|", "|1000^VISITS|0^VISITS|"),
)


class Sample(NamedTuple):
    """What one answer left in the store, and what in it stands for its number and its member."""

    version: dict[str, Any]
    balances: list[dict[str, Any]]
    number: str
    member: str


def key_of(number: int) -> str:
    """The key of an authorization of the store."""
    return f"PA{number:08}@HARBOR"


def member_of(number: int) -> str:
    """Whose it is."""
    return f"M{number // _MEMBERS:08}"


def sample() -> Sample:
    """One answer of a payor, taken in by an engine of its own."""
    text = TEMPLATE.replace("RQA^I08^RQA_I08", "RPA^I08^RPA_I08").replace("\rRF1", "\rMSA|AA|Q1\rRF1", 1)
    for asked, granted in _GRANTED:
        text = text.replace(asked, granted)
    (channel,) = [each for each in load_channels(None, {}) if each.name == CHANNEL]
    with TemporaryDirectory(prefix="hl7auth-bench-") as folder:
        engine = open_database(f"sqlite:///{Path(folder) / 'sample.db'}")
        upgrade(engine)
        journal = Journal(engine)
        (outcome,) = journal.commit([plan(message(text, 1, "BENCH"), channel, START, ids())])
        with engine.begin() as connection:
            refresh_one(connection, outcome.changes[0].record.key)
            version = dict(connection.execute(authorization_version.select()).mappings().one())
            rows = [dict(row) for row in connection.execute(balance.select()).mappings()]
        journal.close()
        engine.dispose()
    document = json.loads(version["document"])
    return Sample(version, rows, document["identifier"], document["patient"]["id"])


def filled(engine: Engine) -> int:
    """How many authorizations were filled in. Ids of messages that came in since are beyond all of those."""
    column = authorization_version.c.message_id
    with engine.execution_options(reads_only=True).connect() as connection:
        found = connection.execute(select(func.max(column)).where(column < _BEYOND)).scalar()
    return found or 0


def fill(engine: Engine, low: int, high: int) -> None:
    """Authorizations from `low` on, up to `high` of them, with the messages that made them and their balances."""
    made = sample()
    for begin in range(low, high, _ROWS):
        numbers = range(begin, min(begin + _ROWS, high))
        with engine.begin() as connection:
            connection.execute(insert(messages), [_message(number) for number in numbers])
            connection.execute(insert(authorization_version), [_version(made, number) for number in numbers])
            connection.execute(insert(balance), [row for number in numbers for row in _balances(made, number)])
            _mark(connection, high)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def _mark(connection: Connection, upto: int) -> None:
    """The balances are known up to there."""
    done = connection.execute(search_mark.update().where(search_mark.c.name == MARK).values(message_id=upto))
    if not done.rowcount:
        connection.execute(insert(search_mark), {"name": MARK, "message_id": upto})


def _message(number: int) -> dict[str, Any]:
    return {
        "id": number + 1, "channel": CHANNEL, "received_at": START + number, "peer": "", "digest": number,
        "control_id": f"B{number}", "message_type": "RPA", "trigger_event": "I08", "version": "2.8.2",
        "sender": "HARBOR_UM", "facility": "HARBOR", "disposition": "accepted", "code": "AA", "raw": b"MSH|",
    }  # fmt: skip


def _version(made: Sample, number: int) -> dict[str, Any]:
    document = made.version["document"].replace(made.number, f"PA{number:08}").replace(made.member, member_of(number))
    own = {"key": key_of(number), "message_id": number + 1, "at": START + number, "control_id": f"B{number}"}
    return made.version | own | {"document": document}


def _balances(made: Sample, number: int) -> list[dict[str, Any]]:
    own = {"key": key_of(number), "number": f"PA{number:08}", "member": member_of(number), "message_id": number + 1}
    return [row | own for row in made.balances]


def enter(engine: Engine, size: int, count: int) -> list[tuple[str, str]]:
    """Charges of one unit, each with an authorization of the store that covers it: ids and keys."""
    prefix = f"CH{secrets.token_hex(5)}-"
    chosen = random.sample(range(size), count)
    rows = [
        {
            "id": f"{prefix}{at}", "member": member_of(number), "payor": PAYOR, "dos": DOS, "code": CODE,
            "modifiers": "[]", "units": 1000, "kind": "visits", "amount": "", "issues": f'["{units.AUTH_REQUIRED}"]',
            "key": "", "line": "", "number": "", "at": START + at, "row_version": 1,
        }
        for at, number in enumerate(chosen)
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(charge), rows)
    return [(str(row["id"]), key_of(number)) for row, number in zip(rows, chosen, strict=True)]


def attached(engine: Engine, wanted: Sequence[tuple[str, str]]) -> int:
    """How many of these charges are put to their authorization."""
    found = 0
    with engine.execution_options(reads_only=True).connect() as connection:
        for begin in range(0, len(wanted), 500):
            names = [name for name, _ in wanted[begin : begin + 500]]
            rows = connection.execute(charge.select().where(charge.c.id.in_(names), charge.c.key != ""))
            found += len(rows.all())
    return found
