"""decide list, show, submit, retry, approve, deny, pend, resume, tochange, cancel, unfinalize and extend.

Imports typer, cli.approving, cli.common, errors, and inside the commands the desk.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hl7auth.cli.approving import approval, calling, day
from hl7auth.cli.common import DEFAULT_DATABASE, ChannelFolder, Database, Format, Output, show, table, tree, who
from hl7auth.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from hl7auth.desk.enrolling import Enrolling
    from hl7auth.desk.life import Desk
    from hl7auth.domain.process import Process
    from hl7auth.flow.channel import Channel

    Place = tuple[Engine, dict[str, Channel], Callable[[], int], Callable[[], int]]

app = typer.Typer(no_args_is_help=True)

Key = Annotated[str, typer.Argument(metavar="KEY", help="The reference of a request, as `decide list` shows it.")]
By = Annotated[
    str | None, typer.Option("--by", envvar="HL7AUTH_BY", help="Who decides; the user of this machine if left out.")
]
Why = Annotated[str, typer.Option("--reason", envvar="HL7AUTH_REASON", help="Why, in words.")]
Code = Annotated[str, typer.Option("--code", envvar="HL7AUTH_CODE", help="A code of the payor for the reason.")]
_COLUMNS = ("key", "state", "urgency", "due", "overdue", "payor", "member")


@contextmanager
def _desk(database: str, channels: Path | None) -> "Iterator[Desk]":
    """The desk over a store. Raises UserError, also where the database is locked."""
    from hl7auth.desk.life import Desk

    with _open(database, channels) as place:
        yield Desk(*place)


@contextmanager
def _enrolling(database: str, channels: Path | None) -> "Iterator[Enrolling]":
    """What sees to enrollment. Raises UserError, also where the database is locked."""
    from hl7auth.desk.enrolling import Enrolling

    with _open(database, channels) as place:
        yield Enrolling(*place)


@contextmanager
def _open(database: str, channels: Path | None) -> "Iterator[Place]":
    from sqlalchemy.exc import OperationalError

    from hl7auth.flow.channel import load_channels
    from hl7auth.observe import ids, now
    from hl7auth.store.database import open_database, require_current

    known = {channel.name: channel for channel in load_channels(channels, os.environ)}
    engine = open_database(database, create=False)
    try:
        require_current(engine)
        yield engine, known, ids(), now
    except OperationalError as error:
        raise UserError(f"the database could not be written: {error.orig}") from None
    finally:
        engine.dispose()


@app.command("list")
def list_(
    overdue: Annotated[bool, typer.Option("--overdue", envvar="HL7AUTH_OVERDUE", help="Only what is late.")] = False,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """What waits for a decision, first what is due first."""
    with _desk(database, channels) as desk:
        found = desk.work(overdue=overdue)
    show(found, output, lambda rows: table(rows, _COLUMNS, "nothing waits for a decision"))


@app.command("show")
def show_(
    key: Key, channels: ChannelFolder = None, database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT
) -> None:
    """One request: its state, what may be done now, and everything that happened."""
    with _desk(database, channels) as desk:
        entry = desk.show(key)
    show(entry, output, tree)


@app.command()
def submit(key: Key, by: By = None, channels: ChannelFolder = None, database: Database = DEFAULT_DATABASE) -> None:
    """Entry or Changed to In Process; enrollment is seen to, and rules decide, where the channel has them."""
    with _open(database, channels) as place:
        _told(key, _submitted(place, key, who(by)))


@app.command()
def retry(
    key: Annotated[str, typer.Argument(metavar="[KEY]", help="One request; all whose time has come if left out.")] = "",
    by: By = None,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """Asks again for the enrollment of requests that wait because nobody could be asked."""
    with _enrolling(database, channels) as enrolling:
        for each in [key] if key else enrolling.due():
            _told(each, enrolling.go_on(each, who(by)))


@app.command()
def approve(  # noqa: PLR0913, PLR0917 - one argument for each option
    key: Key,
    number: Annotated[
        str, typer.Option("--number", envvar="HL7AUTH_NUMBER", help="The number of the authorization (AUT-6).")
    ] = "",
    assigner: Annotated[
        str, typer.Option("--assigner", envvar="HL7AUTH_ASSIGNER", help="Who gives it; the payor if left out.")
    ] = "",
    effective: Annotated[
        str, typer.Option("--from", envvar="HL7AUTH_FROM", help="First day, 2026-03-01 (AUT-4).")
    ] = "",
    expiration: Annotated[str, typer.Option("--until", envvar="HL7AUTH_UNTIL", help="Last day (AUT-5).")] = "",
    quantity: Annotated[
        list[str] | None,
        typer.Option(
            "--quantity",
            metavar="[CODE=]N",
            envvar="HL7AUTH_QUANTITY",
            help="AUT-9, or that of one procedure, which may be repeated; as asked if left out.",
        ),
    ] = None,
    unit: Annotated[
        str, typer.Option("--unit", envvar="HL7AUTH_UNIT", help="Unit of the quantity, which is AUT-18 then.")
    ] = "",
    partial: Annotated[bool, typer.Option("--partial", envvar="HL7AUTH_PARTIAL", help="Certified in part.")] = False,
    modified: Annotated[
        bool, typer.Option("--modified", envvar="HL7AUTH_MODIFIED", help="Certified, but not as it was asked.")
    ] = False,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            "--leave-out",
            metavar="CODE=REASON",
            envvar="HL7AUTH_LEAVE_OUT",
            help="A procedure that is not granted, and why; may be repeated. Certified in part.",
        ),
    ] = None,
    reason: Why = "",
    by: By = None,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """In Process to Approved, and the answer goes out."""
    said = approval(
        (number, assigner), (effective, expiration), (quantity or [], unit), reason, leave_out or [], partial=partial,
        modified=modified,
    )  # fmt: skip
    with _desk(database, channels) as desk:
        _told(key, desk.approve(key, who(by), said))


@app.command()
def deny(
    key: Key, reason: Why = "", code: Code = "", by: By = None, channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
) -> None:  # fmt: skip
    """Pended or In Process to Denied, with a fatal message; the answer goes out."""
    from hl7auth.desk.life import Reason

    with _desk(database, channels) as desk:
        _told(key, desk.deny(key, who(by), Reason(code, reason)))


@app.command()
def pend(  # noqa: PLR0913, PLR0917 - one argument for each option
    key: Key,
    reason: Why = "",
    code: Code = "",
    follow_up: Annotated[
        str, typer.Option("--follow-up", envvar="HL7AUTH_FOLLOW_UP", help="The day to look again, 2026-03-01.")
    ] = "",
    contact: Annotated[
        str, typer.Option("--contact", envvar="HL7AUTH_CONTACT", help="Who is to be called about it (AUT-25).")
    ] = "",
    phone: Annotated[str, typer.Option("--phone", envvar="HL7AUTH_PHONE", help="And where (AUT-27).")] = "",
    by: By = None,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """In Process to Pended, and the requester is told."""
    from hl7auth.desk.life import Reason

    if not reason.strip():
        raise UserError("say why it pends: --reason")
    day("--follow-up", follow_up)
    called = calling(contact, phone)
    with _desk(database, channels) as desk:
        _told(key, desk.pend(key, who(by), Reason(code, reason), follow_up, called))


@app.command()
def resume(key: Key, by: By = None, channels: ChannelFolder = None, database: Database = DEFAULT_DATABASE) -> None:
    """Pended to In Process; its reasons are resolved."""
    with _desk(database, channels) as desk:
        _told(key, desk.resume(key, who(by)))


@app.command()
def tochange(key: Key, by: By = None, channels: ChannelFolder = None, database: Database = DEFAULT_DATABASE) -> None:
    """Pended to Changed; its reasons stay."""
    with _desk(database, channels) as desk:
        _told(key, desk.tochange(key, who(by)))


@app.command()
def cancel(
    key: Key, reason: Why = "", by: By = None, channels: ChannelFolder = None, database: Database = DEFAULT_DATABASE
) -> None:
    """To Cancelled, and the requester is told."""
    with _desk(database, channels) as desk:
        _told(key, desk.cancel(key, who(by), reason))


@app.command()
def unfinalize(
    key: Key, reason: Why = "", by: By = None, channels: ChannelFolder = None, database: Database = DEFAULT_DATABASE
) -> None:
    """Approved or Denied to Changed, as a new version; what was approved holds until that is decided."""
    with _desk(database, channels) as desk:
        _told(key, desk.unfinalize(key, who(by), reason))


@app.command()
def extend(
    key: Key,
    days: Annotated[float, typer.Option("--days", envvar="HL7AUTH_DAYS", help="So many more days.")] = 0,
    reason: Why = "",
    most_days: Annotated[
        float, typer.Option("--most-days", envvar="HL7AUTH_MOST_DAYS", help="How much a request may get in all.")
    ] = 14,
    by: By = None,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
) -> None:
    """More time for a request."""
    from hl7auth.domain.clock import iso_time

    with _desk(database, channels) as desk:
        until = desk.extend(key, who(by), days, reason, most_days)
    typer.echo(f"{key}: due {iso_time(until)}")


def _submitted(place: "Place", key: str, by: str) -> "Process":
    """Submitted, and decided by rules where there are any; what fails of them is tried again by the engine."""
    from hl7auth.desk.enrolling import Enrolling
    from hl7auth.desk.life import Desk
    from hl7auth.desk.working import StepFailed, Working
    from hl7auth.domain.process import Forbidden
    from hl7auth.steps_runner import StepProcess

    desk, enrolling = Desk(*place), Enrolling(*place)
    state = enrolling.submit(key, by)
    with StepProcess() as steps:
        try:
            return Working(desk, enrolling, steps).decide(key) or state
        except StepFailed as fault:
            raise UserError(f"{key}: {state}; its rules could not be gone through: {fault}") from None
        except Forbidden:  # the engine was faster
            return desk.read(key, by, lambda _connection, process: process.state)


def _told(key: str, state: "Process") -> None:
    typer.echo(f"{key}: {state}")
