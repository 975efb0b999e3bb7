"""The yearly public figures of a store: the decisions of the desk in a year of UTC.

Imports sqlalchemy, domain and store.processes.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from hl7auth.domain.crosswalk import Decision
from hl7auth.domain.public_figures import Ended, Item, figures
from hl7auth.errors import UserError
from hl7auth.store.authorizations import ClocksOf, usual_clocks
from hl7auth.store.courses import read_unseen
from hl7auth.store.processes import current_documents, read_decided, read_denied_versions

_FIRST, _LAST = 1970, 9998
_AT_ONCE = 500


def yearly_figures(connection: Connection, year: int, clocks_of: ClocksOf = usual_clocks) -> dict[str, Any]:
    """The figures as plain data, with the policy beside them; `clocks_of` takes a channel's name. Raises UserError for
    what is no year."""
    if not _FIRST <= year <= _LAST:
        raise UserError(f"{year} is no year; write it like 2026")
    start, end = (int(datetime(each, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000 for each in (year, year + 1))
    denied, decided = read_denied_versions(connection), read_decided(connection, start, end)
    unseen = list(read_unseen(connection, start, end, clocks_of))
    items = _items(connection, [*(each.key for each in decided), *(key for key, _ in unseen)])
    ended = [
        Ended(
            Decision(each.decision), bool(each.expedited), each.received_at, each.decided_at or 0,
            each.extended_to or each.due_at, each.extended_to is not None, (each.key, each.version - 1) in denied,
            each.payor, items.get(each.key, ()),
        )
        for each in decided
    ]  # fmt: skip
    ended += [
        Ended(
            each.decision, each.clock.expedited, each.clock.since, each.decided_at, each.clock.due, False, False,
            each.payor, items.get(key, ()),
        )
        for key, each in unseen
    ]  # fmt: skip
    return figures(year, ended)


def _items(connection: Connection, decided: Sequence[str]) -> dict[str, tuple[Item, ...]]:
    """The procedures of requests, by their keys."""
    found: dict[str, tuple[Item, ...]] = {}
    keys = list(dict.fromkeys(decided))
    for start in range(0, len(keys), _AT_ONCE):
        for key, document in current_documents(connection, keys[start : start + _AT_ONCE]):
            procedures = (line.get("procedure") or {} for line in document.get("lines", ()))
            coded = (Item(each["code"], each.get("system", "")) for each in procedures if each.get("code"))
            found[key] = tuple(dict.fromkeys(coded))
    return found
