"""One set of rules out of several for the same segment: a profile of ours says of each segment one thing.

Imports exchange.model only.
"""

from collections.abc import Sequence
from typing import Any

from hl7auth.exchange.model import Loss

_WEAKEST = ("O", "B", "IX", "C", "CE", "RE", "R")


def common(drafts: Sequence[tuple[str, dict[int, dict[str, Any]]]], around: str, losses: list[Loss]) -> dict[int, Any]:
    """The rules by number that all drafts share; what they differ in is relaxed, and a loss.

    A draft is the place where its rules stand, and the rules by field or component number.
    """
    if len(drafts) == 1:
        return drafts[0][1]
    found: dict[int, Any] = {}
    for number in sorted({number for _, rules in drafts for number in rules}):
        rules = _shared([(place, each.get(number, {})) for place, each in drafts], f"{around}{number}", losses)
        if rules:
            found[number] = rules
    return found


def _shared(drafts: Sequence[tuple[str, dict[str, Any]]], path: str, losses: list[Loss]) -> dict[str, Any]:
    first = drafts[0][1]
    if all(rules == first for _, rules in drafts):
        return first
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for _, rules in drafts for key in rules):
        if key == "components":
            parts = common([(place, rules.get(key, {})) for place, rules in drafts], f"{path}.", losses)
            found |= {key: parts} if parts else {}
            continue
        values = [rules.get(key) for _, rules in drafts]
        if all(value == values[0] for value in values):
            found[key] = values[0]
            continue
        places = ", ".join(dict.fromkeys(place for place, _ in drafts))
        losses.append(
            Loss(places, f"{path} {key}", "its definitions differ, and a profile says one thing of a segment")
        )
        if key == "usage":
            found[key] = _weakest(values)
    return found


def _weakest(usages: Sequence[str | None]) -> str:
    """What all the usages allow: not sent in one place and sent in another is optional."""
    said = [usage or "O" for usage in usages]
    return next((usage for usage in _WEAKEST if usage in said), "O") if set(said) <= set(_WEAKEST) else "O"
