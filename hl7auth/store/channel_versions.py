"""Versions of channels as they were served: written when they are first seen, read when somebody asks what one was.

Imports sqlalchemy, orjson, yaml, domain.clock, rules.edition, flow, store and errors only.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import yaml
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError

from hl7auth.domain.clock import iso_time
from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_version import text_beside
from hl7auth.flow.destination import full_name
from hl7auth.rules.edition import fingerprint, fingerprint_of_lines, kept_edition
from hl7auth.store.database import connect
from hl7auth.store.schema import channel_part, channel_version
from hl7auth.store.statement import run_many

Entry = dict[str, Any]

MOST_OF_A_PART = 1_000_000
"""Characters of a file beside the channel file; of a longer one only the fingerprint is kept."""

_VERSION = (
    "INSERT INTO channel_version (channel, version, first_seen, text, parts) VALUES ({p}, {p}, {p}, {p}, {p})"
    " ON CONFLICT (channel, version) DO NOTHING"
)
_PART = "INSERT INTO channel_part (fingerprint, text) VALUES ({p}, {p}) ON CONFLICT (fingerprint) DO NOTHING"


def keep_versions(engine: Engine, channels: Sequence[Channel], now: int) -> None:
    """Writes the versions that are not known yet: before the first message names them. Raises UserError."""
    try:
        with connect(engine) as connection, connection.begin():
            record_versions(connection, channels, now)
    except DBAPIError as error:
        raise UserError(f"the versions of the channels can not be written: {error.orig}") from None


def record_versions(connection: Connection, channels: Sequence[Channel], now: int) -> None:
    """Writes the versions that are not known yet, in the transaction of the connection."""
    rows = connection.execute(select(channel_version.c.channel, channel_version.c.version))
    known = {(row.channel, row.version) for row in rows}
    versions, texts = [], {}
    for channel in channels:
        if channel.version and (channel.name, channel.version) not in known:
            parts = dict(_parts(channel))
            texts.update({sign: text for sign, text in parts.values() if text is not None})
            signs = orjson.dumps({name: sign for name, (sign, _) in parts.items()}).decode()
            versions.append((channel.name, channel.version, now, channel.text, signs))
    run_many(connection, _PART, list(texts.items()))
    run_many(connection, _VERSION, versions)


def list_versions(connection: Connection, channel: str) -> list[Entry]:
    """The versions of a channel, the newest last. Raises UserError for a channel that was never served."""
    table = channel_version
    query = select(table.c.version, table.c.first_seen).where(table.c.channel == channel)
    rows = connection.execute(query.order_by(table.c.first_seen, table.c.version)).all()
    if not rows:
        raise UserError(f"no channel '{channel}' was served over this database{_known(connection)}")
    return [{"version": row.version, "first_seen": iso_time(row.first_seen)} for row in rows]


def read_version(connection: Connection, channel: str, version: str) -> Entry:
    """One version of a channel, by its fingerprint or the beginning of it; with its file and other files (`parts`).

    Raises UserError for an unknown one, and for a beginning that several have.
    """
    table = channel_version
    known = [each["version"] for each in list_versions(connection, channel)]
    found = [each for each in known if each.startswith(version.lower())]
    if len(found) != 1:
        which = "several versions begin" if found else "no version begins"
        raise UserError(f"of channel {channel} {which} with '{version}' (known: {', '.join(found or known)})")
    row = connection.execute(select(table).where(table.c.channel == channel, table.c.version == found[0])).one()
    signs: dict[str, str] = orjson.loads(row.parts)
    query = select(channel_part).where(channel_part.c.fingerprint.in_(signs.values()))
    texts = {part.fingerprint: part.text for part in connection.execute(query)}
    return {
        "channel": channel,
        "version": row.version,
        "first_seen": iso_time(row.first_seen),
        "text": row.text,
        "parts": [{"file": name, "fingerprint": sign, "text": texts.get(sign)} for name, sign in signs.items()],
    }


def served_destinations(connection: Connection) -> list[str]:
    """The destinations (`channel/name`) of all versions of channels that were served."""
    found: set[str] = set()
    for row in connection.execute(select(channel_version.c.channel, channel_version.c.text)):
        destinations = (yaml.safe_load(row.text) or {}).get("destinations") or {}
        found.update(full_name(row.channel, name) for name in destinations)
    return sorted(found)


def _parts(channel: Channel) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """The other files of a version: what they are called, with fingerprint and text. Of a module the text is not kept:
    nobody can tell what is secret in it."""
    for digest in dict.fromkeys(channel.editions.values()):
        for path, text in kept_edition(digest).texts.items():
            yield f"profiles/{Path(path).name}", (fingerprint(text), text if len(text) <= MOST_OF_A_PART else None)
    for name, sign in channel.beside.items():
        found = None if name.endswith(".py") else text_beside(channel.path.parent, name)
        is_same = found is not None and len(found) <= MOST_OF_A_PART and fingerprint_of_lines(found) == sign
        yield name, (sign, found if is_same else None)


def _known(connection: Connection) -> str:
    names = connection.execute(select(channel_version.c.channel).distinct().order_by("channel")).scalars().all()
    return f" (known: {', '.join(names)})" if names else ""
