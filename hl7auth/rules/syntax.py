"""Abstract syntax as people write it, `MSH [{SFT}] {<PROVIDER> PRD [{CTD}]} PID`, read as Nodes and written again.

Imports rules.dictionary only.

    syntax     = item { item }
    item       = segment | optional | repeated | group
    optional   = "[" inside "]"                             may be missing
    repeated   = "{" [ least ".." most ] inside "}"         may repeat; most is a number or *
    group      = "(" inside ")"                             comes once, as a group
    inside     = [ "<" name ">" ] item { item } | choice
    choice     = segment "|" segment { "|" segment }        of which one comes

`<NAME>` opens a group inside the bracket; brackets around several items without a name are a group that has none.
`[{X}]` and `{[X]}` mean the same. Source: chapter 2, 2.12 (message syntax); the counts are an addition of ours.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from hl7auth.rules.dictionary import Node

_TOKEN = re.compile(
    r"\s*(?:(?P<count>\d{1,6}\.\.(?:\d{1,6}|\*))|<(?P<name>[A-Z][A-Z0-9_]*)>|(?P<segment>[A-Z][A-Z0-9]{2}|ANYHL7SEGMENT)(?!\w)"
    r"|(?P<mark>[\[\]{}()|]))",
    re.ASCII,
)
_CLOSED_BY = {"[": "]", "{": "}", "(": ")"}
_DEEPEST = 30
_LONGEST = 20_000
_END = ""

Token = tuple[str, str, int]
"""Kind, text and 1-based place in the syntax."""


def parse_syntax(text: str, name: str = "") -> Node:
    """The structure that the text describes, as a Node of that name. Raises ValueError with the place of a mistake."""
    if len(text) > _LONGEST:
        raise ValueError(f"an abstract syntax has at most {_LONGEST} characters")
    parser = _Parser(list(_tokens(text)), text)
    return Node(name, 1, 1, parser.items(_END, 0))


def write_syntax(node: Node) -> str:
    """The children of a structure or group as abstract syntax: `parse_syntax` reads the same Nodes from it.

    What may not come (a greatest count of 0) is left out.
    """
    return " ".join(_written(child) for child in node.children if child.max != 0)


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            rest = text[at:].lstrip()
            place = len(text) - len(rest) + 1
            raise ValueError(f"can not read '{rest.split(maxsplit=1)[0][:20]}' at character {place} of the syntax")
        kind = match.lastgroup
        yield kind, match[kind], match.end() - len(match[0].lstrip()) + 1
        at = match.end()


class _Parser:
    """Recursive descent over the grammar above."""

    def __init__(self, tokens: list[Token], text: str) -> None:
        self.tokens = tokens
        self.end: Token = ("end", _END, len(text) + 1)
        self.at = 0

    def items(self, closing: str, depth: int) -> tuple[Node, ...]:
        """The items up to the mark that closes them, which is taken too."""
        found: list[Node] = []
        while True:
            kind, text, place = self.next()
            if text == closing and kind in ("mark", "end"):
                break
            found.append(self.item((kind, text, place), closing, depth))
        if not found:
            raise ValueError(f"there is nothing before character {place} of the syntax")
        return tuple(found)

    def item(self, token: Token, closing: str, depth: int) -> Node:
        kind, text, place = token
        if kind == "segment":
            return Node(text, 1, 1)
        if kind == "mark" and text in _CLOSED_BY:
            if depth >= _DEEPEST:
                raise ValueError(f"more than {_DEEPEST} levels at character {place} of the syntax")
            return self.bracket(text, depth + 1)
        wanted = f"a segment, a bracket or '{closing}'" if closing else "a segment or a bracket"
        said = {"end": "the end", "name": f"'<{text}>'"}.get(kind, f"'{text}'")
        raise ValueError(f"{wanted} is expected instead of {said} at character {place} of the syntax")

    def bracket(self, opening: str, depth: int) -> Node:
        low, high = self.count() if opening == "{" else (None, None)
        name = self.name()
        inside = self.choice(_CLOSED_BY[opening]) or self.items(_CLOSED_BY[opening], depth)
        node = inside[0] if name is None and len(inside) == 1 else Node(name or "", 1, 1, inside)
        if low is not None:
            return replace(node, min=low, max=high)
        if opening == "[":
            return replace(node, min=0)
        return replace(node, max=None) if opening == "{" else node

    def count(self) -> tuple[int | None, int | None]:
        kind, text, place = self.peek()
        if kind != "count":
            return None, None
        self.at += 1
        low, _, high = text.partition("..")
        least, most = int(low), None if high == "*" else int(high)
        if most is not None and most < max(least, 1):
            raise ValueError(f"{text} allows nothing, at character {place} of the syntax")
        return least, most

    def name(self) -> str | None:
        kind, text, _ = self.peek()
        if kind != "name":
            return None
        self.at += 1
        return text

    def choice(self, closing: str) -> tuple[Node, ...]:
        """The segments of a choice, each optional; nothing when what stands here is none."""
        start, found = self.at, []
        while True:
            kind, text, _ = self.next()
            if kind != "segment":
                break
            found.append(Node(text, 0, 1))
            mark = self.next()[1]
            if mark == closing and len(found) > 1:
                return tuple(found)
            if mark != "|":
                break
        self.at = start
        return ()

    def peek(self) -> Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else self.end

    def next(self) -> Token:
        token = self.peek()
        self.at += 1
        return token


def _written(node: Node) -> str:
    text = node.name
    if node.children:
        text = f"<{node.name}> {write_syntax(node)}" if node.name else write_syntax(node)
    if node.max not in (1, None) or node.min > 1:
        return f"{{{node.min}..{'*' if node.max is None else node.max} {text}}}"
    if node.max is None:
        text = f"{{{text}}}"
    if node.min == 0:
        return f"[{text}]"
    return f"({text})" if node.children and node.max == 1 else text
