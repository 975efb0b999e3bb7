"""An endpoint that counts what it receives."""

import queue
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from hl7auth.flow.verdict import control_id_of
from hl7auth.wire.framing import Deframer, frame

Say = Callable[[bytes], bytes | None]


class Sink:
    """An endpoint that counts control ids, and says what it is told to; None hangs up instead.

    With `secure` it speaks TLS only."""

    def __init__(self, say: Say, secure: ssl.SSLContext | None = None) -> None:
        self._say, self._secure = say, secure
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.to = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.once = False
        """Hangs up behind each answer."""
        self.came: Counter[str] = Counter()
        self.order: list[str] = []
        self.news: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """No more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with suppress(OSError), line, self._spoken(line) as spoken:
                self._answer(spoken)

    def _spoken(self, line: socket.socket) -> socket.socket:
        return line if self._secure is None else self._secure.wrap_socket(line, server_side=True)

    def _answer(self, line: socket.socket) -> None:
        deframer = Deframer()
        while data := line.recv(65_536):
            for each in deframer.feed(data):
                self.came[control_id_of(each.payload)] += 1
                self.order.append(control_id_of(each.payload))
                self.news.put(control_id_of(each.payload))
                said = self._say(each.payload)
                if said is None:
                    return
                line.sendall(frame(said))
                if self.once:
                    return


def says(code: str, about: bytes) -> bytes:
    """An acknowledgement."""
    control_id = control_id_of(about)
    return f"MSH|^~\\&|S|S|E|N|20260301||ACK|R{control_id}|P|2.5\rMSA|{code}|{control_id}\r".encode()
