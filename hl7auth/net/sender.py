"""Sending files of messages over one MLLP connection, each after the reply to the one before.

Imports wire, flow.handshake, flow.tls, net.tls_blocking, errors and sockets.

A plain blocking socket: this is a person's command, with one connection and nothing beside it.
"""

import socket
import time
from collections.abc import Sequence
from pathlib import Path
from ssl import SSLContext
from typing import Any, NamedTuple

from hl7auth.errors import Fault, UserError
from hl7auth.flow.handshake import ORIGINAL, Handshake, handshake
from hl7auth.flow.tls import ClientTls
from hl7auth.net.tls_blocking import client_context
from hl7auth.wire.ack import Msa, read_msa
from hl7auth.wire.batch import split
from hl7auth.wire.framing import Deframer, frame
from hl7auth.wire.message import parse

_ACK, _NAK = b"\x06", b"\x15"
"""Commit blocks of MLLP release 2."""

QUIET_SECONDS = 0.5
"""How long to listen where a reply comes only if something is wrong."""


class Sent(NamedTuple):
    """One message that was sent: the replies it got, and whether they are what its header asks for."""

    source: str
    control_id: str
    replies: tuple[bytes, ...]
    good: bool
    verdict: str

    def entry(self) -> dict[str, Any]:
        """As plain data."""
        replies = [reply.decode("utf-8", "replace") for reply in self.replies]
        return {
            "file": self.source,
            "control_id": self.control_id,
            "good": self.good,
            "verdict": self.verdict,
            "replies": replies,
        }


class Expected(NamedTuple):
    """How many replies a message gets when all is well, and whether a bad one gets any."""

    when_good: int
    when_bad: bool


def send_all(
    host: str, port: int, messages: Sequence[tuple[str, bytes]], timeout: float, tls: ClientTls | None = None
) -> list[Sent]:
    """Sends (source, message) pairs in order; stops waiting for a reply after `timeout` seconds. Raises UserError.

    The files of `tls` are relative to the working directory.
    """
    around = None if tls is None else client_context(tls, Path(), _no_option)
    try:
        connection = socket.create_connection((host, port), timeout)
        if around is not None and tls is not None:
            connection = _secured(connection, around, tls.server_name or host)
    except OSError as error:
        reason = getattr(error, "verify_message", "") or (error.strerror or str(error)).lower()
        raise UserError(f"can not connect to {host}:{port}: {reason}") from None
    with connection:
        deframer = Deframer()
        return [_send(connection, deframer, source, raw, timeout) for source, raw in messages]


def _secured(connection: socket.socket, around: SSLContext, name: str) -> socket.socket:
    try:
        return around.wrap_socket(connection, server_hostname=name)
    except BaseException:
        connection.close()
        raise


def _no_option(key: str, text: str) -> UserError:
    return UserError(f"--{key}: {text}")


def expected_replies(raw: bytes) -> Expected:
    """What MSH-15, MSH-16 and the kind of message call for; an answer (with MSA) is not answered in original mode.

    A batch is answered by one; a part of a continued message that is not the last gets no application's answer.
    """
    if raw.startswith((b"FHS", b"BHS")):
        return Expected(1, True)
    try:
        message = parse(raw)
    except Fault:
        return Expected(1, True)
    shake = handshake(message.header)
    if message.header.message_type in ("ACK", "MCF"):
        return Expected(0, False)
    answers = message.first("MSA") is not None
    goes_on = message.first("DSC") is not None and shake.enhanced
    application = shake.application_due(True) and not answers and not goes_on
    return Expected(shake.accept_due(True) + application, _bad_is_answered(shake))


def _bad_is_answered(shake: Handshake) -> bool:
    return shake == ORIGINAL or shake.accept_due(False) or shake.application_due(False)


def _send(connection: socket.socket, deframer: Deframer, source: str, raw: bytes, timeout: float) -> Sent:
    expected = expected_replies(raw)
    try:
        connection.sendall(frame(raw))
        replies = _receive(connection, deframer, expected, timeout)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return Sent(source, _control_id(raw), (), False, f"connection lost: {reason}")
    if replies == [_NAK]:
        return Sent(source, _control_id(raw), (), False, "not committed (NAK), to be sent again")
    return _judge(source, raw, replies, expected)


def _receive(connection: socket.socket, deframer: Deframer, expected: Expected, timeout: float) -> list[bytes]:
    if expected == (0, False):
        return []
    replies: list[bytes] = []
    commits = False
    deadline = time.monotonic() + (timeout if expected.when_good else QUIET_SECONDS)
    while len(replies) < max(expected.when_good, 1):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        connection.settimeout(left)
        try:
            data = connection.recv(65_536)
        except TimeoutError:
            break
        if not data:
            break
        blocks = [received.payload for received in deframer.feed(data)]
        if _NAK in blocks:
            return [_NAK]
        commits = commits or _ACK in blocks
        replies += [block for block in blocks if block != _ACK]
        if commits:  # MLLP release 2: our peer's replies are blocks too
            connection.sendall(frame(_ACK) * sum(block != _ACK for block in blocks))
        if any((msa := _msa(reply)) is not None and not msa.positive for reply in replies):
            break
    return replies


def _judge(source: str, raw: bytes, replies: list[bytes], expected: Expected) -> Sent:
    if raw.startswith((b"FHS", b"BHS")):
        inside = [message for reply in replies for message in split(reply).messages]
        if inside and replies[0].startswith((b"FHS", b"BHS")):
            return _judge(source, b"", inside, Expected(1, True))._replace(replies=tuple(replies))
    found = [_msa(reply) for reply in replies]
    codes = [msa.code if msa else "not an HL7 reply" for msa in found]
    enough = len(replies) >= expected.when_good
    positive = all(msa is not None and msa.positive for msa in found)
    if not replies:
        verdict = "no reply, as its header asks" if enough else "no reply"
    else:
        verdict = ", ".join(codes) + ("" if enough or not positive else ", and a further reply is missing")
    return Sent(source, _control_id(raw), tuple(replies), positive and enough, verdict)


def _msa(reply: bytes) -> Msa | None:
    return read_msa(reply.decode("latin_1"))


def _control_id(raw: bytes) -> str:
    try:
        return parse(raw).header.control_id
    except Fault:
        return ""
