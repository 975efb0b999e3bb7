"""Documents of other tools for the fuzzing: sound ones, and how one thing in them is changed."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hl7auth.exchange import hl7_reader, nist_reader
from hl7auth.exchange.bundle import read_bundle
from hl7auth.exchange.markup import Element, Source

DOCUMENTS = Path(__file__).parents[1] / "exchange" / "documents"
ROOTS = (hl7_reader.ROOT, nist_reader.ROOT)


@cache
def sound_documents() -> tuple[tuple[Source, ...], ...]:
    """A message profile of the HL7 form with its tables, and one of five documents."""
    own = sorted(DOCUMENTS.glob("*.xml"))
    return read_bundle(own), read_bundle([DOCUMENTS / "bundle"])


def changed(root: Element, number: int, done: int, said: str) -> Element:
    """The document with its `number`-th element (counted round and round) given another name, text or attribute, taken
    out, or put in twice."""
    paths = _paths(root)
    return _with(root, paths[number % len(paths)], done, said)


def _paths(root: Element, here: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    return [here, *(path for at, child in enumerate(root.children) for path in _paths(child, (*here, at)))]


def _with(element: Element, path: tuple[int, ...], done: int, said: str) -> Element:
    if not path:
        return next(iter(_instead(element, done, said)), element)
    children = []
    for at, child in enumerate(element.children):
        if at != path[0]:
            children.append(child)
        elif len(path) == 1:
            children += _instead(child, done, said)
        else:
            children.append(_with(child, path[1:], done, said))
    return element._replace(children=tuple(children))


def _instead(element: Element, done: int, said: str) -> Iterator[Element]:
    """What stands in the place of an element."""
    kind, which = done % 6, done // 6
    names = sorted(element.attributes)
    if kind == 0 and names:
        yield element._replace(attributes={**element.attributes, names[which % len(names)]: said})
    elif kind == 1 and names:
        gone = names[which % len(names)]
        yield element._replace(attributes={name: element.attributes[name] for name in names if name != gone})
    elif kind == 2:
        yield element._replace(text=said)
    elif kind == 3:
        yield element._replace(name=said)
    elif kind == 4:
        yield element
        yield element
    else:
        yield from ()
