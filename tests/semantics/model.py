"""What snapshots and actions do, in as few lines as it can be said: the oracle of the state machine.

Written from chapter 2 (2.10.4), and not from the engine: one referral's authorizations, each with its lines.
"""

from typing import Literal, NamedTuple

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
    """Everything that stands; what has ended is not in here."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}

    def snapshot(self, referral: str, sent: list[Sent]) -> Literal[True]:
        named = {each.number for each in sent}
        self.held = {key: each for key, each in self.held.items() if each.referral != referral or key in named}
        for number in named:
            lines = {each.procedure: stated(each.fields) for each in sent if each.number == number}
            self.held[number] = Held(referral, dict(lines))
        return True

    def delete_all(self, referral: str) -> Literal[True]:
        self.held = {key: each for key, each in self.held.items() if each.referral != referral}
        return True

    def act(self, referral: str, sent: list[Sent]) -> bool:
        if not all(self.can(each) for each in sent):
            return False
        before = set(self.held)
        for action, number, procedure, fields in sent:
            if action == "A" and number not in self.held:
                self.held[number] = Held(referral, {procedure: stated(fields)})
            elif action == "A":
                self.held[number].lines[procedure] = stated(fields)
            elif action == "U":
                line = self.held[number].lines[procedure] or {}
                kept = {key: value for key, value in line.items() if fields.get(key) != '""'}
                self.held[number].lines[procedure] = kept | stated(fields)
            elif action == "D":
                self.held[number].lines[procedure] = None
        for number in {each.number for each in sent if each.action in "AU"} & before:
            self.held[number] = self.held[number]._replace(referral=referral)
        self.held = {key: each for key, each in self.held.items() if any(line for line in each.lines.values())}
        return True

    def can(self, sent: Sent) -> bool:
        if sent.action == "A":
            return sent.number not in self.held
        if sent.action in "UD":
            return sent.number in self.held and bool(self.held[sent.number].lines.get(sent.procedure))
        return True


def stated(fields: Fields) -> Fields:
    return {key: value for key, value in fields.items() if value not in ("", '""')}
