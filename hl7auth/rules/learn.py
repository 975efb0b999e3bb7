"""Learns from traffic how a partner uses segments, fields and codes: counts only, and codes that many messages share.

Imports rules and wire only.

Nothing of a patient gets in. Of values only lengths are kept, and codes: of coded fields that a table is bound to,
never in segments about a person, never of clinical code systems, never what looks like a number, a date or a text or
stands in PID, NK1 or GT1 of the same message; and a code is told only when at least LEAST messages have it.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from hl7auth.errors import Fault
from hl7auth.rules.dictionary import FieldDef, dictionary
from hl7auth.rules.profile import FieldProfile, Profile, SegmentProfile, by_version
from hl7auth.wire.message import NULL, Message, Segment

LEAST = 5
"""Messages that must share a code before it is told: what fewer have could point to one of them."""

PERSONAL = frozenset(
    {"PID", "PD1", "NK1", "GT1", "IN1", "IN2", "IN3", "MRG", "ACC", "UB1", "UB2", "PDA", "ARV", "OBX", "NTE"}
)
"""Segments about a person, or of free text: no value of theirs is ever kept."""

_NAMED = ("PID", "NK1", "GT1")
_WORDS = re.compile(r"[^\W_]+")
_SHORTEST_WORD = 4
"""Shorter words of a person (M, 19, MR) are codes everywhere else as well."""

_CODED = frozenset({"ID", "IS", "CE", "CWE", "CNE", "CF"})
_CLINICAL = frozenset({"0051", "0055", "0088", "0340"})
"""Tables of diagnoses, procedures and groups: open code systems, of which the codes of a week say nothing."""
_CODE = re.compile(r"(?!.*\d{5})[A-Za-z0-9][A-Za-z0-9._/+-]{0,14}", re.ASCII)
_MOST_CODES = 500
"""Different codes of a field that are counted: a field with more holds identifiers."""
_EVENT = re.compile(r"[A-Z]{3}\^[A-Z]\d\d", re.ASCII)
_SEGMENT = re.compile(r"Z[A-Z0-9]{2}", re.ASCII)


@dataclass(slots=True)
class FieldUse:
    """How a field is used: segments where it is valued, most repetitions, longest repetition, codes by messages.

    `missed` counts the segments where it is required and does not come. `codes` is None where no code may be kept;
    `others` counts what could not be kept.
    """

    datatype: str = ""
    table: str = ""
    codes: Counter[str] | None = None
    others: int = 0
    valued: int = 0
    missed: int = 0
    deleted: int = 0
    repetitions: int = 0
    longest: int = 0
    composite: bool = False


@dataclass(slots=True)
class SegmentUse:
    """How a segment is used: messages that have it, how many there are by version, most in one message, its fields."""

    messages: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    most: int = 0
    fields: dict[int, FieldUse] = field(default_factory=dict)

    @property
    def segments(self) -> int:
        """How many there are."""
        return self.versions.total()


@dataclass(slots=True)
class Use:
    """What was learned from some messages over the profile `base`.

    It grows with the fields that are used, not with the messages.
    """

    base: Profile | None = None
    messages: int = 0
    unknown_versions: int = 0
    events: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    segments: dict[str, SegmentUse] = field(default_factory=dict)
    _required: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)

    def learn(self, message: Message) -> None:
        """Counts one message; one of a version that nobody knows only as such."""
        header = message.header
        try:
            known = dictionary(header.version).segments
        except Fault:
            self.unknown_versions += 1
            return
        self.messages += 1
        self.versions[header.version] += 1
        self.events[header.event if _EVENT.fullmatch(header.event) else "?"] += 1
        by_name: dict[str, list[Segment]] = {}
        for segment in message.segments:
            if segment.name in known or _SEGMENT.fullmatch(segment.name):
                by_name.setdefault(segment.name, []).append(segment)
        words = _words_of(message)
        for name, segments in by_name.items():
            use = self.segments.setdefault(name, SegmentUse())
            use.messages += 1
            use.versions[header.version] += len(segments)
            use.most = max(use.most, len(segments))
            for number, codes in self._fields(use, segments, header.version).items():
                _keep(use.fields[number], codes, words)

    def required(self, name: str, version: str) -> tuple[int, ...]:
        """The fields that HL7, or the profile beneath, requires in a version; MSH-1 and MSH-2 go without saying."""
        key = name, version
        if key not in self._required:
            self._required[key] = tuple(_required(_defined(name, version), self._rules(name), version))
        return tuple(number for number in self._required[key] if name != "MSH" or number > 2)

    def _fields(self, use: SegmentUse, segments: list[Segment], version: str) -> dict[int, set[str]]:
        """Counts the fields of one message's segments of one name; gives the codes by field."""
        codes: dict[int, set[str]] = {}
        name = segments[0].name
        for segment in segments:
            for number in self.required(name, version):
                if not segment.field(number):
                    self._use(use, name, number, version).missed += 1
            for number, raw in enumerate(segment.fields):
                if raw and number > (2 if name == "MSH" else 0):
                    each = self._use(use, name, number, version)
                    codes.setdefault(number, set()).update(_count(each, segment, number, raw))
        return codes

    def _use(self, use: SegmentUse, name: str, number: int, version: str) -> FieldUse:
        if number not in use.fields:
            defined = _defined(name, version)
            known = defined[number - 1] if number <= len(defined) else None
            table = _table(known, self._rules(name).get(number))
            datatype = known.datatype if known else ""
            may = bool(table) and datatype in _CODED and name not in PERSONAL and table not in _CLINICAL
            use.fields[number] = FieldUse(datatype, table, Counter() if may else None)
        return use.fields[number]

    def _rules(self, name: str) -> dict[int, FieldProfile]:
        return self.base.segments.get(name, SegmentProfile()).fields if self.base else {}


