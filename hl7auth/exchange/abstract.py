"""The segments and groups of a message as abstract syntax: `MSH [{SFT}] {<PROVIDER> PRD [{CTD}]}`.

Imports rules and exchange.model only.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hl7auth.exchange.model import Loss, Place
from hl7auth.rules.dictionary import Node
from hl7auth.rules.syntax import parse_syntax, write_syntax

NOT_SENT = frozenset({"X", "W"})


def abstract_syntax(places: Sequence[Place], losses: list[Loss]) -> tuple[str, dict[str, Any]]:
    """The syntax, and by their path (`PROCEDURE.AUT`) the segments and groups that are not to come.

    What is not required may be missing whatever its Min says. Empty, and a loss, where there is no such syntax.
    """
    nodes = tuple(map(_node, places))
    text = write_syntax(Node("", 1, 1, nodes))
    try:
        parse_syntax(text)
    except ValueError as error:
        losses.append(Loss(places[0].place if places else "message", "the structure", str(error)))
        return "", {}
    paths = list(_paths(places))
    groups: dict[str, Any] = {}
    for path, place in paths:
        if not is_sent(place):
            same = [other for other, _ in paths if _may_mean(path, other)]
            if len(same) == 1:
                groups[".".join(path)] = {"usage": "X"}
            else:
                losses.append(Loss(place.place, f"{'.'.join(path)} is not sent", "there is another one of that name"))
    return text, groups


def is_sent(place: Place) -> bool:
    """False for a segment or group that is not to come."""
    return place.usage not in NOT_SENT and place.most != 0


def _node(place: Place) -> Node:
    """At least once where it is required, else it may be missing; a syntax has no word for what does not come."""
    least = max(place.least, 1) if place.usage == "R" else 0
    most = 1 if place.most == 0 else place.most
    return Node(_name(place), least, most, tuple(map(_node, place.children)))


def _name(place: Place) -> str:
    if not place.children:
        return place.name
    name = re.sub(r"[^A-Z0-9_]", "_", place.name.upper())
    return name if name[:1].isalpha() else f"G_{name}"


def _paths(places: Sequence[Place], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Place]]:
    for place in places:
        here = (*above, _name(place))
        yield here, place
        yield from _paths(place.children, here)


def _may_mean(path: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """True when a path names that place too: it ends there, and the rest of it lies above, in that order."""
    above = iter(other[:-1])
    return path[-1] == other[-1] and all(name in above for name in path[:-1])
