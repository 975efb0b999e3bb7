"""What each kind of message costs: plan and decide beside the rest of its commit, in CPU time, against a real store.

Run as `python -m benchmarks.semantics [--messages N] [--rounds R]`; it takes a minute and prints one line per case.

Every message is that of the template (two procedures, 2.4 KB; the network's are of 1 KB), for a referral, a patient and
an authorization of its own, in batches of 64. What stood before is stored first, and not counted. `load` is what the
batch asks the store, `write` all else of the commit; the disk takes no CPU time. reach.py shows what large sets cost.
"""

import argparse
import gc
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hl7auth.flow.channel import Channel, find_channel
from hl7auth.flow.channel_model import Accepts, ChannelFile
from hl7auth.flow.decision import decide
from hl7auth.flow.intake import Plan, plan
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal
from hl7auth.store.known import KnownToBatch

from .template import ID, TEMPLATE, message

BATCH = 64
BUDGET = 250
"""CPU microseconds of plan and decide per message."""

_HEAD, _BODY = TEMPLATE.split("\r", 1)
_UNNUMBERED = "|@@AUT@@^HARBOR|"


class Case(NamedTuple):
    """A kind of message: what has come before it, and the message; each a text with the marks of the template."""

    name: str
    before: Sequence[str]
    text: str
    disposition: str = "accepted"
    dialect: bool = False


def said(kind: str, event: str, name: str, body: str, answers: str | None = None) -> str:
    """A message of that kind under a control id of its own (`name`, number); `answers` is another's name."""
    parties = "HILLCREST|HILL|HARBOR_UM|HARBOR" if kind in ("RQA", "REF", "ZQA") else "HARBOR_UM|HARBOR|HILLCREST|HILL"
    structure = {"RQA": "RQA_I08", "RPA": "RPA_I08", "REF": "REF_I12", "ZQA": f"ZQA_{event}", "ZPA": f"ZPA_{event}"}[
        kind
    ]
    version = "2.4" if kind.startswith("Z") else "2.8.2"
    msh = rf"MSH|^~\&|{parties}|20260304093015+0000||{kind}^{event}^{structure}|{name}{ID}|P|{version}"
    return "\r".join([msh, *([f"MSA|AA|{answers}{ID}"] if answers is not None else []), body])


def with_action(body: str, code: str) -> str:
    """AUT-29 in both of its AUTs."""
    return body.replace("Right side only|", f"Right side only|{code}").replace("Twice a week|", f"Twice a week|{code}")


def without(body: str, *names: str) -> str:
    """The body without the segments of these names."""
    return "".join(f"{line}\r" for line in body.split("\r") if line and line[:3] not in names)


ASKED = _BODY.replace(_UNNUMBERED, "||")
GRANTED = _BODY.replace("PEND^Pending^L", "AP^Approved^L").replace("4^DAYS||2026", "4^DAYS|4^DAYS|2026")
CHANGED = GRANTED.replace("20260720", "20261231")
ONE_LINE = GRANTED[: GRANTED.index("PR1|2")] + GRANTED[GRANTED.index("OBR|") :]
NAMED = without(GRANTED, "PR1", "AUT", "OBR", "OBX", "DRG").replace(
    "PRD|RP", "AUT||HH001||||@@AUT@@^HARBOR|||||||SURG\rPRD|RP", 1
)
DELETES = without(GRANTED, "AUT").replace("PRD|RP", "AUT|" + "|".join(['""'] * 29) + "\rPRD|RP", 1)
RF1_25 = ASKED.replace("O^Provider ordered^HL70336", "O^Provider ordered^HL70336" + "|" * 15 + "U")
UNMATCHED = without(GRANTED, "RF1")

REQUEST = said("RQA", "I08", "C", ASKED)
ANSWER = said("RPA", "I08", "D", GRANTED, "C")
ADDED = said("RPA", "I08", "A", with_action(ONE_LINE, "A"), "C")

#: a network with messages of its own
NETWORK_BODY = without(_BODY, "RF1", "NK1", "GT1", "DRG", "AL1", "OBR", "OBX", "CTD", "DG1", "AUT")
for _odd in ("|P^Procedure^HL70230|110", "|P^Procedure^HL70230|45"):
    NETWORK_BODY = NETWORK_BODY.replace(_odd, "")
