"""Several engines over one PostgreSQL, as real processes: any takes any message, one sends, the dead are replaced."""

import signal
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hl7auth.flow.channel import load_channel
from hl7auth.observe import MAX_WORKERS
from hl7auth.proof.serving import kill, serving, write_channel
from hl7auth.store.database import connect, open_database
from hl7auth.store.rebuild import rebuild
from hl7auth.wire.framing import Deframer, frame
from tests.engine import message, msh
from tests.serving import SECONDS, Line
from tests.store import postgres

KEYS, EACH = 3, 8
TAKES = 0.01
"""Seconds that the receiver has each message in hand: long enough that two at once would meet."""


class Receiver:
    """A slow listener. `received` are the control ids as they came, `most` how many of a key it ever had at once."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.most: Counter[str] = Counter()
        self.answers = threading.Event()
        self.answers.set()
        self.in_hand = threading.Semaphore(0)
        self._now: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=self._server.accept()[:1], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        deframer = Deframer()
        with connection, suppress(OSError):
            while data := connection.recv(65_536):
                for received in deframer.feed(data):
                    control_id = received.payload.split(b"|", 10)[9].decode()
                    self._hold(control_id)
                    connection.sendall(frame(message(msh("ACK", "I08"), f"MSA|AA|{control_id}")))

    def _hold(self, control_id: str) -> None:
        key = control_id.partition("-")[0]
        with self._lock:
            self.received.append(control_id)
            self._now[key] += 1
            self.most[key] = max(self.most[key], self._now[key])
        if not self.answers.is_set():
            self.in_hand.release()
            self.answers.wait(SECONDS)
        time.sleep(TAKES)
        with self._lock:
            self._now[key] -= 1


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def about(key: int, name: str, units: int) -> bytes:
    """A request for the authorization PA{key}, told from all others by its units."""
    segments = ["PRD|RP|Moss^Ada", f"PID|||7700{key}||Quill^Ivo||19800102", "PR1|1||99213^Visit^C4||20260401"]
    return message(msh(control_id=f"K{key}-{name}"), *segments, f"AUT|GOLD|ACME|Acme Health|||PA{key}||{units}")


def test_engines_share_the_work_and_take_over_from_the_dead(tmp_path: Path, receiver: Receiver) -> None:
    url = postgres.shared().database()
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
        write_channel(folder, receiver.port)
    with ExitStack() as stack:
        first, port = stack.enter_context(serving(folders[0], url, workers=2))
        second, other = stack.enter_context(serving(folders[1], url))
        ports, engine = [port, port, other], open_database(url)

        def die() -> None:
            """The first engine ends with a delivery of each key in hand, which the second one was kept from."""
            until_sent(engine, KEYS * len(ports) * EACH // 2)
            receiver.answers.clear()
            second.send_signal(signal.SIGSTOP)
            with Line(port) as line:
                assert {line.ask(about(key, "last", 1000))[:2] for key in range(KEYS)} == {"AA"}
            for _ in range(KEYS):
                assert receiver.in_hand.acquire(timeout=SECONDS)
            kill(first)
            second.send_signal(signal.SIGCONT)
            receiver.answers.set()

        meet = threading.Barrier(KEYS * len(ports), die)

        def send(number: int) -> list[bytes]:
            """Half of the messages before the first engine dies; returns what it did not answer."""
            key, at = divmod(number, len(ports))
            raws = [about(key, f"{at}-{each}", 100 * at + each + 1) for each in range(EACH)]
            with Line(ports[at]) as line:
                for each, raw in enumerate(raws):
                    if each == EACH // 2:
                        meet.wait(SECONDS)
                    try:
                        assert line.ask(raw).startswith("AA ")
                    except OSError:
                        return raws[each:]
            return []

        with ThreadPoolExecutor(meet.parties) as pool:
            left = [raw for rest in pool.map(send, range(meet.parties)) for raw in rest]
        assert len(left) == 2 * KEYS * EACH // 2
        with Line(other) as line:
            assert {line.ask(raw)[:2] for raw in left} == {"AA"}
        count = KEYS * (len(ports) * EACH + 1)
        until_sent(engine, count)
        with connect(engine) as connection:
            rows = connection.exec_driver_sql("SELECT id, control_id FROM message ORDER BY id").all()
            sql = "SELECT key, count(*), max(version), sum(current) FROM authorization_version GROUP BY 1 ORDER BY 1"
            histories = [tuple(row) for row in connection.exec_driver_sql(sql)]
        assert histories == [(f"PA{key}@ACME", count // KEYS, count // KEYS, 1) for key in range(KEYS)]
        assert dict(receiver.most) == {f"K{key}": 1 for key in range(KEYS)}
        twice = sorted(each for each, came in Counter(receiver.received).items() if came == 2)
        assert twice == [f"K{key}-last" for key in range(KEYS)]
        assert by_key(dict.fromkeys(receiver.received)) == by_key(row[1] for row in rows)
        assert {row[0] % MAX_WORKERS for row in rows} >= {0, 1}
        report = rebuild(engine, {"referral-intake": load_channel(folders[0] / "channels" / "proof.yaml")})
        assert (report.differences, report.messages) == ([], count)
        engine.dispose()


def until_sent(engine: Engine, count: int) -> None:
    """Waits until so many messages are sent on."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with connect(engine) as connection:
            sent = connection.exec_driver_sql(
                "SELECT count(*) FROM delivery WHERE state = 'sent' AND part = 0"
            ).scalar()
        if sent == count:
            return
        time.sleep(TAKES)
    raise AssertionError(sent)


def by_key(control_ids: Iterable[str]) -> dict[str, list[str]]:
    """Control ids by their keys, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for each in control_ids:
        found[each.partition("-")[0]].append(each)
    return found
