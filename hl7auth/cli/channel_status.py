"""channel status: figures of the running engine, or what the database knows when no engine answers.

Imports typer, cli.common, cli.channel_files, the standard library, and inside the functions flow, store and observe.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import typer

from hl7auth.cli.common import Format, reading, show, table
from hl7auth.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hl7auth.flow.channel import Channel

Entry = dict[str, Any]

SECONDS = 10.0
"""How long the engine may take to answer."""

AGAIN_SECONDS = 2.0
_HOUR = 3_600 * 1_000_000
_CLEAR = "\x1b[H\x1b[2J"
_CHANNEL = (
    "channel", "state", "connections", "received", "accepted", "rejected", "duplicate", "failed", "other",
    "per_second", "last_message",
)  # fmt: skip
_DESTINATION = (
    "destination", "state", "connections", "queued", "parked", "oldest", "sent", "retried", "failed", "per_second",
    "last_sent",
)  # fmt: skip


def watched(make: Callable[[], Entry], output: Format, *, again: bool) -> Entry:
    """Shows it once, or until Ctrl-C; returns what was shown last."""
    while True:
        found = make()
        if again and sys.stdout.isatty():
            typer.echo(_CLEAR, nl=False)
        show(found, output, as_text)
        if not again:
            return found
        try:
            sleep(AGAIN_SECONDS)
        except KeyboardInterrupt:
            return found


def found_status(name: str | None, folder: Path | None, database: str, metrics: str, hours: float) -> Entry:
    """What the engine says, else what the database knows of the last hours. Raises UserError for an unknown name."""
    host, port = _address(metrics)
    told = _told(host, port)
    if told is None:
        why = f"no engine answers at {host}:{port} (`hl7auth serve --metrics`)"
        found = {"source": "database", "engine": why, **_stored(folder, database, hours, why)}
    else:
        found = {"source": "engine", "engine": f"http://{host}:{port}", **told}
    return found if name is None else _only(found, name)


def as_text(found: Entry) -> str:
    """The figures as tables."""
    if found["source"] == "engine":
        off = [part for part, good in found["ready"].items() if not good]
        state = f"NOT READY ({', '.join(off)})" if off else "ready"
        workers = f", {found['workers']} workers" if found["workers"] > 1 else ""
        head = f"engine {found['version']} since {found['since']}{workers}: {state}"
    else:
        head = f"{found['engine']}; the database knows, of messages since {found['since']}:"
    at = found["at"]
    channels = [{**row, "last_message": _ago(row["last_message"], at)} for row in found["channels"]]
    destinations = [
        {**row, "oldest": _span(row["oldest_seconds"]), "last_sent": _ago(row["last_sent"], at)}
        for row in found["destinations"]
    ]
    parts = [head, "", table(channels, _CHANNEL, "no channel")]
    parts += ["", table(destinations, _DESTINATION, "")] if destinations else []
    parts += ["", *(_alert(each, at) for each in found["alerts"])] if found["alerts"] else []
    return "\n".join(parts)


def _address(metrics: str) -> tuple[str, int]:
    """Where an endpoint that the engine listens on is connected to."""
    from hl7auth.flow.endpoint import endpoint

    found = endpoint(f"tcp:{metrics}" if metrics.isdecimal() else metrics)
    if found.kind not in ("tcp", "tcp6") or found.port < 1:
        raise UserError(f"--metrics: '{metrics}' is no endpoint like tcp:9575 that can be asked")
    host = found.interface
    return ("127.0.0.1" if host in ("", "0.0.0.0") else "::1" if host == "::" else host), found.port  # noqa: S104


def _told(host: str, port: int) -> Entry | None:
    """What the engine says; None when nobody answers. Raises UserError when it is not an engine that does."""
    connection = HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", "/status")
        response = connection.getresponse()
        body = response.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if response.status != 200 or not isinstance(told, dict) or "channels" not in told:
        raise UserError(f"what answers at {host}:{port} does not show the figures of an engine ({response.status})")
    return told


def _stored(folder: Path | None, database: str, hours: float, why: str) -> Entry:
    from hl7auth.cli.channel_files import load_folder
    from hl7auth.domain.clock import iso_time
    from hl7auth.observe import now

    at = now()
    since = at - int(hours * _HOUR)
    try:
        channels = load_folder(folder)
        with reading(database) as connection:
            rows = _rows(connection, channels, since, at)
    except UserError as error:
        raise UserError(f"{why}, and {error}") from None
    return {"at": iso_time(at), "since": iso_time(since), **rows}


def _rows(connection: "Connection", channels: "Sequence[Channel]", since: int, at: int) -> Entry:
    from hl7auth.flow.destination import full_name
    from hl7auth.store.incidents import open_incidents
    from hl7auth.store.standing import came, last_messages, stopped, waiting, went

    messages, last, halted = came(connection, since), last_messages(connection), stopped(connection)
    sent, waits = went(connection, since), waiting(connection)
    names = [full_name(each.name, name) for each in channels for name in each.file.destinations]
    destinations = [(name, "stopped" if name in halted else "unknown") for name in names]
    destinations += [(name, "gone") for name in sorted(waits) if name not in names]
    seconds = max(1, (at - since) / 1_000_000)
    return {
        "channels": [
            _channel(each.name, messages.get(each.name, {}), last.get(each.name, 0), seconds) for each in channels
        ],
        "destinations": [
            _destination(name, state, sent.get(name, {}), waits.get(name), at, seconds) for name, state in destinations
        ],
        "alerts": [incident.entry() for incident in open_incidents(connection)],
    }


def _channel(name: str, by: Mapping[str, Any], last: int, seconds: float) -> Entry:
    from hl7auth.domain.clock import iso_time

    counts = {what: each.number for what, each in by.items()}
    received = sum(counts.values())
    return {
        "channel": name,
        "state": "unknown",
        "connections": None,
        "received": received,
        "accepted": counts.get("accepted", 0),
        "rejected": counts.get("refused", 0),
        "duplicate": counts.get("duplicate", 0),
        "failed": counts.get("failed", 0),
        "other": counts.get("parked", 0) + counts.get("ignored", 0),
        "per_second": round(received / seconds, 2),
        "last_message": iso_time(last) if last else None,
    }


def _destination(name: str, state: str, by: Mapping[Any, Any], waits: Any, at: int, seconds: float) -> Entry:
    from hl7auth.domain.clock import iso_time
    from hl7auth.flow.figures import Waiting
    from hl7auth.flow.outbox import State

    waits = waits or Waiting()
    sent, dead = by.get(State.SENT), by.get(State.DEAD)
    return {
        "destination": name,
        "state": state,
        "since": None,
        "connections": None,
        **waits.entry(at),
        "sent": sent.number if sent else 0,
        "retried": None,
        "failed": dead.number if dead else 0,
        "per_second": round((sent.number if sent else 0) / seconds, 2),
        "last_sent": iso_time(sent.last_at) if sent and sent.last_at else None,
    }


def _only(found: Entry, name: str) -> Entry:
    channels = [row for row in found["channels"] if row["channel"] == name]
    if not channels:
        known = ", ".join(row["channel"] for row in found["channels"])
        raise UserError(f"unknown channel '{name}' (known: {known})")
    destinations = [row for row in found["destinations"] if row["destination"].partition("/")[0] == name]
    alerts = [each for each in found["alerts"] if each["subject"].partition("/")[0] == name]
    return {**found, "channels": channels, "destinations": destinations, "alerts": alerts}


def _alert(entry: Entry, at: str) -> str:
    return f"ALERT {entry['rule']} since {_ago(entry['opened_at'], at)}: {entry['text']}"


def _ago(time: str | None, at: str) -> str | None:
    """How long before a time another was, for people."""
    from hl7auth.domain.clock import moment

    return None if time is None else f"{_span(max(0, moment(at) - moment(time)) / 1_000_000)} ago"


def _span(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
