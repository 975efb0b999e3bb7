"""Which stored line an incoming procedure means: by PR1-19 where it is sent, else by procedure code, else by place.

Imports domain.authorization and domain.values only.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

from hl7auth.domain.authorization import Line, line_identifier, procedure


class Lines:
    """Stored lines, each of which can be meant once."""

    def __init__(self, stored: Sequence[dict[str, Any]]) -> None:
        self._free = [True] * len(stored)
        self._by_identifier: dict[str, deque[int]] = defaultdict(deque)
        self._by_code: dict[str, deque[int]] = defaultdict(deque)
        self._named = ["identifier" in line for line in stored]
        for place, line in enumerate(stored):
            self._by_identifier[line.get("identifier", "")].append(place)
            self._by_code[line.get("procedure", {}).get("code", "")].append(place)
        self._alike = {code: len(places) for code, places in self._by_code.items()}
        self._uncoded = frozenset(self._by_code[""])

    def find(self, line: Line, place: int) -> int | None:
        """The place of the stored line that is meant: the next free one that fits, or None."""
        identifier, code = identity(line)
        if identifier:
            found = self._next(self._by_identifier[identifier])
            if found is None and code:  # a sender may begin to number its lines
                found = self._next(self._by_code[code], unnamed=True)
        elif code:
            found = self._next(self._by_code[code])
        else:
            found = place if place in self._uncoded and self._free[place] else None
        if found is not None:
            self._free[found] = False
        return found

    def alike(self, line: Line) -> int:
        """How many stored lines have the code of a line that has no identifier of its own."""
        identifier, code = identity(line)
        return 0 if identifier or not code else self._alike.get(code, 0)

    def _next(self, places: deque[int], *, unnamed: bool = False) -> int | None:
        while places and not self._free[places[0]]:  # a thousand lines of one procedure are not walked a thousand times
            places.popleft()
        return next((at for at in places if self._free[at] and not (unnamed and self._named[at])), None)


def identity(line: Line) -> tuple[str, str]:
    """PR1-19 and the code of PR1-3."""
    return line_identifier(line.procedure), procedure(line.procedure).get("code", "")


def matched(stored: Sequence[dict[str, Any]], lines: Sequence[Line]) -> list[int | None]:
    """For each line the place of the stored line that it means, or None."""
    known = Lines(stored)
    return [known.find(line, place) for place, line in enumerate(lines)]
