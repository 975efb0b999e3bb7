"""queue list, show, retry, skip and move.

Imports typer, cli.common, and inside the commands the store.
"""

from typing import Annotated, Any

import typer

from hl7auth.cli.common import (
    DEFAULT_DATABASE,
    Database,
    Format,
    Limit,
    Output,
    readable,
    reading,
    show,
    table,
    who,
    writing,
)
from hl7auth.errors import UserError

app = typer.Typer(no_args_is_help=True)

_COLUMNS = ("id", "message", "destination", "lane", "state", "attempts", "queued_at", "due_at", "reason")
Destination = Annotated[
    str | None, typer.Option("--destination", envvar="HL7AUTH_DESTINATION", help="CHANNEL/NAME.", metavar="NAME")
]
State = Annotated[
    str | None,
    typer.Option("--state", envvar="HL7AUTH_STATE", help="queued, in_flight, sent, parked, dead or skipped."),
]
By = Annotated[str | None, typer.Option("--by", envvar="HL7AUTH_BY", help="Who decides; default: the user.")]
Reason = Annotated[str, typer.Option("--reason", envvar="HL7AUTH_REASON", help="Why, for the record.")]
Ids = Annotated[list[int], typer.Argument(metavar="ID...")]


@app.command("list")
def list_(
    destination: Destination = None,
    state: State = None,
    lane: Annotated[str | None, typer.Option("--lane", envvar="HL7AUTH_LANE", help="Key that keeps its order.")] = None,
    message: Annotated[int | None, typer.Option("--message", envvar="HL7AUTH_MESSAGE", help="Id of a message.")] = None,
    limit: Limit = 100,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Deliveries in the order in which they were queued, newest last."""
    from hl7auth.store.deliveries import list_deliveries

    asked = {"destination": destination, "state": _known(state), "lane": lane}
    asked["message_id"] = None if message is None else str(message)
    with reading(database) as connection:
        found = list_deliveries(connection, {name: value for name, value in asked.items() if value is not None}, limit)
    show(found, output, lambda rows: table(rows, _COLUMNS, "no delivery"))


@app.command("show")
def show_(
    delivery_id: Annotated[int, typer.Argument(metavar="ID")],
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """One delivery: what it waits for, the last answer, and what was decided about it by whom."""
    from hl7auth.store.deliveries import read_delivery

    with reading(database) as connection:
        entry = read_delivery(connection, delivery_id)
    entry["answer"] = entry["answer"].decode("utf-8", "replace") if entry["answer"] is not None else None
    show(entry, output, _text)


@app.command()
def retry(
    ids: Annotated[list[int] | None, typer.Argument(metavar="[ID...]")] = None,
    destination: Destination = None,
    by: By = None,
    reason: Reason = "",
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Send deliveries now, with --destination all that are parked there; what was sent, dead or skipped once more."""
    from hl7auth.observe import now
    from hl7auth.store.deliveries import list_deliveries
    from hl7auth.store.deliveries import retry as act

    if bool(ids) == bool(destination):
        raise UserError("either ids of deliveries, or --destination with the name of one")
    with writing(database) as connection:
        if destination:
            parked = list_deliveries(connection, {"destination": destination, "state": "parked"}, 0)
            ids = [int(each["id"]) for each in parked]
        done = [_done(each, act(connection, each, who(by), reason, now())) for each in ids or []]
    show(done, output, lambda rows: table(rows, ("id", "goes_on_as"), "nothing is parked"))


@app.command()
def skip(
    ids: Ids,
    by: By = None,
    reason: Reason = "",
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Give deliveries up that are queued or parked; what waits behind them flows on."""
    from hl7auth.observe import now
    from hl7auth.store.deliveries import skip as act

    with writing(database) as connection:
        for each in ids:
            act(connection, each, who(by), reason, now())
    show([{"id": str(each)} for each in ids], output, lambda rows: f"{len(rows)} skipped")


@app.command()
def move(
    ids: Ids,
    to: Annotated[str, typer.Option("--to", envvar="HL7AUTH_TO", help="CHANNEL/NAME of another destination.")],
    by: By = None,
    reason: Reason = "",
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Send deliveries to another destination instead, behind what waits there."""
    from hl7auth.observe import now
    from hl7auth.store.channel_versions import served_destinations
    from hl7auth.store.deliveries import move as act

    if not all(to.partition("/")):
        raise UserError(f"'{to}' is no CHANNEL/NAME")
    with writing(database) as connection:
        known = served_destinations(connection)
        if known and to not in known:
            raise UserError(f"no channel that was served has a destination {to} (known: {', '.join(known)})")
        done = [_done(each, act(connection, each, to, who(by), reason, now())) for each in ids]
    show(done, output, lambda rows: table(rows, ("id", "goes_on_as"), "nothing moved"))


def _known(state: str | None) -> str | None:
    from hl7auth.flow.outbox import State as States

    if state is not None and state not in tuple(States):
        raise UserError(f"unknown state '{state}' (known: {', '.join(States)})")
    return state


def _done(before: int, after: int) -> dict[str, str]:
    return {"id": str(before), "goes_on_as": str(after)}


def _text(entry: dict[str, Any]) -> str:
    lines = [f"delivery {entry['id']}  of message {entry['message']} ({entry['control_id']}) to {entry['destination']}"]
    lines += [f"{entry['state']}, attempts: {entry['attempts']}" + (f": {entry['reason']}" if entry["reason"] else "")]
    lines += [f"keeps its order in: {', '.join(entry['lanes'])}"]
    lines += [f"waits for: {', '.join(entry['waits_for'])}"] if entry["waits_for"] else []
    lines += [f"{each['at']}  {each['action']} by {each['by']}: {each['reason']}" for each in entry["record"]]
    lines += ["", *readable(entry["answer"].encode()).split("\n")] if entry["answer"] else []
    return "\n".join(lines)
