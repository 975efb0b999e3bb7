"""Load generator for MLLP: connections that each wait for their reply; prints rate and latencies as one JSON document.

Imports the standard library and template. One thread, raw sockets and epoll (so Linux only), because the generator must
cost less than what it measures.
"""

import argparse
import dataclasses
import gc
import json
import math
import os
import select
import socket
import sys
from array import array
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from .template import DIGITS, TEMPLATE, Framed, framed
else:  # run by path: this folder is on sys.path, its parent need not be
    from template import DIGITS, TEMPLATE, Framed, framed

END = b"\x1c\r"
#: seconds that a message may wait for its reply at the end of a run, and all of them within one
PATIENCE = 10.0
#: what a template may have where each connection is to write its own number, in as many digits
LINE = b"@@LINE@@"
POSITIVE, NEGATIVE, MISMATCHED = range(3)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run saw: `messages`, `rate` and latencies in the measured time, everything from `sent` on in all of it."""

    connections: int
    message_bytes: int
    seconds: float
    messages: int
    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    sent: int
    positive: int
    negative: int
    mismatched: int
    unanswered: int
    prefix: str


def judge(reply: bytes, control_id: bytes) -> int:
    """POSITIVE for AA or CA to this control id, NEGATIVE for another code, MISMATCHED for another id or no MSA."""
    at = reply.find(b"\rMSA") + 1
    if not at:
        return MISMATCHED
    fields = reply[at:].split(b"\r", 1)[0].split(reply[at + 3 : at + 4], 3)
    if len(fields) < 3 or fields[2] != control_id:
        return MISMATCHED
    return POSITIVE if fields[1] in (b"AA", b"CA") else NEGATIVE


class _Connection:
    """One socket with its own frame; only the digits in it change from message to message."""

    __slots__ = ("_frame", "_rest", "_unsent", "begun", "control_id", "socket")

    def __init__(self, host: str, port: int, frame: bytes) -> None:
        self.socket = socket.create_connection((host, port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._frame = bytearray(frame)
        self._rest = b""
        self._unsent = 0
        self.begun = 0.0
        self.control_id = b""

    def send(self, digits: bytes, places: tuple[int, ...]) -> bool:
        """Number the frame and send it; False when the socket took only a part."""
        frame = self._frame
        for at in places:
            frame[at : at + DIGITS] = digits
        self._unsent = len(frame)
        return self.flush()

    def flush(self) -> bool:
        """Send what is left of the frame; True when nothing is."""
        while self._unsent:
            try:
                self._unsent -= self.socket.send(self._frame[-self._unsent :])
            except BlockingIOError:
                return False
        return True

    def reply(self) -> bytes | None:
        """The next whole reply, or None while one is on its way; raises ConnectionError when the server hangs up."""
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionError("the server closed a connection")
        if self._rest:
            data = self._rest + data
        end = data.find(END)
        if end < 0:
            self._rest = data
            return None
        self._rest = data[end + len(END) :]
        return data[:end]


class _Run:
    """One run: its connections, its clock (perf_counter) and what it counted."""

    def __init__(self, step: float, limit: float, framed: Framed) -> None:
        self._step = step
        self._limit = limit
        self._framed = framed
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._idle: deque[_Connection] = deque()
        self.measure = self._stop = self._due = self._heard = self.ended = 0.0
        self.latencies = array("d")
        self.counts = [0, 0, 0]
        self.sent = 0

    def open(self, host: str, port: int, connections: int) -> None:
        """Connect."""
        for number in range(connections):
            connection = _Connection(host, port, self._framed.frame.replace(LINE, b"%08d" % number))
            self._connections[connection.socket.fileno()] = connection
            self._idle.append(connection)
            self._epoll.register(connection.socket, select.EPOLLIN)

    def close(self) -> None:
        """Hang up."""
        self._epoll.close()
        for connection in self._connections.values():
            connection.socket.close()

    def go(self, warmup: float, seconds: float) -> None:
        """Send for that long, or until the limit; then wait for the replies that are still to come."""
        self._due = self._heard = now = perf_counter()
        self.measure = now + warmup
        self._stop = self.measure + seconds
        while True:
            now = perf_counter()
            self._send_due(now)
            busy = len(self._connections) > len(self._idle)
            if now - self._heard > PATIENCE if busy else self._finished(now):
                return
            for descriptor, event in self._wait(now):
                self._serve(self._connections[descriptor], event)

    def _finished(self, now: float) -> bool:
        return now >= self._stop or self.sent >= self._limit

    def _send_due(self, now: float) -> None:
        """Give the messages that are due to idle connections.

        A message that had to wait for a connection began when it was due: a slow server does not hide its own queue.
        """
        while self._idle and self._due <= now and not self._finished(now):
            self._heard = now
            self._send(self._idle.popleft(), self._due if self._step else now)
            self._due += self._step

    def _send(self, connection: _Connection, begun: float) -> None:
        digits = b"%08d" % self.sent
        self.sent += 1
        connection.control_id = self._framed.control_id + digits
        connection.begun = begun
        if not connection.send(digits, self._framed.places):
            self._epoll.modify(connection.socket, select.EPOLLIN | select.EPOLLOUT)

    def _wait(self, now: float) -> list[tuple[int, int]]:
        """Events, at the latest when a message is due; epoll counts in milliseconds, too coarse to keep a rate."""
        if not self._step or not self._idle or self._finished(now):
            return self._epoll.poll(1.0)
        select.select([self._epoll], [], [], max(0.0, min(self._due, self._stop) - now))
        return self._epoll.poll(0)

    def _serve(self, connection: _Connection, event: int) -> None:
        """Take the reply that came, if it is whole, and send the connection's next message."""
        if event & select.EPOLLOUT and connection.flush():
            self._epoll.modify(connection.socket, select.EPOLLIN)
        reply = connection.reply()
        if reply is None:
            return
        now = self._heard = perf_counter()
        self.counts[judge(reply, connection.control_id)] += 1
        if self.measure <= now < self._stop:
            self.latencies.append(now - connection.begun)
            self.ended = now
        if self._step or self._finished(now):
            self._idle.append(connection)
        else:
            self._send(connection, now)


