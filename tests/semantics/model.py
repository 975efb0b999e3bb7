"""What snapshots and actions do, in as few lines as it can be said: the oracle of the state machine.

Written from chapter 2 (2.10.4), and not from the engine: one referral's authorizations, each with its lines.
"""

from typing import NamedTuple

Fields = dict[str, str]
"""`count` and `name` of a line as sent: empty keeps or is nothing, `""` clears."""


class Sent(NamedTuple):
    """One PR1 with its AUT."""

    action: str
    number: str
    procedure: str
    fields: Fields


class Held(NamedTuple):
    """An authorization: its referral and its lines, None for a line that was deleted."""

    referral: str
    lines: dict[str, Fields | None]


class Model:
    """Everything that stands; what has ended is not in here. To send nothing at all stands for a delete pattern."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}

    def snapshot(self, referral: str, sent: list[Sent]) -> bool:
        self.held = {key: each for key, each in self.held.items() if each.referral != referral}
        for number in {each.number for each in sent}:
            self.held[number] = Held(referral, {each[2]: stated(each.fields) for each in sent if each.number == number})
        return True

    def act(self, referral: str, sent: list[Sent]) -> bool:
        if not all(self.can(each) for each in sent):
            return False
        for action, number, procedure, fields in [each for each in sent if each.action != "X"]:
            before = self.held.get(number, Held(referral, {}))
            self.held[number] = before if action == "D" else before._replace(referral=referral)
            kept = (action == "U" and before.lines[procedure]) or {}
            kept = {key: value for key, value in kept.items() if not fields.get(key)}
            before.lines[procedure] = None if action == "D" else kept | stated(fields)
        self.held = {key: each for key, each in self.held.items() if any(each.lines.values())}
        return True

    def can(self, sent: Sent) -> bool:
        if sent.action in "UD":
            return sent.number in self.held and bool(self.held[sent.number].lines.get(sent.procedure))
        return sent.action == "X" or sent.number not in self.held


def stated(fields: Fields) -> Fields:
    return {key: value for key, value in fields.items() if value not in ("", '""')}
