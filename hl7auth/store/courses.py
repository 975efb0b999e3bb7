"""What messages made of requests, read in their order: for clocks, for the desk and for yearly figures.

Imports sqlalchemy, domain and store only.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from hl7auth.domain.clock import Asked, Clocks
from hl7auth.domain.course import Past, Told, past
from hl7auth.domain.process import BY_DESK
from hl7auth.domain.status import Status
from hl7auth.store.schema import authorization_version as versions
from hl7auth.store.schema import message
from hl7auth.store.statement import run

Document = Mapping[str, Any]
_ANSWERS = ("RPA", "RRI")
_AT_ONCE = 500
#: decided by somebody else than the desk, of what no desk has looked at
_UNSEEN = (
    "SELECT DISTINCT v.key FROM authorization_version v JOIN message m ON m.id = v.message_id"
    " WHERE v.at >= {p} AND v.at < {p} AND v.status NOT IN ('requested', 'pended') AND m.peer <> {p}"
    " AND NOT EXISTS (SELECT 1 FROM process p WHERE p.key = v.key) ORDER BY v.key"
)


def read_courses(connection: Connection, keys: Sequence[str]) -> dict[str, list[Told]]:
    """What messages made of these keys, by key, oldest first."""
    found: dict[str, list[Told]] = defaultdict(list)
    for row in connection.execute(_query(keys)) if keys else ():
        is_answer = row.message_type in _ANSWERS
        # the control id of a version is that of the message that asked, whatever a partner calls its requests
        asks = row.control_id == row.own_control_id and not is_answer
        document: Document = json.loads(row.document)
        asked = Asked(row.at, document.get("referral", {}).get("priority", ""), tuple(_procedures(document)))
        found[row.key].append(Told(
            row.message_id, row.at, row.status, asks, is_answer, row.peer == BY_DESK, row.channel, payor_of(document),
            asked,
        ))  # fmt: skip
    return found


def read_unseen(
    connection: Connection, start: int, end: int, clocks_of: Callable[[str], Clocks]
) -> Iterator[tuple[str, Past]]:
    """The ends, from `start` to before `end`, of requests that no desk has looked at, with their keys."""
    keys: Sequence[str] = run(connection, _UNSEEN, (start, end, BY_DESK)).scalars().all()
    for at in range(0, len(keys), _AT_ONCE):
        for key, course in read_courses(connection, keys[at : at + _AT_ONCE]).items():
            for each in past(course, clocks_of):
                if start <= each.decided_at < end:
                    yield key, each


def payor_of(document: Document) -> str:
    """The payor of a request: that of the whole, else the first of its procedures that has one."""
    places = [document, *document.get("lines", [])]
    return next((code for each in places if (code := (each.get("payor") or {}).get("code"))), "")


def _procedures(document: Document) -> Iterator[tuple[str, str]]:
    """Each line that is not cancelled by its PR1-19, else by its procedure, with its priority; the second of several
    alike has another name than the first."""
    seen: Counter[str] = Counter()
    for line in document.get("lines", []):
        if line.get("status") != Status.CANCELLED:
            name = str(line.get("identifier") or line.get("procedure", {}).get("code", ""))
            seen[name] += 1
            yield f"{name}~{seen[name]}", line.get("priority", "")


def _query(keys: Sequence[str]) -> Select[Any]:
    """Every version of these keys with the message that made it, by key and version."""
    columns = [versions.c[name] for name in ("key", "message_id", "status", "at", "control_id", "document")]
    own = (message.c.message_type, message.c.channel, message.c.peer, message.c.control_id.label("own_control_id"))
    query = select(*columns, *own).select_from(versions.join(message, message.c.id == versions.c.message_id))
    return query.where(versions.c.key.in_(keys)).order_by(versions.c.key, versions.c.version)
