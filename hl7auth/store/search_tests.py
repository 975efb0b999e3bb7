"""What is asked of messages, each as SQL: a source that gives the ids of all that fit, and a clause that tests one.

Imports sqlalchemy, flow, errors and store.words only.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection

from hl7auth.errors import UserError
from hl7auth.flow.indexed import AUTHORIZATION, IDENTIFIERS, INDEXED, PATIENT, REFERRAL, folded, read_place
from hl7auth.store.indexing import mark
from hl7auth.store.statement import run
from hl7auth.store.words import for_postgresql, for_sqlite, read_terms

if TYPE_CHECKING:
    from hl7auth.store.search import Query

MOST_IDENTIFIERS = 2_000
_SLACK = 3_600_000_000
"""Microseconds by which times may run against ids: clocks are set, and processes commit one after the other."""
_MOST_VALUES = 150
"""Values that begin alike, which are looked up one by one for each message."""
_END = "\U0010ffff"
_COLUMNS = {"MSH-3.1": "sender", "MSH-4.1": "facility", "MSH-10.1": "control_id", "MSH-12.1": "version"}
_INDEXED_COLUMNS = ("sender", "control_id")


class Test(NamedTuple):
    """`source` selects `id` from an index; `clause` tests the message `m`. `{p}` are placeholders for the values. Where
    the index does not give the ids in their order, all of them are to be sorted for the first page."""

    source: str
    source_values: tuple[object, ...]
    clause: str
    values: tuple[object, ...]
    in_order: bool = True


def tests_of(connection: Connection, query: "Query") -> list[Test]:
    """Everything that indexes can answer."""
    tests = [_column(name, value) for name, value in _columns(query) if value]
    tests += [_event(query.event)] if query.event else []
    family, _, given = query.name.partition("^")
    asked: tuple[tuple[Sequence[str], str], ...] = (
        (AUTHORIZATION, query.authorization), (PATIENT, query.patient), (REFERRAL, query.referral),
        (("status",), query.status), (("rule",), query.rule),
        (("PID-5.1",), family.strip()), (("PID-5.2",), given.strip()),
    )  # fmt: skip
    tests += [_field(connection, paths, value) for paths, value in asked if value]
    for path, value in query.fields:
        place = str(read_place(path))
        if place in INDEXED:
            tests.append(_field(connection, (place,), value))
        elif _in_column(place, value):
            tests.append(_column(_COLUMNS[place], value))
    tests += [_any_of(query.any_of)] if query.any_of else []
    tests += [_words(connection, query.words)] if query.words else []
    return tests


def other_fields(fields: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The fields that have no index. Raises UserError for what is no field."""
    found = []
    for path, value in fields:
        place = str(read_place(path))
        if not folded(value.removesuffix("*")):
            raise UserError(f"{path} wants a value to look for, like {path}=A12")
        if place not in INDEXED and not _in_column(place, value):
            found.append((place, value))
    return found


def time_bounds(
    connection: Connection, since: int | None, until: int | None
) -> tuple[int | None, int | None, list[tuple[str, int]]]:
    """Ids between which the messages of a time are, and what is asked of each: ids grow with time, but for _SLACK."""
    exact, low, high = [], None, None
    # `+ 0`: the ids lead the way, or all messages of the time would have to be sorted for one page
    if since is not None:
        exact.append(("m.received_at + 0 >= {p}", since))
        sql = "SELECT id FROM message WHERE received_at >= {p} ORDER BY received_at LIMIT 1000"
        low = _outermost(connection, "min", since, since + _SLACK)
        low = min((row[0] for row in run(connection, sql, (since - _SLACK,))), default=1 << 62) if low is None else low
    if until is not None:
        exact.append(("m.received_at + 0 < {p}", until))
        sql = "SELECT id FROM message WHERE received_at <= {p} ORDER BY received_at DESC LIMIT 1000"
        high = _outermost(connection, "max", until - _SLACK, until)
        high = max((row[0] for row in run(connection, sql, (until + _SLACK,))), default=-1) if high is None else high
    return low, high, exact


def _outermost(connection: Connection, which: str, since: int, until: int) -> int | None:
    """The first or last id of a time at an end of what is asked for, from the index of times alone; None where nothing
    came in it. What came beyond it has no id on this side, by _SLACK."""
    sql = f"SELECT {which}(id) FROM message WHERE received_at >= {{p}} AND received_at < {{p}}"
    found: int | None = run(connection, sql, (since, until)).scalar()
    return found


def _columns(query: "Query") -> tuple[tuple[str, str], ...]:
    return (
        ("control_id", query.control_id), ("channel", query.channel), ("sender", query.sender),
        ("disposition", query.disposition),
    )  # fmt: skip


def _in_column(place: str, value: str) -> bool:
    return place in _COLUMNS and _COLUMNS[place] in _INDEXED_COLUMNS and not value.endswith("*")


