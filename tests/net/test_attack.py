"""What a sender may try on one channel: memory stays bounded, and a sender of another channel is served at once.

Both channels share what a process has: one queue, one store. `docs/reference/limits.md` lists what is tried where.
"""

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hl7auth.net import bounds
from hl7auth.net.listener import MllpFactory
from hl7auth.wire.framing import frame
from tests.engine import channel, request
from tests.net.test_listener import Bench, Transport, codes

MB = 1_000_000


class Town(Bench):
    """A second channel beside the first, which is the one that is attacked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, connections="64")
        (folder / "other").mkdir()
        self.other = MllpFactory(channel(folder / "other"), self.intake)
        self.attackers: list[Transport] = []
        self._asked = 0

    def attack(self, data: bytes) -> Transport:
        """A connection of the attacked channel that sends this, as reads come."""
        connection, transport = self.open()
        self.attackers.append(transport)
        for at in range(0, len(data), 16_384):
            if transport.producerState == "paused" or transport.disconnecting:
                break  # the rest stays in the kernel, and stops the sender
            connection.dataReceived(data[at : at + 16_384])
        return transport

    def is_served(self) -> bool:
        """Is a new sender of the other channel answered with the next batch?"""
        self._asked += 1
        transport, connection = Transport(), self.other.buildProtocol(None)
        connection.makeConnection(transport)
        connection.dataReceived(frame(request(f"GOOD{self._asked}")))
        self.settle()
        self.settle()
        return codes(transport) == [f"AA GOOD{self._asked}"]


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path)
    yield town
    town.journal.close()


def slow_senders(town: Town) -> None:
    for _ in range(64):
        town.attack(b"\x0b" + request("SLOW")[:40])
    for _ in range(10):
        town.settle(1)


def silence(town: Town) -> None:
    for _ in range(64):
        town.attack(b"")


def endless_frames(town: Town) -> None:
    for _ in range(4):
        town.attack(b"\x0b" + request("ENDLESS") + b"x" * (12 * MB))


def flood(town: Town) -> None:
    for _ in range(2_000):
        town.attack(b"")
    assert sum(each.aborted for each in town.attackers) == 2_000 - 64


def a_giant_segment(town: Town) -> None:
    town.attack(frame(request("GIANT") + b"NTE|1||" + b"x" * (8 * MB)))


def a_million_empty_repetitions(town: Town) -> None:
    town.attack(frame(request("MANY").replace(b"|RP|", b"|" + b"~" * MB + b"RP|")))


def a_million_repetitions(town: Town) -> None:
    town.attack(frame(request("FULL").replace(b"|RP|", b"|" + b"x~" * MB + b"RP|")))


def a_million_components(town: Town) -> None:
    town.attack(frame(request("WIDE").replace(b"Quill", b"^" * MB)))


def a_million_segments(town: Town) -> None:
    town.attack(frame(request("LONG") + b"NTE\r" * MB))


def noise(town: Town) -> None:
    for _ in range(4):
        town.attack(b"no frame at all " * 500_000)


def many_small_frames(town: Town) -> None:
    town.attack(b"\x0bx\x1c\r" * 200_000)


ATTACKS: list[Callable[[Town], None]] = [
    slow_senders, silence, endless_frames, flood, a_giant_segment, a_million_empty_repetitions,
    a_million_repetitions,
    a_million_components, a_million_segments, noise, many_small_frames,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.__name__)
def test_an_attack_costs_bounded_memory_and_no_other_channel_its_reply(
    town: Town, attack: Callable[[Town], None]
) -> None:
    assert town.is_served()
    tracemalloc.start()
    try:
        attack(town)
        assert town.is_served()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert town.is_served()
    assert peak < 150 * MB, peak
    assert town.intake.waiting_bytes <= bounds.MAX_WAITING_BYTES
    assert max((len(each.written) for each in town.attackers), default=0) < 10 * MB
