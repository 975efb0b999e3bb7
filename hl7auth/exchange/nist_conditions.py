"""The assertions of NIST's constraints (Presence, PlainText, AND, IMPLY ...) in our condition language.

Imports rules, exchange.markup only.

An assertion on a value that is not there holds unless NotPresentBehavior says FAIL; our comparisons are false then. So
`PlainText` is `(AUT-2 empty or AUT-2 = 'ACME')`, and beside a `Presence` of the same place just the comparison.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from hl7auth.exchange.markup import Element
from hl7auth.rules.predicate import compile_condition


class Where(NamedTuple):
    """A place as our language names it: `AUT-6.1`; `repeats` where more than its first repetition is meant."""

    path: str
    repeats: bool = False
    segment: bool = False


Resolve = Callable[[str], Where]
"""The place of ours (`AUT-6.1`) for a path of theirs (`6[1].1[1]`). Raises Untranslatable."""

MAX_CODES = 300
"""Codes that a condition may list; a longer value set belongs into a binding."""

_RELATIONS = {"EQ": "=", "NE": "!=", "GT": ">", "LT": "<", "GE": ">=", "LE": "<="}


class Untranslatable(Exception):
    """Our language can not say it; the text says why."""


class _Said(NamedTuple):
    """A part of a condition. `about` is set where it is a test that fails on an empty place, which was to hold then;
    `shown` where it is the test that a place has a value."""

    text: str
    about: str = ""
    shown: str = ""
    loose: bool = False


class Translator:
    """Translates assertions; `codes` are the value sets by name."""

    def __init__(self, codes: Mapping[str, Sequence[str]]) -> None:
        self.codes = codes

    def condition(self, assertion: Element, resolve: Resolve) -> str:
        """The condition of an Assertion or Condition element. Raises Untranslatable."""
        if len(assertion.children) != 1:
            raise Untranslatable("exactly one expression is expected")
        text = _text(self.part(assertion.children[0], resolve))
        try:
            compile_condition(text)
        except ValueError as error:
            raise Untranslatable(f"the condition language can not say it ({error})") from None
        return text

    def part(self, element: Element, resolve: Resolve) -> _Said:
        name = element.name
        if name in ("AND", "FORALL"):
            return self.all_of(element, resolve)
        if name in ("OR", "EXIST"):
            return _Said(" or ".join(_bracketed(part) for part in self.inner(element, resolve)), loose=True)
        if name == "NOT":
            (inner,) = self.inner(element, resolve, 1)
            if inner.shown:
                return _Said(_missing(inner))
            return _Said(f"not {_bracketed(inner, always=True)}")
        if name == "IMPLY":
            given, then = self.inner(element, resolve, 2)
            return _Said(f"not {_bracketed(given, always=True)} or {_bracketed(then)}", loose=True)
        if name == "XOR":
            one, other = (_bracketed(part, always=True) for part in self.inner(element, resolve, 2))
            return _Said(f"({one} and not {other}) or (not {one} and {other})", loose=True)
        return self.test(element, resolve)

    def inner(self, element: Element, resolve: Resolve, count: int = 0) -> list[_Said]:
        if not element.children or (count and len(element.children) != count):
            raise Untranslatable(f"{element.name} has {len(element.children)} expression(s)")
        return [self.part(child, resolve) for child in element.children]

    def all_of(self, element: Element, resolve: Resolve) -> _Said:
        """All parts; a test of a value needs no test that there is one beside it."""
        parts = self.inner(element, resolve)
        shown = {part.shown for part in parts if part.shown}
        tested = {part.about for part in parts if part.about}
        kept = [
            part._replace(about="") if part.about in shown else part
            for part in parts
            if not part.shown or part.shown not in tested
        ]
        return kept[0] if len(kept) == 1 else _Said(" and ".join(_bracketed(part) for part in kept))

    def test(self, element: Element, resolve: Resolve) -> _Said:
        """One comparison. Raises Untranslatable for what our language has no word for."""
        if element.name == "Presence":
            where = resolve(element.get("Path"))
            path = f"any {where.path}" if where.repeats else where.path
            return _Said(f"{path} present" if where.segment else f"{path} valued", shown=path)
        if element.name == "PathValue":
            return self.path_value(element, resolve)
        tests = {
            "PlainText": self.plain_text,
            "Format": self.format,
            "StringList": self.string_list,
            "NumberList": self.number_list,
            "SimpleValue": self.simple_value,
            "ValueSet": self.value_set,
        }
        if element.name not in tests:
            raise Untranslatable(f"{element.name} has no counterpart in the condition language")
        if element.get("Min"):
            raise Untranslatable("it counts repetitions")
        where = resolve(element.get("Path"))
        if where.segment:
            raise Untranslatable("it compares a whole segment")
        if where.repeats and element.get("AtLeastOnce") not in ("true", "1"):
            return self.everywhere(element, where)
        path = f"any {where.path}" if where.repeats else where.path
        said = tests[element.name](element, path)
        return said if element.get("NotPresentBehavior").upper() == "FAIL" else said._replace(about=path)

    def everywhere(self, element: Element, where: Where) -> _Said:
        """A test of every repetition, some of which may be empty: that none of them is anything else."""
        text = element.attributes.get("Text", "")
        if element.name != "PlainText" or _is_one_of("", [text], element)[1] != "=":
            raise Untranslatable("it is about every repetition")
        none = f"not any {where.path} != {_quoted(text)}"
        if element.get("NotPresentBehavior").upper() == "FAIL":
            return _Said(f"any {where.path} valued and {none}")
        return _Said(none)

    def path_value(self, element: Element, resolve: Resolve) -> _Said:
        first, second = resolve(element.get("Path1")), resolve(element.get("Path2"))
        if first.repeats or second.repeats or first.segment or second.segment:
            raise Untranslatable("it compares more than two values")
        one, other = first.path, second.path
        text = f"{one} {_relation(element)} {other}"
        if element.get("NotPresentBehavior").upper() == "FAIL":
            return _Said(text)
        return _Said(f"{one} empty or {other} empty or {text}", loose=True)

    def plain_text(self, element: Element, path: str) -> _Said:
        return _Said(_is_one_of(path, [element.attributes.get("Text", "")], element))

    def string_list(self, element: Element, path: str) -> _Said:
        return _Said(_is_one_of(path, element.get("CSV").split(","), element))

    def number_list(self, element: Element, path: str) -> _Said:
        tests = [f"{path} = {_number(number)}" for number in element.get("CSV").split(",")]
        return _Said(" or ".join(tests), loose=len(tests) > 1)

    def simple_value(self, element: Element, path: str) -> _Said:
        value, relation = element.attributes.get("Value", ""), _relation(element)
        if element.get("Type") == "Number":
            return _Said(f"{path} {relation} {_number(value)}")
        if relation == "=":
            return _Said(_is_one_of(path, [value], element))
        if relation == "!=" and path.startswith("any "):
            raise Untranslatable("it compares every repetition")
        if relation == "!=":
            return _Said(f"{path} valued and not {_is_one_of(path, [value], element)}")
        return _Said(f"{path} {relation} {_quoted(value)}")

    def format(self, element: Element, path: str) -> _Said:
        return _Said(f"{path} matches {_quoted(_pattern(element.attributes.get('Regex', '')))}")

    def value_set(self, element: Element, path: str) -> _Said:
        codes = self.codes.get(element.get("ValueSetID"), ())
        if not codes or len(codes) > MAX_CODES:
            raise Untranslatable(
                f"value set {element.get('ValueSetID')} is not there, empty, or too long for a condition"
            )
        if element.get("BindingLocation") not in ("", ".", "1"):
            raise Untranslatable("it looks into another component")
        return _Said(_is_one_of(path, codes, element))


def _missing(part: _Said) -> str:
    if part.text.endswith(" present"):
        return f"{part.shown} absent"
    return f"not {part.text}" if part.shown.startswith("any ") else f"{part.shown} empty"


def _text(part: _Said) -> str:
    if not part.about:
        return part.text
    nothing = f"not {part.about} valued" if part.about.startswith("any ") else f"{part.about} empty"
    return f"{nothing} or {part.text}"


def _bracketed(part: _Said, always: bool = False) -> str:
    compound = always or part.loose or bool(part.about) or " and " in part.text
    return f"({_text(part)})" if compound else part.text


def _is_one_of(path: str, texts: Sequence[str], element: Element) -> str:
    """A test in a set compares texts; `=` would take 00 and 0 for the same number."""
    if element.get("IgnoreCase") in ("true", "1") and any(text.upper() != text.lower() for text in texts):
        return f"{path} matches {_quoted('|'.join(map(_caseless, texts)))}"
    if not all(texts):
        raise Untranslatable("it compares with an empty text")
    if len(texts) == 1 and texts[0][0].isalpha():
        return f"{path} = {_quoted(texts[0])}"
    return f"{path} in {{{', '.join(map(_quoted, texts))}}}"


def _caseless(text: str) -> str:
    """A pattern for the text in any case: `[aA][bB]1`."""
    chars = ((char.lower(), char.upper(), char) for char in text)
    return "".join(
        f"[{low}{high}]" if low != high else f"\\{char}" if not char.isalnum() else char for low, high, char in chars
    )


def _quoted(text: str) -> str:
    if "'" in text or not text.isprintable():
        raise Untranslatable("it has a quote or a control character in its text")
    return f"'{text}'"


def _number(text: str) -> str:
    try:
        return f"{Decimal(text.strip()):f}"
    except InvalidOperation:
        raise Untranslatable(f"'{text}' is no number") from None


def _relation(element: Element) -> str:
    if element.get("Operator") not in _RELATIONS:
        raise Untranslatable(f"operator '{element.get('Operator')}' is not known")
    return _RELATIONS[element.get("Operator")]


def _pattern(regex: str) -> str:
    """The pattern without anchors: both languages match whole values."""
    return regex.removeprefix("^").removesuffix("$") if not regex.endswith("\\$") else regex
