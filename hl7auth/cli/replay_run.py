"""replay run, pause, report and list.

Imports typer, cli.common, cli.queue, cli.replay_targets, cli.client_tls, and inside the commands replay and the store.
"""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import Annotated, Any

import typer

from hl7auth.cli import client_tls as secure
from hl7auth.cli.common import (
    DEFAULT_DATABASE,
    ChannelFolder,
    Database,
    Format,
    Limit,
    Output,
    progress,
    show,
    table,
    who,
)
from hl7auth.cli.queue import By
from hl7auth.cli.replay_targets import carrier_for, connected, replays
from hl7auth.errors import UserError

Number = Annotated[int, typer.Argument(metavar="ID")]
_COLUMNS = ("number", "origin", "control_id", "event", "expected", "state", "code", "message", "delivery", "reason")
_PLANS = ("replay", "made_at", "by", "state", "target", "messages", "left", "again")


Rate = Annotated[
    float, typer.Option("--rate", envvar="HL7AUTH_RATE", min=0, help="Messages a second at most; 0 for no limit.")
]
StopOnError = Annotated[
    bool, typer.Option("--stop-on-error", envvar="HL7AUTH_STOP_ON_ERROR", help="Rest behind the first that goes wrong.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", envvar="HL7AUTH_TIMEOUT", min=0.1, help="Of an endpoint: seconds for an answer.")
]
Again = Annotated[
    str,
    typer.Option(
        "--again",
        envvar="HL7AUTH_AGAIN",
        metavar="REASON",
        help="Also send what may have arrived at the endpoint, for nobody knows its answer; say why.",
    ),
]


def run(  # noqa: PLR0913, PLR0917 - one argument for each option
    number: Number,
    rate: Rate = 0.0,
    stop_on_error: StopOnError = False,
    timeout: Timeout = 30.0,
    again: Again = "",
    trust: secure.Trust = None,
    certificate: secure.Certificate = None,
    key: secure.Key = None,
    passphrase: secure.Passphrase = "",
    server_name: secure.ServerName = "",
    minimum: secure.Minimum = "1.2",
    by: By = None,
    channels: ChannelFolder = None,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """Run a plan, or go on where it was: Ctrl-C, `replay pause` and even kill -9 lose nothing and repeat nothing.

    Exit 0 where all of it is done and nothing went wrong, else 1.
    """
    from hl7auth.observe import now
    from hl7auth.replay.running import Pace
    from hl7auth.replay.running import run as go
    from hl7auth.replay.to_endpoint import Manner
    from hl7auth.store.replays import note, plan_entry, read_plan

    tls = secure.tls_of(trust, certificate, key, passphrase, server_name, minimum)
    with replays(database) as engine, ExitStack() as stack:
        with connected(engine) as connection:
            row = read_plan(connection, number)
        carrier = carrier_for(engine, row, channels, stack, Manner(timeout, bool(again), tls))
        if again:
            with engine.begin() as connection:
                note(connection, number, now(), who(by), "again", again)
        stop = stack.enter_context(_interrupted())
        with progress(f"replay {number}") as moved:
            ended = go(engine, number, carrier, Pace(rate, stop_on_error), who(by), stop, moved)
        with connected(engine) as connection:
            entry = plan_entry(connection, read_plan(connection, number)) | {"rests": ended.reason or None}
    show(entry, output, _ended)
    if entry["state"] != "done" or any(entry["states"].get(each) for each in ("refused", "failed", "unknown")):
        raise typer.Exit(1)


def pause(number: Number, by: By = None, database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT) -> None:
    """Let the run of a plan come to rest; `replay run` goes on with it."""
    from hl7auth.observe import now
    from hl7auth.store.replays import ask_to_pause, note, read_plan

    with replays(database) as engine, engine.begin() as connection:
        row = read_plan(connection, number)
        if row.state != "running":
            raise UserError(f"replay {number} is not running: it is {row.state}")
        ask_to_pause(connection, number)
        note(connection, number, now(), who(by), "pause", "asked for")
    show({"replay": str(number), "state": "pausing"}, output, lambda _: f"replay {number} comes to rest")


def report(
    number: Number,
    state: Annotated[
        str | None,
        typer.Option(
            "--state", envvar="HL7AUTH_STATE", help="waiting, done, nothing, refused, skipped, failed, unknown"
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", envvar="HL7AUTH_LIMIT", min=0, help="The first so many; 0 for all.")
    ] = 100,
    database: Database = DEFAULT_DATABASE,
    output: Output = Format.TEXT,
) -> None:
    """What became of each message of a replay: done, refused with its code, or skipped, and why."""
    from hl7auth.store.replays import State, list_items, plan_entry, read_plan, record

    if state is not None and state not in tuple(State):
        raise UserError(f"unknown state '{state}' (known: {', '.join(State)})")
    with replays(database) as engine, connected(engine) as connection:
        entry = plan_entry(connection, read_plan(connection, number))
        entry["record"] = record(connection, number)
        entry["items"] = list_items(connection, number, state, limit)
    show(entry, output, _report)


def list_(limit: Limit = 100, database: Database = DEFAULT_DATABASE, output: Output = Format.TEXT) -> None:
    """The replays that were planned, newest last."""
    from hl7auth.store.replays import list_plans

    with replays(database) as engine, connected(engine) as connection:
        found = list_plans(connection, limit)
    for each in found:
        each["messages"] = sum(each["states"].values())
        each["left"] = each["states"].get("waiting", 0)
    show(found, output, lambda rows: table(rows, _PLANS, "no replay"))


@contextmanager
def _interrupted() -> Iterator[Event]:
    """Set by Ctrl-C and SIGTERM, instead of ending the process in the middle."""
    stop = Event()
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, lambda _number, _frame: stop.set())
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _states(entry: dict[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(entry["states"].items())) or "no message"


def _ended(entry: dict[str, Any]) -> str:
    lines = [f"replay {entry['replay']} is {entry['state']}: {_states(entry)}"]
    if entry["rests"]:
        lines += [f"it rests: {entry['rests']}", f"go on: hl7auth replay run {entry['replay']}"]
    return "\n".join([*lines, f"each message: hl7auth replay report {entry['replay']}"])


def _report(entry: dict[str, Any]) -> str:
    where = entry["target"] or "the channel of each"
    lines = [f"replay {entry['replay']} to {where} is {entry['state']}: {_states(entry)}"]
    lines += [f"again, because: {entry['again']}"] if entry["again"] else []
    lines += [f"{each['at']}  {each['action']} by {each['by']}  {each['detail']}".rstrip() for each in entry["record"]]
    lines += [f"note: {each}" for each in entry["notes"]]
    rows = [each | {"origin": each["origin"] or f"{each['file']}#{each['place']}"} for each in entry["items"]]
    lines += ["", table(rows, _COLUMNS, "no message")]
    shown, there = len(rows), sum(entry["states"].values())
    return "\n".join(lines + ([f"{shown} of {there} are shown: --limit 0"] if 0 < shown < there else []))
