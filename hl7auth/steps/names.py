"""Name formats: `family, given middle` read into components, or written from them.

Imports the standard library only.

The words are family, given, middle, suffix, prefix and degree, in any order, with signs between them.
"""

import re
from collections.abc import Callable

WORDS = ("family", "given", "middle", "suffix", "prefix", "degree")
"""The components of XPN in their order (chapter 2A); XCN has them behind its identifier."""

_WORD = re.compile(r"[A-Za-z]+")


class NameFormat:
    """A format: `words` are positions in WORDS, `signs` what stands between each and the next."""

    __slots__ = ("signs", "words")

    def __init__(self, text: str) -> None:
        """Raises ValueError that says what a format is made of."""
        names = _WORD.findall(text)
        unknown = [name for name in names if name not in WORDS]
        if not names or unknown or len(set(names)) != len(names):
            raise ValueError(f"'{text}' is no name format: write it with {', '.join(WORDS)}, each once, and signs")
        self.words = tuple(WORDS.index(name) for name in names)
        first, *self.signs = _WORD.split(text)
        if first or self.signs.pop() or not all(self.signs):
            raise ValueError(f"'{text}' is no name format: signs stand between words")

    def read(self, text: str, escaped: Callable[[str], str] = str) -> list[str] | None:
        """The six words of a name, empty where it has none; None where a sign is missing that is no blank.

        `escaped` writes a sign as it stands in the text.
        """
        found, rest = [""] * len(WORDS), text
        for word, sign in zip(self.words, (*self.signs, ""), strict=True):
            mark = sign.strip() or sign
            head, found_mark, tail = rest.partition(escaped(mark)) if mark else (rest, "", "")
            if mark.strip() and not found_mark:
                return None
            found[word], rest = head.strip(), tail.strip()
        return found

    def write(self, parts: list[str], escaped: Callable[[str], str] = str) -> str:
        """The name as text; a word that is not there goes with the sign before it."""
        text = ""
        for word, sign in zip(self.words, ("", *self.signs), strict=True):
            if parts[word]:
                text += (escaped(sign) if text else "") + parts[word]
        return text


def check_format(text: str) -> str:
    """The format itself. Raises ValueError."""
    NameFormat(text)
    return text
