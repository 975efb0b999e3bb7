"""A walk through an abstract syntax: where it stands, and what a segment does there, worked out once per structure.

Imports rules.dictionary only.

Where a walk stands is which groups are open, the child reached in each and how often that child has come. A message of
a thousand observations stands in three or four such places again and again, so what each name does there is kept.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from hl7auth.rules.dictionary import Node

_REMEMBERED = 2_048
"""Standings of one structure: a good feed knows some hundreds; a sender who makes up more starts them afresh."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A Node with what a walk asks of it: `openers` are the names that an instance can begin with (up to and with its
    first required child), `names` all that are in it."""

    name: str
    min: int
    max: int | None
    children: tuple["Place", ...]
    openers: frozenset[str]
    names: frozenset[str]

    @property
    def first_name(self) -> str:
        """The segment that its text begins with."""
        return self.children[0].first_name if self.children else self.name


def place_of(node: Node) -> Place:
    """The Place of a Node, with all below it."""
    children = tuple(map(place_of, node.children))
    openers = {node.name} if not children else set[str]()
    for child in children:
        openers |= child.openers if child.max != 0 else set()
        if child.min:
            break
    names = frozenset[str]().union(*(child.names for child in children)) if children else frozenset({node.name})
    return Place(node.name, node.min, node.max, children, frozenset(openers), names)


class Frame(NamedTuple):
    """One open group: the child reached last, and how often it has come, as far as that matters."""

    place: Place
    reached: int = 0
    came: int = 0

    def has_room(self, number: int) -> bool:
        """True while the child may come once more; of those behind the one reached none has come yet."""
        most = self.place.children[number].max
        return most is None or (self.came if number == self.reached else 0) < most

    def taker(self, name: str) -> int | None:
        """The child that can take a segment of that name: from the one reached last onwards."""
        for number in range(self.reached, len(self.place.children)):
            if name in self.place.children[number].openers and self.has_room(number):
                return number
        return None

    def open_children(self, end: int | None = None) -> Iterator[Place]:
        """The children, from the one reached last to before `end`, that may still come."""
        children = self.place.children
        last = len(children) if end is None else end
        return (children[number] for number in range(self.reached, last) if self.has_room(number))

    def missing(self, end: int | None = None) -> Iterator[str]:
        """The required children that are passed over before child `end`, each by its first segment."""
        for number, child in enumerate(self.place.children[:end]):
            if number >= self.reached and (self.came if number == self.reached else 0) < child.min:
                yield child.first_name

    def at(self, number: int) -> "Frame":
        """The same group once the child has come (again)."""
        child, before = self.place.children[number], self.came if number == self.reached else 0
        return Frame(self.place, number, min(before + 1, max(child.max or 1, child.min)))


@dataclass(slots=True, eq=False)
class Standing:
    """Where a walk stands: the open groups, the message first; `steps` by name are what is known of going on."""

    frames: tuple[Frame, ...]
    steps: dict[str, tuple["Step", ...]] = field(default_factory=dict)

    def missing(self) -> list[str]:
        """What is missing if the message ends here, by first segments."""
        return [name for frame in reversed(self.frames) for name in frame.missing()]


class Step(NamedTuple):
    """What a segment does that is taken by the open group at `depth`: it opens so many groups and is child `number` of
    the innermost; `most` is how often that may come.

    `missing` are the required children that it passes over. `skipped` are the places that can not come any more, `kept`
    those that still can; `risky` the names of the first that the others may not take as early.
    """

    depth: int
    opened: int
    number: int
    most: int | None
    after: Standing
    missing: tuple[str, ...]
    skipped: tuple[Place, ...]
    kept: tuple[Place, ...]
    risky: frozenset[str]


class Standings:
    """All that is known of walks through one structure."""

    def __init__(self, root: Node) -> None:
        self.root = place_of(root)
        self.first = Standing((Frame(self.root),))
        self._known: dict[tuple[tuple[int, int, int], ...], Standing] = {}

    def steps(self, standing: Standing, name: str) -> tuple[Step, ...]:
        """What a segment of that name can do here, the innermost group that can take it first."""
        found = standing.steps.get(name)
        if found is None:
            if name not in self.root.names:
                return ()  # to remember names that anybody can make up would only cost memory
            found = standing.steps[name] = tuple(self._worked_out(standing.frames, name))
        return found

    def _worked_out(self, frames: tuple[Frame, ...], name: str) -> Iterator[Step]:
        for depth in range(len(frames) - 1, -1, -1):
            frame, closed = frames[depth], frames[depth + 1 :]
            number = frame.taker(name)
            if number is None:
                continue
            missing = [each for inner in reversed(closed) for each in inner.missing()] + list(frame.missing(number))
            path = _opened(frame.at(number), name)
            skipped = [each for inner in closed for each in inner.open_children()] + list(frame.open_children(number))
            around = (each for outer in frames[:depth] for each in outer.open_children())
            kept = (*frame.place.children[number:], *around)
            yield Step(
                depth=depth,
                opened=len(path) - 1,
                number=path[-1].reached,
                most=path[-1].place.children[path[-1].reached].max,
                after=self._standing((*frames[:depth], *path)),
                missing=tuple(missing),
                skipped=tuple(skipped),
                kept=kept,
                risky=frozenset[str]().union(*(each.names for each in skipped)) - _taken_at_once(kept, name),
            )

    def _standing(self, frames: tuple[Frame, ...]) -> Standing:
        key = tuple([(id(frame.place), frame.reached, frame.came) for frame in frames])
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
                self.first.steps.clear()
            found = self._known[key] = Standing(frames)
        return found


def _opened(frame: Frame, name: str) -> list[Frame]:
    """The frame and those of the groups that the segment opens in it."""
    path = [frame]
    while (inner := path[-1].place.children[path[-1].reached]).children:
        opened = Frame(inner)
        path.append(opened.at(opened.taker(name) or 0))
    return path


def _taken_at_once(places: Iterable[Place], name: str) -> frozenset[str]:
    """Names whose next segment is taken wherever it stands, when a segment of this name comes first: leaves, what opens
    a group, and what is in a group that this name opens."""
    found = set[str]()
    for place in places:
        found |= place.openers
        if name in place.openers:
            found |= _taken_at_once(place.children, name)
    return frozenset(found)
