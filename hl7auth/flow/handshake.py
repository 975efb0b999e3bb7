"""Which replies a message gets: original mode and enhanced mode by MSH-15 and MSH-16 (chapter 2, 2.9; table 0155).

Imports wire and rules only.
"""

from typing import NamedTuple

from hl7auth.rules.check import Finding
from hl7auth.wire.ack import Location
from hl7auth.wire.message import Header

#: Never answered, whatever they ask for: an answer to an answer is how loops begin
ACKNOWLEDGMENTS = frozenset({"ACK", "MCF"})

_CONDITIONS = frozenset({"AL", "NE", "ER", "SU"})


class Handshake(NamedTuple):
    """The acknowledgement conditions of one message; `accept` and `application` are codes of table 0155.

    In original mode an application acknowledgement is always due and an accept acknowledgement never.
    """

    enhanced: bool
    accept: str
    application: str

    def accept_due(self, good: bool) -> bool:
        """Is a CA (or, when not good, a CE or CR) to be sent?"""
        return due(self.accept, good)

    def application_due(self, good: bool) -> bool:
        """Is an answer (or, when not good, an AE or AR) to be sent?"""
        return due(self.application, good)

    @property
    def modes(self) -> tuple[str, str]:
        """MSH-15 and MSH-16 of an answer: an application acknowledgement is never itself acknowledged by one."""
        return ("NE", "NE") if self.enhanced else ("", "")


ORIGINAL = Handshake(False, "NE", "AL")


def handshake(header: Header) -> Handshake:
    """The handshake that MSH asks for: enhanced as soon as one of the two is valued, where the other then means never.

    A value outside of table 0155 says nothing: it is reported by the check and counts as empty here.
    """
    accept, application = header.accept_acknowledgment, header.application_acknowledgment
    if (accept and accept not in _CONDITIONS) or (application and application not in _CONDITIONS):
        return ORIGINAL
    if not accept and not application:
        return ORIGINAL
    return Handshake(True, accept or "NE", application or "NE")


def header_remarks(
    header: Header, structure: str, asked: Handshake, is_request: bool, *, foreign: bool = False
) -> list[Finding]:
    """What is odd about a header and does no harm; the structures of a partner's own messages are its own affair."""
    remarks = []
    if header.structure not in ("", structure) and not foreign:
        text = f"MSH-9.3 names another structure than the event has, which is {structure}"
        remarks.append(("MSH-9.structure", text, Location("MSH", 1, 9, 0, 3)))
    halves = (header.accept_acknowledgment, header.application_acknowledgment)
    if asked.enhanced and not all(halves):
        field = 16 if halves[0] else 15
        text = f"MSH-{field} is empty where the other of MSH-15 and MSH-16 has a value; it counts as NE"
        remarks.append((f"MSH-{field}.usage", text, Location("MSH", 1, field)))
    if not is_request and halves[1] not in ("", "NE"):
        text = "an answer can not ask for an application acknowledgement"
        remarks.append(("MSH-16.answer", text, Location("MSH", 1, 16)))
    found = []
    for rule, text, place in remarks:
        path = f"MSH-{place.field}" + (f".{place.component}" if place.component else "")
        found.append(Finding(rule, "warning", path, text, "199", place, 0, 0))
    return found


def due(condition: str, good: bool) -> bool:
    """Is a reply due under a condition of table 0155?"""
    return condition == "AL" or (condition == "SU" and good) or (condition == "ER" and not good)
