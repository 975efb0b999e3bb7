"""What `channel unmapped` does: lists the codes that tables lack, and marks them as done.

Imports cli.channel_files, cli.common, flow, errors, and the store.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hl7auth.cli.channel_files import files_of, load
from hl7auth.cli.common import reading, table, who, writing
from hl7auth.errors import UserError

if TYPE_CHECKING:
    from hl7auth.flow.channel import Channel

Entry = dict[str, Any]
_COLUMNS = ("id", "place", "table", "value", "count", "first_seen", "last_seen", "location", "message")


def unmapped(name: str | None, folder: Path | None, database: str, *, all_: bool) -> list[Entry]:
    """The inbox, without what the tables beside the channels have by now; with `all_` everything in it."""
    from hl7auth.flow.shaping import mapped_by
    from hl7auth.store.unmapped import list_unmapped

    with reading(database) as connection:
        found = list_unmapped(connection, name, all_=all_)
    if all_ or not found:
        return found
    is_mapped = mapped_by(_readable(folder))
    return [each for each in found if not is_mapped(each["place"], each["table"], each["value"])]


def done(ids: list[int], by: str | None, database: str) -> Entry:
    """Marks entries as seen to. Raises UserError for a number that is not in the inbox, or is done already."""
    from hl7auth.observe import now
    from hl7auth.store.unmapped import mark_done

    with writing(database) as connection:
        for each in ids:
            if not mark_done(connection, [each], who(by), now()):
                raise UserError(f"there is no unmapped value {each} that is not done")
    return {"done": [str(each) for each in ids]}


def as_text(entries: list[Entry]) -> str:
    """The inbox for people."""
    shown = [
        each | {"place": each["place"] + (f" (done by {each['done']['by']})" if each["done"] else "")}
        for each in entries
    ]
    return table(shown, _COLUMNS, "no unmapped value")


def _readable(folder: Path | None) -> "list[Channel]":
    """The channels of the folder, as far as they can be read: the inbox is shown all the same."""
    found = []
    for path in files_of(folder):
        try:
            found.append(load(path))
        except UserError:
            continue
    return found
