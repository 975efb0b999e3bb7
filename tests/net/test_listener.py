"""The listener on a reactor and transports in memory, over a real store in a file."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock, StringTransport

from hl7auth.flow import intake
from hl7auth.flow.decision import Outcome
from hl7auth.flow.intake import Plan
from hl7auth.net import bounds
from hl7auth.net import connection as lines
from hl7auth.net import intake as queue
from hl7auth.net.connection import MllpConnection
from hl7auth.net.intake import Intake
from hl7auth.net.listener import MllpFactory
from hl7auth.observe import ids
from hl7auth.store.database import open_database
from hl7auth.store.journal import Journal
from hl7auth.store.schema import metadata
from hl7auth.wire.ack import read_msa
from hl7auth.wire.framing import Deframer, frame
from tests.engine import answer, channel, message, msh, request

_PEER: Any = IPv4Address("TCP", "127.0.0.1", 40000)


class Transport(StringTransport):
    """StringTransport, and the TCP options that the listener sets."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def written(self) -> bytes:
        data: bytes = self.value()  # type: ignore[no-untyped-call]
        return data

    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802
        self.no_delay = enabled

    def abortConnection(self) -> None:  # noqa: N802
        self.aborted = True


class Bench:
    """A listener with as many connections as a test opens."""

    def __init__(self, folder: Path, **changes: str) -> None:
        engine = open_database(f"sqlite:///{folder}/store.db")
        metadata.create_all(engine)  # what migrations make, sooner
        self.clock = MemoryReactorClock()
        self.journal = Journal(engine)
        self.intake = Intake(self.clock, self.journal, ids())
        self.factory = MllpFactory(channel(folder, **changes), self.intake)

    def open(self) -> tuple[MllpConnection, Transport]:
        transport = Transport()
        connection = self.factory.buildProtocol(_PEER)
        connection.makeConnection(transport)
        return connection, transport

    def settle(self, seconds: float = 0) -> None:
        self.clock.advance(seconds)
        self.clock.advance(0)


MakeBench = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeBench]:
    benches: list[Bench] = []

    def build(**changes: str) -> Bench:
        benches.append(Bench(tmp_path, **changes))
        return benches[-1]

    yield build
    for bench in benches:
        bench.journal.close()


def codes(transport: Transport) -> list[str]:
    """MSA-1 and MSA-2 of everything written so far."""
    replies = [received.payload.decode("latin_1") for received in Deframer().feed(transport.written)]
    found = [read_msa(reply) for reply in replies]
    return [f"{msa.code} {msa.control_id}" if msa else "?" for msa in found]


