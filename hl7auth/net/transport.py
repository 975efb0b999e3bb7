"""What is asked of the transport of a connection.

Imports twisted only.
"""

from collections.abc import Callable
from typing import Any
from typing import Protocol as Interface

from twisted.internet.tcp import Connection


class Wire(Interface):
    """What is asked of a TCP or TLS transport."""

    def write(self, data: bytes) -> None:
        """Sends bytes."""

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Closes after everything is sent."""

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Closes at once."""

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802 - Twisted's name
        """A reply goes out as it is written."""

    def registerProducer(self, producer: object, streaming: bool) -> None:  # noqa: N802 - Twisted's name
        """Who is to be paused while the peer does not read."""

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Stops reading."""

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Reads again."""


def sends_now(transport: Any) -> Callable[[bytes], None]:
    """Writes to a transport, and where it is one of plain TCP sends at once what the socket takes.

    Twisted would wait for the reactor's next turn, which may come late, and tell the kernel twice what it waits for.
    What does not fit, or fails, the transport meets again itself.
    """
    write: Callable[[bytes], None] = transport.write
    if not isinstance(transport, Connection):  # one of TLS would pass bytes on to the socket that it has not enciphered
        return write
    send = transport.writeSomeData

    def send_now(data: bytes) -> None:
        # while something waits to be sent, all that comes behind it has to wait too
        if transport.dataBuffer or transport._tempDataBuffer or not transport.connected or transport.disconnecting:
            write(data)
            return
        sent = send(data)
        if not isinstance(sent, int):
            write(data)
        elif sent < len(data):
            write(data[sent:])

    return send_now
