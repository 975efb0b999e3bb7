"""Patterns of conditions: a small regular language, matched in time linear in the value whatever the pattern is.

Imports the standard library only.

    pattern    = branch { "|" branch }
    branch     = { atom [ "?" | "*" | "+" | "{" n [ "," [ m ] ] "}" ] }
    atom       = "(" pattern ")" | "[" [ "^" ] { char | char "-" char | class } "]" | "." | class | "\\" sign | char
    class      = "\\d" | "\\w" | "\\s" | "\\D" | "\\W" | "\\S"

The classes are those of ASCII. A pattern always speaks of the whole value. There are no look-arounds, no references and
no lazy marks: what is left can be matched by counting states, and no value makes that slow.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

MAX_STATES = 2_000
MAX_REPEATS = 999
_MAX_DEPTH = 30
_MAX_KNOWN = 5_000
_DIGITS, _BLANKS = frozenset("0123456789"), frozenset(" \t\n\r\f\v")
_WORDS = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_SIGNS = frozenset("()[]{}?*+|.\\")

Class = tuple[frozenset[str], tuple[tuple[str, str], ...], bool]
"""Characters, ranges of characters, and whether all others are meant instead."""
_CLASSES: dict[str, Class] = {
    letter: (chars, (), negated)
    for small, chars in (("d", _DIGITS), ("w", _WORDS), ("s", _BLANKS))
    for letter, negated in ((small, False), (small.upper(), True))
}


class State(NamedTuple):
    """One step of the automaton: what it takes (None: nothing) and where it leads."""

    takes: tuple[Class, ...] | None
    leads: list[int]


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Callable[[str], bool]:
    """Does a whole value match? Raises ValueError naming what is wrong with the pattern."""
    parser = _Parser(text)
    start, end = parser.whole()
    return _Matcher(parser.states, start, end).matches


class _Parser:
    """Recursive descent; each rule returns the first and last state of its piece of the automaton."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0
        self.states: list[State] = []

    def whole(self) -> tuple[int, int]:
        piece = self.either()
        if self.at < len(self.text):
            raise self.mistake(f"'{self.text[self.at]}' is not expected")
        return piece

    def either(self) -> tuple[int, int]:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.mistake(f"more than {_MAX_DEPTH} levels")
        first, last = self.state(), self.state()
        while True:
            start, end = self.row()
            self.states[first].leads.append(start)
            self.states[end].leads.append(last)
            if not self.take("|"):
                self.depth -= 1
                return first, last

    def row(self) -> tuple[int, int]:
        first = last = self.state()
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            start, end = self.repeated()
            self.states[last].leads.append(start)
            last = end
        return first, last

    def repeated(self) -> tuple[int, int]:
        begin = self.at
        piece = self.atom()
        least, most = self.repeats()
        if (least, most) == (1, 1):
            return piece
        resume = self.at
        first = last = self.state()
        for number in range(least if most is None else most):
            start, end = self.again(begin)
            self.states[last].leads.extend([start] if number < least else [start, end])
            last = end
        if most is None:
            start, end = self.again(begin)
            behind = self.state()
            self.states[last].leads.extend([start, behind])
            self.states[end].leads.extend([start, behind])
            last = behind
        self.at = resume
        return first, last

    def again(self, begin: int) -> tuple[int, int]:
        """The atom once more: each turn has states of its own."""
        self.at = begin
        return self.atom()

    def repeats(self) -> tuple[int, int | None]:
        for mark, found in (("?", (0, 1)), ("*", (0, None)), ("+", (1, None))):
            if self.take(mark):
                return found
        if not self.take("{"):
            return 1, 1
        end = self.text.find("}", self.at)
        low, comma, high = self.text[self.at : end].partition(",")
        if end < 0 or not low.isdigit() or (high and not high.isdigit()) or not low.isascii() or not high.isascii():
            raise self.mistake("a count is {2}, {2,} or {2,5}")
        self.at = end + 1
        least = int(low[:4])
        most = int(high[:4]) if high else None if comma else least
        if max(least, most or 0) > MAX_REPEATS or (most is not None and most < least):
            raise self.mistake(f"a count is at most {MAX_REPEATS}, and its least is not more than its most")
        return least, most

    def atom(self) -> tuple[int, int]:
        char = self.next()
        if char == "(":
            piece = self.either()
            if not self.take(")"):
                raise self.mistake("')' is missing")
            return piece
        if char == "[":
            return self.taking(self.choice())
        if char == ".":
            return self.taking(((frozenset(), (), True),))
        if char == "\\":
            return self.taking((self.escaped(),))
        if char in _SIGNS:
            raise self.mistake(f"'{char}' is not expected; as a character it is \\{char}")
        return self.taking(((frozenset(char), (), False),))

    def choice(self) -> tuple[Class, ...]:
        negated, chars, ranges, classes = self.take("^"), set[str](), list[tuple[str, str]](), list[Class]()
        while not self.take("]"):
            char = self.next()
            if char == "\\":
                found = self.escaped()
                if len(found[0]) != 1 or found[2]:
                    classes.append(found)
                    continue
                (char,) = found[0]
            if self.text[self.at : self.at + 1] == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                last = self.next()
                if last < char:
                    raise self.mistake(f"'{char}-{last}' holds nothing")
                ranges.append((char, last))
            else:
                chars.add(char)
        if negated and classes:
            raise self.mistake("a class like \\d can not stand in [^...]")
        return ((frozenset(chars), tuple(ranges), negated), *classes)

    def escaped(self) -> Class:
        char = self.next()
        if char in _CLASSES:
            return _CLASSES[char]
        if char.isalnum():
            raise self.mistake(f"\\{char} means nothing here")
        return frozenset(char), (), False

    def taking(self, takes: tuple[Class, ...]) -> tuple[int, int]:
        last = self.state()
        return self.state(takes, last), last

    def state(self, takes: tuple[Class, ...] | None = None, *leads: int) -> int:
        if len(self.states) >= MAX_STATES:
            raise self.mistake("it is too long")
        self.states.append(State(takes, list(leads)))
        return len(self.states) - 1

    def next(self) -> str:
        if self.at >= len(self.text):
            raise self.mistake("it ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def take(self, char: str) -> bool:
        found = self.text[self.at : self.at + 1] == char
        self.at += found
        return found

    def mistake(self, what: str) -> ValueError:
        return ValueError(f"{what} in pattern /{self.text}/")


class _Matcher:
    """Follows all ways through the automaton at once; sets of states that were seen before cost one look-up."""

    def __init__(self, states: list[State], start: int, end: int) -> None:
        self.states, self.end = states, end
        self.start = self.reached([start])
        self.known: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def matches(self, value: str) -> bool:
        now = self.start
        for char in value:
            following = self.known.get((now, char))
            now = self.step(now, char) if following is None else following
            if not now:
                return False
        return self.end in now

    def step(self, now: frozenset[int], char: str) -> frozenset[int]:
        if len(self.known) >= _MAX_KNOWN:
            self.known.clear()
        taken = [self.states[at].leads[0] for at in now if _takes(self.states[at].takes, char)]
        found = self.known[now, char] = self.reached(taken)
        return found

    def reached(self, states: list[int]) -> frozenset[int]:
        """The states, and all that can be reached from them without taking a character."""
        found, ahead = set(states), list(states)
        while ahead:
            state = self.states[ahead.pop()]
            if state.takes is None:
                new = [each for each in state.leads if each not in found]
                found.update(new)
                ahead += new
        return frozenset(found)


def _takes(classes: tuple[Class, ...] | None, char: str) -> bool:
    return classes is not None and any(
        (char in chars or any(low <= char <= high for low, high in ranges)) is not negated
        for chars, ranges, negated in classes
    )
