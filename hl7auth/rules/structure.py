"""Where each segment of a message stands in its abstract syntax, and what is missing, surplus or out of place.

Imports rules.dictionary only.

The verdict depends on nothing but the structure and the sequence of segment names, and feeds repeat both: it is
remembered, so that a known shape of message costs one look-up.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import chain
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


def layout(version: str, structure: str, names: tuple[str, ...]) -> Layout:
    """The Layout of a message with these segment names under that structure of that version."""
    return layout_of(dictionary(version).structures[structure], names)


def layout_of(root: Node, names: tuple[str, ...]) -> Layout:
    """The same under any structure: a profile's own, or one of the dictionary with changes. Keep the root: it is known
    again as the object that it is."""
    shapes = _shapes.get(id(root))
    if shapes is None:
        shapes = _remembered(root)
    return (shapes.known if len(names) <= _REMEMBERED_SEGMENTS else shapes.walked)(names)


_REMEMBERED_SEGMENTS = 200
"""Longer messages hardly ever repeat a shape: to remember thousands of them would only cost memory."""

_REMEMBERED_SHAPES = 1024
_REMEMBERED_ROOTS = 256


class _Shapes:
    """The layouts found under one structure. It holds the root, so that no other object can come by its id."""

    __slots__ = ("known", "root")

    def __init__(self, root: Node) -> None:
        self.root = root
        self.known = lru_cache(maxsize=_REMEMBERED_SHAPES)(self.walked)

    def walked(self, names: tuple[str, ...]) -> Layout:
        walk = _Walk(self.root, names)
        for index in range(len(names)):
            walk.place(index)
        return walk.finish()


_shapes: dict[int, _Shapes] = {}


def _remembered(root: Node) -> _Shapes:
    """To hash a whole structure at every message would cost more than to find its layout: roots are told by id."""
    if len(_shapes) >= _REMEMBERED_ROOTS:
        _shapes.clear()
    shapes = _shapes[id(root)] = _Shapes(root)
    return shapes


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

    def open_children(self, end: int | None = None) -> list[Node]:
        """The children, from the one reached last to before `end`, that may still come."""
        last = len(self.counts) if end is None else end
        return [self.node.children[number] for number in range(self.reached, last) if self.has_room(number)]


class _Walk:
    """Places segments one after another; the stack holds the groups that are open, the message at the bottom."""

    def __init__(self, root: Node, names: Sequence[str]) -> None:
        self.names = names
        self.known = frozenset(_all_names(root))
        self.places: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            self.places.setdefault(name, []).append(index)
        self.stack = [_Open(root, MESSAGE)]
        self.owners: list[int] = []
        self.faults: list[StructureFault] = []

    def place(self, index: int) -> None:
        name = self.names[index]
        for depth in range(len(self.stack) - 1, -1, -1):
            child = self._next_child(self.stack[depth], name)
            if child is not None and not self._too_early(depth, child, index):
                self._close_to(depth, index)
                self._take(child, index)
                return
        self.owners.append(UNPLACED)
        self.faults.append(StructureFault(self._why_not(name), index, name))

    def finish(self) -> Layout:
        self._close_to(-1, len(self.names))
        return Layout(tuple(self.owners), tuple(sorted(self.faults, key=lambda fault: fault.index)))

    def _next_child(self, group: _Open, name: str) -> int | None:
        """The child of an open group that can take the segment: from the one reached last onwards."""
        for number in range(group.reached, len(group.counts)):
            if group.has_room(number) and name in _openers(group.node.children[number]):
                return number
        return None

    def _too_early(self, depth: int, number: int, index: int) -> bool:
        """True when to take the segment here would shut out more than it holds up where it stands.

        Children that are passed over can not come any more. Where segments for them follow, either this one stands
        too early (the rest of the message is behind it) or those stand too late (a stray is behind many).
        """
        group = self.stack[depth]
        closed = chain.from_iterable(open_.open_children() for open_ in self.stack[depth + 1 :])
        lost = self._within_reach([*closed, *group.open_children(number)], index + 1)
        if not lost:
            return False
        around = chain.from_iterable(open_.open_children() for open_ in self.stack[:depth])
        kept = self._within_reach([*group.node.children[number:], *around], index)
        end = first = len(self.names)
        shut_out = 0
        for name, since in lost.items():
            places = self.places[name]
            low, high = bisect_left(places, since), bisect_left(places, kept.get(name, end))
            if low < high:
                first, shut_out = min(first, places[low]), shut_out + high - low
        return shut_out > first - index

    def _within_reach(self, nodes: Iterable[Node], since: int) -> dict[str, int]:
        """The names that the nodes can take from index `since` on, and where each can be taken first."""
        found: dict[str, int] = {}
        for node in nodes:
            starts = [at for name in _openers(node) if (at := self._next_place(name, since)) is not None]
            if not starts:
                continue
            inner = self._within_reach(node.children, min(starts)) if node.children else {node.name: min(starts)}
            for name, at in inner.items():
                found[name] = min(at, found.get(name, at))
        return found

    def _next_place(self, name: str, since: int) -> int | None:
        places = self.places.get(name, ())
        at = bisect_left(places, since)
        return places[at] if at < len(places) else None

    def _take(self, number: int, index: int) -> None:
        while True:
            group = self.stack[-1]
            self._report_missing(group, number, index)
            group.reached = number
            group.counts[number] += 1
            child = group.node.children[number]
            if not child.children:
                break
            self.stack.append(_Open(child, index))
            number = self._next_child(self.stack[-1], self.names[index]) or 0
        self.owners.append(next(open_.start for open_ in reversed(self.stack) if open_.start != index))

    def _close_to(self, depth: int, index: int) -> None:
        while len(self.stack) - 1 > depth:
            group = self.stack.pop()
            self._report_missing(group, len(group.counts), index)

    def _report_missing(self, group: _Open, end: int, index: int) -> None:
        """Reports the required children that are passed over before child `end`."""
        for number in range(group.reached, end):
            child = group.node.children[number]
            if group.counts[number] < child.min:
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
