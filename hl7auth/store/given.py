"""What a rebuild takes as given: messages whose bodies retention has dropped, with the versions that they made.

Imports sqlalchemy, store.journal, store.pack_table and store.schema only.

They can not be replayed, and what came after them was judged by what they had changed. So their versions are copied
from the live store, in their place of the order, and everything else is replayed on top of them.
"""

from collections.abc import Collection

from sqlalchemy import Connection, Engine, insert, select, update

from hl7auth.store.pack_table import DROPPED, pack
from hl7auth.store.schema import authorization_version as versions
from hl7auth.store.schema import message

_AT_ONCE = 250


def take_over(live: Connection, engine: Engine, ids: Collection[int]) -> None:
    """Copies messages without bodies, and the versions that they made, to the store of that engine."""
    wanted = sorted(ids)  # nothing, mostly
    for at in range(0, len(wanted), _AT_ONCE):
        some = wanted[at : at + _AT_ONCE]
        rows = [row._asdict() for row in live.execute(select(message).where(message.c.id.in_(some)))]
        made = (
            select(versions).where(versions.c.message_id.in_(some)).order_by(versions.c.message_id, versions.c.version)
        )
        with engine.begin() as connection:
            if rows:
                connection.execute(insert(message), [row | {"pack": None, "raw": b""} for row in rows])
            for row in live.execute(made):
                other = update(versions).where(versions.c.key == row.key).values(current=0)
                connection.execute(other)
                connection.execute(insert(versions).values(row._asdict() | {"current": 1}))


def messages_gone(live: Connection, low: int, high: int) -> list[int]:
    """Messages in that range of ids of which retention has left nothing but the versions that they made."""
    there = select(message.c.id).where(message.c.id == versions.c.message_id).exists()
    dropped = (pack.c.state == DROPPED, versions.c.message_id.between(pack.c.first_id, pack.c.last_id))
    excused = select(pack.c.id).where(*dropped).exists()
    query = select(versions.c.message_id).where(versions.c.message_id > low, versions.c.message_id <= high)
    return sorted(set(live.execute(query.where(~there, excused)).scalars()))
