"""The index of fields: what messages can be looked up by, written with them in one transaction.

Imports sqlalchemy, flow, store.direct and store.schema only.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from hl7auth.flow.decision import Outcome
from hl7auth.flow.indexed import INDEXED, MOST_OF_MESSAGE, folded, index_entries
from hl7auth.store.direct import insert_all, write_all
from hl7auth.store.schema import message_field

Row = tuple[str, str, int]
"""Path, folded value and id of a message."""

_INSERT = "INSERT INTO message_field (field, value, message_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"

_INSERT_ALL = (
    "INSERT INTO message_field (field, value, message_id)"
    " SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[]) ON CONFLICT DO NOTHING"
)


def write_new_rows(connection: Connection, rows: Sequence[Row]) -> None:
    """Adds those of messages that are new themselves."""
    if connection.dialect.name == "postgresql":
        insert_all(connection, message_field, ("field", "value", "message_id"), sorted({*rows}))
    else:
        write_rows(connection, rows)


def write_rows(connection: Connection, rows: Sequence[Row]) -> None:
    """Adds to the index what it does not have."""
    rows = sorted(rows)  # in the order of the index, which is how it is written fastest
    if connection.dialect.name == "postgresql" and rows:
        # one statement for all: a message has some eight rows, and the driver's price is by the statement
        connection.exec_driver_sql(_INSERT_ALL, tuple(list(column) for column in zip(*rows, strict=True)))
    else:
        write_all(connection, _INSERT, rows)


def decided_rows(message_id: int, statuses: Iterable[str], rules: Iterable[str]) -> list[Row]:
    """What a message can be found by that is not in it: what it made of authorizations, and what it breaks."""
    rows = [("status", str(each), message_id) for each in {*statuses}]
    rows += [("rule", folded(each), message_id) for each in {*rules}]
    return sorted(rows)[:MOST_OF_MESSAGE]


def field_rows(outcome: Outcome) -> list[Row]:
    """What a message can be found by, of those that were decided."""
    plan = outcome.plan
    number = plan.message_id
    # where steps made something else of it, that is what it is known by: the names and numbers of this house
    entries = plan.entries
    if entries is None:
        entries = index_entries(plan.message, INDEXED) if plan.message is not None else ()
    rows = [(path, value, number) for path, value in entries]
    if outcome.changes or outcome.findings:
        rows += decided_rows(
            number, [each.record.status for each in outcome.changes], [each.rule for each in outcome.findings]
        )
    return rows
