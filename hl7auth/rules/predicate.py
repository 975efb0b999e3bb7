"""Conditions of profiles: a small language over the fields of a message, compiled to functions.

Imports wire, rules.place and rules.pattern only.

    condition  = and-part { "or" and-part }
    and-part   = not-part { "and" not-part }
    not-part   = "not" not-part | "(" condition ")" | test
    test       = segment ( "present" | "absent" )
               | [ "any" | "all" ] operand check
    check      = "valued" | "empty" | "deleted" | "in" "{" literal { "," literal } "}" | "matches" text
               | relation operand
    relation   = "=" | "!=" | "<" | "<=" | ">" | ">="
    operand    = path | "count" "(" ( path | segment ) ")" | literal
    path       = segment "-" field [ "[" repetition "]" ] parts | "this" parts
    parts      = [ "." component [ "." subcomponent ] ]
    segment    = [ "group." | "message." ] name
    literal    = number | text in single quotes

Examples: `AUT-6.1 valued`, `message.AUT-6 empty`, `any group.OBX-3.1 = 'KNEE'`, `message.ZAU present`,
`count(AUT-11) <= 3`, `AUT-6.1 matches '[A-Z]{2}\\d{4,13}'`, `this.2 valued` (grammar of patterns: rules.pattern).

A path with the name of the segment under check means that very segment; with another name, or behind `message.`, the
first such segment of the message; behind `group.` the first in the smallest group around it that has one (the PR1
above this AUT). `any` and `all` look at all of them, and at all repetitions; where there is none, `any` is false and
`all` is true. `this` is the element that holds the component with the condition, or the field itself. `empty` is what
is not there or deleted (`""`), `deleted` what is `""` alone.

Numbers compare as numbers, dates as far as both are given (a day holds all its hours; offsets are not looked at),
everything else as text. A comparison with an empty side is false, and so is a match of an empty value.
"""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from hl7auth.rules.pattern import compile_pattern
from hl7auth.rules.place import Groups, Path, Scene
from hl7auth.wire.message import NULL, Message, Segment

Test = Callable[[Scene], bool]
Operand = Callable[[Scene], str]
Check = Callable[[str, Scene], bool]

_PARTS = r"(?:\.[1-9]\d{0,3}(?:\.[1-9]\d{0,3})?)?"
_TOKEN = re.compile(
    rf"\s*(?:(?P<path>(?:(?:message|group)\.)?[A-Z][A-Z0-9]{{2}}-[1-9]\d{{0,3}}(?:\[[1-9]\d{{0,3}}\])?{_PARTS}"
    rf"|this{_PARTS})(?![\w.])|(?P<segment>(?:(?:message|group)\.)?[A-Z][A-Z0-9]{{2}})(?![\w.-])"
    r"|(?P<number>-?\d+(?:\.\d+)?)\b|'(?P<text>[^']*)'"
    r"|(?P<word>and|or|not|valued|empty|deleted|in|matches|present|absent|any|all|count)\b"
    r"|(?P<mark><=|>=|!=|[<>=(){},]))",
    re.ASCII,
)
_PATH = re.compile(r"(?:(message|group)\.)?(\w{3})(?:-(\d+)(?:\[(\d+)\])?)?(?:\.(\d+))?(?:\.(\d+))?", re.ASCII)
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


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as a function; `paths` are the places that it reads, of which some name a segment alone."""

    text: str
    test: Test
    paths: tuple[Path, ...]
    #: True when the groups of the message have to be known
    asks_group: bool = False

    def __call__(
        self,
        message: Message,
        segment: Segment,
        groups: Groups | None = None,
        this: str = "",
        marks: Sequence[str] = (),
    ) -> bool:
        """Does it hold for the segment under check? `this` is the raw element that `this` means, divided by `marks`."""
        return self.test(Scene(message, segment, groups, this, marks))

    @property
    def asks_this_alone(self) -> bool:
        """True when nothing but the element under check decides."""
        return all(path.scope == "this" for path in self.paths)


def compile_condition(text: str, scope: str = "") -> Condition:
    """The condition as a function. With `scope` "group", a path to another segment means the one in the same group.

    Raises ValueError with the place of a mistake.
    """
    parser = _Parser(text, scope)
    test = parser.whole()
    paths = tuple(parser.paths)
    return Condition(text, test, paths, any(path.scope in ("group", "near") for path in paths))


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The check of a value against another operand; `word` is that of a literal that is no number and no date."""

    relation: Relation
    right: Operand
    word: str = ""

    def __call__(self, value: str, scene: Scene) -> bool:
        return _compare(self.relation, value, self.right(scene))