def _column(name: str, value: str) -> Test:
    # the index of dispositions has no accepted ones; said as it is said there, or SQLite does not take it
    partial = " AND disposition <> 'accepted'" if name == "disposition" and value != "accepted" else ""
    return Test(f"SELECT id FROM message WHERE {name} = {{p}}{partial}", (value,), f"m.{name} = {{p}}", (value,))


def _event(event: str) -> Test:
    kind, _, trigger = event.upper().replace("-", "^").partition("^")
    values: tuple[str, ...] = (kind,)
    if trigger:
        where, values = "message_type = {p} AND trigger_event = {p}", (kind, trigger)
    elif kind.isalpha():
        where = "message_type = {p}"
    else:
        where = "trigger_event = {p}"
    clause = " AND ".join(f"m.{each}" for each in where.split(" AND "))
    return Test(f"SELECT id FROM message WHERE {where}", values, clause, values)


def _field(connection: Connection, paths: Sequence[str], asked: str) -> Test:
    value = folded(asked.removesuffix("*"))
    if not value:
        raise UserError(f"there is nothing to look for in '{asked}'")
    marks = ", ".join(["{p}"] * len(paths))
    fields = "field = {p}" if len(paths) == 1 else f"field IN ({marks})"
    if asked.endswith("*"):
        where, values = f"{fields} AND value >= {{p}} AND value < {{p}}", (*paths, value, value + _END)
    else:
        where, values = f"{fields} AND value = {{p}}", (*paths, value)
    # in one field a value stands once for each message; then the index gives the ids in their order
    once = len(paths) == 1 and not asked.endswith("*")
    source = f"SELECT {'' if once else 'DISTINCT '}message_id AS id FROM message_field WHERE {where}"
    if asked.endswith("*"):
        if (known := _beginning(connection, paths, value)) is not None:
            # each is looked up for a message by itself: that takes as long however many have it
            among = f"{fields} AND value IN ({', '.join(['{p}'] * len(known))})" if known else "1 = 0"
            given = (*paths, *known) if known else ()
            exists = f"EXISTS (SELECT 1 FROM message_field WHERE {among} AND message_id = m.id)"
            return Test(source, values, exists, given, in_order=False)
        # gathered once: to look through all that begins so for each message takes the longer the more there is of it
        within = f"m.id IN (SELECT message_id FROM message_field WHERE {where})"
        return Test(source, values, within, values, in_order=False)
    return Test(source, values, f"EXISTS (SELECT 1 FROM message_field WHERE {where} AND message_id = m.id)", values)


def _beginning(connection: Connection, paths: Sequence[str], begin: str) -> list[str] | None:
    """The different values that begin so, each found by one look into the index; None for too many to look up."""
    found: set[str] = set()
    sql = "SELECT min(value) FROM message_field WHERE field = {p} AND value >= {p} AND value < {p}"
    for path in paths:
        value: str | None = run(connection, sql, (path, begin, begin + _END)).scalar()
        while value is not None:
            found.add(value)
            if len(found) > _MOST_VALUES:
                return None
            value = run(connection, sql.replace(">=", ">"), (path, value, begin + _END)).scalar()
    return sorted(found)


def _any_of(asked: Sequence[str]) -> Test:
    if len(asked) > MOST_IDENTIFIERS:
        raise UserError(f"at most {MOST_IDENTIFIERS} identifiers can be looked for at once")
    fields, values = [*IDENTIFIERS], [folded(each) for each in asked]
    sql = (
        f"SELECT message_id AS id FROM message_field WHERE field IN ({', '.join(['{p}'] * len(fields))})"
        f" AND value IN ({', '.join(['{p}'] * len(values))})"
        f" UNION SELECT id FROM message WHERE control_id IN ({', '.join(['{p}'] * len(asked))})"
    )
    given = (*fields, *values, *asked)
    return Test(f"SELECT id FROM ({sql}) named", given, f"m.id IN ({sql})", given)


def _words(connection: Connection, asked: str) -> Test:
    terms = read_terms(asked)
    if not mark(connection, "text"):  # there may be no table yet
        return Test("SELECT id FROM message WHERE id < 0", (), "m.id < 0", ())
    if connection.dialect.name == "postgresql":
        where = "words @@ to_tsquery('simple', {p})"
        source, clause = "SELECT message_id AS id", "message_id = m.id"
        values: tuple[object, ...] = (for_postgresql(terms),)
    else:
        where = "message_text MATCH {p}"
        source, clause = "SELECT rowid AS id", "message_text.rowid = m.id"
        values = (for_sqlite(terms),)
    clause = f"EXISTS (SELECT 1 FROM message_text WHERE {where} AND {clause})"
    return Test(f"{source} FROM message_text WHERE {where}", values, clause, values)
