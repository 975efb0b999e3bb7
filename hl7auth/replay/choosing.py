"""Messages of the archive that are chosen as a search chooses them, and what was asked for, for the record.

Imports sqlalchemy, domain.clock, replay and store.search only.
"""

from array import array
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from hl7auth.domain.clock import iso_time
from hl7auth.replay.material import in_archive
from hl7auth.replay.planning import AT_ONCE, Choose, Chosen
from hl7auth.store.search import Query, all_ids


def chosen_by(query: Query) -> Choose:
    """Those that fit, oldest first: in the order in which they came."""

    def choose(connection: Connection) -> Chosen:
        newest_first = array("q", all_ids(connection, query))
        return in_archive(connection, newest_first[::-1], AT_ONCE), lambda: len(newest_first)

    return choose


def told(query: Query) -> dict[str, Any]:
    """What was asked for, for the record."""
    found = {name: value for name, value in asdict(query).items() if value and name not in ("limit", "before")}
    return {name: iso_time(value) if name in ("since", "until") else value for name, value in found.items()}


def dispositions_of(query: Query) -> tuple[str, ...]:
    """Of which messages are sent on: what was accepted, where nothing else is asked for."""
    return (query.disposition,) if query.disposition else ("accepted",)
