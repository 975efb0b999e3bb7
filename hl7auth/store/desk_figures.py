"""The yearly public figures of a store: the decisions of the desk in a year of UTC.

Imports sqlalchemy, domain and store.processes.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.public_figures import Ended, figures
from hl7auth.errors import UserError
from hl7auth.store.processes import read_decided, read_denied_versions

_FIRST, _LAST = 1970, 9998


def yearly_figures(connection: Connection, year: int) -> dict[str, Any]:
    """The figures as plain data, with the policy beside them. Raises UserError for what is no year."""
    if not _FIRST <= year <= _LAST:
        raise UserError(f"{year} is no year; write it like 2026")
    start, end = (int(datetime(each, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000 for each in (year, year + 1))
    denied = read_denied_versions(connection)
    ended = [
        Ended(
            Decision(each.decision), bool(each.expedited), each.received_at, each.decided_at or 0,
            each.extended_to or each.due_at, each.extended_to is not None, (each.key, each.version - 1) in denied,
            each.payor,
        )
        for each in read_decided(connection, start, end)
    ]  # fmt: skip
    return figures(year, ended)
