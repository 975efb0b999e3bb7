"""What channels of one folder have to do with each other: destinations and answers that they name of another.

Imports flow.destination, rules.strict_yaml and errors only.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

from hl7auth.errors import ConfigError
from hl7auth.flow.destination import OrderBy, full_name
from hl7auth.rules.strict_yaml import place

if TYPE_CHECKING:
    from hl7auth.flow.channel import Channel


def linked(channels: "list[Channel]") -> "list[Channel]":
    """Channels that know what others want of them. Raises ConfigError where one names what is not there."""
    orders = {
        full_name(each.name, name): destination.order_by or each.file.order_by
        for each in channels
        for name, destination in each.file.destinations.items()
    }
    for each in channels:
        _refuse_strangers(each, orders, [other.name for other in channels])
    return [_linked(each, channels, orders) for each in channels]


def _linked(channel: "Channel", channels: "list[Channel]", orders: dict[str, OrderBy]) -> "Channel":
    replies = channel.file.replies
    returns = tuple(each.name for each in channels if channel.name in _answered_on(each))
    elsewhere = {name: orders[name] for name in (replies.destinations if replies else ()) if "/" in name}
    others = {name for each in channels if each.file.replies for name in each.file.replies.destinations}
    lends = tuple(name for name in channel.file.destinations if full_name(channel.name, name) in others)
    if (returns, elsewhere, lends) == (channel.returns, channel.elsewhere, channel.lends):
        return channel
    return channel.model_copy(update={"returns": returns, "elsewhere": elsewhere, "lends": lends})


def _answered_on(channel: "Channel") -> tuple[str, ...]:
    """The channels that listen for answers to what this one forwards."""
    replies = channel.file.replies
    return tuple(each.answers_on for each in replies.forwards if each.answers_on) if replies else ()


def _refuse_strangers(channel: "Channel", orders: Collection[str], names: Collection[str]) -> None:
    replies = channel.file.replies
    wanted = [(name, orders, "destination") for name in (replies.destinations if replies else ()) if "/" in name]
    wanted += [(name, names, "channel") for name in _answered_on(channel)]
    for name, known, what in wanted:
        if name not in known:
            raise ConfigError(
                f"{place(channel.path, 'replies')}: replies: unknown {what} '{name}' (known: {', '.join(known)})"
            )


def asked(channel: "Channel") -> frozenset[str]:
    """The destinations to which a channel forwards requests."""
    replies = channel.file.replies
    return frozenset(each.to for each in replies.forwards) if replies is not None else frozenset()


def keeps_waiting(channel: "Channel") -> bool:
    """May a connection wait for an answer: from elsewhere, or of the desk?"""
    replies = channel.file.replies
    return replies is not None and bool(replies.forwards or replies.decided_within_seconds)