def test_p01_pipelined_messages_are_answered_in_order(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(b"".join(frame(request(f"C{number}")) for number in range(10)))
    assert codes(transport) == []  # nothing before the commit
    bench.settle()
    assert codes(transport) == [f"AA C{number}" for number in range(10)]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_p02_reads_of_any_size(make: MakeBench, size: int) -> None:
    bench = make()
    connection, transport = bench.open()
    data = frame(request("A")) + frame(request("B"))
    for start in range(0, len(data), size):
        connection.dataReceived(data[start : start + size])
    bench.settle()
    assert codes(transport) == ["AA A", "AA B"]


def test_p02_an_end_block_without_cr_completes_after_a_short_time(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A"))[:-1])
    bench.settle()
    assert codes(transport) == []
    bench.settle(bounds.END_BLOCK_SECONDS)
    assert codes(transport) == ["AA A"]
    connection.dataReceived(b"\r" + frame(request("B")))
    bench.settle()
    assert codes(transport) == ["AA A", "AA B"]


@pytest.mark.parametrize("trailer", [b"\x1c\r\n", b"\x1c\x00", b"\x1c\n"])
def test_p03_other_trailers_are_accepted_and_the_next_frame_is_found(make: MakeBench, trailer: bytes) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(b"\x0b" + request("A") + trailer + frame(request("B")))
    bench.settle()
    assert codes(transport) == ["AA A", "AA B"]


def test_p04_garbage_is_refused_with_ar(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(b"dsfddf" + request("A")) + frame(b"hello") + frame(request("B")))
    bench.settle()
    assert codes(transport) == ["AR A", "AR ", "AA B"]


def test_p05_noise_and_keep_alives_get_no_reply(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(b"\r\n\x00  starting feed\r\n")
    bench.settle()
    assert transport.written == b""
    connection.dataReceived(frame(request("A")))
    bench.settle()
    assert codes(transport) == ["AA A"]


def test_p56_an_acknowledgement_is_never_answered(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(
        frame(message(msh(kind="ACK"), "MSA|AA|X")) + frame(message(msh(kind="ACK", modes=("AL", "AL")), "MSA|AE|X"))
    )
    bench.settle()
    assert transport.written == b""


def test_replies_go_to_the_connection_that_asked(make: MakeBench) -> None:
    bench = make()
    opened = [bench.open() for _ in range(5)]
    for number, (connection, _) in enumerate(opened):
        connection.dataReceived(frame(request(f"C{number}")))
    bench.settle()
    assert [codes(transport) for _, transport in opened] == [[f"AA C{number}"] for number in range(5)]


def test_a_batch_is_one_commit_and_no_batch_is_endless(make: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make()
    sizes: list[int] = []
    commit = bench.journal.commit

    def counted(plans: Sequence[Plan]) -> list[Outcome]:
        sizes.append(len(plans))
        return commit(plans)

    monkeypatch.setattr(bench.journal, "commit", counted)
    monkeypatch.setattr(queue, "MAX_BATCH", 4)
    connection, transport = bench.open()
    connection.dataReceived(b"".join(frame(request(f"C{number}")) for number in range(10)))
    bench.settle()
    bench.settle()
    bench.settle()
    assert sizes == [4, 4, 2]
    assert len(codes(transport)) == 10


def test_an_original_mode_answer_gets_no_reply_but_an_accept_acknowledgement_if_asked(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(answer("R1", "C1")) + frame(answer("R2", "C1", modes=("AL", "NE"))))
    bench.settle()
    assert codes(transport) == ["CA R2"]


def test_a_frame_beyond_the_limit_is_refused_and_the_connection_goes_on(make: MakeBench) -> None:
    bench = make(max_bytes="2048")
    connection, transport = bench.open()
    connection.dataReceived(frame(request("BIG") + b"NTE|1||" + b"x" * 3000))
    connection.dataReceived(frame(request("A")))
    bench.settle()
    assert codes(transport) == ["AR BIG", "AA A"]


def test_a_sender_that_never_ends_is_cut_off(make: MakeBench) -> None:
    bench = make(max_bytes="2048")
    connection, transport = bench.open()
    connection.dataReceived(b"\x0b" + request("ENDLESS"))
    for _ in range(20):
        connection.dataReceived(b"x" * 1024)
    bench.settle()
    assert codes(transport) == ["AR ENDLESS"]
    assert transport.disconnecting
    assert bench.intake.waiting_bytes < 4096


def test_a_sender_that_trickles_is_cut_off_but_its_time_counts_from_the_first_byte(make: MakeBench) -> None:
    bench = make(message_seconds="10")
    connection, transport = bench.open()
    data = frame(request("SLOW"))
    for at in range(12):
        connection.dataReceived(data[at : at + 1])
        bench.settle(1)
    assert transport.disconnecting
    assert transport.written == b""


def test_a_silent_connection_is_closed_and_a_busy_one_is_not(make: MakeBench) -> None:
    bench = make(idle_seconds="30")
    connection, transport = bench.open()
    for number in range(3):
        bench.settle(20)
        connection.dataReceived(frame(request(f"C{number}")))
        bench.settle()
    assert not transport.disconnecting
    bench.settle(31)
    assert transport.disconnecting


def test_too_many_connections_are_closed_at_once_and_room_comes_back(make: MakeBench) -> None:
    bench = make(connections="2")
    first, second, third = (bench.open() for _ in range(3))
    assert [transport.aborted for _, transport in (first, second, third)] == [False, False, True]
    third[0].connectionLost()
    first[0].connectionLost()
    assert not bench.open()[1].aborted
    assert second[0] in bench.factory.connections


def test_unfinished_messages_share_a_bound(make: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_WAITING_BYTES", 64 * 1024)
    bench = make()
    opened = [bench.open() for _ in range(4)]
    for connection, _ in opened:
        connection.dataReceived(b"\x0bMSH|" + b"x" * 20_000)
    assert [transport.disconnecting for _, transport in opened] == [False, False, False, True]
    opened[0][0].connectionLost()
    assert bench.intake.waiting_bytes < 64 * 1024


def test_a_peer_that_reads_no_replies_is_read_no_more(make: MakeBench) -> None:
    connection, transport = make().open()
    assert transport.producer is connection
    connection.pauseProducing()
    assert transport.producerState == "paused"
    connection.resumeProducing()
    assert transport.producerState == "producing"
    connection.stopProducing()


def test_what_was_received_is_stored_though_the_sender_has_gone(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A")))
    connection.connectionLost()
    bench.settle()
    again, transport = bench.open()
    again.dataReceived(frame(request("A")))
    bench.settle()
    assert codes(transport) == ["AA A"]
    with open_database(str(bench.journal._engine.url)).connect() as store:
        rows = store.exec_driver_sql("SELECT disposition FROM message ORDER BY id").fetchall()
    assert [row[0] for row in rows] == ["accepted", "duplicate"]


def test_closing_waits_for_what_is_not_answered(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A")))
    connection.close_when_answered()
    assert not transport.disconnecting
    bench.settle()
    assert codes(transport) == ["AA A"]
    assert transport.disconnecting


def test_a_store_that_fails_is_said_and_the_same_message_is_taken_later(
    make: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    bench = make()
    connection, transport = bench.open()
    with monkeypatch.context() as broken:
        broken.setattr(
            "hl7auth.store.journal.write",
            _raise(OperationalError("INSERT", {}, Exception("database or disk is full"))),
        )
        connection.dataReceived(frame(request("A")))
        bench.settle()
    assert codes(transport) == ["AE A"]
    connection.dataReceived(frame(request("A")))
    bench.settle()
    assert codes(transport) == ["AE A", "AA A"]


def _raise(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("part", ["DSC|more|F", "ADD|rest of a segment"])
def test_p69_a_fragment_is_never_taken_for_a_message(make: MakeBench, part: str) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A", number="PA1") + part.encode() + b"\r"))
    continued = request("B").replace(b"|P|2.5", b"|P|2.5||more")
    connection.dataReceived(frame(continued))
    bench.settle()
    assert codes(transport) == ["AE A", "AE B"]


def test_one_sender_can_not_fill_the_queue_and_is_answered_in_order(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    other, other_transport = bench.open()
    connection.dataReceived(b"".join(frame(request(f"C{number}")) for number in range(200)))
    assert bench.intake.waiting == bounds.MAX_PENDING
    assert transport.producerState == "paused"
    other.dataReceived(frame(request("OTHER")))
    bench.settle()
    assert codes(other_transport) == ["AA OTHER"]
    for _ in range(20):
        bench.settle()
    assert codes(transport) == [f"AA C{number}" for number in range(200)]
    assert transport.producerState == "producing"


def test_a_peer_that_sends_no_more_still_gets_its_replies(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A")) + frame(request("B"))[:-1])
    connection.readConnectionLost()
    before = transport.disconnecting
    bench.settle()
    assert codes(transport) == ["AA A", "AA B"]
    assert (before, transport.disconnecting) == (False, True)
    connection.writeConnectionLost()


def test_a_message_broken_off_by_the_end_of_the_connection_is_refused(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A"))[:-20])
    connection.readConnectionLost()
    bench.settle()
    assert codes(transport) == ["AR A"]


def test_a_peer_that_never_reads_does_not_keep_its_place(make: MakeBench) -> None:
    bench = make(idle_seconds="30")
    _, transport = bench.open()
    bench.settle(31)
    assert transport.disconnecting
    before = transport.aborted
    bench.settle(bounds.CLOSE_SECONDS)
    assert (before, transport.aborted) == (False, True)


def test_the_time_of_a_message_counts_anew_for_each(make: MakeBench) -> None:
    bench = make(message_seconds="10")
    connection, transport = bench.open()
    halves = [frame(request(f"C{number}")) for number in range(6)]
    connection.dataReceived(halves[0][:40])
    for before, after in pairwise(halves):
        bench.settle(6)
        connection.dataReceived(before[40:] + after[:40])
        bench.settle()
    assert not transport.disconnecting
    assert codes(transport) == [f"AA C{number}" for number in range(5)]


def test_end_blocks_that_trickle_do_not_stop_the_clock(make: MakeBench) -> None:
    bench = make(message_seconds="3")
    connection, transport = bench.open()
    connection.dataReceived(b"\x0bMSH|")
    for _ in range(40):
        connection.dataReceived(b"\x1c")
        bench.settle(0.1)
        connection.dataReceived(b"a")
    assert transport.disconnecting


@pytest.mark.parametrize("block", [b"", b"\x06", b"\x15"])
def test_commit_blocks_of_release_2_are_never_answered(make: MakeBench, block: bytes) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(block) * 3 + frame(request("A")))
    bench.settle()
    assert codes(transport) == ["AA A"]


def test_broken_frames_without_end_end_the_connection(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(b"\x0bMSH" * 5_000)
    for _ in range(10):
        bench.settle()
    assert transport.disconnecting
    assert len(codes(transport)) <= 2 * bounds.MAX_REFUSED


def test_noise_without_end_ends_the_connection(make: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_NOISE", 1_000)
    connection, transport = make().open()
    connection.dataReceived(b"GET / HTTP/1.1 " * 100)
    assert transport.disconnecting


def test_framing_bytes_of_a_sender_never_come_back(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A").replace(b"Acme Health", b"Acme\x1cHealth\x0b")))
    bench.settle()
    assert codes(transport) == ["AA A"]
    assert transport.written.count(b"\x1c") == 1
    assert b"Acme\\X1C\\Health\\X0B\\" in transport.written


@pytest.mark.parametrize("control_id", [b"A\\.br\\B", b"A^B&C", b"\\X1C0D\\"])
def test_msa_2_is_what_was_sent(make: MakeBench, control_id: bytes) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(request("CID").replace(b"|CID|", b"|" + control_id + b"|")))
    bench.settle()
    assert b"\rMSA|AA|" + control_id + b"|pended\r" in transport.written


def test_one_bad_message_costs_no_more_than_its_size(make: MakeBench) -> None:
    """Each of these took seconds to minutes when the report of a fault cost as much as the message."""
    bench = make()
    connection, transport = bench.open()
    head = request("A").rstrip(b"\r")
    connection.dataReceived(frame(request("A").replace(b"|19800102", b"|19800102" + b"|x" * 50_000)))
    connection.dataReceived(frame(request("B").replace(b"PRD|RP|", b"PRD|" + b"~".join([b"ZZ"] * 50_000) + b"|")))
    connection.dataReceived(frame(request("C").replace(b"|19800102", b"|" + b"~".join([b"x"] * 50_000))))
    connection.dataReceived(frame(head.replace(b"|A|", b"|D|") + b"\rZZ1|1" * 9_900 + b"\r"))
    connection.dataReceived(frame(head.replace(b"|A|", b"|E|") + b"\rAUT|" * 9_000 + b"\r"))
    for _ in range(5):
        bench.settle()
    assert [code.split()[1] for code in codes(transport)] == ["A", "B", "C", "D", "E"]
    assert len(transport.written) < 600_000


def test_large_patients_are_not_copied_into_many_authorizations(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    raw = request("A", number="PA1").replace(b"Quill", b"Q" * 200_000).rstrip(b"\r")
    for number in range(40):
        raw += b"\rPR1|1||99213^Visit^C4||20260401\rAUT|GOLD|ACME|Acme|||PB%d||3" % number
    connection.dataReceived(frame(raw + b"\r"))
    bench.settle()
    assert codes(transport) == ["AE A"]


def test_a_locked_database_is_said_to_all_at_once_and_recovers(make: MakeBench, tmp_path: Path) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(request("FIRST")))
    bench.settle()
    with open_database(f"sqlite:///{tmp_path}/store.db").connect() as holder:
        holder.exec_driver_sql("SELECT 1")  # begins IMMEDIATE: the write lock is taken
        connection.dataReceived(b"".join(frame(request(f"C{number}")) for number in range(8)))
        bench.settle()
        assert codes(transport)[1:] == [f"AE C{number}" for number in range(8)]
    connection.dataReceived(frame(request("C0")))
    bench.settle()
    assert codes(transport)[-1] == "AA C0"


def test_a_fault_in_planning_one_message_is_answered_and_hurts_no_other(
    make: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make()
    opened = [bench.open() for _ in range(3)]
    plan = intake.plan

    def brittle(raw: bytes, *rest: Any) -> Plan:
        if b"|C1|" in raw:
            raise RuntimeError("77001")
        return plan(raw, *rest)

    monkeypatch.setattr(lines, "plan", brittle)
    for number, (connection, _) in enumerate(opened):
        connection.dataReceived(frame(request(f"C{number}")))
    bench.settle()
    assert [codes(transport) for _, transport in opened] == [["AA C0"], ["AR C1"], ["AA C2"]]