def _defined(name: str, version: str) -> tuple[FieldDef, ...]:
    segment = dictionary(version).segments.get(name)
    return segment.fields if segment else ()


def _required(defined: tuple[FieldDef, ...], rules: dict[int, FieldProfile], version: str) -> Iterator[int]:
    for number, known in enumerate(defined, start=1):
        own = rules.get(number)
        verb, usage = (by_version(own.verb, version), by_version(own.usage, version)) if own else (None, None)
        if verb == "SHALL" or usage == "R" or (verb is None and usage is None and known.usage == "R"):
            yield number


def _table(known: FieldDef | None, rules: FieldProfile | None) -> str:
    own = (rules.table or (rules.binding.table if rules.binding else "")) if rules else ""
    return own or (known.table if known else None) or ""


def _words_of(message: Message) -> frozenset[str]:
    """The words that a message says of persons, folded."""
    text = " ".join(segment.text for name in _NAMED for segment in message.all(name))
    return frozenset(word.casefold() for word in _WORDS.findall(text) if len(word) >= _SHORTEST_WORD)


def _keep(use: FieldUse, codes: set[str], words: frozenset[str]) -> None:
    if use.codes is None:
        return
    told = {code for code in codes if words.isdisjoint(word.casefold() for word in _WORDS.findall(code))}
    use.others += len(codes) - len(told)
    use.codes.update(told)
    if len(use.codes) > _MOST_CODES:
        use.codes = None


def _count(use: FieldUse, segment: Segment, number: int, raw: str) -> set[str]:
    """Counts a field of one segment; gives the codes that may be kept."""
    marks = segment.delimiters
    if raw == NULL:
        use.deleted += 1
        return set()
    repetitions = raw.rstrip(marks.repetition).split(marks.repetition) if marks.repetition else [raw]
    if not any(repetitions):
        return set()
    use.valued += 1
    use.repetitions = max(use.repetitions, len(repetitions))
    use.longest = max(use.longest, *map(len, repetitions))
    use.composite = use.composite or marks.component in raw
    if use.codes is None:
        return set()
    values = {segment.value(number, 1, at) for at in range(1, len(repetitions) + 1)} - {"", NULL}
    found = {value for value in values if _CODE.fullmatch(value)}
    use.others += len(values) - len(found)
    return found
