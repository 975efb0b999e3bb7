"""What a check says of one message, ready to be drawn: a Report with its Remarks.

Imports wire and rules only.
"""

from typing import NamedTuple

from hl7auth.reports.excerpt import Excerpt, excerpt
from hl7auth.rules.finding import Finding
from hl7auth.wire.message import Message, Segment

_LONGEST_VALUE = 200
"""Characters of an offending value that are shown: nobody reads a scanned letter in a report."""


class Remark(NamedTuple):
    """A finding with the segment it is about; `value` is the offending text where the caller asked for values."""

    finding: Finding
    excerpt: Excerpt | None = None
    value: str = ""


class Report(NamedTuple):
    """One message of one file: `number` counts the messages of the file from 1.

    `exit` is the exit status it asks for: 0 clean or warnings, 1 errors, 2 not usable. Then `unusable` says why, and
    `reason` says the same without any value of the message.
    """

    file: str
    number: int
    control_id: str
    event: str
    version: str
    profile: str
    remarks: tuple[Remark, ...] = ()
    unusable: str = ""
    reason: str = ""

    @property
    def exit(self) -> int:
        """The exit status that this message asks for."""
        return 2 if self.unusable else int(self.count("error") > 0)

    def count(self, severity: str) -> int:
        """How many findings have that severity."""
        return sum(remark.finding.severity == severity for remark in self.remarks)

    @property
    def place(self) -> str:
        """The file, with the number of the message where it is not the first."""
        return self.file if self.number == 1 else f"{self.file}[{self.number}]"

    @property
    def counts(self) -> str:
        """`1 error(s), 2 warning(s)`, and what else there is."""
        text = f"{self.count('error')} error(s), {self.count('warning')} warning(s)"
        others = ("alert", "information", "affirmative", "specification")
        return text + "".join(f", {self.count(each)} {each}" for each in others if self.count(each))


def remarks(message: Message, findings: list[Finding], values: bool) -> tuple[Remark, ...]:
    """The findings of a message with what is to be shown of it; without `values` only its shape is."""
    return tuple(_remark(message, finding, values) for finding in findings)


def _remark(message: Message, finding: Finding, values: bool) -> Remark:
    if not 0 < finding.line <= len(message.segments):
        return Remark(finding)
    segment = message.segments[finding.line - 1]
    start, end = _columns(message, segment, finding)
    value = segment.text[start:end][:_LONGEST_VALUE] if values else ""
    return Remark(finding, excerpt(segment, start, end, values), value)


def _columns(message: Message, segment: Segment, finding: Finding) -> tuple[int, int]:
    """The characters of the segment that the bytes of the finding hold."""
    if len(message.raw) == len(message.text):
        first = segment.start
        return max(finding.start - first, 0), max(finding.end - first, 0)
    first, _ = message.byte_range(segment.start, segment.start)
    before, place = message.raw[first : finding.start], message.raw[finding.start : finding.end]
    start = len(before.decode(message.codec, "replace"))
    return start, start + len(place.decode(message.codec, "replace"))
