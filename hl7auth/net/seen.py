"""The engine as it is seen from outside: the lookout, and the window that shows what it found.

Imports twisted, flow, net.lookout, net.window, observe and errors only.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from twisted.internet import defer, endpoints, error

from hl7auth.errors import UserError
from hl7auth.flow.alert import Alerts
from hl7auth.flow.channel import Channel
from hl7auth.flow.endpoint import endpoint
from hl7auth.net.lookout import Lookout, Sources
from hl7auth.net.window import JSON, PLAIN, Page, Window, at_once
from hl7auth.observe import log

INDEX = b"""hl7auth
/metrics  figures for Prometheus
/status   the same as JSON
/healthz  the process lives
/readyz   messages are taken
"""


class Outside(NamedTuple):
    """What is wanted: an endpoint to show figures at (Twisted's, or a port; empty for none), and alerts."""

    metrics: str = ""
    alerts: Alerts | None = None

    def __bool__(self) -> bool:
        return bool(self.metrics or self.alerts)


NOBODY = Outside()


class Seen:
    """Looks from its start to its end; shows what it sees at `metrics`, and tells of what `outside` calls for."""

    def __init__(
        self, reactor: Any, database: str, sources: Sources, channels: Sequence[Channel], outside: Outside
    ) -> None:
        self._reactor = reactor
        self._metrics = on_loopback(outside.metrics)
        self._lookout = Lookout(reactor, database, sources, channels, outside.alerts)
        pages = {
            "/": at_once(Page(200, PLAIN, INDEX)),
            "/metrics": self._lookout.metrics,
            "/status": self._lookout.status,
            "/healthz": at_once(Page(200, JSON, b'{"alive":true}')),
            "/readyz": self._lookout.ready,
        }
        self._window = Window(reactor, pages)
        self._port: Any = None

    async def start(self) -> str:
        """Begins; returns a line that says where it shows. Raises UserError where it can not listen."""
        if not self._metrics:
            self._lookout.start()
            return ""
        self._port = await self._listen()
        self._lookout.start()
        host = self._port.getHost()
        where = f"http://{getattr(host, 'host', '')}:{getattr(host, 'port', '')}"
        log("metrics.ready", "figures are shown", address=where)
        return f"metrics on {where}/metrics"

    def serves(self, channels: Sequence[Channel]) -> None:
        """These are the channels from now on."""
        self._lookout.serves(channels)

    def watches(self, alerts: Alerts | None) -> None:
        """These are the alerts from now on; None for no alerts."""
        self._lookout.watches(alerts)

    async def stop(self) -> None:
        """Ends."""
        if self._port is not None:
            await defer.maybeDeferred(self._port.stopListening)
        self._window.close()
        self._lookout.stop()

    async def _listen(self) -> Any:
        if fault := endpoint(self._metrics).fault:
            raise UserError(f"--metrics: '{self._metrics}' is no endpoint: {fault}")
        try:
            wanted = endpoints.serverFromString(self._reactor, self._metrics)
        except (ValueError, TypeError, IndexError, KeyError) as fault:
            raise UserError(f"--metrics: '{self._metrics}' is no endpoint: {fault}") from None
        try:
            return await wanted.listen(self._window)
        except error.CannotListenError as fault:
            text = getattr(fault.socketError, "strerror", None) or str(fault.socketError)
            raise UserError(f"--metrics: can not listen on {self._metrics}: {text.lower()}") from None


def on_loopback(text: str) -> str:
    """The endpoint; for a port alone, and for one without an interface, that of the loopback."""
    text = f"tcp:{text}" if text.isdecimal() else text
    return f"{text}:interface=127.0.0.1" if text.startswith("tcp:") and not endpoint(text).interface else text
