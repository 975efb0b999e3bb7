"""How fast a replay into an empty store is, beside the intake of the same run.

Imports the standard library, its neighbours, and hl7auth.

    python -m benchmarks.replay [--messages N] [--seconds S]

Intake is an engine with 64 connections, by the clock; and beside it the path that its messages take, planned and
committed in batches of 64 without the network, by CPU. The replay reads the messages from one file. The first 512
messages of what is not an engine are left out: they pay for what is compiled once.
"""

import argparse
import gc
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from sqlalchemy import Engine

from benchmarks.forwarding import measure
from benchmarks.template import TEMPLATE, message
from hl7auth.flow.channel import Channel, find_channel
from hl7auth.flow.intake import plan
from hl7auth.observe import ids, now
from hl7auth.replay.judging import Judge
from hl7auth.replay.material import in_files
from hl7auth.replay.planning import make
from hl7auth.replay.running import Pace, run
from hl7auth.replay.to_channel import ToChannels
from hl7auth.replay.wish import CHANNEL, Wish
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal

_BATCH, _WARM = 64, 512


def intake(engine: Engine, channel: Channel, messages: list[bytes]) -> float:
    """Messages a second of CPU."""
    journal, new_id, begun = Journal(engine), ids(), 0.0
    for at in range(0, len(messages), _BATCH):
        if at == _WARM:
            begun = time.process_time()
        journal.commit([plan(raw, channel, now(), new_id) for raw in messages[at : at + _BATCH]])
    journal.close()
    return (len(messages) - _WARM) / (time.process_time() - begun)


def replay(engine: Engine, channel: Channel, file: Path) -> tuple[float, float, float]:
    """Messages a second of CPU that are planned, and that are run; and the latter by the clock."""
    channels, begun = {channel.name: channel}, time.process_time()
    wish, count = Wish(f"{CHANNEL}{channel.name}", "", "benchmark", "{}"), 0

    def moved(done: int, _total: int) -> None:
        nonlocal count
        count = done

    number = make(
        engine, wish, lambda _: (in_files([file], [], 250), lambda: 0),
        lambda connection, number: Judge(connection, number, wish, channels, {}), [], moved,
    )  # fmt: skip
    planned = count / (time.process_time() - begun)
    marks: list[tuple[int, float, float]] = []
    run(
        engine, number, ToChannels(engine, channels, {}), Pace(), "benchmark", Event(),
        lambda done, _total: marks.append((done, time.process_time(), time.perf_counter())),
    )  # fmt: skip
    (first, *begun_at), (last, *ended_at) = marks[1], marks[-1]
    cpu, clock = ((last - first) / (end - start) for start, end in zip(begun_at, ended_at, strict=True))
    return planned, cpu, clock


def main() -> None:
    """Prints both."""
    parser = argparse.ArgumentParser(description="Replay into an empty store, beside intake.")
    parser.add_argument("--messages", type=int, default=8_000)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long the engine takes messages in")
    given = parser.parse_args()
    wanted = max(given.messages, 2 * _WARM)
    channel = find_channel("referral-intake")
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)  # as the server does
    messages = [message(TEMPLATE, number, "PLAY") for number in range(wanted)]
    with TemporaryDirectory(prefix="hl7auth-bench-") as folder:
        file = Path(folder, "day.hl7")
        file.write_bytes(b"".join(messages))
        engines = [open_database(f"sqlite:///{Path(folder, name)}") for name in ("intake.db", "replay.db")]
        for engine in engines:
            upgrade(engine)
        taken = intake(engines[0], channel, messages)
        planned, run_, clock = replay(engines[1], channel, file)
        for engine in engines:
            engine.dispose()
    rate = measure("patient", {}, given.seconds, 64).taken
    print("messages a second by the clock")
    print(f"intake, 64 connections:      {rate:7.0f}")
    print(f"replay run:                  {clock:7.0f}, {clock / rate:.2f} of intake")
    print("messages a second of CPU")
    print(f"intake, without the network: {taken:7.0f}")
    print(f"replay planned:              {planned:7.0f}")
    print(f"replay run:                  {run_:7.0f}, {run_ / taken:.2f} of intake")


if __name__ == "__main__":
    main()
