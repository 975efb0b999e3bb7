"""archive seal, list, verify, import, prune, export, hold and release.

Imports typer, cli.common, cli.queue (whose decision it is), and inside the commands the store.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from hl7auth.cli.common import (
    DEFAULT_DATABASE,
    Archive,
    ChannelFolder,
    Database,
    Format,
    Limit,
    Output,
    progress,
    reading,
    show,
    table,
    who,
    writing,
)
from hl7auth.cli.queue import By

app = typer.Typer(no_args_is_help=True)

Channel = Annotated[str | None, typer.Option("--channel", envvar="HL7AUTH_CHANNEL", help="One channel only.")]
Reason = Annotated[str, typer.Option("--reason", envvar="HL7AUTH_REASON", help="Why, for the record.")]
At = Annotated[
    str,
    typer.Option(
        "--at",
        envvar="HL7AUTH_AT",
        metavar="PLACE",
        help="A folder, or s3://BUCKET/PREFIX; `archive` beside the database where left out.",
    ),
]
_DAY = "A UTC date, as 2026-03-01."


@app.command()
def seal(
    before: Annotated[
        str | None,
        typer.Option("--before", envvar="HL7AUTH_BEFORE", help="Days before this UTC date; today's where left out."),
    ] = None,
    channel: Channel = None,
    at: At = "",
    by: By = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Move the bodies of days gone by to packs, one for each channel and day; a running engine goes on."""
    from hl7auth.errors import UserError
    from hl7auth.observe import now
    from hl7auth.store.database import open_database, require_current
    from hl7auth.store.sealable import DAY, day_number
    from hl7auth.store.sealing import Sealing
    from hl7auth.store.sealing import seal as run

    today = now() // DAY
    until = day_number(before) if before else today
    if until > today:
        raise UserError(f"--before {before}: the days before it are not over")
    engine = open_database(database, create=False)
    require_current(engine)
    with progress("sealing") as moved:
        done = run(engine, Sealing(until, channel, at, who(by), now()), lambda _day, count, of: moved(count, of))
    show([_sealed(each._asdict()) for each in done], output, _sealed_text)


