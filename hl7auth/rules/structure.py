"""Where each segment of a message stands in its abstract syntax, and what is missing, surplus or out of place.

Imports rules.dictionary and rules.walk only.

The verdict depends on nothing but the structure and the sequence of segment names, and feeds repeat both: it is
remembered, so that a known shape of message costs one look-up.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import NamedTuple

from hl7auth.rules.dictionary import Node, dictionary
from hl7auth.rules.walk import Place, Standing, Standings, Step

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

    __slots__ = ("known", "root", "standings")

    def __init__(self, root: Node) -> None:
        self.root = root
        self.standings = Standings(root)
        self.known = lru_cache(maxsize=_REMEMBERED_SHAPES)(self.walked)

    def walked(self, names: tuple[str, ...]) -> Layout:
        return _Walk(self.standings, names).layout()


_shapes: dict[int, _Shapes] = {}


def _remembered(root: Node) -> _Shapes:
    """To hash a whole structure at every message would cost more than to find its layout: roots are told by id."""
    if len(_shapes) >= _REMEMBERED_ROOTS:
        _shapes.clear()
    shapes = _shapes[id(root)] = _Shapes(root)
    return shapes


class _Walk:
    """Places segments one after another; `starts` are those that opened the groups that are open."""

    def __init__(self, standings: Standings, names: Sequence[str]) -> None:
        self.standings = standings
        self.names = names
        self.last = {name: index for index, name in enumerate(names)}
        self.starts = [MESSAGE]
        self.came: dict[tuple[int, int, int], int] = {}
        self.faults: list[StructureFault] = []

    def layout(self) -> Layout:
        standing, starts, owners, last = self.standings.first, self.starts, list[int](), self.last
        behind = set(last)
        """The names that still come."""
        for index, name in enumerate(self.names):
            if last[name] == index:
                behind.discard(name)
            for step in standing.steps.get(name) or self.standings.steps(standing, name):
                if step.risky.isdisjoint(behind) or not self._too_early(step, index):
                    standing = step.after
                    owners.append(starts[step.depth])
                    self._take(step, index)
                    break
            else:
                owners.append(UNPLACED)
                self.faults.append(StructureFault(self._why_not(standing, name), index, name))
        self._report_missing(standing.missing(), len(self.names))
        return Layout(tuple(owners), tuple(sorted(self.faults, key=lambda fault: fault.index)))

    def _take(self, step: Step, index: int) -> None:
        starts = self.starts
        if step.opened or len(starts) > step.depth + 1:
            starts[step.depth + 1 :] = [index] * step.opened
        if step.missing:
            self._report_missing(step.missing, index)
        if step.most is not None:
            place = starts[-1], len(starts), step.number
            self.came[place] = self.came.get(place, 0) + 1

    def _report_missing(self, names: Iterable[str], index: int) -> None:
        self.faults += [StructureFault(Fault.MISSING, index - 1, name) for name in names]

    def _too_early(self, step: Step, index: int) -> bool:
        """True when to take the segment here would shut out more than it holds up where it stands.

        Children that are passed over can not come any more. Where segments for them follow, either this one stands
        too early (the rest of the message is behind it) or those stand too late (a stray is behind many).
        """
        lost = self._within_reach(step.skipped, index + 1)
        if not lost:
            return False
        kept = self._within_reach([each for each in step.kept if not each.names.isdisjoint(lost)], index)
        end = first = len(self.names)
        shut_out = 0
        for name, since in lost.items():
            places = self.places[name]
            low, high = bisect_left(places, since), bisect_left(places, kept.get(name, end))
            if low < high:
                first, shut_out = min(first, places[low]), shut_out + high - low
        return shut_out > first - index

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Where each name stands; asked for where segments are out of order."""
        found: dict[str, list[int]] = {}
        for index, name in enumerate(self.names):
            found.setdefault(name, []).append(index)
        return found

    def _within_reach(self, places: Iterable[Place], since: int) -> dict[str, int]:
        """The names that the places can take from index `since` on, and where each can be taken first."""
        found: dict[str, int] = {}
        for place in places:
            starts = [at for name in place.openers if (at := self._next_place(name, since)) is not None]
            if not starts:
                continue
            inner = self._within_reach(place.children, min(starts)) if place.children else {place.name: min(starts)}
            for name, at in inner.items():
                found[name] = min(at, found.get(name, at))
        return found

    def _next_place(self, name: str, since: int) -> int | None:
        if self.last.get(name, -1) < since:
            return None
        places = self.places[name]
        return places[bisect_left(places, since)]

    def _why_not(self, standing: Standing, name: str) -> Fault:
        if name not in self.standings.root.names:
            return Fault.UNKNOWN
        for depth, (frame, start) in enumerate(zip(standing.frames, self.starts, strict=True), start=1):
            for number, child in enumerate(frame.place.children):
                came = self.came.get((start, depth, number), 0)
                if child.name == name and not child.children and child.max is not None and came >= child.max:
                    return Fault.TOO_MANY
        return Fault.OUT_OF_PLACE