_NETWORK_LINE = "AUT||HH001||||||1|{}\rZAU||@@AUT@@|{}\r"


def network(authorized: str, code: str, top: str = "") -> str:
    """A body of the network: a ZAU behind each of its procedures, or `top` alone."""
    if top:
        return top + "\r" + without(NETWORK_BODY, "PR1", "IN1", "PV1")
    lines = [line + "\r" for line in NETWORK_BODY.split("\r") if line]
    ask = _NETWORK_LINE.format(authorized, code) if code else f"AUT||HH001||||||1|{authorized}\rZAU||0\r"
    return "".join(line + ask if line.startswith("PR1") else line for line in lines)


N_REQUEST = said("ZQA", "Z02", "", network("0", ""))
N_ANSWER = said("ZPA", "Z02", "", network("1", "B000"), "")

CASES = (
    Case("a request", [], REQUEST),
    Case("a request with a number", [], said("RQA", "I08", "C", _BODY)),
    Case("a request modified (I09)", [REQUEST], said("RQA", "I09", "E", ASKED.replace("12^VISITS", "24^VISITS"))),
    Case("a request about a decision (I09)", [REQUEST, ANSWER], said("RQA", "I09", "E", _BODY)),
    Case("the same message again", [REQUEST], REQUEST, "duplicate"),
    Case("snapshot, new", [REQUEST], ANSWER),
    Case("snapshot, the same", [REQUEST, ANSWER], said("RPA", "I08", "E", GRANTED, "C")),
    Case("snapshot, changed", [REQUEST, ANSWER], said("RPA", "I08", "E", CHANGED, "C")),
    Case("snapshot, a line ended", [REQUEST, ANSWER], said("RPA", "I08", "E", ONE_LINE, "C")),
    Case("snapshot that deletes the set", [REQUEST, ANSWER], said("RPA", "I08", "E", DELETES, "C")),
    Case("snapshot, declared (S)", [REQUEST, ANSWER],
         said("RPA", "I08", "E", with_action(CHANGED, "S"), "C").replace("|2.8.2", "|2.9")),
    Case("A", [REQUEST], ADDED),
    Case("U", [REQUEST, ANSWER], said("RPA", "I08", "E", with_action(CHANGED, "U"), "C")),
    Case("X", [REQUEST, ANSWER], said("RPA", "I08", "E", with_action(GRANTED, "X"), "C")),
    Case("D", [REQUEST, ANSWER], said("RPA", "I08", "E", with_action(GRANTED, "D"), "C")),
    Case("U of an unknown number", [REQUEST], said("RPA", "I08", "E", with_action(GRANTED, "U"), "C"), "refused"),
    Case("RF1-25 with U", [REQUEST], said("RQA", "I09", "E", RF1_25)),
    Case("answer that matches nothing", [], said("RPA", "I08", "E", UNMATCHED, "X")),
    Case("cancellation by number (I11)", [REQUEST, ANSWER], said("RQA", "I11", "E", NAMED)),
    Case("cancellation by referral (I11)", [REQUEST, ANSWER], said("RQA", "I11", "E", without(ASKED, "AUT"))),
    Case("answer to a cancelled request", [REQUEST, said("RQA", "I11", "E", without(ASKED, "AUT"))], ANSWER),
    Case("status request (I15)", [REQUEST, ANSWER],
         said("REF", "I15", "E", without(ASKED, "PR1", "AUT", "OBR", "OBX", "DRG"))),
    Case("network: request", [], N_REQUEST, dialect=True),
    Case("network: answer", [N_REQUEST], N_ANSWER, dialect=True),
    Case("network: cancellation", [N_REQUEST, N_ANSWER],
         said("ZQA", "Z04", "", network("0", "", top="ZAU||@@AUT@@")), dialect=True),
)  # fmt: skip


class Spent(NamedTuple):
    """CPU microseconds per message."""

    plan: float
    decide: float
    load: float
    write: float


