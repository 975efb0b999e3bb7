"""The sending side: which replies a message calls for, and what is made of those that come."""

import socket
import threading
from collections.abc import Callable

import pytest

from hl7auth.errors import UserError
from hl7auth.net.sender import Expected, expected_replies, send_all
from hl7auth.wire.framing import Deframer, frame
from tests.engine import answer, message, msh, request


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (request("C1"), Expected(1, True)),
        (request("C1", modes=("AL", "AL")), Expected(2, True)),
        (request("C1", modes=("NE", "AL")), Expected(1, True)),
        (request("C1", modes=("ER", "SU")), Expected(1, True)),
        (request("C1", modes=("NE", "NE")), Expected(0, False)),
        (request("C1", modes=("AL", "NE")), Expected(1, True)),
        (answer("P1", "C1"), Expected(0, True)),
        (answer("P1", "C1", modes=("ER", "ER")), Expected(0, True)),
        (answer("P1", "C1", modes=("SU", "NE")), Expected(1, False)),
        (message(msh(kind="ACK"), "MSA|AA|1"), Expected(0, False)),
        (b"no message", Expected(1, True)),
    ],
)
def test_what_a_message_calls_for(raw: bytes, expected: Expected) -> None:
    assert expected_replies(raw) == expected


class Peer:
    """A listener of one connection that answers each message by a function."""

    def __init__(self, reply: Callable[[int], bytes]) -> None:
        self.received: list[bytes] = []
        self._reply = reply
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            deframer = Deframer()
            while data := connection.recv(65536):
                for received in deframer.feed(data):
                    self.received.append(received.payload)
                    reply = self._reply(len(self.received))
                    if not reply:
                        return
                    connection.sendall(reply)

    def close(self) -> None:
        self._server.close()
        self._thread.join(timeout=10)


def ack(code: str, control_id: str = "C1") -> bytes:
    return frame(f"MSH|^~\\&|A|B|C|D|2026||ACK|9|P|2.5\rMSA|{code}|{control_id}\r".encode())


def send(reply: Callable[[int], bytes], *raws: bytes, timeout: float = 2) -> tuple[list[str], list[bytes]]:
    peer = Peer(reply)
    try:
        sent = send_all("127.0.0.1", peer.port, [("f", raw) for raw in raws], timeout)
    finally:
        peer.close()
    return [f"{each.good} {each.verdict}" for each in sent], peer.received


def test_each_message_waits_for_the_reply_to_the_one_before() -> None:
    verdicts, received = send(lambda n: ack("AA" if n == 1 else "AE", f"C{n}"), request("C1"), request("C2"))
    assert verdicts == ["True AA", "False AE"]
    assert received == [request("C1"), request("C2")]


def test_a_commit_and_an_answer_are_both_waited_for() -> None:
    both = send(lambda _: ack("CA") + ack("AA"), request("C1", modes=("AL", "AL")))[0]
    assert both == ["True CA, AA"]
    one = send(lambda _: ack("CA"), request("C1", modes=("AL", "AL")), timeout=0.3)[0]
    assert one == ["False CA, and a further reply is missing"]


def test_a_negative_commit_ends_the_waiting() -> None:
    assert send(lambda _: ack("CE"), request("C1", modes=("AL", "AL")))[0] == ["False CE"]


def test_no_reply_a_lost_connection_and_a_strange_reply_are_told_apart() -> None:
    assert send(lambda _: b"", request("C1"))[0] == ["False no reply"]
    assert send(lambda _: frame(b"hello"), request("C1"))[0] == ["False not an HL7 reply"]
    assert send(lambda _: ack("AE"), answer("P1", "C1"))[0] == ["False AE"]


def test_nobody_there_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UserError, match="connection refused"):
        send_all("127.0.0.1", port, [("f", request("C1"))], 1)


def test_batches_and_parts_call_for_other_replies() -> None:
    part = request("C1", modes=("AL", "AL")) + b"DSC|K1\r"
    assert expected_replies(part) == Expected(1, True)
    assert expected_replies(request("C1") + b"DSC|K1\r") == Expected(1, True)
    assert expected_replies(b"BHS|^~\\&\r" + request("C1")) == Expected(1, True)


@pytest.mark.parametrize(("code", "said"), [("AA", "True AA, AA"), ("AE", "False AA, AE")])
def test_a_batch_of_replies_is_judged_by_what_is_in_it(code: str, said: str) -> None:
    one, other = (f"MSH|^~\\&\rMSA|{each}|C1\r" for each in ("AA", code))
    reply = frame(f"BHS|^~\\&\r{one}{other}BTS|2\r".encode())
    assert send(lambda _: reply, b"BHS|^~\\&\r" + request("C1") + b"BTS|1\r")[0] == [said]


def test_commit_blocks_are_answered_and_no_replies() -> None:
    answers = {1: frame(b"\x06") + ack("AA")}
    said, received = send(lambda count: answers.get(count, b""), request("C1"))
    assert (said, received[1:]) == (["True AA"], [b"\x06"])


def test_nak_is_said() -> None:
    assert send(lambda _: frame(b"\x15"), request("C1"))[0] == ["False not committed (NAK), to be sent again"]