def _percentile(ordered: list[float], share: float) -> float:
    """In milliseconds; 0 when nothing was measured."""
    return round(ordered[round(share * (len(ordered) - 1))] * 1000, 3) if ordered else 0.0


def run(  # noqa: PLR0913 - one argument per knob of the generator
    host: str,
    port: int,
    connections: int,
    seconds: float,
    warmup: float,
    template: str,
    rate: float | None = None,
    *,
    messages: int | None = None,
    prefix: str | None = None,
) -> Result:
    """Load host:port for `seconds` after `warmup` seconds, or with `messages` messages; `rate` is messages a second.

    Message n of the run, counted from 0 without a gap, is `template.message(template, n, prefix)`. Raises OSError when
    the server can not be reached or hangs up, ValueError for a wrong template or prefix.
    """
    prefix = prefix or os.urandom(3).hex().upper()
    numbered = framed(template, prefix)
    this = _Run(1 / rate if rate else 0.0, messages or math.inf, numbered)
    try:
        this.open(host, port, connections)
        this.go(warmup, math.inf if messages else seconds)
    finally:
        this.close()
    elapsed = max(this.ended - this.measure, 0.0) if messages else seconds
    ordered = sorted(this.latencies)
    return Result(
        connections=connections,
        message_bytes=len(numbered.frame) - 3,
        seconds=round(elapsed, 3),
        messages=len(ordered),
        rate=round(len(ordered) / elapsed, 1) if elapsed else 0.0,
        p50_ms=_percentile(ordered, 0.50),
        p95_ms=_percentile(ordered, 0.95),
        p99_ms=_percentile(ordered, 0.99),
        max_ms=_percentile(ordered, 1.0),
        sent=this.sent,
        positive=this.counts[POSITIVE],
        negative=this.counts[NEGATIVE],
        mismatched=this.counts[MISMATCHED],
        unanswered=this.sent - sum(this.counts),
        prefix=prefix,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to measure")
    parser.add_argument("--warmup", type=float, help="seconds before that (default: 1, with --messages 0)")
    parser.add_argument("--messages", type=int, help="send this many instead of measuring for a time")
    parser.add_argument("--rate", type=float, help="messages a second in all (default: as fast as replies come)")
    parser.add_argument("--template", type=Path, help="a file with the tokens @@ID@@, @@REF@@ and @@AUT@@")
    parser.add_argument("--prefix", help="1 to 6 letters and digits that begin every id (default: random)")
    given = parser.parse_args()
    if given.warmup is None:
        given.warmup = 0.0 if given.messages else 1.0
    given.template = given.template.read_bytes().decode() if given.template else TEMPLATE
    return given


def main() -> int:
    """Run once and print the result; 0 when every reply was positive, 1 when one was not, 2 when the run failed."""
    gc.disable()  # nothing here makes cycles, and a collection would count as the server's latency
    try:
        result = run(**vars(_arguments()))
    except (OSError, ValueError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 2
    print(json.dumps(dataclasses.asdict(result)))
    return 0 if result.positive == result.sent else 1


if __name__ == "__main__":
    sys.exit(main())
