"""Places that a condition reads: a field of this segment, of its group, of the message, or a part of this very value.

Imports wire and rules.structure only.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from hl7auth.rules.structure import Layout
from hl7auth.wire.escapes import unescape
from hl7auth.wire.message import Message, Segment, part


class Groups:
    """The segments of each group of a message, by the segment that opens it; read when first asked for."""

    __slots__ = ("_indices", "_inside", "_message", "_owners")

    def __init__(self, message: Message, layout: Layout) -> None:
        self._message = message
        self._owners = layout.owners
        self._indices: dict[int, int] = {}
        self._inside: dict[int, dict[str, list[Segment]]] = {}

    def around(self, segment: Segment, name: str) -> list[Segment]:
        """The segments of that name in the smallest group around the segment that has any; none at message level."""
        if not self._indices:
            self._read()
        at = self._indices.get(segment.start, -1)
        while at >= 0:
            found = self._inside.get(at, {}).get(name)
            if found:
                return found
            at = self._owners[at]
        return []

    def _read(self) -> None:
        for index, segment in enumerate(self._message.segments):
            self._indices[segment.start] = index
            opener = index
            while opener >= 0:
                self._inside.setdefault(opener, {}).setdefault(segment.name, []).append(segment)
                opener = self._owners[opener]


class Scene(NamedTuple):
    """What a condition looks at. `this` is the raw text of the element under check, `marks` what divides it."""

    message: Message
    segment: Segment
    groups: Groups | None = None
    this: str = ""
    marks: Sequence[str] = ()


class Path(NamedTuple):
    """A place; 0 means the first repetition, or all of a component.

    `scope` is "", "group", "message", "this", or "near": this segment where it has that name, else one of its group.
    """

    scope: str
    segment: str
    field: int = 0
    repetition: int = 0
    component: int = 0
    subcomponent: int = 0

    def segments(self, scene: Scene) -> Sequence[Segment]:
        """The segments that are meant: this one, those of its group, or all of the message."""
        if self.scope in ("", "near") and scene.segment.name == self.segment:
            return (scene.segment,)
        if self.scope in ("group", "near"):
            return scene.groups.around(scene.segment, self.segment) if scene.groups else ()
        return scene.message.all(self.segment)

    def values(self, scene: Scene) -> Iterator[str]:
        """The unescaped values at the place: of every segment that is meant, and every repetition."""
        if self.scope == "this":
            yield _part_of(scene, self)
            return
        for segment in self.segments(scene):
            wanted = (self.repetition,) if self.repetition else range(1, len(segment.repetitions(self.field)) + 1)
            for repetition in wanted:
                yield segment.value(self.field, self.component or 1, repetition, self.subcomponent)

    def reader(self) -> Callable[[Scene], str]:
        """The function that reads the first of the values; empty when there is none."""
        scope, name, field, repetition, component, subcomponent = self
        if scope == "this":
            return lambda scene: _part_of(scene, self)
        repetition, component = repetition or 1, component or 1
        if scope in ("group", "near"):
            return lambda scene: next(self.values(scene), "")

        def read(scene: Scene) -> str:
            own = not scope and scene.segment.name == name
            source = scene.segment if own else scene.message.first(name)
            return source.value(field, component, repetition, subcomponent) if source else ""

        return read


def _part_of(scene: Scene, path: Path) -> str:
    text = scene.this
    for mark, number in zip(scene.marks, (path.component, path.subcomponent), strict=False):
        text = part(text, mark, number) if number else text
    if len(scene.marks) < 2 and path.subcomponent > 1:
        return ""  # a subcomponent has no parts
    return unescape(text, scene.segment.delimiters)
