"""Where a replay goes, by its options; and who looks at messages for, and brings them to, each kind of target.

Imports errors, and inside functions flow, replay, the store and cli.channel_files.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hl7auth.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from hl7auth.flow.channel import Channel
    from hl7auth.replay.planning import Looker
    from hl7auth.replay.running import Carrier
    from hl7auth.replay.wish import Wish


@contextmanager
def replays(url: str) -> "Iterator[Engine]":
    """A database that has replays. Raises UserError."""
    from hl7auth.store.database import connect, open_database, require_current
    from hl7auth.store.replays import has_replays

    engine = open_database(url, create=False)
    try:
        found = require_current(engine)
        with connect(engine.execution_options(reads_only=True)) as connection:
            if not has_replays(connection):
                raise UserError(f"the database has schema revision {found}, without replays: run `hl7auth db upgrade`")
        yield engine
    finally:
        engine.dispose()


def connected(engine: "Engine") -> "Connection":
    """A connection that only reads."""
    from hl7auth.store.database import connect

    return connect(engine.execution_options(reads_only=True))


def target_of(to_channel: str, to_destination: str, to_endpoint: str, folder: Path | None) -> str:
    """The target as plans name it; empty for the channel of each message. Raises UserError."""
    from hl7auth.replay.wish import CHANNEL

    if sum(map(bool, (to_channel, to_destination, to_endpoint))) > 1:
        raise UserError("a replay goes to one of --to-channel, --to-destination and --to-endpoint")
    if to_channel:
        known = _channels(folder)
        if to_channel not in known:
            raise UserError(f"unknown channel '{to_channel}' (known: {', '.join(known)})")
        return f"{CHANNEL}{to_channel}"
    return ""


def looker_for(wish: "Wish", folder: Path | None, stack: ExitStack) -> "Callable[[Connection, int], Looker]":
    """Who judges messages for that target; what it needs is let go of with the stack."""
    from hl7auth.replay.judging import Judge

    channels = _channels(folder)
    runners = _runners(channels, stack)
    return lambda connection, number: Judge(connection, number, wish, channels, runners)


def carrier_for(engine: "Engine", row: Any, folder: Path | None, stack: ExitStack) -> "Carrier":
    """Who brings the messages of a plan to its target. Raises UserError where its channels have changed."""
    from hl7auth.replay.running import require_same
    from hl7auth.replay.to_channel import ToChannels

    channels = _channels(folder)
    require_same(row, {name: each.version for name, each in channels.items()})
    return ToChannels(engine, channels, _runners(channels, stack))


def _channels(folder: Path | None) -> "dict[str, Channel]":
    from hl7auth.cli.channel_files import load_folder

    return {channel.name: channel for channel in load_folder(folder)}


def _runners(channels: "dict[str, Channel]", stack: ExitStack) -> dict[str, Any]:
    """Processes for the steps in Python of the channels that have such."""
    from hl7auth.cli.channel_files import running

    found = {name: stack.enter_context(running(channel)) for name, channel in channels.items()}
    return {name: each for name, each in found.items() if each is not None}
