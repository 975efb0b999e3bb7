"""Pages of lists: a cursor says where the next one begins, and nobody need know what is in it.

Imports api.problems only.
"""

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import Query

from hl7auth.api.problems import at, invalid

MOST = 200

Limit = Annotated[int, Query(ge=1, le=MOST, description="Entries of a page.")]
Cursor = Annotated[str, Query(max_length=500, description="`next` of the page before.")]


def cursor_of(*place: Any) -> str:
    """The cursor of a place: plain data."""
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def place_of(cursor: str, *kinds: type) -> tuple[Any, ...] | None:
    """The place of a cursor, of values of those kinds; None for the first page. Raises Problem for one not of ours."""
    if not cursor:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        found = None
    fits = isinstance(found, list) and len(found) == len(kinds)
    if not fits or not all(type(each) is kind for each, kind in zip(found, kinds, strict=True)):
        raise invalid([at("query/cursor", "is no cursor of this list")])
    if any("\x00" in each if isinstance(each, str) else not -(2**63) <= each < 2**63 for each in found):
        raise invalid([at("query/cursor", "is no cursor of this list")])
    return tuple(found)


def page(items: list[Any], following: str | None) -> dict[str, Any]:
    """A page as it is sent."""
    return {"items": items, "next": following}
