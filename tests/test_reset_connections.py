"""Senders that reset their connection with messages under way: nobody else goes without a reply."""

import socket
import struct
from pathlib import Path

from tests.engine import request
from tests.serving import Line, Serving

_RESET = struct.pack("ii", 1, 0)
MANY, FEW = 200, 16


def reset(line: Line) -> None:
    line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    line.close()


def test_a_connection_that_is_reset_takes_no_reply_from_another(tmp_path: Path) -> None:
    with Serving(tmp_path, 1) as serving:
        for turn in range(3):
            with Line(serving.port) as rude, Line(serving.port) as polite:
                polite.socket.settimeout(5)
                rude.send(*(request(f"R{turn}-{number}") for number in range(MANY)))
                rude.reply()
                polite.send(*(request(f"P{turn}-{number}") for number in range(FEW)))
                reset(rude)
                assert [polite.reply() for _ in range(FEW)] == [f"AA P{turn}-{number}" for number in range(FEW)]
