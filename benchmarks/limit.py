"""The limit program: MLLP in, one row per message on disk, a fixed answer; the ceiling the engine is measured against.

Imports the standard library only.
"""

import argparse
import asyncio
import signal
import sqlite3
import time
from collections.abc import Callable

START, END = b"\x0b", b"\x1c\r"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY, control_id TEXT NOT NULL, raw BLOB NOT NULL, received_at INTEGER NOT NULL
)
"""


def control_id(raw: bytes) -> bytes:
    """MSH-10, looked for in the first segment only; empty when there is none."""
    msh = raw.split(b"\r", 1)[0].split(raw[3:4] or b"|", 10)
    return msh[9] if raw.startswith(b"MSH") and len(msh) > 9 else b""


def answer(ident: bytes) -> bytes:
    """The framed acknowledgement of fixed form; AR for a message that has no MSH-10."""
    head = b"MSH|^~\\&|LIMIT|BENCH|||20260101000000||ACK^I08^ACK|%b|P|2.8.2\r" % ident
    return START + head + b"MSA|%b|%b\r" % (b"AA" if ident else b"AR", ident) + END


class Mllp(asyncio.Protocol):
    """One connection: hands each whole message to `receive`, however the bytes were cut."""

    def __init__(self, receive: Callable[["Mllp", bytes], None]) -> None:
        self._receive = receive
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        begin = 0
        while (end := data.find(END, begin)) >= 0:
            start = data.find(START, begin, end)
            self._receive(self, data[max(start + 1, begin) : end])
            begin = end + len(END)
        self._rest = data[begin:]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None

    def reply(self, data: bytes) -> None:
        """Write, unless the sender has gone."""
        if self._transport is not None:
            self._transport.write(data)


class Journal:
    """Appends to SQLite and answers after the commit; what arrived while one commit ran is the next batch."""

    def __init__(self, path: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[Mllp, bytes, bytes, int]] = []
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(_SCHEMA)

    def receive(self, sender: Mllp, raw: bytes) -> None:
        """Put a message into the next batch."""
        ident = control_id(raw)
        if not ident:
            return sender.reply(answer(b""))
        # The commit blocks the loop, so the sockets fill up meanwhile: the batch needs no timer.
        if not self._waiting:
            self._loop.call_soon(self._commit)
        return self._waiting.append((sender, ident, raw, time.time_ns() // 1000))

    def _commit(self) -> None:
        batch, self._waiting = self._waiting, []
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(
            "INSERT INTO message (control_id, raw, received_at) VALUES (?, ?, ?)",
            [(ident.decode("latin-1"), raw, received) for _, ident, raw, received in batch],
        )
        self._database.execute("COMMIT")
        for sender, ident, _, _ in batch:
            sender.reply(answer(ident))

    def close(self) -> None:
        """Close the database; what was not committed was not answered either."""
        self._database.close()


async def serve(port: int, receive: Callable[[Mllp, bytes], None]) -> None:
    """Listen on the loopback, print `ready PORT`, and return on SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(lambda: Mllp(receive), "127.0.0.1", port, backlog=1024)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await stopped.wait()
    server.close()


async def main(port: int, database: str) -> None:
    """Run the limit program on `port` (0: any) until it is told to stop."""
    journal = Journal(database)
    try:
        await serve(port, journal.receive)
    finally:
        journal.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; it is printed")
    parser.add_argument("--database", required=True, help="the SQLite file")
    given = parser.parse_args()
    asyncio.run(main(given.port, given.database))
