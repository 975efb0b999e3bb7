"""An engine of a proof: started in a folder with one channel, in a group of its own that never outlives the proof.

Imports errors and resources only.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hl7auth.errors import UserError
from hl7auth.resources import shipped

CHANNEL = "proof.yaml"
_LISTENING = re.compile(r"listening on tcp:(\d+)")
_NOTHING: Mapping[str, str] = {}


def write_channel(folder: Path, sink: int | None = None) -> Path:
    """The shipped referral channel on a free port; with a `sink`, a destination there gets everything accepted."""
    text = (shipped("channels") / "referral-intake.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^listen:.*$", "listen: tcp:0:interface=127.0.0.1", text, count=1)
    if sink is not None:
        retry = "{first_seconds: 0.1, most_seconds: 1, attempts: 0}"
        mllp = f'{{connect: "tcp:127.0.0.1:{sink}", wait_for: always, connections: 4}}'
        text += f"\ndestinations:\n  sink:\n    mllp: {mllp}\n    retry: {retry}\n"
        text += "routes:\n  - {to: [sink], disposition: [accepted]}\n"
    (folder / "channels").mkdir(exist_ok=True)
    path = folder / "channels" / CHANNEL
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def serving(
    folder: Path, database: str, workers: int = 1, environment: Mapping[str, str] = _NOTHING
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The engine with its workers, and its port. Raises UserError when it does not start."""
    command = ["-m", "hl7auth", "serve", "--channels", "channels", "--database", database]
    if workers > 1:
        command += ["--workers", str(workers)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HL7AUTH_")}
    log = folder / "engine.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, *command],
            cwd=folder, stdout=subprocess.PIPE, stderr=sink, env={**inherited, **environment}, start_new_session=True,
        )  # fmt: skip
    try:
        yield process, _port(process, log)
    finally:
        kill(process)
        process.wait()
        if process.stdout is not None:
            process.stdout.read()  # ends when the last of the group has ended
            process.stdout.close()


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the engine and its workers."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    assert process.stdout is not None
    found = _LISTENING.match(process.stdout.readline().decode())
    if found is None:
        said = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise UserError(f"the engine did not start: {said or 'it said nothing'}")
    return int(found[1])