@app.command("list")
def list_(
    channel: Channel = None,
    holds: Annotated[bool, typer.Option("--holds", envvar="HL7AUTH_HOLDS", help="The legal holds instead.")] = False,
    record: Annotated[
        bool, typer.Option("--record", envvar="HL7AUTH_RECORD", help="What was done to the archive instead.")
    ] = False,
    limit: Limit = 100,
    archive: Archive = "",
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Packs by day and channel, newest last: how many messages and bytes, where, held or dropped."""
    from hl7auth.store.archive_record import list_events
    from hl7auth.store.holds import list_holds
    from hl7auth.store.pack_list import list_packs

    with reading(database, archive) as connection:
        if holds:
            show(list_holds(connection), output, lambda rows: table(rows, _HOLD, "nothing is held"))
        elif record:
            nothing = "nothing was done to the archive"
            show(list_events(connection, limit), output, lambda rows: table(rows, _EVENT, nothing))
        else:
            show(list_packs(connection, channel, limit), output, lambda rows: table(rows, _PACK, "no pack"))


@app.command()
def verify(
    channel: Channel = None,
    archive: Archive = "",
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Read every byte of every pack and compare it with its hashes and the database; exit 1 where one is not good."""
    from hl7auth.store.foreign import verify_foreign
    from hl7auth.store.pack_list import verify_packs

    if archive:
        found = list(verify_foreign(archive, channel))
    else:
        with reading(database) as connection:
            found = list(verify_packs(connection, channel))
    show(found, output, _verified)
    if any(each["faults"] for each in found):
        raise typer.Exit(1)


@app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(metavar="PLACE", help="Packs (folder, file, s3://BUCKET/PREFIX), an export, or messages.")
    ],
    name: Annotated[
        str, typer.Option("--from", envvar="HL7AUTH_FROM", help="What to call where they come from: NAME.CHANNEL.")
    ],
    channel: Annotated[
        str | None,
        typer.Option("--channel", envvar="HL7AUTH_CHANNEL", help="Of plain and batch files: the channel they are of."),
    ] = None,
    at: At = "",
    by: By = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Take packs, exports or files of another installation into this archive: to find, show and export, not to apply.

    Exports are those of `archive export`, in every form. All of it is proved before anything is taken.
    """
    from hl7auth.observe import first_id, now
    from hl7auth.store.bringing_in import Import, bring_in
    from hl7auth.store.database import open_database, require_current
    from hl7auth.store.repacking import packs_of

    engine = open_database(database, create=False)
    require_current(engine)
    with packs_of(source, channel) as place, progress("importing") as moved:
        wanted = Import(place, name, at, who(by), now(), first_id(now()), "" if place == source else source)
        done = bring_in(engine, wanted, lambda _pack, count, of: moved(count, of))
    columns = ("channel", "day", "messages", "added")
    show([each._asdict() for each in done], output, lambda rows: table(rows, columns, "no pack"))


@app.command()
def prune(
    preview: Annotated[
        bool, typer.Option("--preview", envvar="HL7AUTH_PREVIEW", help="Only tell what would be dropped.")
    ] = False,
    channel: Channel = None,
    channels: ChannelFolder = None,
    by: By = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Drop the packs that the `retention` of their channel does not keep any more, whole and for good."""
    from hl7auth.cli.channel_files import load_folder
    from hl7auth.errors import UserError
    from hl7auth.observe import now
    from hl7auth.store.database import open_database, require_current
    from hl7auth.store.pruning import Pruning
    from hl7auth.store.pruning import preview as look
    from hl7auth.store.pruning import prune as run
    from hl7auth.store.sealable import DAY

    kept = {each.name: each.file.retention for each in load_folder(channels)}
    if channel is not None and channel not in kept:
        raise UserError(f"unknown channel '{channel}' (known: {', '.join(kept)})")
    kept = {name: each for name, each in kept.items() if channel in (None, name)}
    engine = open_database(database, create=False)
    require_current(engine)
    found = (look if preview else run)(engine, Pruning(kept, now() // DAY, who(by), now()))
    show([each._asdict() for each in found], output, _pruned)


@app.command()
def hold(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL")],
    reason: Reason,
    first: Annotated[str, typer.Option("--from", envvar="HL7AUTH_FROM", help=f"The first day. {_DAY}")] = "",
    last: Annotated[str, typer.Option("--to", envvar="HL7AUTH_TO", help=f"The last day. {_DAY}")] = "",
    by: By = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Keep a channel's messages, of some days or all, whatever its retention says, until `archive release`."""
    from hl7auth.observe import now
    from hl7auth.store.holds import Held, place_hold

    with writing(database) as connection:
        number = place_hold(connection, Held(channel, first, last), who(by), reason, now())
    show({"hold": str(number), "channel": channel}, output, lambda it: f"hold {it['hold']} on {it['channel']}")


@app.command()
def release(
    number: Annotated[int, typer.Argument(metavar="HOLD")],
    reason: Reason,
    by: By = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """End a hold, by its number."""
    from hl7auth.observe import now
    from hl7auth.store.holds import release_hold

    with writing(database) as connection:
        release_hold(connection, number, who(by), reason, now())
    show({"hold": str(number), "released": True}, output, lambda it: f"hold {it['hold']} is released")


class As(StrEnum):
    """What an export is written as."""

    FOLDER = "folder"
    BATCH = "batch"
    ZIP = "zip"
    PARQUET = "parquet"


@app.command()
def export(  # noqa: PLR0913, PLR0917
    to: Annotated[Path, typer.Option("--to", envvar="HL7AUTH_TO", help="The folder or file; a file must be new.")],
    form: Annotated[As, typer.Option("--as", envvar="HL7AUTH_AS", help="What it is written as.")] = As.FOLDER,
    channel: Channel = None,
    control_id: Annotated[str | None, typer.Option("--control-id", envvar="HL7AUTH_CONTROL_ID", help="MSH-10.")] = None,
    disposition: Annotated[
        str | None, typer.Option("--disposition", envvar="HL7AUTH_DISPOSITION", help="accepted, refused ...")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", envvar="HL7AUTH_LIMIT", min=0, help="The newest; 0 for all.")] = 0,
    by: By = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Write messages to a folder, one batch file, a zip archive or a Parquet table, from tables and packs alike."""
    from hl7auth.observe import now
    from hl7auth.store.archive_record import write_event
    from hl7auth.store.exporting import Form
    from hl7auth.store.exporting import export as run

    asked = {"channel": channel, "control_id": control_id, "disposition": disposition}
    filters = {name: value for name, value in asked.items() if value is not None}
    with reading(database) as connection:
        done = run(connection, filters, limit, Form(form), to, now())
    with writing(database) as connection:
        write_event(connection, who(by), now(), "export", str(to), f"{done.written} message(s) as {form}")
    result = {"to": str(to), "as": str(form)} | done._asdict()
    show(result, output, _exported)


_PACK = ("channel", "day", "messages", "bytes", "body_bytes", "state", "held", "place", "name")
_HOLD = ("hold", "channel", "from", "to", "placed_at", "by", "reason", "released_at")
_EVENT = ("at", "by", "action", "subject", "detail")


def _exported(result: dict[str, Any]) -> str:
    lines = ["{written} of {messages} message(s) written to {to}".format(**result)]
    lines += [f"no HL7 message, left out: {', '.join(result['left_out'])}"] if result["left_out"] else []
    lines += ["{dropped} message(s) were dropped by retention".format(**result)] if result["dropped"] else []
    return "\n".join(lines)


def _sealed(each: dict[str, Any]) -> dict[str, Any]:
    share = round(each["bytes"] / each["body_bytes"], 4) if each["body_bytes"] else None
    return each | {"share": share}


def _sealed_text(rows: list[dict[str, Any]]) -> str:
    columns = ("channel", "day", "sealed", "open", "messages", "bytes", "body_bytes", "share")
    return table(rows, columns, "nothing to seal")


def _pruned(rows: list[dict[str, Any]]) -> str:
    lines = [table(rows, ("channel", "day", "messages", "bytes", "state", "hold"), "nothing to drop")]
    if any(each["state"] == "unsealed" for each in rows):
        lines.append("what is unsealed stays until `hl7auth archive seal` has moved it to a pack")
    return "\n".join(lines)


def _verified(rows: list[dict[str, Any]]) -> str:
    bad = [each for each in rows if each["faults"]]
    lines = [f"{each['name']}: {fault}" for each in bad for fault in each["faults"]]
    messages = sum(each["messages"] for each in rows)
    return "\n".join([*lines, f"{len(rows) - len(bad)} of {len(rows)} pack(s) good, {messages} message(s)"])