class Language(NamedTuple):
    """The same language over something that is no message: how its tokens are spelled, with groups named as here, how a
    path and a quoted text are read (ValueError), and an example of a path."""

    token: re.Pattern[str]
    path: Callable[[str], Any]
    text: Callable[[str], str]
    like: str


def compile_test(text: str, language: Language) -> Callable[[Any], bool]:
    """A condition over whatever the paths of that language read: each has a `reader` and `values`, as `place.Path`.

    Raises ValueError with the place of a mistake.
    """
    return _Parser(text, "", language).whole()


class _Parser:
    """Recursive descent over the grammar above, one method a rule."""

    def __init__(self, text: str, scope: str, language: Language | None = None) -> None:
        self.text = text
        self.scope = scope
        self.language = language
        self.like = language.like if language is not None else "AUT-6.1"
        self.tokens = _tokens(text, language.token if language is not None else _TOKEN)
        if language is not None:
            self.tokens = [(kind, language.text(word) if kind == "text" else word) for kind, word in self.tokens]
        self.paths: list[Path] = []
        self.at = 0
        self.depth = 0

    def whole(self) -> Test:
        condition = self.either()
        if self.at < len(self.tokens):
            raise ValueError(f"'{self.tokens[self.at][1]}' is not expected in condition: {self.text}")
        return condition

    def either(self) -> Test:
        parts = [self.both()]
        while self.take("word", "or"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else _any_of(parts)

    def both(self) -> Test:
        parts = [self.negated()]
        while self.take("word", "and"):
            parts.append(self.negated())
        return parts[0] if len(parts) == 1 else _all_of(parts)

    def negated(self) -> Test:
        if self.take("word", "not"):
            inner = self.deeper(self.negated)
            return lambda scene: not inner(scene)
        if self.take("mark", "("):
            inner = self.deeper(self.either)
            self.need("mark", ")")
            return inner
        return self.test()

    def deeper(self, rule: Callable[[], Test]) -> Test:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} levels in condition: {self.text[:80]}...")
        inner = rule()
        self.depth -= 1
        return inner

    def test(self) -> Test:
        if self.at < len(self.tokens) and self.tokens[self.at][0] == "segment":
            return self.presence()
        for word, quantifier in (("any", any), ("all", all)):
            if self.take("word", word):
                return self.quantified(quantifier)
        left = self.operand()
        check = self.check()
        if isinstance(check, _Comparison):  # by far the most frequent: one call less
            relation, right, word = check.relation, check.right, check.word
            if word:
                return lambda scene: (value := left(scene)) not in ("", NULL) and bool(relation(value, word))
            return lambda scene: _compare(relation, left(scene), right(scene))
        return lambda scene: check(left(scene), scene)

    def presence(self) -> Test:
        path = self.path(self.next()[1])
        if self.take("word", "present"):
            return lambda scene: bool(path.segments(scene))
        if self.take("word", "absent"):
            return lambda scene: not path.segments(scene)
        raise ValueError(f"'present' or 'absent' is expected behind a segment in condition: {self.text}")

    def quantified(self, quantifier: Callable[[Iterator[bool]], bool]) -> Test:
        kind, value = self.next()
        if kind != "path":
            raise ValueError(f"a path like {self.like} is expected behind 'any' and 'all' in condition: {self.text}")
        path = self.path(value)
        check = self.check()
        return lambda scene: quantifier(check(each, scene) for each in path.values(scene))

    def check(self) -> Check:
        if self.take("word", "valued"):
            return lambda value, _: value not in ("", NULL)
        if self.take("word", "empty"):
            return lambda value, _: value in ("", NULL)
        if self.take("word", "deleted"):
            return lambda value, _: value == NULL
        if self.take("word", "in"):
            values = self.literals()
            return lambda value, _: value in values
        if self.take("word", "matches"):
            matches = compile_pattern(self.literal())
            return lambda value, _: value not in ("", NULL) and matches(value)
        kind, mark = self.next()
        if kind != "mark" or mark not in _RELATIONS:
            raise ValueError(f"'valued', 'empty', 'in' or a relation is expected in condition: {self.text}")
        kind, word = self.tokens[self.at] if self.at < len(self.tokens) else ("", "")
        plain = kind == "text" and word != NULL and not (_DATE.fullmatch(word) or _NUMBER.fullmatch(word))
        return _Comparison(_RELATIONS[mark], self.operand(), word if plain else "")

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
            read: Operand = self.path(value).reader()
            return read
        if (kind, value) == ("word", "count"):
            return self.counted()
        if kind in ("text", "number"):
            return lambda _scene: value
        raise ValueError(f"a path like {self.like} or a literal is expected in condition: {self.text}")

    def counted(self) -> Operand:
        self.need("mark", "(")
        kind, value = self.next()
        if kind not in ("path", "segment"):
            raise ValueError(f"a path or a segment is expected in count(...) in condition: {self.text}")
        path = self.path(value)
        self.need("mark", ")")
        if kind == "segment":
            return lambda scene: str(len(path.segments(scene)))
        return lambda scene: str(sum(each not in ("", NULL) for each in path.values(scene)))

    def path(self, text: str) -> Any:
        if self.language is not None:
            return self.language.path(text)
        if text.startswith("this"):
            component, _, subcomponent = text.removeprefix("this").removeprefix(".").partition(".")
            found = Path("this", "", 0, 0, int(component or 0), int(subcomponent or 0))
        else:
            match = _PATH.fullmatch(text)
            assert match is not None
            scope, name, *numbers = match.groups()
            found = Path(scope or "", name, *(int(number or 0) for number in numbers))
            if self.scope == "group" and not scope:
                found = found._replace(scope="near")
        self.paths.append(found)
        return found

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


