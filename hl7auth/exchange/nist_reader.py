"""NIST's bundles (IGAMT: Profile.xml with Constraints, ValueSets and bindings), read into a Guide.

Imports errors, exchange.attributes, exchange.markup, exchange.model and the other nist modules only.
"""

import re
from collections.abc import Iterable, Sequence

from hl7auth.errors import UserError
from hl7auth.exchange.attributes import version_of
from hl7auth.exchange.markup import Element, Source
from hl7auth.exchange.model import Guide, Loss
from hl7auth.exchange.nist_contexts import Contexts
from hl7auth.exchange.nist_elements import Elements
from hl7auth.exchange.nist_statements import Statements
from hl7auth.exchange.nist_values import ValueSets

ROOT = "ConformanceProfile"
CONSTRAINTS = "ConformanceContext"
VALUES = "ValueSetLibrary"
BINDINGS = "ValueSetBindingsContext"
READ = frozenset({CONSTRAINTS, VALUES, BINDINGS, "ProfileSlicing", "CoConstraintContext"})
_UNKNOWN = {"ProfileSlicing": "slices of repeating segments", "CoConstraintContext": "co-constraints"}


def choices(source: Source) -> list[tuple[str, ...]]:
    """The names of each message of the document: `RQA^I08`, its identifier, ID, name and structure."""
    found = []
    for message in _messages(source):
        names = (message.get(name) for name in ("Identifier", "ID", "Name", "StructID"))
        found.append((f"{message.get('Type')}^{message.get('Event')}", *filter(None, names)))
    return found


def read_nist(source: Source, index: int, others: Sequence[Source]) -> Guide:
    """The message with that index; `others` are the constraints, value sets and bindings. Raises UserError for a
    version the engine does not speak, or no message type."""
    message = _messages(source)[index]
    version = version_of(source.root.get("HL7Version"))
    if not version:
        raise UserError(f"{source.place(source.root)}: HL7Version '{source.root.get('HL7Version')}' is not supported")
    if not re.fullmatch(r"[A-Z][A-Z0-9]{2}", message.get("Type")):
        raise UserError(f"{source.place(message)}: Type '{message.get('Type')}' is no message type")
    losses: list[Loss] = []
    for other in others:
        _leave_out(other, losses)
    values = ValueSets((each for each in others if each.root.name == VALUES), losses)
    contexts = Contexts(each for each in others if each.root.name in (CONSTRAINTS, BINDINGS))
    elements = Elements(source, message, contexts, values, version, losses)
    places = elements.places(message)
    statements = Statements(elements).all_of(places)
    about = source.root.first("MetaData") or source.root
    event = message.get("Event")
    return Guide(
        title=message.get("Description") or message.get("Name") or about.get("Name") or message.get("Type"),
        source=", ".join(filter(None, (about.get("OrgName"), about.get("Name"), about.get("Version"), source.name))),
        version=version,
        message_type=message.get("Type"),
        event=event,
        structure=message.get("StructID") or "_".join(filter(None, (message.get("Type"), event))),
        identifiers=tuple(filter(None, (message.get("Identifier"),))),
        places=places,
        flavours=elements.flavours,
        tables={name: each.table for name, each in values.sets.items()},
        statements=statements,
        losses=tuple(losses),
        unchecked=frozenset(values.unchecked),
    )


def _messages(source: Source) -> list[Element]:
    return [message for part in source.root.all("Messages") for message in part.all("Message")]


def _leave_out(source: Source, losses: list[Loss]) -> None:
    """What we have no word for."""
    what = _UNKNOWN.get(source.root.name)
    if what:
        losses.append(Loss(source.place(source.root), what, "a profile says one thing of all repetitions of a segment"))
    for part in source.root.all("CoConstraints", "OrderIndifferent"):
        for each in _leaves(part):
            losses.append(Loss(source.place(each), f"{part.name} {each.note('Description')}".strip(), "no counterpart"))


def _leaves(part: Element) -> Iterable[Element]:
    return [each for level in part.children for by in level.children for each in by.children] or part.children