class Clock:
    """CPU time of this thread by what it was spent on."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {"plan": 0.0, "decide": 0.0, "load": 0.0, "commit": 0.0}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time counted."""

        def run(*arguments: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments)
            finally:
                self.spent[name] += time.thread_time() - start

        return run


class Bench:
    """A store, and messages that come to it."""

    def __init__(self, folder: Path, channels: dict[bool, Channel]) -> None:
        self._engine = open_database(f"sqlite:///{folder / 'bench.db'}")
        upgrade(self._engine)
        self._journal = Journal(self._engine)
        self._channels = channels
        self._new_id = itertools.count(1).__next__
        self._numbers = itertools.count(1)

    def measure(self, case: Case, messages: int) -> Spent:
        """One round. Raises RuntimeError where a message does not fare as the case says."""
        clock = Clock()
        for _ in range(messages // BATCH):
            numbers = list(itertools.islice(self._numbers, BATCH))
            for text in case.before:
                self._send(case, text, numbers, Clock())
            found = self._send(case, case.text, numbers, clock)
            if found != {case.disposition}:
                raise RuntimeError(f"{case.name}: {found}")
        each = {name: spent / (messages // BATCH * BATCH) * 1e6 for name, spent in clock.spent.items()}
        write = each["commit"] - each["decide"] - each["load"]
        return Spent(each["plan"], each["decide"], each["load"], write)

    def _send(self, case: Case, text: str, numbers: Sequence[int], clock: Clock) -> set[str]:
        raws = [message(text, number, "S") for number in numbers]
        channel = self._channels[case.dialect]
        plans = clock.timed("plan", lambda: [plan(raw, channel, 1, self._new_id) for raw in raws])()
        self._rehearse([plan(raw, channel, 1, self._new_id) for raw in raws], clock)
        outcomes = clock.timed("commit", self._journal.commit)(plans)
        wrong = [outcome for outcome in outcomes if outcome.disposition not in ("accepted", case.disposition)]
        if wrong:
            told = [(each.rule, each.path) for each in wrong[0].findings if each.severity == "error"]
            raise RuntimeError(f"{case.name}: {wrong[0].disposition} by {told}")
        return {str(outcome.disposition) for outcome in outcomes}

    def _rehearse(self, plans: Sequence[Plan], clock: Clock) -> None:
        """Loads and decides as the commit is about to, and stores nothing: nobody looks into a journal that may be
        machine code. Plans are decided once, since they remember what was built from them."""
        with self._engine.connect() as connection:
            known = KnownToBatch(connection)
            clock.timed("load", known.load)(plans)
            for each in plans:
                known.apply(clock.timed("decide", decide)(each, known))

    def close(self) -> None:
        """Lets go of the file."""
        self._journal.close()
        self._engine.dispose()


def channels() -> dict[bool, Channel]:
    """The shipped channel, and one for the network."""
    shipped = find_channel("referral-intake")
    file = ChannelFile(channel="network", listen="tcp:0", profile="network-zqa", accepts=Accepts(versions=("2.4",)))
    return {False: shipped, True: Channel(file=file, path=shipped.path)}


def main() -> None:
    """The command."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--messages", type=int, default=192)
    arguments.add_argument("--rounds", type=int, default=7)
    asked = arguments.parse_args()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)  # as the server does
    print("| case | plan | decide | plan + decide (least..greatest) | load | write |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), channels())
        for case in CASES:
            bench.measure(case, BATCH)  # imports, tables and memories warm up
            rounds = [bench.measure(case, asked.messages) for _ in range(asked.rounds)]
            both = sorted(each.plan + each.decide for each in rounds)
            middle = Spent(*(statistics.median(column) for column in zip(*rounds, strict=True)))
            mark = " **over**" if statistics.median(both) > BUDGET else ""
            print(
                f"| {case.name} | {middle.plan:.0f} | {middle.decide:.0f} | {statistics.median(both):.0f}"
                f" ({both[0]:.0f}..{both[-1]:.0f}){mark} | {middle.load:.0f} | {middle.write:.0f} |",
                flush=True,
            )
        bench.close()


if __name__ == "__main__":
    main()