def _any_of(parts: Sequence[Test]) -> Test:
    def test(scene: Scene) -> bool:
        for part in parts:  # noqa: SIM110 - a generator costs more than what it goes through
            if part(scene):
                return True
        return False

    return test


def _all_of(parts: Sequence[Test]) -> Test:
    def test(scene: Scene) -> bool:
        for part in parts:  # noqa: SIM110 - a generator costs more than what it goes through
            if not part(scene):
                return False
        return True

    return test


def _tokens(text: str, token: re.Pattern[str]) -> list[tuple[str, str]]:
    found, at = [], 0
    while text[at:].strip():
        match = token.match(text, at)
        if match is None or match.lastgroup is None:
            raise ValueError(f"can not read '{text[at:].strip()[:20]}' in condition: {text}")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def _compare(relation: Relation, a: str, b: str) -> bool:
    if not a or not b or NULL in (a, b):
        return False
    x, y = _DATE.fullmatch(a), _DATE.fullmatch(b)
    if x and y and max(len(x[1]), len(y[1])) >= _DAY:
        precision = min(len(x[1]), len(y[1]))
        return relation(x[1][:precision], y[1][:precision])
    if _NUMBER.fullmatch(a) and _NUMBER.fullmatch(b):
        return relation(Decimal(a), Decimal(b))
    return relation(a, b)
