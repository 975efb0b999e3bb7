"""Many channels with one idle connection each: how long the engine takes to serve them, and in how much memory.

Run as `python -m benchmarks.many_channels [--channels N] [--workers W]`; it takes less than a minute.

The channels are copies of the shipped one on ports of their own. Ready is when every port is listened on; then a
connection is made to each, one message sent over the last, and the memory of all processes read (resident).
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from hl7auth.resources import shipped
from hl7auth.wire.framing import frame

from .template import TEMPLATE, message

MOST_SECONDS = 120.0


def main() -> int:
    """Prints the figures; 1 where a budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hl7auth-many-") as name:
        return measure(Path(name), given.channels, given.workers)


def write_channels(folder: Path, count: int) -> None:
    """So many copies of the shipped channel."""
    text = (shipped("channels") / "referral-intake.yaml").read_text(encoding="utf-8")
    folder.mkdir()
    for number in range(count):
        own = text.replace("channel: referral-intake", f"channel: many-{number:05}").replace("tcp:2575:", "tcp:0:")
        (folder / f"many-{number:05}.yaml").write_text(own, encoding="utf-8")


def measure(folder: Path, count: int, workers: int) -> int:
    """Starts the engine, connects, and ends it."""
    write_channels(folder / "channels", count)
    command = [sys.executable, "-m", "hl7auth", "serve", "--channels", "channels", "--workers", str(workers)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    begun = time.monotonic()
    with (folder / "log").open("wb") as log, subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=log, env=environment
    ) as engine:  # fmt: skip
        signal.alarm(int(MOST_SECONDS))
        try:
            assert engine.stdout is not None
            ports = [int(engine.stdout.readline().split(b":")[1]) for _ in range(count)]
            seconds = time.monotonic() - begun
            with ExitStack() as connections:
                open_ = [connections.enter_context(socket.create_connection(("127.0.0.1", port))) for port in ports]
                open_[-1].sendall(frame(message(TEMPLATE, 1, "MANY")))
                assert b"MSA|AA|" in open_[-1].recv(65_536)
                megabytes = sum(map(resident, processes(engine.pid))) / 1024
        finally:
            signal.alarm(0)
            engine.terminate()
    print(f"{count} channels, {workers} worker(s): ready in {seconds:.1f} s, {megabytes:.0f} MB resident")
    return int(seconds > 10 or megabytes > 400)


def processes(parent: int) -> list[int]:
    """A process and those below it."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [parent, *map(int, children)]


def resident(process: int) -> int:
    """Resident memory in KB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


if __name__ == "__main__":
    sys.exit(main())
