"""Character sets of MSH-18 (table 0211): found in the raw bytes, decoded without ever failing on data, and encoded.

Imports the standard library and errors only.
"""

import codecs
import re
from functools import lru_cache
from typing import NamedTuple

from hl7auth.errors import Unreadable, UnsupportedCharset

UNDECLARED = "undeclared-charset"
UNDECODABLE = "undecodable-bytes"
NOT_IN_TABLE = "charset-name-not-in-table"

CODECS = {
    "ASCII": "ascii",
    **{f"8859/{part}": f"iso8859_{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
    "ISO IR6": "ascii",
    "ISO IR14": "shift_jis",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    "UNICODE": "utf_8",
    "UNICODE UTF-8": "utf_8",
    "UNICODE UTF-16": "utf_16",
    "UNICODE UTF-32": "utf_32",
}
"""Table 0211 (2.3 to 2.9) to codecs. CNS 11643-1992 is missing because no codec knows it. 8859/1 is never cp1252."""

_JAPANESE = frozenset({"iso2022_jp", "iso2022_jp_1"})
_JAPANESE_READER = "iso2022_jp_ext"  # reads both and the katakana of JIS X 0201; writes more than a name promises
_WIDE = frozenset({"utf_16", "utf_32"})
# What a codec would write although the set lacks it, or although its own reader fails on it
_UNWRITABLE = {
    "shift_jis": re.compile("[^\x00-\x7f\uff61-\uff9f]+"),  # kanji are not in JIS X 0201; a yen would be a backslash
    "euc_kr": re.compile("\u3164+"),  # the Hangul filler, which changes what follows it
    **dict.fromkeys(_JAPANESE, re.compile("[\x0e\x0f\x1b]+")),  # a raw one would switch sets at the receiver
}
_ESC = b"\x1b"
_LONGEST_NAME = 40


class Decoded(NamedTuple):
    """The text of a message. `charset` is the 0211 name that a reply can use, as declared, or "" where none is.

    `codec` is the Python codec that read the bytes, which differs from the declared one when those did not fit.
    """

    text: str
    charset: str
    codec: str
    notes: tuple[str, ...] = ()


def declared(raw: bytes) -> str:
    """The first repetition of MSH-18 as it stands in the raw bytes; "" when there is none.

    Raises Unreadable when the bytes do not begin with MSH and delimiters in ASCII.
    """
    repetition, field = raw[5:6], _msh_18(raw)
    return _name(field.partition(repetition)[0] if repetition != raw[3:4] else field)


def codec_of(name: str) -> str:
    """The codec of an 0211 name, or of one of the spellings in use for it. Raises UnsupportedCharset."""
    return CODECS[_canonical(name)]


def decode(raw: bytes, fallback: str = "8859/1") -> Decoded:
    """A message's bytes as text. `fallback` (0211) reads bytes that are neither what MSH-18 says, nor ASCII, nor UTF-8.

    Raises Unreadable, and UnsupportedCharset for a name that is not in the table; never UnicodeDecodeError.
    """
    name = declared(raw)
    charset = _canonical(name) if name else ""
    codec = CODECS[charset] if name else "ascii"
    notes = (NOT_IN_TABLE,) if charset != name else ()
    if codec in _WIDE:  # MSH could be read as ASCII, so whatever this is, the name is wrong
        return _guess(raw, "", fallback, (*notes, UNDECODABLE))
    if _ESC in raw and (codec in _JAPANESE or _has_japanese_alternate(raw)):
        codec = _JAPANESE_READER
    elif raw.isascii():
        return Decoded(raw.decode("ascii"), charset, codec, notes)
    try:
        return Decoded(raw.decode(codec), charset, codec, notes)
    except UnicodeDecodeError:
        return _guess(raw, charset, fallback, (*notes, UNDECODABLE if name else UNDECLARED))


def encode(text: str, charset: str, escape: str = "\\") -> bytes:
    """`text` in an 0211 character set ("" is ASCII); what that lacks becomes hexadecimal escapes of its UTF-8 bytes.

    `escape` is the sender's escape character; without one (or with one beyond ASCII) a question mark stands for what
    is lacking. Raises UnsupportedCharset for an unknown name, and nothing for any text.
    """
    codec = codec_of(charset) if charset else "ascii"
    writable = escape if escape.isascii() else ""
    if codec in _UNWRITABLE:
        text = _UNWRITABLE[codec].sub(lambda match: _escaped(match[0], writable), text)
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        return text.encode(codec, _escaping(writable))


def _msh_18(raw: bytes) -> bytes:
    if not raw.startswith(b"MSH") or len(raw) < len(b"MSH|^~\\&") or not raw[:8].isascii() or b"\x00" in raw[:8]:
        raise Unreadable
    end = raw.find(b"\r")
    end = len(raw) if end < 0 else end
    line_feed = raw.find(b"\n", 0, end)
    fields = raw[: end if line_feed < 0 else line_feed].split(raw[3:4], 18)
    return fields[17] if len(fields) > 17 else b""


def _name(repetition: bytes) -> str:
    name = repetition.strip().decode("ascii", "replace")
    return "" if name == '""' else name


def _has_japanese_alternate(raw: bytes) -> bool:
    """True when a repetition of MSH-18 other than the first allows the escape sequences of ISO 2022-JP."""
    names = _msh_18(raw).split(raw[5:6])[1:]
    return any(CODECS.get(_name(name)) in _JAPANESE for name in names)


def _guess(raw: bytes, charset: str, fallback: str, notes: tuple[str, ...]) -> Decoded:
    """ASCII, else UTF-8 (which other text hardly ever is), else the fallback, else 8859/1, which takes any."""
    last = codec_of(fallback)
    for codec in ("ascii", "utf_8", "iso8859_1" if last in _WIDE else last):
        try:
            return Decoded(raw.decode(codec), charset, codec, notes)
        except UnicodeDecodeError:
            continue
    return Decoded(raw.decode("iso8859_1"), charset, "iso8859_1", notes)


@lru_cache(maxsize=256)
def _canonical(name: str) -> str:
    """The 0211 name for a name as sent."""
    if name in CODECS:
        return name
    known = _SPELLINGS.get(_bare(name)) if len(name) <= _LONGEST_NAME else None
    if known is None:
        shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
        raise UnsupportedCharset(f"the character set '{shown}' is not supported", location="MSH-18")
    return known


def _bare(name: str) -> str:
    return re.sub(r"[^0-9A-Z]", "", name.upper())


# What senders write in place of the table's names: other case and punctuation, names of the web and of DICOM
_SPELLINGS = {
    **{_bare(name): name for name in CODECS},
    **{f"ISO{_bare(name)}": name for name in CODECS if name.startswith("8859/")},
    **{_bare(name.removeprefix("UNICODE ")): name for name in CODECS if name.startswith("UNICODE UTF")},
    "USASCII": "ASCII",
    "GB18030": "GB 18030-2000",
    "EUCKR": "KS X 1001",
    "ISOIR100": "8859/1",
    "ISOIR192": "UNICODE UTF-8",
}


def _escaped(text: str, escape: str) -> str:
    return f"{escape}X{text.encode('utf_8', 'replace').hex().upper()}{escape}" if escape else "?" * len(text)


@lru_cache(maxsize=128)
def _escaping(escape: str) -> str:
    """The name of an error handler that writes escapes with that character."""
    name = f"hl7auth-escape-{escape.encode().hex()}"

    def handler(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        return _escaped(error.object[error.start : error.end], escape), error.end

    codecs.register_error(name, handler)
    return name
