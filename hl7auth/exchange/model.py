"""What other tools say of a message, before it becomes one of our profiles; and what could not be carried over.

Imports nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Loss(NamedTuple):
    """Something that our profile does not say: its place in the document, what it is, and why it is not there."""

    place: str
    what: str
    reason: str

    def __str__(self) -> str:
        """One line, without what could steer a terminal."""
        text = f"{self.place}: {self.what}: {self.reason}"
        return "".join(char if char.isprintable() else " " for char in text)


class Item(NamedTuple):
    """A field, component or subcomponent: `rules` are the keys of our profile that both formats say alike."""

    number: int
    name: str
    usage: str
    datatype: str
    place: str
    cardinality: str = ""
    rules: Mapping[str, object] = {}
    notes: tuple[str, ...] = ()
    parts: tuple["Item", ...] = ()


class Place(NamedTuple):
    """A segment (with fields) or a group (with children) in a message; `most` None is unbounded.

    `flavour` tells two definitions of one segment apart.
    """

    name: str
    usage: str
    least: int
    most: int | None
    place: str
    fields: tuple[Item, ...] = ()
    children: tuple["Place", ...] = ()
    flavour: str = ""


class Flavour(NamedTuple):
    """A data type with constraints of its own."""

    name: str
    base: str
    parts: tuple[Item, ...]


class Guide(NamedTuple):
    """All that a document says of one message: `tables` and `statements` as our profile writes them; `unchecked` are
    the tables that nobody is to check."""

    title: str
    source: str
    version: str
    message_type: str
    event: str
    structure: str
    identifiers: tuple[str, ...]
    places: tuple[Place, ...]
    flavours: Mapping[str, Flavour]
    tables: Mapping[str, Mapping[str, object]]
    statements: tuple[Mapping[str, object], ...]
    losses: tuple[Loss, ...]
    unchecked: frozenset[str] = frozenset()
