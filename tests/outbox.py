"""What the tests of the outgoing side share: a scratch store with deliveries, a reactor for a while, and a listener."""

import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert
from twisted.internet.epollreactor import EPollReactor

from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_model import ChannelFile
from hl7auth.flow.destination import Destination
from hl7auth.flow.outbox import Delivery, Shape
from hl7auth.net.dispatch import Dispatcher
from hl7auth.net.outgoing import sender_for
from hl7auth.net.parcel import World
from hl7auth.net.shaping import Shaping
from hl7auth.observe import now
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.deliveries import write_deliveries
from hl7auth.store.queue import Queue
from hl7auth.store.schema import message, metadata
from hl7auth.wire.framing import Deframer, frame

TO = "feed/payer"
SECONDS = 20.0


def raw(control_id: str, modes: tuple[str, str] = ("", ""), kind: str = "RQA^I08") -> bytes:
    """A short message."""
    head = f"MSH|^~\\&|EHR|NORTH|PAYER|SOUTH|20260301101500||{kind}|{control_id}|P|2.5|||{modes[0]}|{modes[1]}"
    return f"{head}\rPRD|RP|Moss^Ada\rPID|||77001||Quill^Ivo\r".encode()


class Outbox:
    """A store whose deliveries are dispatched by the parts under test, on a reactor that runs as long as asked."""

    def __init__(self, folder: Path, url: str = "", *, migrated: bool = False) -> None:
        self.folder = folder
        self.url = url or f"sqlite:///{folder / 'outbox.db'}"
        self.engine = open_database(self.url)
        if migrated:
            upgrade(self.engine)
        else:
            metadata.create_all(self.engine)  # the same, sooner
        self._ids = itertools.count(1)
        self._reader: Connection | None = None

    def close(self) -> None:
        """Lets go of the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self.engine.dispose()

    def put(self, *found: tuple[str | tuple[str, ...], bytes], to: str = TO, at: int | None = None) -> None:
        """Stores messages with their lanes, as one commit."""
        queued = now() if at is None else at
        rows, waiting = [], []
        for lanes, content in found:
            number = next(self._ids)
            rows.append(_row(number, content, queued))
            waiting.append(Delivery(number, to, (lanes,) if isinstance(lanes, str) else lanes, queued))
        with self.engine.begin() as connection:
            connection.execute(insert(message), rows)
            write_deliveries(connection, waiting)

    def queue(self, owner: str = "one", to: str = TO) -> Queue:
        """The view of an owner."""
        return Queue(self.engine, to, owner)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        if self._reader is None:
            self._reader = self.engine.execution_options(reads_only=True).connect()
        with self._reader.begin():
            return [tuple(row) for row in self._reader.exec_driver_sql(sql)]

    def states(self) -> list[str]:
        """The states of the deliveries in their order."""
        return [row[0] for row in self.rows("SELECT state FROM delivery WHERE part = 0 ORDER BY id")]

    def all_in(self, *states: str) -> Callable[[], bool]:
        """A condition: every delivery is in one of these states."""
        return lambda: set(self.states()) <= set(states)

    def run(
        self,
        until: Callable[[], bool],
        *destinations: dict[str, Any],
        shape: Shape | None = None,
        names: Sequence[str] = (TO,),
        meanwhile: Callable[[list[Dispatcher]], None] | None = None,
    ) -> list[Dispatcher]:
        """Dispatches to destinations (as in YAML) until a condition holds; then stops in an orderly way."""
        reactor: Any = EPollReactor()
        world = World(reactor, now, lambda: 0.5)
        dispatchers = []
        for name, values in zip(names, destinations, strict=True):
            to = Destination.model_validate(values)
            file = ChannelFile(channel="feed", listen="tcp:0", destinations={name.rpartition("/")[2]: to})
            sender = sender_for(world, name, to, Channel(file=file, path=self.folder / "feed.yaml"))
            if shape is not None:
                sender = Shaping(sender, shape)
            dispatchers.append(Dispatcher(world, self.queue("one", name), sender, to.policy))
        held = [False]
        deadline = reactor.seconds() + SECONDS

        def look() -> None:
            held[0] = until()
            if held[0] or reactor.seconds() > deadline:
                stops = [dispatcher.stop() for dispatcher in dispatchers]
                for stop in stops:
                    stop.addErrback(failures.append)
                _when_all(reactor, stops)
            else:
                reactor.callLater(0.01, look)

        failures: list[Any] = []

        def begin() -> None:
            for dispatcher in dispatchers:
                dispatcher.start()
            if meanwhile is not None:
                meanwhile(dispatchers)
            look()

        reactor.callWhenRunning(begin)
        reactor.run(installSignalHandlers=False)
        assert not failures, failures
        assert held[0], f"after {SECONDS} s: {self.rows('SELECT id, lane, state, attempts, reason FROM delivery')}"
        return dispatchers


def _when_all(reactor: Any, stops: list[Any]) -> None:
    if all(stop.called for stop in stops):
        reactor.stop()
    else:
        reactor.callLater(0.01, _when_all, reactor, stops)


def _row(number: int, content: bytes, at: int) -> dict[str, Any]:
    control_id = content.split(b"|")[9].decode()
    return {
        "id": number, "channel": "feed", "received_at": at, "peer": "", "control_id": control_id, "digest": number,
        "message_type": "RQA", "trigger_event": "I08", "version": "2.5", "sender": "EHR", "facility": "NORTH",
        "disposition": "accepted", "code": "AA", "raw": content,
    }  # fmt: skip


def ack(control_id: str, code: str = "AA", condition: str = "") -> bytes:
    """A framed answer; with the code of an error in ERR-3 if wanted."""
    text = f"MSH|^~\\&|PAYER|SOUTH|EHR|NORTH|2026||ACK^I08^ACK|9|P|2.5\rMSA|{code}|{control_id}\r"
    text += f"ERR|||{condition}^Error^HL70357|E\r" if condition else ""
    return frame(text.encode())


class Cut(bytes):
    """An answer behind which a listener hangs up."""


Reaction = Callable[[int, str], "bytes | None"]
"""What a listener answers to its n-th message with that control id; None hangs up instead."""


class Listener:
    """An MLLP listener in a thread, which records the control ids that it gets and answers by a function.

    With a context it has TLS, and records the names that it is asked for, and those of the clients' certificates.
    """

    def __init__(
        self,
        react: Reaction = lambda _, control_id: ack(control_id),
        port: int = 0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.got: list[str] = []
        self.names: list[str | None] = []
        self.clients: list[str] = []
        self._context = context
        self.payloads: list[bytes] = []
        self.connections = 0
        self._react = react
        self._server = socket.create_server(("127.0.0.1", port))
        self._open: list[socket.socket] = []
        self.port: int = self._server.getsockname()[1]
        self._lock = threading.Condition()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(10)

    @property
    def mllp(self) -> dict[str, Any]:
        """How a destination names it."""
        return {"connect": f"tcp:127.0.0.1:{self.port}"}

    def say(self, data: bytes) -> None:
        """Sends on the connection that was made last."""
        self._open[-1].sendall(data)

    def changed(self, condition: Callable[[], bool]) -> bool:
        """Waits until messages have made a condition true; False when they did not in time."""
        with self._lock:
            return self._lock.wait_for(condition, SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._context is None:
            return connection

        def asked(secured: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
            self.names.append(name)

        self._context.sni_callback = asked
        secured = self._context.wrap_socket(connection, server_side=True)
        certificate: Any = secured.getpeercert() or {"subject": ()}
        self.clients += [dict(pair)["commonName"] for pair in certificate["subject"]]
        return secured

    def _serve(self, connection: socket.socket) -> None:
        deframer = Deframer()
        try:
            connection = self._secured(connection)
        except OSError:
            connection.close()
            return
        with connection:
            try:
                while data := connection.recv(65_536):
                    for received in deframer.feed(data):
                        if not received.payload.startswith(b"MSH"):
                            continue  # what begins a handshake may look like a frame
                        control_id = received.payload.split(b"|")[9].decode()
                        with self._lock:
                            self.got.append(control_id)
                            self.payloads.append(received.payload)
                            self._lock.notify_all()
                            answer = self._react(len(self.got), control_id)
                        if answer is None:
                            return
                        connection.sendall(answer)
                        if isinstance(answer, Cut):
                            return
            except OSError:
                return
