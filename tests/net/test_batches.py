"""Batches over MLLP (chapter 2, 2.10.3) in one frame and over several: counted, answered, broken; over a real store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hl7auth.flow.channel import Channel
from hl7auth.net import batches
from hl7auth.wire.ack import read_msa
from hl7auth.wire.batch import split
from hl7auth.wire.framing import Deframer, frame
from tests.engine import channel, request
from tests.net.test_listener import Bench, MakeBench, Transport

FHS = "FHS|^~\\&|EHR|NORTH|PAYER|SOUTH|20260301||day.hl7||F1\r"
BHS = "BHS|^~\\&|EHR|NORTH|PAYER|SOUTH|20260301||day||B1\r"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeBench]:
    yield from makers(tmp_path)


def makers(folder: Path) -> Iterator[MakeBench]:
    """Makes listeners on one store, and lets go of it at the end."""
    made: list[Bench] = []

    def build(**changes: str) -> Bench:
        made.append(Bench(folder, **changes))
        return made[-1]

    yield build
    for each in made:
        each.journal.close()


def bounded(bench: Bench, **bounds: int) -> Bench:
    """The same with other bounds on batches."""
    file = bench.factory.channel.file
    agreed = file.protocol.model_copy(update={"batch": file.protocol.batch.model_copy(update=bounds)})
    bench.factory.channel = Channel(file=file.model_copy(update={"protocol": agreed}), path=bench.factory.channel.path)
    return bench


def batch(*messages: bytes, count: str = "", head: str = BHS) -> bytes:
    return head.encode() + b"".join(messages) + f"BTS|{count}\r".encode()


def three() -> list[bytes]:
    return [request(f"C{number}", f"PA{number}") for number in range(3)]


BAD = request("BAD", "PA9").replace(b"|ACME|", b"||")


def replies(transport: Transport) -> list[str]:
    """Everything that was written so far, frame by frame."""
    return [received.payload.decode("latin_1") for received in Deframer().feed(transport.written)]


def lines(text: str) -> list[str]:
    """The lines of a batch, of each message only MSA-1 and MSA-2."""
    found = []
    for line in text.rstrip("\r").split("\r"):
        if line.startswith("MSA"):
            found.append(" ".join(line.split("|")[1:3]))
        elif line[:3] in ("FHS", "BHS", "BTS", "FTS"):
            fields = line.split("|")
            if line[1:3] == "HS":
                fields[6] = fields[10] = "*"
            found.append("|".join(fields))
    return found


def stored(bench: Bench) -> list[tuple[str, str, str]]:
    bench.journal.close()
    with bench.journal._engine.connect() as connection:
        sql = "SELECT message_type, control_id, disposition FROM message ORDER BY id"
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def settle(bench: Bench) -> None:
    for _ in range(8):
        bench.settle()


def said(bench: Bench, *frames: bytes) -> list[str]:
    connection, transport = bench.open()
    for each in frames:
        connection.dataReceived(frame(each))
        settle(bench)
    return replies(transport)


def test_a_batch_in_one_frame_is_answered_by_a_batch(make: MakeBench) -> None:
    bench = make(batches="take")
    (reply,) = said(bench, batch(three()[0], BAD, three()[1], count="3"))
    assert lines(reply) == [
        "BHS|^~\\&|PAYER|SOUTH|EHR|NORTH|*||||*|B1",
        "AA C0",
        "AE BAD",
        "AA C1",
        "BTS|3|3 messages: 2 accepted, 1 refused",
    ]
    assert len(split(reply.encode()).messages) == 3
    assert stored(bench) == [
        ("RQA", "C0", "accepted"),
        ("RQA", "BAD", "refused"),
        ("RQA", "C1", "accepted"),
        ("BHS", "B1", "batch"),
    ]


def test_the_reply_is_on_disk_and_the_batch_knows_its_messages(make: MakeBench) -> None:
    bench = make(batches="take")
    (reply,) = said(bench, batch(*three(), count="3"))
    bench.journal.close()
    with bench.journal._engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT id, raw, reply, code FROM message WHERE disposition = 'batch'").all()
        parts = connection.exec_driver_sql("SELECT whole, number FROM message_part ORDER BY number").all()
    assert [(row[1], row[2], row[3]) for row in rows] == [((BHS + "BTS|3\r").encode(), reply.encode(), "AA")]
    assert [tuple(row) for row in parts] == [(rows[0][0], number) for number in (1, 2, 3)]


def test_p70_a_wrong_count_is_told_and_every_message_applied(make: MakeBench) -> None:
    bench = make(batches="take")
    (reply,) = said(bench, batch(*three(), count="4"))
    assert lines(reply)[1:] == [
        "AA C0",
        "AA C1",
        "AA C2",
        "AE B1",
        "BTS|4|3 messages: 3 accepted; BTS-1 says 4 messages, 3 found",
    ]
    assert "ERR||BTS^1|207^" in reply
    assert stored(bench)[3] == ("BHS", "B1", "batch")


def test_a_file_of_batches(make: MakeBench) -> None:
    one, two, more = three()
    data = FHS.encode() + batch(one, two, count="2") + batch(more, count="1", head=BHS.replace("B1", "B2")) + b"FTS|2\r"
    (reply,) = said(make(batches="take"), data)
    assert lines(reply) == [
        "FHS|^~\\&|PAYER|SOUTH|EHR|NORTH|*||||*|F1",
        "BHS|^~\\&|PAYER|SOUTH|EHR|NORTH|*||||*|B1",
        "AA C0",
        "AA C1",
        "BTS|2|2 messages: 2 accepted",
        "BHS|^~\\&|PAYER|SOUTH|EHR|NORTH|*||||*|B2",
        "AA C2",
        "BTS|1|1 messages: 1 accepted",
        "FTS|2",
    ]


def test_a_wrong_number_of_batches_is_told_at_the_end(make: MakeBench) -> None:
    (reply,) = said(make(batches="take"), FHS.encode() + batch(*three()) + b"FTS|3\r")
    assert lines(reply)[-1] == "FTS|1|FTS-1 says 3 batches, 1 found"


def test_a_batch_over_several_frames_is_answered_once_at_its_end(make: MakeBench) -> None:
    one, two, more = three()
    frames = [FHS.encode(), BHS.encode(), one, two + more, b"BTS|3\r", b"FTS|1\r"]
    found = said(make(batches="take"), *frames)
    assert [lines(each)[0][:3] for each in found] == ["FHS"]
    assert lines(found[0])[2:5] == ["AA C0", "AA C1", "AA C2"]


def test_frames_behind_a_batch_wait_for_its_answer(make: MakeBench) -> None:
    bench = make(batches="take")
    connection, transport = bench.open()
    many = [request(f"M{number}") for number in range(100)]
    connection.dataReceived(frame(batch(*many, count="100")) + frame(request("AFTER")))
    settle(bench)
    first, second = replies(transport)
    assert lines(first)[-1] == "BTS|100|100 messages: 100 accepted"
    assert lines(second) == ["AA AFTER"]


def test_only_errors_or_each_or_none_where_the_channel_says_so(make: MakeBench) -> None:
    data = batch(three()[0], BAD, count="2")
    (errors,) = said(make(batches="take", replies="errors"), data)
    assert lines(errors)[1:] == ["AE BAD", "BTS|1|2 messages: 1 accepted, 1 refused"]
    *each, end = said(make(batches="take", replies="each"), data)
    assert [lines(one) for one in each] == [["AA C0"], ["AE BAD"]]
    assert lines(end)[1:] == ["BTS|0|2 messages: 1 duplicate, 1 refused"]
    assert said(make(batches="take", replies="none"), data) == []


def test_the_same_batch_again_gets_the_stored_replies(make: MakeBench) -> None:
    data = batch(*three(), count="3")
    first, again = said(make(batches="take"), data, data)
    assert lines(again)[1:4] == lines(first)[1:4]
    assert lines(again)[4] == "BTS|3|3 messages: 3 duplicate"


def test_a_batch_without_trailer_is_answered_when_nothing_more_comes(make: MakeBench) -> None:
    bench = make(batches="take")
    connection, transport = bench.open()
    connection.dataReceived(frame(BHS.encode() + three()[0]))
    settle(bench)
    assert replies(transport) == []
    bench.settle(30)
    settle(bench)
    (reply,) = replies(transport)
    said_last = "nothing more came for 30 s, and no trailer (BTS, FTS)"
    assert lines(reply)[1:] == ["AA C0", "AE B1", f"BTS|2|1 messages: 1 accepted; {said_last}"]
    connection.dataReceived(frame(three()[1]))
    settle(bench)
    assert lines(replies(transport)[1]) == ["AA C1"]  # the batch is over


def test_a_lost_connection_leaves_the_batch_in_the_archive(make: MakeBench) -> None:
    bench = make(batches="take")
    connection, _ = bench.open()
    connection.dataReceived(frame(BHS.encode() + three()[0] + three()[1]))
    connection.connectionLost()
    settle(bench)
    bench.journal.close()
    with bench.journal._engine.connect() as connection_:
        row = connection_.exec_driver_sql("SELECT code, reply FROM message WHERE disposition = 'batch'").one()
    assert row[0] == "AE"
    assert b"2 messages: 2 accepted; the connection was lost before the trailer" in row[1]


def test_a_half_closed_connection_gets_the_answer_to_its_open_batch(make: MakeBench) -> None:
    bench = make(batches="take")
    connection, transport = bench.open()
    connection.dataReceived(frame(BHS.encode() + three()[0]))
    connection.readConnectionLost()
    settle(bench)
    assert lines(replies(transport)[0])[1] == "AA C0"
    assert transport.disconnecting


def test_a_new_header_ends_the_batch_before_it(make: MakeBench) -> None:
    one, two, _ = three()
    data = BHS.encode() + one + BHS.replace("B1", "B2").encode() + two + b"BTS|1\r"
    first, second = said(make(batches="take"), data)
    assert lines(first)[1:] == ["AA C0", "BTS|1|1 messages: 1 accepted"]
    assert lines(second)[1:] == ["AA C1", "BTS|1|1 messages: 1 accepted"]


def test_a_trailer_of_nothing_is_answered_too(make: MakeBench) -> None:
    (reply,) = said(make(batches="take"), b"BTS|2\r")
    assert lines(reply)[0][:3] == "BHS"
    assert lines(reply)[-1] == "BTS|1|0 messages; BTS-1 says 2 messages, 0 found"


def test_what_is_no_message_is_refused_within_the_batch(make: MakeBench) -> None:
    (reply,) = said(make(batches="take"), BHS.encode() + b"MSH|nonsense\r" + b"BTS|1\r")
    assert lines(reply)[1] == "AR "
    assert lines(reply)[2] == "BTS|1|1 messages: 1 refused"


def test_a_batch_that_is_too_large_says_what_was_applied_and_ends_the_connection(make: MakeBench) -> None:
    bench = bounded(make(batches="take"), messages=2)
    connection, transport = bench.open()
    connection.dataReceived(frame(batch(*three(), count="3")) + frame(request("AFTER")))
    settle(bench)
    (reply,) = replies(transport)
    assert lines(reply)[1:3] == ["AA C0", "AA C1"]
    assert "2 messages: 2 accepted; more than 2 messages or" in lines(reply)[-1]
    assert transport.disconnecting


def test_a_trailer_of_nothing_is_answered_in_a_sentence(make: MakeBench) -> None:
    (reply,) = said(make(batches="take"), b"FTS|0\r")
    assert [line.split("|", 2)[0] for line in lines(reply)] == ["FHS", "FTS"]
    assert lines(reply)[-1] == "FTS|0|FTS came without FHS, and without a batch before it"


def test_what_only_looks_like_a_batch_is_a_message_that_is_none(make: MakeBench) -> None:
    bench = make(batches="take")
    (reply,) = said(bench, b"BHSaaaaa")
    assert reply.startswith("MSH|")
    assert "MSA|AR|" in reply
    assert [row[2] for row in stored(bench)] == ["refused"]


def test_a_header_without_end_is_neither_read_nor_told_back(make: MakeBench) -> None:
    long = f"BHS|^~\\&|EHR|NORTH|{'P' * batches.LONGEST_HEAD}|SOUTH|20260301||day||B1\r"
    (reply,) = said(make(batches="take"), batch(*three(), count="3", head=long))
    assert lines(reply)[1:4] == ["AA C0", "AA C1", "AA C2"]
    assert (
        lines(reply)[-1]
        == f"BTS|4|3 messages: 3 accepted; BHS is longer than {batches.LONGEST_HEAD} bytes and was not read"
    )
    assert "PPP" not in reply


def test_many_empty_batches_are_bounded_too(make: MakeBench) -> None:
    bench = bounded(make(batches="take"), messages=50)
    connection, transport = bench.open()
    connection.dataReceived(frame(FHS.encode() + b"BHS|^~\\&\r" * 5_000))
    settle(bench)
    assert len(replies(transport)) == 1
    assert transport.disconnecting


def test_thousands_of_frames_at_once_end_no_process(make: MakeBench) -> None:
    bench = bounded(make(batches="take"), messages=5000)
    connection, transport = bench.open()
    connection.dataReceived(frame(FHS.encode()) + frame(b"BHS|^~\\&\r") * 3_000 + frame(b"FTS|3000\r"))
    settle(bench)
    (reply,) = replies(transport)
    assert lines(reply)[-1] == "FTS|3000"


def test_a_channel_that_takes_no_batches_says_so(make: MakeBench) -> None:
    (reply,) = said(make(), batch(*three(), count="3"))
    assert "batches (FHS, BHS) are not taken by this channel" in reply


def test_one_batch_keeps_no_other_connection_waiting(make: MakeBench) -> None:
    bench = make(batches="take")
    loud, _ = bench.open()
    quiet, transport = bench.open()
    loud.dataReceived(frame(batch(*[request(f"M{number}") for number in range(200)], count="200")))
    quiet.dataReceived(frame(request("Q")))
    bench.settle()
    assert lines(replies(transport)[0]) == ["AA Q"]
    settle(bench)
    assert bench.intake.waiting == 0
    assert batches.WINDOW < 200


def test_an_open_batch_ends_under_the_version_it_began_under_and_its_connection_stays(
    make: MakeBench, tmp_path: Path
) -> None:
    bench = make(batches="take")
    connection, transport = bench.open()
    connection.dataReceived(frame(BHS.encode() + three()[0]))
    settle(bench)
    before = bench.factory.channel
    bench.factory.become(channel(tmp_path, batches="take", replies="errors"))
    assert bench.factory.channel.version != before.version
    connection.dataReceived(frame(BAD) + frame(b"BTS|2\r"))
    settle(bench)
    connection.dataReceived(frame(batch(three()[1], BAD, count="2", head=BHS.replace("B1", "B2"))))
    settle(bench)
    first, second = replies(transport)
    assert lines(first)[1:] == ["AA C0", "AE BAD", "BTS|2|2 messages: 1 accepted, 1 refused"]
    assert lines(second)[1:] == ["AE BAD", "BTS|1|2 messages: 1 accepted, 1 refused"]
    assert not transport.disconnecting
    bench.journal.close()
    with bench.journal._engine.connect() as store:
        sql = "SELECT channel_version FROM message WHERE disposition = 'batch' ORDER BY id"
        versions = [row[0] for row in store.exec_driver_sql(sql)]
    assert versions == [before.version, bench.factory.channel.version]


def test_a_batch_under_way_goes_on_while_its_channel_changes(make: MakeBench, tmp_path: Path) -> None:
    bench = make(batches="take")
    connection, transport = bench.open()
    count = batches.WINDOW + 20
    data = batch(*[request(f"M{number}") for number in range(count)], count=str(count))
    connection.dataReceived(frame(data) + frame(request("AFTER")))
    assert bench.intake.waiting
    bench.intake.plan_waiting()
    bench.factory.become(channel(tmp_path, batches="take", title="Another"))
    settle(bench)
    first, second = replies(transport)
    assert lines(first)[-1] == f"BTS|{count}|{count} messages: {count} accepted"
    assert lines(second) == ["AA AFTER"]
    assert not transport.disconnecting


def test_connections_end_answered_where_batches_are_no_longer_taken(make: MakeBench, tmp_path: Path) -> None:
    bench = make(batches="take")
    connection, transport = bench.open()
    connection.dataReceived(frame(BHS.encode() + three()[0]))
    settle(bench)
    bench.factory.become(channel(tmp_path))
    settle(bench)
    (reply,) = replies(transport)
    assert lines(reply)[1] == "AA C0"
    assert "the connection was closed before the trailer" in lines(reply)[-1]
    assert transport.disconnecting


_PIECES = st.lists(
    st.sampled_from([FHS, BHS, "BTS|1\r", "FTS|1\r", "m", "n", "\x0b", "\x1c", "BHS\r", "PID|x\r"]), max_size=12
)


@given(_PIECES, st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_comes_is_answered_and_ends(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], lost: bool
) -> None:
    folder: Path = tmp_path_factory.mktemp("batch")
    bench = Bench(folder, batches="take", sequence="check", continuation="join")
    connection, transport = bench.open()
    names = iter(range(100))
    data = "".join(request(f"C{next(names)}").decode() if each == "m" else each for each in pieces)
    connection.dataReceived(frame(data.encode()) + frame(request("LAST")))
    settle(bench)
    if lost:
        connection.connectionLost()
    else:
        bench.settle(31)
    settle(bench)
    found = "".join(replies(transport))
    assert bench.intake.waiting == 0
    if not lost:
        assert "|LAST" in found or transport.disconnecting
    for text in replies(transport):
        for raw in split(text.encode("latin_1")).messages:
            assert read_msa(raw.decode("latin_1")) is not None
    bench.journal.close()
