"""One thing that a check has to say about a message, and how it is shown.

Imports wire only.
"""

from typing import Literal, NamedTuple

from hl7auth.wire.ack import Location, Problem

Severity = Literal["error", "warning", "alert", "information"]
"""What a profile may call a breach, worst first."""

Classification = Literal["error", "warning", "alert", "information", "affirmative", "specification"]
"""Severity, `affirmative` for what is right, and `specification` for a fault of the profile, never of the message."""

Category = Literal[
    "",
    "usage",
    "cardinality",
    "length",
    "format",
    "extra",
    "unexpected",
    "invalid content",
    "unescaped separator",
    "constraint",
    "predicate",
    "value set",
    "structure",
]
"""What kind of rule is broken, in the words of NIST's message validation."""

SHAPE_LENGTH = 40
"""Characters of a shape: enough to tell a date from a name, and no more."""

_ERR_SEVERITY = {"error": "E", "warning": "W"}


class Finding(NamedTuple):
    """One thing to say about a message: `AUT[2]-6.1` breaks `rule`, at these bytes of it, for this reason.

    `code` is of table 0357; `start` and `end` are byte offsets in the received message; `line` is the 1-based number of
    the segment, 0 where there is none. `length` and `shape` describe the value without telling it. `source` is the
    place in the profile (`profiles/aut-standard.yaml:12`), `standard` that in HL7, `mend` says what to do.
    """

    rule: str
    severity: Classification
    path: str
    text: str
    code: str
    location: Location
    start: int
    end: int
    category: Category = ""
    line: int = 0
    length: int = 0
    shape: str = ""
    source: str = ""
    standard: str = ""
    mend: str = ""

    @property
    def problem(self) -> Problem:
        """The finding as an ERR says it: an alert is information to a sender, for nothing is wrong with the message."""
        severity = _ERR_SEVERITY.get(self.severity, "I")
        return Problem(self.code, self.text, self.location, severity, self.rule)


def finding_entry(finding: Finding) -> dict[str, object]:
    """A finding as the store and the command line show it; what is empty and was added to the first keys is left out.

    The keys are rule, severity, category, path, line, bytes, text, code, length, shape, source, standard and mend.
    """
    entry: dict[str, object] = {
        "rule": finding.rule,
        "severity": finding.severity,
        "category": finding.category,
        "path": finding.path,
        "line": finding.line,
        "bytes": [finding.start, finding.end],
        "text": finding.text,
        "code": finding.code,
        "length": finding.length,
        "shape": finding.shape,
        "source": finding.source,
        "standard": finding.standard,
        "mend": finding.mend,
    }
    return {key: value for key, value in entry.items() if value or key in _ALWAYS}


_ALWAYS = frozenset({"rule", "severity", "path", "text", "code", "bytes"})


def shape_of(value: str, most: int | None = SHAPE_LENGTH) -> str:
    """The form of a value without its content, cut after `most` characters: `Quill-07` is `Aaaaa-99`.

    Sign for sign: letters are A or a, digits 9, and ASCII punctuation stays, for it is the form. A script without
    capitals has letters all the same. What else there is (marks, controls, signs beyond ASCII) is a ?.
    """
    return value[:most].translate(_SIGNS)


class _Signs(dict[int, str]):
    """For `str.translate`. Signs beyond ASCII are worked out each time: to remember them would cost memory."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char.isalpha():
            return "A" if char.isupper() else "a"
        if char.isdigit() or char.isnumeric():
            return "9"
        return char if char.isascii() and char.isprintable() else "?"


_SIGNS = _Signs()
_SIGNS.update({code: _SIGNS[code] for code in range(128)})
