"""The door and the pair: real sockets, and a clock in the hand of the test."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from hl7auth.net import door
from hl7auth.net.door import Door
from hl7auth.net.pair import READY, Pair
from tests.engine import channel


class Port:
    """A listening socket, as Twisted's ports hold one."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.socket.setblocking(False)
        self.reading = True

    def fileno(self) -> int:
        return self.socket.fileno()

    def stopReading(self) -> None:  # noqa: N802 - Twisted's name
        self.reading = False


class Street:
    """A door with a limit of two connections, and those who come to it."""

    def __init__(self, folder: Path) -> None:
        self.clock = MemoryReactorClock()
        self.port = Port()
        self.room = True
        self.taken: list[socket.socket] = []
        self.callers: list[socket.socket] = []
        self.door = Door(self.clock, channel(folder, connections="2"), self.port, self.hand)
        self.door.start()

    def hand(self, connection: socket.socket) -> bool:
        if self.room:
            self.taken.append(connection.dup())
        return self.room

    def call(self, count: int = 1) -> None:
        address = self.port.socket.getsockname()
        self.callers += [socket.create_connection(address) for _ in range(count)]
        self.door.doRead()

    @property
    def reading(self) -> bool:
        return self.door in self.clock.getReaders()

    def close(self) -> None:
        self.door.close()
        for each in (self.port.socket, *self.taken, *self.callers):
            each.close()


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    street = Street(tmp_path)
    yield street
    street.close()


def test_connections_are_handed_on_and_twisted_takes_none(street: Street) -> None:
    assert not street.port.reading
    street.call(2)
    assert len(street.taken) == street.door.open == 2
    street.callers[0].sendall(b"x")
    street.taken[0].setblocking(True)
    assert street.taken[0].recv(1) == b"x"


def test_beyond_the_limit_a_place_that_becomes_free_in_time_is_taken(street: Street) -> None:
    street.call(3)
    assert len(street.taken) == 2
    street.door.left()
    assert (len(street.taken), street.door.open) == (3, 2)


def test_beyond_the_limit_a_connection_is_refused(street: Street) -> None:
    street.call(3)
    street.clock.pump([door.HOLD_SECONDS / 4] * 6)
    assert (len(street.taken), street.door.open) == (2, 2)
    with pytest.raises(ConnectionResetError):
        street.callers[2].recv(1)


def test_while_no_worker_can_take_them_few_wait_here_and_the_others_in_the_kernel(street: Street) -> None:
    street.room = False
    street.call(door.MAX_HELD + 4)
    assert not street.reading
    street.clock.advance(door.HOLD_SECONDS * 2)  # nobody is refused for that
    street.room = True
    street.clock.advance(1)
    assert len(street.taken) == 2
    street.door.left(2)
    assert street.reading


def test_a_closed_door_closes_on_those_who_wait(street: Street) -> None:
    street.room = False
    street.call()
    street.door.close()
    assert street.callers[0].recv(1) == b""
    street.door.left()  # a worker that stops tells of its connections
    assert not street.reading


def test_words_are_said_in_order_even_to_who_is_slow_to_read() -> None:
    clock = MemoryReactorClock()
    heard: list[tuple[int, int | None]] = []
    ended: list[str] = []
    one, other = socket.socketpair()
    speaker = Pair(clock, one, lambda *_: None, lambda: None)
    listener = Pair(clock, other, lambda word, descriptor: heard.append((word, descriptor)), lambda: ended.append("x"))
    words = [number % 1_000 for number in range(5_000)]
    for word in words:
        speaker.say(word)
    speaker.say(READY)
    while len(heard) < len(words) + 1:
        listener.doRead()
        clock.advance(1)
    assert heard == [(word, None) for word in [*words, READY]]
    speaker.hang_up()
    listener.doRead()
    listener.doRead()
    assert ended == ["x"]
    speaker.say(1)  # to nobody
    speaker.hang_up()
    speaker.close()


def test_a_connection_goes_with_its_word_or_not_at_all() -> None:
    clock = MemoryReactorClock()
    heard: list[tuple[int, int | None]] = []
    one, other = socket.socketpair()
    speaker = Pair(clock, one, lambda *_: None, lambda: None)
    listener = Pair(clock, other, lambda word, descriptor: heard.append((word, descriptor)), lambda: None)
    given, kept = socket.socketpair()
    handed = 0
    while speaker.hand(handed, given):
        handed += 1
    given.close()
    while len(heard) < handed:
        listener.doRead()
    assert [word for word, _ in heard] == list(range(handed))
    for _, descriptor in heard:
        assert descriptor is not None
        socket.socket(fileno=descriptor).close()
    assert kept.recv(1) == b""  # every copy is closed
    kept.close()
    listener.close()
    assert not speaker.hand(1, kept)
    speaker.close()
