"""authorization list, show, history, at and why.

Imports typer, cli.common, cli.channel_files, and inside the commands observe, domain, flow and the store.
"""

import os
from typing import Annotated, Any

import typer

from hl7auth.cli.channel_files import clocks_by_channel
from hl7auth.cli.common import (
    DEFAULT_DATABASE,
    ChannelFolder,
    Database,
    Format,
    Limit,
    Output,
    reading,
    show,
    table,
    tree,
)
from hl7auth.errors import UserError

app = typer.Typer(no_args_is_help=True)

Key = Annotated[
    str, typer.Argument(metavar="KEY", help="For example PA1001@ACME, or the reference of an open request.")
]
Overdue = Annotated[
    bool, typer.Option("--overdue", envvar="HL7AUTH_OVERDUE", help="With --open: only those that are late.")
]
_COLUMNS = ("key", "status", "version", "payor", "patient", "effective_date", "expiration_date", "lines")
_OPEN_COLUMNS = ("key", "status", "version", "payor", "patient", "lines", "urgency", "age", "due")


@app.command("list")
def list_(  # noqa: PLR0913, PLR0917 - one argument for each option
    status: Annotated[
        str | None, typer.Option(envvar="HL7AUTH_STATUS", help="requested, pended, approved, ...")
    ] = None,
    patient: Annotated[
        str | None, typer.Option(envvar="HL7AUTH_PATIENT", help="Identifier of the patient (PID-3.1).")
    ] = None,
    payor: Annotated[str | None, typer.Option(envvar="HL7AUTH_PAYOR", help="Code of the payor (AUT-2.1).")] = None,
    open_requests: Annotated[
        bool, typer.Option("--open", envvar="HL7AUTH_OPEN", help="Requests waiting for their answer.")
    ] = False,
    overdue: Overdue = False,
    limit: Limit = 100,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Authorizations as they stand, last changed last; with --open requests, their age, and when they are due."""
    from hl7auth.observe import now
    from hl7auth.store.authorizations import Wanted, list_authorizations

    if overdue and not open_requests:
        raise UserError("--overdue is asked of open requests: add --open")
    asked = {"status": status, "patient": patient, "payor": payor}
    filters = {name: value for name, value in asked.items() if value is not None}
    with reading(database) as connection:
        found = list_authorizations(
            connection, Wanted(filters, open_requests, overdue), limit, now(), clocks_by_channel(channels)
        )
    show(found, output, _open_text if open_requests else _list_text)


@app.command("show")
def show_(
    key: Key, channels: ChannelFolder = None, database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT
) -> None:
    """One authorization, whole."""
    from hl7auth.observe import now
    from hl7auth.store.authorizations import read_authorization

    with reading(database) as connection:
        document = read_authorization(connection, key, now(), clocks_by_channel(channels))
    show(document, output, tree)


@app.command()
def history(key: Key, database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT) -> None:
    """The story of an authorization: who sent what when, and what each message changed."""
    from hl7auth.store.history import read_history

    with reading(database) as connection:
        entries = read_history(connection, key)
    show(entries, output, lambda found: "\n".join(_story(entry) for entry in found))


@app.command()
def at(
    key: Key,
    time: Annotated[
        str,
        typer.Argument(
            metavar="TIME", help="2026-03-01 (its end in UTC), 2026-03-01T10:15 (UTC) or 2026-03-01T10:15:00+01:00."
        ),
    ],
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """What was known of an authorization at a time; exit 1 if nothing was known yet."""
    from hl7auth.domain.clock import iso_time, moment
    from hl7auth.store.history import read_at

    asked = moment(time)
    with reading(database) as connection:
        then = read_at(connection, key, asked)
    if then.document is None:
        unknown = {"key": key, "at": time, "known": False, "first_known": iso_time(then.first)}
        show(unknown, output, lambda it: f"{it['key']} at {it['at']}: {then.sentence}")
        raise typer.Exit(1)
    until = f"Until {iso_time(then.until)}." if then.until is not None else "It still stands."
    show(then.document, output, lambda it: f"{then.sentence}\n{until}\n\n{tree(it)}")


@app.command()
def why(
    key: Key,
    field: Annotated[
        str, typer.Argument(metavar="FIELD", help="For example expiration_date, AUT-5 or lines[0].status.")
    ],
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """The message, version and rule that gave a field its value, and where in the message it stands."""
    from hl7auth.flow.channel import load_channels
    from hl7auth.store.history import read_why

    known = {channel.name: channel for channel in load_channels(channels, os.environ)}
    with reading(database) as connection:
        entry = read_why(connection, key, field, known)
    show(entry, output, lambda it: "\n".join(it["story"]))


def _list_text(documents: list[dict[str, Any]]) -> str:
    rows = [{**document, "lines": len(document.get("lines", []))} for document in documents]
    return table(rows, _COLUMNS, "no authorization")


def _open_text(documents: list[dict[str, Any]]) -> str:
    rows = [{**document, "lines": len(document.get("lines", [])), **_clock_cells(document)} for document in documents]
    return table(rows, _OPEN_COLUMNS, "no open request")


def _clock_cells(document: dict[str, Any]) -> dict[str, str]:
    """The clock in words: `3 d 4 h`, and `2026-03-08T10:15 (late by 2 h 5 min)`."""
    from hl7auth.domain.clock import hours, spoken

    clock = document.get("clock")
    if clock is None:
        return {}
    left = spoken(hours(clock["left_hours"]))
    due = f"{clock['due'][:16]}Z ({'late by ' if clock['overdue'] else ''}{left}{'' if clock['overdue'] else ' left'})"
    return {"urgency": clock["urgency"], "age": spoken(hours(clock["age_hours"])), "due": due}


def _story(entry: dict[str, Any]) -> str:
    first, *rest = entry["story"]
    return "\n".join([first, *(f"  {line}" for line in rest)])
