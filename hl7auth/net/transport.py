"""What is asked of the transport of a connection.

Imports the standard library only.
"""

from typing import Protocol as Interface


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
