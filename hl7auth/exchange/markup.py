"""XML documents as plain elements, read so that no file can do harm.

Imports errors only.

There is no DTD, so there are no entities but the five of XML; nothing is ever fetched; size, depth and number of
elements are bounded. A profile of a whole implementation guide is some five megabytes.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple
from xml.parsers import expat

from hl7auth.errors import UserError

MAX_BYTES = 20_000_000
MAX_DEPTH = 60
MAX_ELEMENTS = 300_000
MAX_ATTRIBUTES = 60
MAX_TEXT = 20_000
"""Characters of text in one element: notes are longer than anything else, and hold a page or two."""


class Element(NamedTuple):
    """One element, without its namespace; `text` is what stands directly in it, `line` where it begins."""

    name: str
    attributes: Mapping[str, str]
    children: tuple["Element", ...]
    text: str
    line: int

    def get(self, attribute: str) -> str:
        """An attribute without the blanks around it; empty when it is not there."""
        return self.attributes.get(attribute, "").strip()

    def all(self, *names: str) -> Iterator["Element"]:
        """The children of those names, in order."""
        return (child for child in self.children if child.name in names)

    def first(self, name: str) -> "Element | None":
        """The first child of that name."""
        return next(self.all(name), None)

    def note(self, name: str) -> str:
        """The text of the first child of that name as one line; empty when it is not there."""
        child = self.first(name)
        return " ".join(child.text.split()) if child else ""


class Source(NamedTuple):
    """An XML document and the name people know it by."""

    name: str
    root: Element

    def place(self, element: Element) -> str:
        """`Profile.xml:12`."""
        return f"{self.name}:{element.line}"


def read_source(name: str, data: bytes) -> Source:
    """The document of those bytes. Raises UserError for what is not XML, has a DTD, or is beyond the bounds."""
    if len(data) > MAX_BYTES:
        raise UserError(f"{name}: larger than {MAX_BYTES} bytes")
    return Source(name, _Reader(name).read(data))


class _Frame(NamedTuple):
    name: str
    attributes: Mapping[str, str]
    line: int
    children: list[Element]
    text: list[str]


class _Reader:
    """One document: expat's events put together; the stack holds what is still open."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stack = [_Frame("", {}, 0, [], [])]
        self.elements = 0
        self.parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartDoctypeDeclHandler = self.refuse
        parser.EntityDeclHandler = self.refuse
        parser.UnparsedEntityDeclHandler = self.refuse
        parser.ExternalEntityRefHandler = self.refuse
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters

    def read(self, data: bytes) -> Element:
        try:
            self.parser.Parse(data, True)
        except expat.ExpatError as error:
            raise UserError(f"{self.name}:{error.lineno}: not XML: {expat.errors.messages[error.code]}") from None
        except (LookupError, ValueError):  # an encoding that Python does not know, or can not use byte by byte
            raise UserError(f"{self.name}: its encoding is not supported") from None
        return self.stack[0].children[0]

    def refuse(self, *_: object) -> int:
        raise UserError(
            f"{self.name}:{self.parser.CurrentLineNumber}: has a DOCTYPE; document types and entities are not read: "
            "take the declaration out"
        )

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if len(self.stack) > MAX_DEPTH:
            raise self.beyond(f"more than {MAX_DEPTH} levels")
        if self.elements > MAX_ELEMENTS:
            raise self.beyond(f"more than {MAX_ELEMENTS} elements")
        if len(attributes) > MAX_ATTRIBUTES:
            raise self.beyond(f"more than {MAX_ATTRIBUTES} attributes in one element")
        plain = {key.rpartition(":")[2]: value for key, value in attributes.items() if not key.startswith("xmlns")}
        self.stack.append(_Frame(name.rpartition(":")[2], plain, self.parser.CurrentLineNumber, [], []))

    def end(self, _: str) -> None:
        name, attributes, line, children, text = self.stack.pop()
        self.stack[-1].children.append(Element(name, attributes, tuple(children), "".join(text)[:MAX_TEXT], line))

    def characters(self, text: str) -> None:
        self.stack[-1].text.append(text)

    def beyond(self, what: str) -> UserError:
        return UserError(f"{self.name}:{self.parser.CurrentLineNumber}: {what}")
