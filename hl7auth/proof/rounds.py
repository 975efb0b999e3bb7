"""The rounds of a proof: start the engine, load it, kill it at a moment of chance, look at what it left, start again.

Imports sqlalchemy, store, and the rest of proof only.
"""

import random
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from hl7auth.proof.ledger import Ledger
from hl7auth.proof.senders import Senders
from hl7auth.proof.serving import CHANNEL, kill, serving, write_channel
from hl7auth.proof.sink import Sink
from hl7auth.proof.unsynced import Unsynced
from hl7auth.proof.verdict import Verdict
from hl7auth.store.database import connect, open_database

START_SECONDS = 30.0
STALLED_SECONDS = 60.0
"""A queue from which nothing goes out for so long stands still: the retries pause for one second at most."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried: so many rounds, each killed between `shortest` and `longest` seconds after its load began."""

    rounds: int
    database: str
    folder: Path
    connections: int = 16
    workers: int = 1
    shortest: float = 0.02
    longest: float = 1.0
    seed: int = 1
    unsynced: Unsynced | None = None
    reload: bool = False


@dataclass(slots=True)
class Findings:
    """What was seen. `in_doubt` counts messages that were stored though their senders never heard it; `repeated`
    deliveries that the sink got once more because the engine died before it could note the answer."""

    rounds: int = 0
    sent: int = 0
    promised: int = 0
    resent: int = 0
    unanswered_at_kill: int = 0
    in_doubt: int = 0
    accepted: int = 0
    delivered: int = 0
    repeated: int = 0
    bytes_dropped: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def entry(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


def prove(trial: Trial, tell: Callable[[Findings], None]) -> Findings:
    """Runs the rounds and calls after each. Ends early at the first round with a violation: its database is kept.

    Raises UserError when the engine does not start.
    """
    chance = random.Random(trial.seed)  # noqa: S311 - moments of chance that can be had again, no secrets
    ledger, sink, findings = Ledger(f"D{chance.randrange(100_000):05d}", chance), Sink(), Findings()
    verdict, begun = Verdict(ledger), monotonic()
    write_channel(trial.folder, sink.port)
    try:
        for _ in range(trial.rounds):
            _round(trial, ledger, verdict, findings, chance)
            _sum_up(findings, ledger, verdict, monotonic() - begun)
            tell(findings)
            if findings.violations:
                return findings
        _last(trial, ledger, verdict, findings, sink)
        _sum_up(findings, ledger, verdict, monotonic() - begun)
    finally:
        sink.close()
    return findings


def _round(trial: Trial, ledger: Ledger, verdict: Verdict, findings: Findings, chance: random.Random) -> None:
    seconds = chance.uniform(trial.shortest, trial.longest)
    with _engine(trial) as (process, port):
        senders = Senders(port, trial.connections, ledger)
        reload = partial(_reload, trial, process) if trial.reload else None
        senders.run(seconds, partial(kill, process), reload)
    if trial.unsynced is not None:
        findings.bytes_dropped += trial.unsynced.drop()
    findings.rounds += 1
    left = ledger.unanswered
    findings.unanswered_at_kill += len(left)
    _look(trial, verdict)
    findings.in_doubt += verdict.in_doubt(left)


def _last(trial: Trial, ledger: Ledger, verdict: Verdict, findings: Findings, sink: Sink) -> None:
    """One more start: every sender that still waits sends again, and the queue is emptied."""
    with _engine(trial) as (process, port):
        Senders(port, trial.connections, ledger).drain()
        _until_sent(trial.database)
        process.terminate()
        process.wait(START_SECONDS)
    _look(trial, verdict)
    findings.repeated = verdict.deliveries(open_database(trial.database), sink.received)
    findings.delivered = len(sink.received)


def _sum_up(findings: Findings, ledger: Ledger, verdict: Verdict, seconds: float) -> None:
    findings.sent = len(ledger.sent)
    findings.resent = ledger.resent
    findings.promised = sum(each.is_promised for each in ledger.sent.values())
    findings.accepted = len(verdict.accepted)
    findings.violations = list(verdict.violations)
    findings.seconds = round(seconds, 1)


def _look(trial: Trial, verdict: Verdict) -> None:
    engine = open_database(trial.database)
    verdict.look(engine)
    engine.dispose()


def _until_sent(url: str) -> None:
    """Waits as long as the queue gets shorter."""
    engine, waiting, last = open_database(url), -1, monotonic() + STALLED_SECONDS
    while waiting and monotonic() < last:
        sleep(0.1)
        with connect(engine) as connection:
            left = connection.exec_driver_sql(_WAITING).scalar() or 0
        if left != waiting:
            waiting, last = left, monotonic() + STALLED_SECONDS
    engine.dispose()


def _engine(trial: Trial) -> AbstractContextManager[tuple[subprocess.Popen[bytes], int]]:
    environment = trial.unsynced.environment if trial.unsynced is not None else {}
    return serving(trial.folder, trial.database, trial.workers, environment)


_WAITING = "SELECT count(*) FROM delivery WHERE state IN ('queued', 'in_flight')"


def _reload(trial: Trial, process: subprocess.Popen[bytes]) -> None:
    """A change that makes a new version of the channel (its title), taken over by the running engine."""
    path = trial.folder / "channels" / CHANNEL
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(?m)^title:.*$", f"title: Version {monotonic()}", text, count=1), encoding="utf-8")
    process.send_signal(signal.SIGHUP)
