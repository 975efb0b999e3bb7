"""Full text: the words of messages, and what is asked for, in the terms of SQLite (FTS5) and PostgreSQL (tsvector).

Imports wire and errors only.

A word is letters and digits, without case and accents. `knee joint` asks for both words, `"knee joint"` for one after
the other, `arthro*` for how a word begins.
"""

import re
import unicodedata
from typing import NamedTuple

from hl7auth.errors import Fault, UserError
from hl7auth.wire.message import parse

MOST_CHARACTERS = 100_000
"""Of a message; a document in it goes on without being indexed."""

_WORD = re.compile(r"[^\W_]+")
_TERM = re.compile(r'"([^"]*)"|(\S+)')


class Term(NamedTuple):
    """Words in a row; with `begins` the last is only how a word begins."""

    words: tuple[str, ...]
    begins: bool = False


def words_of(raw: bytes, fallback: str = "8859/1") -> str:
    """The words of a message, in order, with single blanks."""
    try:
        text = parse(raw[: 4 * MOST_CHARACTERS], fallback).text
    except Fault:
        text = raw[:MOST_CHARACTERS].decode("latin_1")
    return " ".join(_words(text[:MOST_CHARACTERS]))


def read_terms(text: str) -> tuple[Term, ...]:
    """What is asked for. Raises UserError where that is no word at all."""
    found = []
    for quoted, single in _TERM.findall(text):
        if words := tuple(_words(quoted or single)):
            found.append(Term(words, single.endswith("*")))
    if not found:
        raise UserError(f"there is no word in '{text}' to look for")
    return tuple(found)


def holds(words: str, terms: tuple[Term, ...]) -> bool:
    """Are all terms in the words of a message?"""
    held = f" {words} "
    return all(f" {' '.join(term.words)}{'' if term.begins else ' '}" in held for term in terms)


def for_sqlite(terms: tuple[Term, ...]) -> str:
    """The terms as FTS5 asks for them."""
    return " AND ".join(f'"{" ".join(term.words)}"{" *" if term.begins else ""}' for term in terms)


def for_postgresql(terms: tuple[Term, ...]) -> str:
    """The terms as `to_tsquery('simple', ...)` asks for them."""
    return " & ".join(f"({' <-> '.join(term.words)}{':*' if term.begins else ''})" for term in terms)


def _words(text: str) -> list[str]:
    if not text.isascii():
        text = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return _WORD.findall(text.casefold())
