"""The sink of a proof: a listener that takes everything the engine sends on, says AA, and writes down the order.

Imports wire only.
"""

import socket
import threading
from contextlib import suppress

from hl7auth.wire.framing import Deframer, frame


class Sink:
    """An MLLP listener on a free port of the loopback. `received` holds the control ids in the order of arrival."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._server.getsockname()[1]
        self.received: list[str] = []
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends the listener and its connections."""
        for each in (self._server, *self._connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def forget(self) -> None:
        """Starts a new list: who soaks an engine for hours asks for no order."""
        with self._lock:
            self.received = []

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._connections = [each for each in self._connections if each.fileno() >= 0] + [connection]
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        deframer = Deframer()
        try:
            while data := connection.recv(262_144):
                for received in deframer.feed(data):
                    control_id = received.payload.split(b"|", 10)[9].decode()
                    with self._lock:
                        self.received.append(control_id)
                    connection.sendall(frame(_receipt(control_id)))
        except OSError:
            pass
        finally:
            connection.close()


def _receipt(control_id: str) -> bytes:
    head = f"MSH|^~\\&|SINK|SINK|||20260101||ACK|S{control_id}|P|2.8.2"
    return f"{head}\rMSA|AA|{control_id}\r".encode()
