"""db upgrade, check, index and rebuild.

Imports typer, cli.common, and inside the commands flow and the store.
"""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hl7auth.cli.common import DEFAULT_DATABASE, ChannelFolder, Database, Format, Output, progress, show
from hl7auth.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from hl7auth.store.rebuild import Report

app = typer.Typer(no_args_is_help=True)


@app.command()
def upgrade(database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT) -> None:
    """Make the database, or bring it to the schema of this version."""
    from hl7auth.store.database import open_database, without_password
    from hl7auth.store.database import upgrade as run

    before, after = run(open_database(database))
    result = {"database": without_password(database), "before": before, "after": after}
    show(result, output, lambda it: f"{it['database']}: schema {it['before'] or 'none'} -> {it['after']}")


@app.command()
def check(
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild", envvar="HL7AUTH_REBUILD", help="Replay every message into an empty store, and compare."
        ),
    ] = False,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Is the database there, of this version, and sound? Exit 0 if so, 1 if not; never writes to it."""
    from hl7auth.store.database import HEAD, open_database, require_current, soundness, without_password

    report, revision = None, HEAD
    try:
        engine = open_database(database, create=False)
        revision = require_current(engine)
        faults = soundness(engine)
    except UserError as error:
        faults = [str(error)]
    name = without_password(database)
    result: dict[str, Any] = {"database": name, "schema": revision, "good": not faults, "faults": faults}
    if rebuild and not faults:
        report = _rebuild(engine, channels)
        result |= {"good": report.equal, "rebuild": _entry(report)}
    show(result, output, _text)
    if not result["good"]:
        raise typer.Exit(1)


@app.command()
def index(database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT) -> None:
    """Index what is not yet: the words of new messages, and fields of messages from before there was an index.

    Beside a running engine, as often as you like; it can be ended at any time, and goes on from there.
    """
    from sqlalchemy.exc import OperationalError

    from hl7auth.store.database import open_database, require_current, without_password
    from hl7auth.store.indexing import index_all

    engine = open_database(database, create=False)
    require_current(engine)
    try:
        done = index_all(engine)
    except OperationalError as error:
        raise UserError(f"the database could not be written: {error.orig}") from None
    finally:
        engine.dispose()
    result = {"database": without_password(database), **done}
    show(result, output, "{database}: fields of {fields} and words of {text} message(s) indexed".format_map)


@app.command()
def rebuild(
    channels: ChannelFolder = None, database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT
) -> None:
    """Write every version of every authorization anew from the stored messages, with the engine stopped.

    For a database of an older version whose keys are other ones. Either all of it is written or nothing.
    """
    from hl7auth.flow.channel import load_channels
    from hl7auth.store.database import open_database, require_current, without_password
    from hl7auth.store.renewal import renew

    engine = open_database(database, create=False)
    require_current(engine)
    with progress("rebuilding") as moved:
        done = renew(engine, {each.name: each for each in load_channels(channels, os.environ)}, moved)
    result = {"database": without_password(database), **done._asdict()}
    text = "{database}: {messages} message(s) applied again, {versions_before} version(s) became {versions}"
    show(result, output, lambda it: text.format(**it))


def _rebuild(engine: "Engine", channels: ChannelFolder) -> "Report":
    from hl7auth.flow.channel import load_channels
    from hl7auth.store.rebuild import rebuild

    with progress("rebuilding") as moved:
        return rebuild(engine, {channel.name: channel for channel in load_channels(channels, os.environ)}, moved)


def _entry(report: "Report") -> dict[str, Any]:
    return {
        "equal": report.equal,
        "messages": report.messages,
        "versions": report.versions,
        "not_replayed": {
            "failed": report.failed,
            "broken_off": report.broken_off,
            "links": report.links,
            "given": report.given,
        },
        "other_version": report.other_version,
        "differences": [each.entry() for each in report.differences],
        "further_differences": report.further,
    }


def _text(result: dict[str, Any]) -> str:
    good = "good" if not result["faults"] else "; ".join(result["faults"])
    lines = [f"{result['database']}: {good}"]
    found = result.get("rebuild")
    if found:
        verdict = "equal" if found["equal"] else f"{len(found['differences'])} difference(s)"
        lines.append(f"rebuilt from {found['messages']} message(s), {found['versions']} version(s): {verdict}")
        for name, count in found["not_replayed"].items():
            lines += [f"  not judged anew: {count} message(s) that {_NOT_JUDGED[name]}"] if count else []
        if count := found["other_version"]:
            lines.append(f"  {count} message(s) ran under another version of their channel than it has now")
        for each in found["differences"]:
            more = f" (and {each['count'] - 1} more)" if each["count"] > 1 else ""
            lines.append(
                f"  {each['what']} {each['subject']}: {each['text']}; first by message {each['message']}{more}"
            )
        lines += [f"  and {found['further_differences']} more"] if found["further_differences"] else []
    return "\n".join(lines)


_NOT_JUDGED = {
    "failed": "the engine failed on",
    "broken_off": "did not come whole",
    "given": "have no bodies any more, by retention (what they changed is taken as it stands)",
    "links": "were about other messages: parts, batches, sequence numbers",
}
