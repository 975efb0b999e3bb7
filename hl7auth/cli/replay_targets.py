"""Where a replay goes, by its options; and who looks at messages for, and brings them to, each kind of target.

Imports errors, and inside functions flow, replay, the store and cli.channel_files.
"""

import logging
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
    from hl7auth.replay.to_endpoint import Manner
    from hl7auth.replay.wish import Wish


@contextmanager
def replays(url: str) -> "Iterator[Engine]":
    """A database that has replays. Raises UserError."""
    from sqlalchemy.exc import OperationalError

    from hl7auth.store.database import connect, open_database, require_current
    from hl7auth.store.replays import has_replays

    engine = open_database(url, create=False)
    quiet = logging.NullHandler()  # what goes wrong is told in a sentence, and by the report
    logging.getLogger("hl7auth").addHandler(quiet)
    try:
        found = require_current(engine)
        with connect(engine.execution_options(reads_only=True)) as connection:
            if not has_replays(connection):
                raise UserError(f"the database has schema revision {found}, without replays: run `hl7auth db upgrade`")
        yield engine
    except OperationalError as error:
        said = str(error.orig).partition("\n")[0]
        raise UserError(
            f"the database could not be read or written: {said}; what was done stays, run it again"
        ) from None
    finally:
        logging.getLogger("hl7auth").removeHandler(quiet)
        engine.dispose()


def connected(engine: "Engine") -> "Connection":
    """A connection that only reads."""
    from hl7auth.store.database import connect

    return connect(engine.execution_options(reads_only=True))


def target_of(to_channel: str, to_destination: str, to_endpoint: str, folder: Path | None, *, tls: bool = False) -> str:
    """The target as plans name it; empty for the channel of each message. Raises UserError."""
    from hl7auth.replay.targets import channel_target, destination_target
    from hl7auth.replay.wish import ENDPOINT, TLS

    if sum(map(bool, (to_channel, to_destination, to_endpoint))) > 1:
        raise UserError("a replay goes to one of --to-channel, --to-destination and --to-endpoint")
    if tls and not to_endpoint:
        raise UserError("--tls goes with --to-endpoint")
    if to_channel:
        return channel_target(to_channel, _channels(folder))
    if to_destination:
        return destination_target(to_destination, _channels(folder))
    if to_endpoint:
        host, _, port = to_endpoint.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            raise UserError(f"'{to_endpoint}' is no HOST:PORT")
        return f"{ENDPOINT}{TLS if tls else ''}{to_endpoint}"
    return ""


def looker_for(wish: "Wish", folder: Path | None, stack: ExitStack) -> "Callable[[Connection, int], Looker]":
    """Who judges messages for that target; what it needs is let go of with the stack."""
    from hl7auth.replay import targets
    from hl7auth.replay.runners import running_all

    if targets.goes_out(wish.target):
        return targets.looker_for(wish, {}, {})
    channels = _channels(folder)
    return targets.looker_for(wish, channels, stack.enter_context(running_all(channels)))


def carrier_for(engine: "Engine", row: Any, folder: Path | None, stack: ExitStack, how: "Manner") -> "Carrier":
    """Who brings the messages of a plan to its target; `how` is for an endpoint. Raises UserError where its channels
    have changed."""
    from hl7auth.replay import targets
    from hl7auth.replay.runners import running_all
    from hl7auth.replay.wish import ENDPOINT

    if row.target.startswith(ENDPOINT):
        return targets.carrier_for(engine, row, {}, {}, how)
    if how.tls is not None:
        raise UserError("options of TLS go with a replay to an endpoint that was planned with --tls")
    if how.again:
        raise UserError("--again goes with a replay to an endpoint; for others, plan it again with --again")
    channels = _channels(folder)
    return targets.carrier_for(engine, row, channels, stack.enter_context(running_all(channels)))


def _channels(folder: Path | None) -> "dict[str, Channel]":
    from hl7auth.cli.channel_files import load_folder

    return {channel.name: channel for channel in load_folder(folder)}
