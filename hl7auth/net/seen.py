"""The engine as it is seen from outside: the lookout, and the window that shows what it found.

Imports twisted, flow.endpoint, net.lookout, net.window, observe and errors only.
"""

from typing import Any

from twisted.internet import defer, endpoints, error

from hl7auth.errors import UserError
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


class Seen:
    """Looks from its start to its end; with `metrics`, a Twisted endpoint, it shows what it sees there."""

    def __init__(self, reactor: Any, database: str, sources: Sources, metrics: str) -> None:
        self._reactor = reactor
        self._metrics = on_loopback(metrics)
        self._lookout = Lookout(reactor, database, sources)
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
        """Begins; returns a line that says where. Raises UserError where it can not listen."""
        self._port = await self._listen()
        self._lookout.start()
        host = self._port.getHost()
        where = f"http://{getattr(host, 'host', '')}:{getattr(host, 'port', '')}"
        log("metrics.ready", "figures are shown", address=where)
        return f"metrics on {where}/metrics"

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
