"""What would be otherwise, counted by kind, with the first few messages of each as examples.

Imports the standard library only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MOST_KINDS = 2_000
"""Kinds that are told apart; of further ones only the messages are counted."""


class Found(NamedTuple):
    """One thing that differs in one message.

    `kind` is disposition, finding, reply, route, message, copy or authorization; `what` says where and how, without
    any value of a patient; `before` and `after` are the values.
    """

    kind: str
    what: str
    before: str | None = None
    after: str | None = None


class Example(NamedTuple):
    """A message in which it is so, and the values there."""

    message: int
    before: str | None
    after: str | None


@dataclass(slots=True)
class Count:
    """In how many messages, and the first of these."""

    messages: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, messages: int, examples: Iterable[Example], most: int) -> None:
        """Counts more of them; the earliest examples are kept."""
        self.messages += messages
        self.examples = sorted([*self.examples, *examples], key=lambda each: each.message)[:most]


@dataclass(slots=True)
class Tally:
    """What came of it: messages that were `compared`, that `differ`, and how; the keys of `skipped` say why not.

    `authorizations` counts those that would stand otherwise in the end; `drifted` the messages that today's
    configuration answers otherwise than it did then.
    """

    examples: int = 3
    compared: int = 0
    differ: int = 0
    authorizations: int = 0
    drifted: int = 0
    further: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    kinds: dict[tuple[str, str], Count] = field(default_factory=dict)

    def skip(self, why: str) -> None:
        """Counts a message that is not compared."""
        self.skipped[why] = self.skipped.get(why, 0) + 1

    def add(self, message: int, found: Iterable[Found]) -> None:
        """Counts what differs in a message."""
        once = {(each.kind, each.what): each for each in reversed(list(found))}
        self.differ += bool(once)
        for key, each in once.items():
            self._count(key, 1, [Example(message, each.before, each.after)])

    def merge(self, other: "Tally") -> None:
        """Adds what another process has counted."""
        for name in ("compared", "differ", "authorizations", "drifted", "further"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for why, count in other.skipped.items():
            self.skipped[why] = self.skipped.get(why, 0) + count
        for key, each in other.kinds.items():
            self._count(key, each.messages, each.examples)

    def entries(self, *, values: bool) -> list[dict[str, Any]]:
        """The kinds as plain data, the most frequent first; values of messages only where they are wanted."""
        rows = sorted(self.kinds.items(), key=lambda item: (-item[1].messages, item[0]))
        return [
            {"kind": kind, "what": what, "messages": count.messages, "examples": _examples(count, values)}
            for (kind, what), count in rows
        ]

    def by_kind(self) -> Mapping[str, int]:
        """How many kinds of differences there are of each sort."""
        found: dict[str, int] = {}
        for kind, _ in sorted(self.kinds):
            found[kind] = found.get(kind, 0) + 1
        return found

    def _count(self, key: tuple[str, str], messages: int, examples: list[Example]) -> None:
        if key not in self.kinds and len(self.kinds) >= MOST_KINDS:
            self.further += messages
            return
        self.kinds.setdefault(key, Count()).add(messages, examples, self.examples)


def _examples(count: Count, values: bool) -> list[dict[str, Any]]:
    return [
        {"message": str(each.message)} | ({"before": each.before, "after": each.after} if values else {})
        for each in count.examples
    ]
