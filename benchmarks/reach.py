"""What one message costs while 1, 100 and 10,000 authorizations stand in its set: time and queries, on SQLite.

Run as `python -m benchmarks.reach`; it takes some seconds and prints one line per size. The queries of a batch are
a fixed number; the time of a message that names one authorization must not grow with the others, unless it is a
snapshot of their set, which has to look at each of them.
"""

import itertools
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine, event

from hl7auth.flow.channel import Channel, find_channel
from hl7auth.flow.intake import plan
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal

SIZES = (1, 100, 10_000)
IN_ONE_MESSAGE = 500
_ids = itertools.count(1).__next__


def answer(control_id: str, numbers: list[int], action: str = "", number: str = "R1") -> bytes:
    """An RPA that speaks of these authorizations, each under a procedure of its own."""
    lines = [f"MSH|^~\\&|PAYER|SOUTH|FRONT|NORTH|20260301||RPA^I08^RPA_I08|{control_id}|P|2.8", "MSA|AA|X"]
    lines += [f"RF1||||||{number}", "PRD|RP|Moss^Ada", "PID|||77001^^^NORTH||Quill^Ivo||19800102"]
    for each in numbers:
        lines += [
            f"PR1|1||9{each:05}^^C4||20260401",
            f"AUT|GOLD|ACME||20260401||PA{each}||3|2||||SPEC" + "|" * 16 + action,
        ]
    return ("\r".join(lines) + "\r").encode()


class _Counted:
    """A journal that counts its statements."""

    def __init__(self, engine: Engine, channel: Channel) -> None:
        self.journal, self.channel, self.last, self.statements = Journal(engine), channel, "", 0
        event.listen(engine, "connect", lambda driver, _: driver.set_trace_callback(self._count))

    def _count(self, sql: str) -> None:
        """Many rows of one statement, alike up to their first value, are one."""
        statement = re.split(r"['\d?]", sql)[0]
        self.statements += statement != self.last and not statement.startswith("PRAGMA")
        self.last = statement

    def send(self, *raws: bytes) -> tuple[float, int]:
        """Milliseconds and statements of one batch."""
        plans = [plan(raw, self.channel, 1, _ids) for raw in raws]
        self.statements, start = 0, time.perf_counter()
        outcomes = self.journal.commit(plans)
        spent = (time.perf_counter() - start) * 1000
        assert all(outcome.disposition == "accepted" for outcome in outcomes), outcomes[0].findings
        return spent, self.statements


def _filled(journal: _Counted, size: int) -> None:
    """So many authorizations in one referral, added in action mode so that none ends another."""
    for start in range(0, size, IN_ONE_MESSAGE):
        numbers = list(range(start, min(start + IN_ONE_MESSAGE, size)))
        journal.send(answer(f"F{start}", numbers, "A"))


def measure(size: int) -> Iterator[str]:
    """Lines about one size."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{Path(folder) / 'bench.db'}")
        upgrade(engine)
        journal = _Counted(engine, find_channel("referral-intake"))
        _filled(journal, size)
        cases = {
            "one updated (U)": [answer("U1", [0], "U").replace(b"|3|2|", b"|3|1|")],
            "one of another referral": [answer("O1", [size + 1], number="R2")],
            "ten in a batch (X)": [answer(f"X{each}", [0], "X") for each in range(10)],
            "snapshot of one, others end": [answer("S1", [0])],
        }
        for name, raws in cases.items():
            spent, statements = journal.send(*raws)
            yield f"{size:>7,} in the set | {name:<28} | {spent:9.2f} ms | {statements} statements"
        journal.journal.close()
        engine.dispose()


if __name__ == "__main__":
    for size in SIZES:
        for line in measure(size):
            print(line)
