"""Conditions of profiles: a small language over the fields of a message, compiled to functions.

Imports wire and errors only.

    condition  = and-part { "or" and-part }
    and-part   = not-part { "and" not-part }
    not-part   = [ "not" ] ( "(" condition ")" | test )
    test       = operand ( "valued" | "empty" | "in" "{" literal { "," literal } "}" | relation operand )
    relation   = "=" | "!=" | "<" | "<=" | ">" | ">="
    operand    = path | literal
    path       = [ "message." ] segment "-" field [ "." component ]      for example AUT-6.1, message.AUT-6
    literal    = a number, or text in single quotes

A path with the name of the segment under check means that very segment; with another name, or behind `message.`, the
first such segment of the message. Numbers compare as numbers, dates as far as both are given (a day holds all its
hours; offsets are not looked at), everything else as text. A comparison with an empty side is false.
"""

import operator
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hl7auth.wire.message import NULL, Message, Segment

Condition = Callable[[Message, Segment], bool]
Operand = Callable[[Message, Segment], str]

_TOKEN = re.compile(
    r"\s*(?:(?P<path>(?:message\.)?[A-Z][A-Z0-9]{2}-[1-9]\d{0,3}(?:\.[1-9]\d{0,3})?)\b|(?P<number>-?\d+(?:\.\d+)?)\b"
    r"|'(?P<text>[^']*)'|(?P<word>and|or|not|valued|empty|in)\b|(?P<mark><=|>=|!=|[<>=(){},]))",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)", re.ASCII)
_DATE = re.compile(
    r"([12]\d{3}(?:(?:0[1-9]|1[0-2])(?:(?:0[1-9]|[12]\d|3[01])(?:\d{2}|\d{4}|\d{6}(?:\.\d{1,4})?)?)?)?)(?:[+-]\d{4})?",
    re.ASCII,
)
_DAY = len("YYYYMMDD")  # a shorter date is one only beside a date with its day: alone it could be any number
_DEEPEST = 50
Relation = Callable[[Any, Any], bool]
_RELATIONS: dict[str, Relation] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compile_condition(text: str) -> Condition:
    """The condition as a function of (message, segment under check). Raises ValueError with the place of a mistake."""
    return _Parser(text).whole()


class _Parser:
    """Recursive descent over the grammar above, one method a rule."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0

    def whole(self) -> Condition:
        condition = self.either()
        if self.at < len(self.tokens):
            raise ValueError(f"'{self.tokens[self.at][1]}' is not expected in condition: {self.text}")
        return condition

    def either(self) -> Condition:
        parts = [self.both()]
        while self.take("word", "or"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else lambda m, s: any(part(m, s) for part in parts)

    def both(self) -> Condition:
        parts = [self.negated()]
        while self.take("word", "and"):
            parts.append(self.negated())
        return parts[0] if len(parts) == 1 else lambda m, s: all(part(m, s) for part in parts)

    def negated(self) -> Condition:
        if self.take("word", "not"):
            inner = self.deeper(self.negated)
            return lambda m, s: not inner(m, s)
        if self.take("mark", "("):
            inner = self.deeper(self.either)
            self.need("mark", ")")
            return inner
        return self.test()

    def deeper(self, rule: Callable[[], Condition]) -> Condition:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} levels in condition: {self.text[:80]}...")
        inner = rule()
        self.depth -= 1
        return inner

    def test(self) -> Condition:
        left = self.operand()
        if self.take("word", "valued"):
            return lambda m, s: left(m, s) not in ("", NULL)
        if self.take("word", "empty"):
            return lambda m, s: left(m, s) in ("", NULL)
        if self.take("word", "in"):
            values = self.literals()
            return lambda m, s: left(m, s) in values
        kind, mark = self.next()
        if kind != "mark" or mark not in _RELATIONS:
            raise ValueError(f"'valued', 'empty', 'in' or a relation is expected in condition: {self.text}")
        return _comparison(_RELATIONS[mark], left, self.operand())

    def literals(self) -> frozenset[str]:
        self.need("mark", "{")
        values = [self.literal()]
        while self.take("mark", ","):
            values.append(self.literal())
        self.need("mark", "}")
        return frozenset(values)

    def literal(self) -> str:
        kind, value = self.next()
        if kind not in ("text", "number"):
            raise ValueError(f"a number or a quoted text is expected in condition: {self.text}")
        return value

    def operand(self) -> Operand:
        kind, value = self.next()
        if kind == "path":
            return _reader(value)
        if kind in ("text", "number"):
            return lambda _message, _segment: value
        raise ValueError(f"a path like AUT-6.1 or a literal is expected in condition: {self.text}")

    def next(self) -> tuple[str, str]:
        if self.at >= len(self.tokens):
            raise ValueError(f"the condition ends too early: {self.text}")
        self.at += 1
        return self.tokens[self.at - 1]

    def take(self, kind: str, value: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at] == (kind, value):
            self.at += 1
            return True
        return False

    def need(self, kind: str, value: str) -> None:
        if not self.take(kind, value):
            raise ValueError(f"'{value}' is expected in condition: {self.text}")


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ValueError(f"can not read '{text[at:].strip()[:20]}' in condition: {text}")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def _reader(path: str) -> Operand:
    whole_message = path.startswith("message.")
    name, _, place = path.removeprefix("message.").partition("-")
    field, _, component = place.partition(".")
    number, part = int(field), int(component or 1)

    def read(message: Message, segment: Segment) -> str:
        source = segment if segment.name == name and not whole_message else message.first(name)
        return source.value(number, part) if source else ""

    return read


def _comparison(relation: Relation, left: Operand, right: Operand) -> Condition:
    def compare(message: Message, segment: Segment) -> bool:
        a, b = left(message, segment), right(message, segment)
        if not a or not b or NULL in (a, b):
            return False
        x, y = _DATE.fullmatch(a), _DATE.fullmatch(b)
        if x and y and max(len(x[1]), len(y[1])) >= _DAY:
            precision = min(len(x[1]), len(y[1]))
            return relation(x[1][:precision], y[1][:precision])
        if _NUMBER.fullmatch(a) and _NUMBER.fullmatch(b):
            return relation(Decimal(a), Decimal(b))
        return relation(a, b)

    return compare
