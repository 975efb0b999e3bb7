"""The ledger of a proof: every message that was sent, and every reply that came, kept apart from the engine.

Imports resources and wire only.
"""

import random
from dataclasses import dataclass, field
from functools import cache
from runpy import run_path
from typing import Any

from hl7auth.resources import shipped

NEW, ANSWER, AGAIN = "request", "answer", "again"
"""The kinds of message: an RQA, the RPA to one that was accepted, and one that was sent before."""

_ANSWERED = 0.15
_AGAIN = 0.15


@dataclass(slots=True)
class Sent:
    """A message under its control id: the version of which authorization it makes, and the reply it got first.

    `rounds` counts in how many rounds it was sent; `told` is the reply as it came, None while there is none.
    """

    control_id: str
    raw: bytes
    key: str
    version: int
    told: bytes | None = None
    rounds: int = 1

    @property
    def is_promised(self) -> bool:
        """True when a reply said that it was accepted."""
        return self.told is not None and (b"\rMSA|AA|" in self.told or b"\rMSA|CA|" in self.told)


@dataclass(slots=True)
class Ledger:
    """What the senders know. `contradictions` are control ids whose second reply was not the first one."""

    prefix: str
    chance: random.Random
    sent: dict[str, Sent] = field(default_factory=dict)
    contradictions: list[str] = field(default_factory=list)
    resent: int = 0
    _unanswered: list[Sent] = field(default_factory=list)
    _requests: list[Sent] = field(default_factory=list)
    _promised: list[Sent] = field(default_factory=list)
    _number: int = 0

    def next(self) -> Sent:
        """What a free connection sends: first what the last crash left unanswered, then new, old, and answers."""
        if self._unanswered:
            again = self._unanswered.pop()
            again.rounds += 1
            self.resent += 1
            return again
        dice = self.chance.random()
        if dice < _AGAIN and self._promised:
            self.resent += 1
            return self.chance.choice(self._promised)
        if dice < _AGAIN + _ANSWERED and self._requests:
            return self._keep(self._answer(self._requests.pop(self.chance.randrange(len(self._requests)))))
        return self._keep(self._request())

    def hear(self, control_id: str, reply: bytes) -> None:
        """Takes down a reply; of a message that was answered before it has to be the same."""
        sent = self.sent[control_id]
        if sent.told is None:
            sent.told = reply
            if sent.is_promised:
                self._promised.append(sent)
                if sent.version == 1:
                    self._requests.append(sent)
        elif sent.told != reply:
            self.contradictions.append(control_id)

    def crashed(self, under_way: list[Sent]) -> None:
        """What had no reply when the engine was killed is sent again, as senders do."""
        self._unanswered += [sent for sent in under_way if sent.told is None]

    @property
    def unanswered(self) -> list[Sent]:
        """Messages whose senders still wait."""
        return list(self._unanswered)

    def _keep(self, sent: Sent) -> Sent:
        self.sent[sent.control_id] = sent
        return sent

    def _request(self) -> Sent:
        self._number += 1
        raw = request_of(self._number, self.prefix)
        return Sent(_field(raw, 9), raw, f"{_segment(raw, b'AUT')[6].partition(b'^')[0].decode()}@HARBOR", 1)

    def _answer(self, request: Sent) -> Sent:
        """An RPA that approves, in enhanced mode, so that its receipt is told."""
        head, *rest = request.raw.decode().split("\r")
        control_id = f"A{request.control_id[1:]}"
        rest = [each.replace("|PEND^Pending^L|", "||") for each in rest]
        msh = (
            f"MSH|^~\\&|HARBOR_UM|HARBOR|HILLCREST|HILL|{head.split('|')[6]}||RPA^I08^RPA_I08|{control_id}|P|2.8.2"
            "|||AL|NE||UNICODE UTF-8"
        )
        raw = "\r".join([msh, f"MSA|AA|{request.control_id}", *rest]).encode()
        return Sent(control_id, raw, request.key, 2)


def request_of(number: int, prefix: str) -> bytes:
    """The RQA of the benchmark with this number, for a run with that prefix (1 to 6 letters and digits)."""
    script = _template()
    raw: bytes = script["message"](script["TEMPLATE"], number, prefix)
    return raw


@cache
def _template() -> dict[str, Any]:
    """The message of the benchmark, whose script travels beside the package and not in it."""
    return run_path(str(shipped("benchmarks") / "template.py"))


def _segment(raw: bytes, name: bytes) -> list[bytes]:
    return next(line for line in raw.split(b"\r") if line.startswith(name + b"|")).split(b"|")


def _field(raw: bytes, place: int) -> str:
    return raw.split(b"|", place + 1)[place].decode()
