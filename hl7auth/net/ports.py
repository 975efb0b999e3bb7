"""The ports that channels listen on: what is written under `listen` becomes one, or a sentence that says why not.

Imports twisted, flow.channel, observe and errors only.
"""

from typing import Any

from twisted.internet import endpoints, error
from twisted.internet.protocol import Factory

from hl7auth.errors import ConfigError, UserError
from hl7auth.flow.channel import Channel
from hl7auth.observe import log

#: Endpoints whose connections can be given to another process as they are
_PLAIN = (
    endpoints.TCP4ServerEndpoint,
    endpoints.TCP6ServerEndpoint,
    endpoints.UNIXServerEndpoint,
    endpoints.AdoptedStreamServerEndpoint,
)
_PLAIN_ONLY = "only connections of tcp and unix endpoints can be given to workers"


def endpoint_of(reactor: Any, channel: Channel) -> Any:
    """Where a channel wants to listen. Raises ConfigError for what is no endpoint."""
    try:
        return endpoints.serverFromString(reactor, channel.file.listen)
    except (ValueError, TypeError, IndexError, KeyError) as fault:
        raise ConfigError(f"{channel.path}: listen: '{channel.file.listen}' is no endpoint: {fault}") from None


def plain_endpoint_of(reactor: Any, channel: Channel) -> Any:
    """The same where workers serve. Raises ConfigError also for one whose connections can not be handed on."""
    found = endpoint_of(reactor, channel)
    if not isinstance(found, _PLAIN):
        raise ConfigError(f"{channel.path}: listen: '{channel.file.listen}' needs --workers 1: {_PLAIN_ONLY}")
    return found


async def listen(endpoint: Any, channel: Channel, factory: Factory) -> Any:
    """The port. Raises UserError where the address can not be had."""
    try:
        return await endpoint.listen(factory)
    except error.CannotListenError as fault:
        text = getattr(fault.socketError, "strerror", None) or str(fault.socketError)
        raise UserError(f"channel {channel.name} can not listen on {channel.file.listen}: {text.lower()}") from None


def listening(channel: Channel, port: Any) -> str:
    """A line that says where a channel listens; logged too."""
    host = port.getHost()
    where = f"tcp:{getattr(host, 'port', '?')}:interface={getattr(host, 'host', '?')}"
    log("listener.ready", "listening", channel=channel.name, address=where)
    return f"listening on {where} (channel {channel.name})"
