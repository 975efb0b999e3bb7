"""Messages of real people made into messages of invented ones, so that they can be kept as tests.

Imports wire, rules, errors and the other modules of flow.disguise only.

The same value becomes the same everywhere, in all messages that are disguised together: one patient stays one patient,
an answer still names its request. All dates move by the same days. At the end the result is searched for every value
that was replaced; what is left over is a fault, never a test.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import chain, count, islice
from typing import NamedTuple

from hl7auth.errors import UserError
from hl7auth.flow.disguise_kinds import COMPONENTS, PLACES, PRIMITIVES, Kind
from hl7auth.rules.compiled import CompiledProfile
from hl7auth.wire.escapes import escape, unescape
from hl7auth.wire.message import NULL, Message, Segment

FAMILIES = (
    "Amberley", "Birchall", "Copperfield", "Dunmore", "Elderwood", "Fairlight", "Goldcrest", "Hazelton", "Ivorson",
    "Juniper", "Kestrel", "Larkspur", "Meadows", "Nettleton", "Oakhurst", "Pemberly", "Quince", "Rowanby", "Sorrel",
    "Thistlewood",
)  # fmt: skip
GIVENS = (
    "Aldis", "Briony", "Corin", "Delphine", "Emrys", "Fenella", "Garnet", "Hestia", "Ilario", "Jocasta", "Kelda",
    "Lowell", "Mirren", "Nolan", "Ottilie", "Piers", "Quilla", "Roswen", "Silvan", "Tamsyn",
)  # fmt: skip
STREETS = ("Sample Lane", "Specimen Road", "Pattern Street", "Model Avenue")
CITIES = ("Sampleton", "Specimen Hill", "Patternham", "Modelford")
ORGANISATIONS = ("Sample House", "Specimen Group", "Pattern Works", "Model Office")
WORDS = ("text", "words", "remark", "note")

TELLING = 3
"""Characters from which on a value is searched for: two letters are in every message."""
CODE_LENGTH = 20
_FITTING = 2_000
SHORT_LENGTH = 5
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"[+-]?\d{1,6}(\.\d{0,4})?|[+-]?\.\d{1,4}", re.ASCII)
_DATE = re.compile(r"(\d{4})(?:(\d\d)(?:(\d\d)((?:\d\d){0,3}(?:\.\d{1,4})?(?:[+-]\d{4})?))?)?", re.ASCII)
_FULL_DATE = 8
_PLAIN = "-./ "
_OF_PERSONS = frozenset({Kind.FAMILY, Kind.GIVEN, Kind.STREET, Kind.CITY, Kind.PHONE, Kind.DATE, Kind.DROP})
_KEPT = frozenset({Kind.KEEP, Kind.CODE, Kind.NUMBER, Kind.SHORT})


class NotDisguised(UserError):
    """A message could not be disguised; the text names places, never values."""


def disguised(messages: Sequence[Message], profile_of: Callable[[Message], CompiledProfile], days: int) -> list[bytes]:
    """The messages with other people in them, in the same character sets. `days` is how far every date moves.

    Raises NotDisguised where a value is left over.
    """
    disguise = _Disguise(messages, days)
    for message in messages:  # once to learn what must not be left, then for good
        disguise.text_of(message, profile_of(message))
    disguise.knows_all = True
    texts = [disguise.text_of(message, profile_of(message)) for message in messages]
    for text in texts:
        if left := list(left_over(text, disguise.originals)):
            raise NotDisguised(f"{len(left)} value(s) of the message are left after it was disguised; nothing is kept")
    return [text.encode(message.codec, "replace") for text, message in zip(texts, messages, strict=True)]


def left_over(text: str, originals: Iterable[str]) -> Iterator[str]:
    """The originals that a text still holds as whole words, whatever their case."""
    held = _spaced(text)
    for original in originals:
        if (spaced := _spaced(original)).strip() and spaced in held:
            yield original


class _At(NamedTuple):
    """Where a value stands: its segment, what is known of that, and whether it is a date of birth."""

    segment: Segment
    profile: CompiledProfile
    of_birth: bool


class _Disguise:
    """What stands for what. `originals` are the values that must not be left over."""

    def __init__(self, messages: Sequence[Message], days: int) -> None:
        self.days = days
        self.originals: set[str] = set()
        self.knows_all = False
        self._known: dict[tuple[Kind, str], str] = {}
        self._given_out: set[str] = set()
        # no stand-in is, or holds, a value that any of the messages has: so none can be taken for an original
        self._values = {_spaced(value) for each in messages for value in _values(each)}
        self._structure = {_spaced(each) for message in messages for each in _structure_of(message)}
        self._word = next(word for word in chain(WORDS, _numbered(WORDS)) if self._is_free(word))
        self._held: dict[str, bool] = {}

    def text_of(self, message: Message, profile: CompiledProfile) -> str:
        """The text of a message, disguised. Lines that are no segments are left out."""
        return "".join(f"{self._segment(segment, profile)}\r" for segment in message.segments)

    def _segment(self, segment: Segment, profile: CompiledProfile) -> str:
        marks, first = segment.delimiters, 3 if segment.name == "MSH" else 1
        fields = list(segment.fields)
        for number in range(first, len(fields)):
            repetitions = _split(fields[number], marks.repetition)
            done = [self._field(segment, number, raw, profile) for raw in repetitions]
            fields[number] = marks.repetition.join(done)
        return marks.field.join([fields[0], *fields[2:]] if segment.name == "MSH" else fields)

    def _field(self, segment: Segment, number: int, raw: str, profile: CompiledProfile) -> str:
        datatype, name = _defined(segment, number, profile)
        place = f"{segment.name}-{number}"
        kind = PLACES.get(place) or _by_dialect(place, raw, profile)
        return self._element(raw, datatype, kind, _At(segment, profile, "birth" in name.casefold()), 0)

    def _element(self, raw: str, datatype: str, whole: Kind | None, at: _At, depth: int) -> str:
        """A field, or below it a component: each of its parts by the table, or by the data type of the part."""
        mark = (at.segment.delimiters.component, at.segment.delimiters.subcomponent)[depth]
        known, table = at.profile.dictionary.datatypes, COMPONENTS.get(datatype, {})
        types = known.get(datatype, ())
        if not table and not types:
            whole = whole or PRIMITIVES.get(datatype, Kind.TEXT)
        done: list[str] = []
        for number, part in enumerate(_split(raw, mark), start=1):
            below = types[number - 1].datatype if number <= len(types) else ""
            kind = whole or PRIMITIVES.get(datatype) or table.get(number)
            if kind is None and depth == 0 and (below in COMPONENTS or known.get(below)):
                done.append(self._element(part, below, None, at, 1))
            else:
                before = done[-1] if done else ""
                done.append(self._parts(part, kind or PRIMITIVES.get(below, Kind.TEXT), at, before, depth))
        return mark.join(done)

    def _parts(self, raw: str, kind: Kind, at: _At, before: str, depth: int) -> str:
        """One value; what stands behind it in subcomponents that nobody expects there is text."""
        mark = at.segment.delimiters.subcomponent if depth == 0 else ""
        first, *rest = _split(raw, mark)
        other = kind if kind is Kind.KEEP else Kind.DROP if kind in _OF_PERSONS else Kind.TEXT
        return mark.join([self._value(first, kind, at, before), *(self._value(each, other, at, "") for each in rest)])

    def _value(self, raw: str, kind: Kind, at: _At, before: str) -> str:
        """One value. The delete indicator stays what it is; `before` is the value to the left."""
        if not raw or raw == NULL:
            return raw
        value = unescape(raw, at.segment.delimiters)
        if kind is Kind.SAID:
            return before or self._word
        if _is_kept(value, kind) and not (self.knows_all and self._holds_original(value)):
            return raw
        if kind in _KEPT:
            kind = Kind.TEXT
        self._remember(value, kind, at.of_birth)
        return escape(self._stand_in(value, kind), at.segment.delimiters)

    def _remember(self, value: str, kind: Kind, of_birth: bool) -> None:
        """Takes a value for one that must not be left over. Of dates only full ones of birth can be told apart."""
        if kind is Kind.ORGANISATION or (kind is Kind.DATE and (not of_birth or len(value) < _FULL_DATE)):
            return
        value = value[:_FULL_DATE] if kind is Kind.DATE else value
        if len("".join(_WORD.findall(value))) >= TELLING and _spaced(value) not in self._structure:
            self.originals.add(value)

    def _holds_original(self, value: str) -> bool:
        if value not in self._held:
            self._held[value] = any(True for _ in left_over(value, self.originals))
        return self._held[value]

    def _stand_in(self, value: str, kind: Kind) -> str:
        if kind is Kind.DROP:
            return ""
        if kind is Kind.DATE:
            moved = _moved(value, self.days)
            if moved is not None:
                return moved
            kind = Kind.ID
        if kind is Kind.TEXT:
            looks_like_id = any(char.isdigit() for char in value) and " " not in value and len(value) <= 2 * CODE_LENGTH
            if not looks_like_id:
                return self._word
            kind = Kind.ID
        key = kind, value.casefold()
        if key not in self._known:
            self._known[key] = next(each for each in _candidates(value, kind) if self._is_free(each))
            self._given_out.add(self._known[key].casefold())
        found = self._known[key]
        return found.upper() if value.isupper() and kind in (Kind.FAMILY, Kind.GIVEN) else found

    def _is_free(self, candidate: str) -> bool:
        words = _WORD.findall(candidate.casefold())
        runs = (words[start:end] for start in range(len(words)) for end in range(start + 1, len(words) + 1))
        told = (run for run in runs if len(run) == len(words) or len("".join(run)) >= TELLING)
        return candidate.casefold() not in self._given_out and not any(
            f" {' '.join(run)} " in self._values for run in told
        )


def _candidates(value: str, kind: Kind) -> Iterator[str]:
    """Stand-ins for a value, without end: at last such that no value can be in the way of all of them."""
    yield from islice(_fitting(value, kind), _FITTING)
    yield from (f"X{number}" for number in count(1))


def _fitting(value: str, kind: Kind) -> Iterator[str]:
    if kind is Kind.ID:
        return (_shaped(value, number) for number in count(1))
    if kind is Kind.PHONE:
        return (f"({200 + number % 700}){300 + number % 600}-{number:04d}" for number in count(100))
    if kind is Kind.STREET:
        return (f"{number} {STREETS[number % len(STREETS)]}" for number in count(1))
    names = {
        Kind.FAMILY: FAMILIES, Kind.GIVEN: GIVENS, Kind.CITY: CITIES, Kind.ORGANISATION: ORGANISATIONS
    }[kind]  # fmt: skip
    return chain(names, _numbered(names))


def _numbered(names: Sequence[str]) -> Iterator[str]:
    """The names again and again, with a number behind: `Amberley2`."""
    return (f"{names[number % len(names)]}{number // len(names) + 1}" for number in count(len(names)))


def _values(message: Message) -> list[str]:
    """Every value of a message, whatever it is."""
    marks = message.delimiters
    signs = "".join(filter(None, (marks.field, marks.component, marks.subcomponent, marks.repetition)))
    return re.split(f"[{re.escape(signs)}\r\n]", message.text)


def _shaped(value: str, number: int) -> str:
    """A number in the form of an id: `CH-0042` becomes `XX-0001`; with more digits where it does not fit."""
    places = sum(char.isdigit() for char in value)
    digits = list(str(number).zfill(places))
    shape = ["9" if char.isdigit() else "X" if char.isupper() else "x" if char.isalpha() else char for char in value]
    shaped = [char if char in "9Xx" or char in _PLAIN else "-" for char in shape]
    last = max((at for at, char in enumerate(shaped) if char == "9"), default=-1)
    if last < 0:
        return "".join(shaped) + "".join(digits)
    out = []
    for at, char in enumerate(shaped):
        if char != "9":
            out.append(char)
        elif at == last:
            out += digits
        else:
            out.append(digits.pop(0))
    return "".join(out)


def _moved(value: str, days: int) -> str | None:
    """A date some days later, as exact as it was; None for what is no date."""
    match = _DATE.fullmatch(value)
    if match is None:
        return None
    year, month, day, rest = match.groups()
    try:
        moved = date(int(year), int(month or 7), int(day or 15)) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return moved.strftime("%Y%m%d")[: 4 + 2 * bool(month) + 2 * bool(day)].zfill(4) + (rest or "")


def _defined(segment: Segment, number: int, profile: CompiledProfile) -> tuple[str, str]:
    """The data type and the name of a field: as the profile has it, else as HL7 has it; of OBX-5 what OBX-2 says."""
    if (segment.name, number) == ("OBX", 5):
        return segment.value(2), ""
    rules = profile.segments.get(segment.name)
    if rules is not None and number < len(rules.fields) and rules.fields[number].datatype:
        return rules.fields[number].datatype, rules.fields[number].name
    known = profile.dictionary.segments.get(segment.name)
    if known is None or number > len(known.fields):
        return "", ""
    return known.fields[number - 1].datatype, known.fields[number - 1].name


def _by_dialect(place: str, raw: str, profile: CompiledProfile) -> Kind | None:
    """A partner's own number is an id; without its status code, or its own word for nothing, the message would mean
    something else."""
    dialect = profile.profile.dialect
    if dialect is None:
        return None
    if raw in dialect.absent.get(place, ()) or (dialect.status is not None and place == dialect.status.source):
        return Kind.KEEP
    return Kind.ID if place in dialect.own_numbers else None


def _structure_of(message: Message) -> Iterator[str]:
    """Words that make the message what it is, and that a free text may happen to be: AUT, RQA, 2.5.1."""
    yield from (segment.name for segment in message.segments)
    header = message.header
    yield from (header.message_type, header.trigger_event, header.structure, header.version, header.charset)


def _is_kept(value: str, kind: Kind) -> bool:
    if kind is Kind.CODE:
        return len(value) <= CODE_LENGTH and " " not in value.strip()
    if kind is Kind.NUMBER:
        return _NUMBER.fullmatch(value) is not None
    if kind is Kind.SHORT:
        return len(value) <= SHORT_LENGTH
    return kind is Kind.KEEP or (kind is Kind.TEXT and len(value) < TELLING)


def _split(text: str, mark: str) -> list[str]:
    return text.split(mark) if mark else [text]


def _spaced(text: str) -> str:
    """The words of a text, each between blanks."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "
