"""MLLP release 2: SB ACK EB and SB NAK EB, of ours and of the peer's; over a real store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hl7auth.net import courier
from hl7auth.store.database import open_database
from hl7auth.wire.framing import frame
from tests.engine import channel, request
from tests.net.test_batches import BHS, batch, lines, makers, replies, settle, three
from tests.net.test_listener import MakeBench

ACK, NAK = b"\x06", b"\x15"
BOTH = ("AL", "AL")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeBench]:
    yield from makers(tmp_path)


def shown(found: list[str]) -> list[str]:
    """Commit blocks by name, replies by MSA, batches by their first line."""
    names = {"\x06": "ACK", "\x15": "NAK"}
    return [names.get(text) or lines(text)[0][:9] for text in found]


def test_a_message_is_committed_before_it_is_answered(make: MakeBench) -> None:
    bench = make(commit_blocks="true")
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A")))
    assert transport.written == b""
    bench.settle()
    assert transport.written.startswith(b"\x0b\x06\x1c\x0d\x0bMSH")
    assert shown(replies(transport)) == ["ACK", "AA A"]


def test_the_next_reply_waits_for_the_commit_of_the_one_before(make: MakeBench) -> None:
    bench = make(commit_blocks="true")
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A", modes=BOTH)))
    bench.settle()
    assert shown(replies(transport)) == ["ACK", "CA A"]
    connection.dataReceived(frame(ACK))
    bench.settle()
    assert shown(replies(transport)) == ["ACK", "CA A", "AA A"]
    connection.dataReceived(frame(ACK) + frame(ACK))
    bench.settle()
    assert shown(replies(transport)) == ["ACK", "CA A", "AA A"]  # what was not asked for is no message


def test_a_change_of_the_channel_loses_no_commit_and_no_connection(make: MakeBench, tmp_path: Path) -> None:
    bench = make(commit_blocks="true")
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A", modes=BOTH)) + frame(request("B")))
    bench.intake.plan_waiting()
    bench.factory.become(channel(tmp_path, commit_blocks="true", title="Another"))
    bench.settle()
    assert shown(replies(transport)) == ["ACK", "CA A", "ACK"]
    connection.dataReceived(frame(ACK) + frame(ACK) + frame(ACK) + frame(request("C")))
    bench.settle()
    assert shown(replies(transport)) == ["ACK", "CA A", "ACK", "AA A", "AA B", "ACK", "AA C"]
    assert not transport.disconnecting


def test_a_reply_that_is_not_taken_is_sent_again_a_few_times(make: MakeBench) -> None:
    bench = make(commit_blocks="true")
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A", modes=BOTH)))
    bench.settle()
    for _ in range(courier.MAX_TIMES):
        connection.dataReceived(frame(NAK))
    bench.settle()
    assert shown(replies(transport)) == ["ACK", *["CA A"] * courier.MAX_TIMES, "AA A"]


def test_a_peer_that_never_commits_gets_the_rest_in_time(make: MakeBench) -> None:
    bench = make(commit_blocks="true")
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A", modes=BOTH)))
    bench.settle()
    bench.settle(courier.COMMIT_SECONDS)
    assert shown(replies(transport)) == ["ACK", "CA A", "AA A"]


def test_what_could_not_be_stored_gets_nak_and_no_reply(make: MakeBench, tmp_path: Path) -> None:
    bench = make(commit_blocks="true")
    connection, transport = bench.open()
    connection.dataReceived(frame(request("FIRST")) + frame(ACK))
    bench.settle()
    with open_database(f"sqlite:///{tmp_path}/store.db").connect() as holder:
        holder.exec_driver_sql("SELECT 1")  # begins IMMEDIATE: the write lock is taken
        connection.dataReceived(frame(request("A")))
        bench.settle()
    connection.dataReceived(frame(request("A")))
    bench.settle()
    connection.dataReceived(frame(ACK))
    bench.settle()
    assert shown(replies(transport)) == ["ACK", "AA FIRST", "NAK", "ACK", "AA A"]


def test_a_block_that_did_not_come_whole_gets_nak(make: MakeBench) -> None:
    bench = make(commit_blocks="true", max_bytes="1024")
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A") + b"NTE|1||" + b"x" * 2_000 + b"\r") + frame(request("B")))
    bench.settle()
    assert shown(replies(transport)) == ["NAK", "ACK", "AA B"]


def test_refused_messages_are_committed_too(make: MakeBench) -> None:
    bench = make(commit_blocks="true")
    connection, transport = bench.open()
    connection.dataReceived(frame(b"garbage\r"))
    bench.settle()
    assert shown(replies(transport)) == ["ACK", "AR "]


def test_a_batch_gets_one_commit_block_for_each_frame(make: MakeBench) -> None:
    bench = make(commit_blocks="true", batches="take")
    connection, transport = bench.open()
    for each in (batch(*three(), count="3"), BHS.encode(), three()[0], b"BTS|1\r"):
        connection.dataReceived(frame(each))
        settle(bench)
        connection.dataReceived(frame(ACK))
    settle(bench)
    assert shown(replies(transport)) == ["ACK", "BHS|^~\\&|", "ACK", "ACK", "ACK", "BHS|^~\\&|"]


def test_a_batch_that_could_not_be_stored_gets_nak_and_may_come_again(make: MakeBench, tmp_path: Path) -> None:
    bench = make(commit_blocks="true", batches="take")
    connection, transport = bench.open()
    connection.dataReceived(frame(request("FIRST")))
    bench.settle()
    connection.dataReceived(frame(ACK))
    with open_database(f"sqlite:///{tmp_path}/store.db").connect() as holder:
        holder.exec_driver_sql("SELECT 1")
        connection.dataReceived(frame(batch(*three(), count="3")))
        settle(bench)
    connection.dataReceived(frame(batch(*three(), count="3")))
    settle(bench)
    found = replies(transport)
    assert shown(found) == ["ACK", "AA FIRST", "NAK", "ACK", "BHS|^~\\&|"]
    assert lines(found[-1])[-1] == "BTS|3|3 messages: 3 accepted"


def test_without_the_key_commit_blocks_are_read_and_never_answered(make: MakeBench) -> None:
    bench = make()
    connection, transport = bench.open()
    connection.dataReceived(frame(request("A")) + frame(ACK) + frame(NAK))
    bench.settle()
    assert shown(replies(transport)) == ["AA A"]
    assert bench.intake.waiting == 0


def test_replies_for_a_peer_that_commits_none_are_bounded(make: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "MAX_WAITING", 1_000)
    bench = make(commit_blocks="true")
    connection, transport = bench.open()
    sent = 0
    while not transport.disconnecting and sent < 20:
        connection.dataReceived(frame(request(f"C{sent}")))
        bench.settle()
        sent += 1
    # the end comes long before the twentieth, and with a reply to everything that was sent
    answered = [text for text in shown(replies(transport)) if text.startswith("AA")]
    assert 2 < sent < 20
    assert answered == [f"AA C{number}" for number in range(sent)]
