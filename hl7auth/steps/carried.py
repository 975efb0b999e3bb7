"""The text of a message in a form that goes back to its very bytes, whatever character set they are in.

Imports wire, steps.faults and the standard library only.

Most text encodes to the bytes it came from, and is carried as it is. Some does not: Big5 and KS X 1001 have
characters with two codes, ISO 2022 has idle shift sequences. Such bytes are carried as a token of two lone
surrogates, which no decoded text holds, and come out as they came in wherever the token ends up.
"""

import codecs
import re
from bisect import bisect_right
from collections.abc import Iterator

from hl7auth.steps.faults import StepRefused
from hl7auth.wire.message import Message

Piece = tuple[bytes, str]
"""Bytes and the text that they mean. Bytes are empty where the text encodes to what it came from."""

_TOKEN = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HIGH, _LOW, _HALF = 0xD800, 0xDC00, 0x400
_LINE = re.compile(rb"[^\r\n]+|[\r\n]+")
_SHIFT = re.compile(rb"\x1b[\x20-\x2f]*[\x30-\x7e]")
_CHUNK = re.compile(rb"\x1b[^\x1b\n]*|[^\x1b\n]+|\n")
_SINGLE = (b"\x1b(B", b"\x1b(J")  # ASCII, and JIS X 0201 that differs from it in two characters


class Carried:
    """A message's text with tokens. Without any, `text` is the message's own."""

    __slots__ = ("_chars", "_known", "_starts", "_tokens", "codec", "text")

    def __init__(self, message: Message) -> None:
        """Raises StepRefused where shift sequences and delimiters are entangled."""
        self.codec = message.codec
        self.text = message.text
        self._tokens: list[Piece] = []
        self._known: dict[Piece, str] = {}
        self._chars: list[int] = []
        self._starts: list[int] = []
        if not round_trips(message.text, message.codec, message.raw):
            self._carry(message)

    @property
    def plain(self) -> bool:
        """True when there are no tokens."""
        return not self._tokens

    def cut(self, start: int, end: int) -> str:
        """The carried text of characters `start` to `end` of the message's text."""
        return self.text[self._at(start) : self._at(end)]

    def meaning(self, text: str) -> str:
        """Carried text as people read it."""
        if not self._tokens or text.isascii():
            return text
        return _TOKEN.sub(lambda match: self._token(match[0])[1], text)

    def to_bytes(self, text: str) -> bytes:
        """The bytes of carried text."""
        if not self._tokens:
            return text.encode(self.codec)
        found, at = [], 0
        for match in _TOKEN.finditer(text):
            found += [text[at : match.start()].encode(self.codec), self._token(match[0])[0]]
            at = match.end()
        return b"".join([*found, text[at:].encode(self.codec)])

    def _carry(self, message: Message) -> None:
        pieces = _pieces(message.raw, message.codec)
        found: list[str] = []
        chars = at = 0
        for raw, meaning in pieces:
            self._chars.append(chars)
            self._starts.append(at)
            found.append(self._new_token((raw, meaning)) if raw else meaning)
            chars, at = chars + len(meaning), at + len(found[-1])
        self._chars.append(chars)
        self._starts.append(at)
        self.text = "".join(found)
        if self.meaning(self.text) != message.text:
            raise StepRefused("the character set shifts of the message can not be followed")

    def _new_token(self, piece: Piece) -> str:
        known = self._known.get(piece)
        if known is None:
            high, low = divmod(len(self._tokens), _HALF)
            if high >= _HALF:
                raise StepRefused("the message has too many bytes that its character set would write otherwise")
            known = self._known[piece] = chr(_HIGH + high) + chr(_LOW + low)
            self._tokens.append(piece)
        return known

    def _token(self, pair: str) -> Piece:
        return self._tokens[(ord(pair[0]) - _HIGH) * _HALF + ord(pair[1]) - _LOW]

    def _at(self, char: int) -> int:
        """Where a character of the message's text stands in the carried one, behind all that stands for nothing."""
        if not self._chars:
            return char
        piece = bisect_right(self._chars, char) - 1
        return self._starts[piece] + char - self._chars[piece]


def round_trips(text: str, codec: str, raw: bytes) -> bool:
    """True when the codec writes the text as those bytes."""
    try:
        return text.encode(codec) == raw
    except UnicodeEncodeError:
        return False


def _pieces(raw: bytes, codec: str) -> list[Piece]:
    try:
        return list(_shifted(raw, codec) if codec.startswith("iso2022") else _coded(raw, codec))
    except UnicodeDecodeError:
        raise StepRefused("the character set shifts of the message can not be followed") from None


def _coded(raw: bytes, codec: str) -> Iterator[Piece]:
    """Lines that encode to what they came from as they are; of others each character by itself."""
    for match in _LINE.finditer(raw):
        text = match[0].decode(codec)
        if round_trips(text, codec, match[0]):
            yield b"", text
            continue
        decoder, pending = codecs.getincrementaldecoder(codec)(), b""
        for byte in match[0]:
            pending += bytes((byte,))
            if char := decoder.decode(pending[-1:]):
                yield (b"" if round_trips(char, codec, pending) else pending), char
                pending = b""


def _shifted(raw: bytes, codec: str) -> Iterator[Piece]:
    """Text between shifts; a shift to ASCII stands for nothing, any other for all the characters up to the next."""
    mode = b""
    for match in _CHUNK.finditer(raw):
        chunk, shift = match[0], _SHIFT.match(match[0])
        mode = b"" if chunk == b"\n" else shift[0] if shift else mode
        if shift and mode not in _SINGLE:
            meaning = chunk.decode(codec)
            if any(char.isascii() for char in meaning):
                raise StepRefused("a delimiter stands among shifted characters")
            yield chunk, meaning
            continue
        if shift:
            yield shift[0], ""
        yield from _single(chunk[len(shift[0]) if shift else 0 :], mode, codec)


def _single(chunk: bytes, mode: bytes, codec: str) -> Iterator[Piece]:
    for byte in re.findall(rb"[\\~]|[^\\~]+", chunk):
        meaning = (mode + byte).decode(codec)
        yield (b"" if meaning.isascii() else byte), meaning
