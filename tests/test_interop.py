"""Other people's software against the engine in a process of its own: python-hl7's mllp_send, and two packages of Node.

What listens for the engine (python-hl7's asyncio server, hl7apy's MLLP server) is in tests/net/test_outgoing.py.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import NODE_MISSING, PEERS
from tests.engine import request
from tests.outbox import Outbox, raw
from tests.serving import Serving

node = pytest.mark.skipif(bool(NODE_MISSING), reason=NODE_MISSING)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("engine"), 1) as serving:
        yield serving


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    found = Outbox(tmp_path)
    yield found
    found.close()


def by_node(mode: str, engine: Serving, file: Path) -> list[str]:
    """What a program in Node got, a text each."""
    command = [str(shutil.which("node")), "peer.mjs", mode, str(engine.port), str(file)]
    done = subprocess.run(command, cwd=PEERS, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "message.hl7"
    path.write_bytes(request("C1", "PA1"))
    return path


def test_mllp_send_of_python_hl7_gets_the_answer(engine: Serving, file: Path) -> None:
    program = Path(sys.executable).with_name("mllp_send")
    command = [str(program), "--port", str(engine.port), "--file", str(file), "--loose", "127.0.0.1"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert b"MSA|AA|C1" in done.stdout
    assert b"RPA^I08" in done.stdout


@node
@pytest.mark.parametrize("mode", ["medplum-send", "client-send"])
def test_clients_of_node_get_the_answer(mode: str, engine: Serving, file: Path) -> None:
    (reply,) = by_node(mode, engine, file)
    assert "RPA^I08" in reply
    assert "MSA|AA|C1" in reply


@node
def test_a_batch_that_node_builds_is_taken(file: Path, tmp_path: Path) -> None:
    # node-hl7-client reads no batch of replies, only messages
    with Serving(tmp_path, 1, batches="take", replies="each") as engine:
        (first,) = by_node("client-batch", engine, file)
    assert "MSA|AA|C1" in first
    taken = engine.rows("SELECT control_id, code, reply FROM message WHERE disposition = 'batch'")
    assert [(row[0], row[1]) for row in taken] == [("B1", "AA")]
    assert b"2 messages: 2 accepted" in taken[0][2]


@node
def test_a_listener_of_node_gets_every_message_in_order(outbox: Outbox) -> None:
    outbox.put(*[("lane", raw(f"C{at}")) for at in range(20)])
    command = [str(shutil.which("node")), "peer.mjs", "medplum-listen"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=PEERS, stdin=pipe, stdout=pipe, text=True) as peer:
        assert peer.stdout is not None
        port = int(peer.stdout.readline())
        outbox.run(outbox.all_in("sent"), {"mllp": {"connect": f"tcp:127.0.0.1:{port}"}})
        said, _ = peer.communicate("", timeout=30)
    assert [json.loads(line) for line in said.splitlines()] == [f"C{at}" for at in range(20)]
