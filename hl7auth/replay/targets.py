"""Where a replay goes, by names of channels and destinations; who looks at messages for, and brings them to, a target.

Imports sqlalchemy, flow, steps, replay and errors only.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine

from hl7auth.errors import UserError
from hl7auth.flow.channel import Channel
from hl7auth.replay.judging import Judge
from hl7auth.replay.planning import Looker
from hl7auth.replay.running import Carrier, require_same
from hl7auth.replay.sending import Sending
from hl7auth.replay.to_channel import ToChannels
from hl7auth.replay.to_destination import ToDestination
from hl7auth.replay.to_endpoint import Manner, ToEndpoint
from hl7auth.replay.wish import CHANNEL, DESTINATION, ENDPOINT, Wish
from hl7auth.steps.calls import Runner

Channels = Mapping[str, Channel]
Runners = Mapping[str, Runner]
PLAIN = Manner()


def channel_target(name: str, channels: Channels) -> str:
    """A channel as plans name it. Raises UserError."""
    if name not in channels:
        raise UserError(f"unknown channel '{name}' (known: {', '.join(channels)})")
    return f"{CHANNEL}{name}"


def destination_target(name: str, channels: Channels) -> str:
    """A destination as plans name it; its channel may be left out where the name is enough. Raises UserError."""
    known = [f"{owner}/{each}" for owner, channel in channels.items() for each in channel.file.destinations]
    found = [each for each in known if name in (each, each.partition("/")[2])]
    if len(found) != 1:
        said = "is not the only destination of that name" if found else "is no destination"
        raise UserError(f"'{name}' {said} (known: {', '.join(known) or 'none'})")
    return f"{DESTINATION}{found[0]}"


def looker_for(wish: Wish, channels: Channels, runners: Runners) -> Callable[[Connection, int], Looker]:
    """Who judges messages for the target of a wish."""
    if goes_out(wish.target):
        return lambda connection, number: Sending(connection, number, wish)
    return lambda connection, number: Judge(connection, number, wish, channels, runners)


def goes_out(target: str) -> bool:
    """Is it a destination or an endpoint? Then no channel judges what goes there."""
    return target.startswith((DESTINATION, ENDPOINT))


def carrier_for(engine: Engine, row: Any, channels: Channels, runners: Runners, how: Manner = PLAIN) -> Carrier:
    """Who brings the messages of a plan to its target; `how` is for an endpoint. Raises UserError where its channels
    have changed."""
    if row.target.startswith(ENDPOINT):
        return ToEndpoint(engine, row.target, how)
    require_fitting(row, channels)
    if row.target.startswith(DESTINATION):
        return ToDestination(engine, channels, runners, (row.made_by, row.again))
    return ToChannels(engine, channels, runners)


def require_fitting(row: Any, channels: Channels) -> None:
    """Raises UserError where what a plan goes to is not there any more, or is another."""
    if row.target.startswith(DESTINATION):
        destination_target(row.target.removeprefix(DESTINATION), channels)
    elif not row.target.startswith(ENDPOINT):
        require_same(row, {name: each.version for name, each in channels.items()})
