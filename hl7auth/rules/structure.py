"""Where each segment of a message stands in its abstract syntax, and what is missing, surplus or out of place.

Imports rules.dictionary only.

The verdict depends on nothing but the structure and the sequence of segment names, and feeds repeat both: it is
remembered, so that a known shape of message costs one look-up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from hl7auth.rules.dictionary import Node, dictionary

UNPLACED = -2
MESSAGE = -1


class Fault(StrEnum):
    """What can be wrong with the place of a segment."""

    OUT_OF_PLACE = "sequence"
    TOO_MANY = "cardinality"
    UNKNOWN = "unexpected"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class StructureFault:
    """`index` is the segment's index in the message, or for a missing one of the last segment before the gap."""

    fault: Fault
    index: int
    name: str


class Layout(NamedTuple):
    """`owners[i]` is the index of the segment that opens the group around segment i (the PR1 of an AUT under it),
    MESSAGE for a segment at message level, UNPLACED for one that stands nowhere."""

    owners: tuple[int, ...]
    faults: tuple[StructureFault, ...]


@lru_cache(maxsize=4096)
def layout(version: str, structure: str, names: tuple[str, ...]) -> Layout:
    """The Layout of a message with these segment names under that structure of that version."""
    walk = _Walk(dictionary(version).structures[structure], names)
    for index in range(len(names)):
        walk.place(index)
    return walk.finish()


@dataclass(slots=True)
class _Open:
    """One open instance of a group: how often each child has come, and the child reached last."""

    node: Node
    start: int
    reached: int = 0
    counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts = [0] * len(self.node.children)

    def has_room(self, child: int) -> bool:
        """True while the child may come once more."""
        limit = self.node.children[child].max
        return limit is None or self.counts[child] < limit


class _Walk:
    """Places segments one after another; the stack holds the groups that are open, the message at the bottom."""

    def __init__(self, root: Node, names: Sequence[str]) -> None:
        self.names = names
        self.known = frozenset(_all_names(root))
        self.stack = [_Open(root, MESSAGE)]
        self.owners: list[int] = []
        self.faults: list[StructureFault] = []

    def place(self, index: int) -> None:
        name = self.names[index]
        for depth in range(len(self.stack) - 1, -1, -1):
            child = self._next_child(self.stack[depth], name, index)
            if child is not None:
                self._close_to(depth, index)
                self._take(child, index)
                return
        self.owners.append(UNPLACED)
        self.faults.append(StructureFault(self._why_not(name), index, name))

    def finish(self) -> Layout:
        self._close_to(-1, len(self.names))
        return Layout(tuple(self.owners), tuple(sorted(self.faults, key=lambda fault: fault.index)))

    def _next_child(self, group: _Open, name: str, index: int) -> int | None:
        """The child of an open group that takes the segment now: from the one reached last onwards."""
        for number in range(group.reached, len(group.node.children)):
            child = group.node.children[number]
            if group.has_room(number) and name in _openers(child):
                return None if group.start == MESSAGE and self._too_early(group, number, index) else number
        return None

    def _too_early(self, group: _Open, number: int, index: int) -> bool:
        """True when the message goes back later to a child before this one.

        Then this segment stands too early; to move on would make all the others stand too late.
        """
        passed = [at for at in range(group.reached, number) if group.has_room(at)]
        waiting = {name for at in passed for name in _openers(group.node.children[at])}
        ahead = {name for child in group.node.children[number:] for name in _all_names(child)}
        return not (waiting - ahead).isdisjoint(self.names[index + 1 :])

    def _take(self, number: int, index: int) -> None:
        while True:
            group = self.stack[-1]
            group.reached = number
            group.counts[number] += 1
            child = group.node.children[number]
            if not child.children:
                break
            self.stack.append(_Open(child, index))
            number = self._next_child(self.stack[-1], self.names[index], index) or 0
        self.owners.append(next(open_.start for open_ in reversed(self.stack) if open_.start != index))

    def _close_to(self, depth: int, index: int) -> None:
        while len(self.stack) - 1 > depth:
            group = self.stack.pop()
            for child, count in zip(group.node.children, group.counts, strict=True):
                if count < child.min:
                    self.faults.append(StructureFault(Fault.MISSING, index - 1, _first_name(child)))

    def _why_not(self, name: str) -> Fault:
        if name not in self.known:
            return Fault.UNKNOWN
        for group in self.stack:
            for number, child in enumerate(group.node.children):
                if child.name == name and not child.children and not group.has_room(number):
                    return Fault.TOO_MANY
        return Fault.OUT_OF_PLACE


@lru_cache(maxsize=8192)
def _openers(node: Node) -> frozenset[str]:
    """The segment names with which an instance of the node can begin: up to and with its first required child."""
    if not node.children:
        return frozenset({node.name})
    names: set[str] = set()
    for child in node.children:
        names |= _openers(child)
        if child.min:
            break
    return frozenset(names)


def _all_names(node: Node) -> Iterator[str]:
    if not node.children:
        yield node.name
    for child in node.children:
        yield from _all_names(child)


def _first_name(node: Node) -> str:
    return _first_name(node.children[0]) if node.children else node.name
