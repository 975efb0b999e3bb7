"""Date formats: what `YYYYMMDD` or `DD.MM.YYYY HH:MM` reads and writes.

Imports the standard library only.

The parts are YYYY, MM, DD, HH, MM (minutes, behind HH), SS and ZZZZ (the offset, +0100); any other sign and the T
between date and time stand for themselves. `hl7` reads all that HL7 allows, from a year to fractions of a second.
Nothing is made up: a format as HL7's, digits from the year on, ends where the value ends, and any other needs all its
parts, unless the step says `fill`.
"""

import re
from collections.abc import Callable
from datetime import datetime

Parts = dict[str, str]
"""Y, M, D, h, m, s and Z, of which a value gives some."""
Reader = Callable[[str], Parts | None]
Writer = Callable[[Parts], str | None]

_TOKEN = re.compile(r"YYYY|MM|DD|HH|SS|ZZZZ|T(?=HH)|[^A-Za-z0-9]", re.ASCII)
_HL7 = re.compile(
    r"(?P<Y>\d{4})(?:(?P<M>\d\d)(?:(?P<D>\d\d)(?:(?P<h>\d\d)(?:(?P<m>\d\d)(?:(?P<s>\d\d)(?:\.\d{1,4})?)?)?)?)?)?"
    r"(?P<Z>[+-]\d{4})?",
    re.ASCII,
)
_LETTERS = {"YYYY": "Y", "DD": "D", "HH": "h", "SS": "s", "ZZZZ": "Z"}
_FILL = {"M": "01", "D": "01", "h": "00", "m": "00", "s": "00"}


def check_format(text: str) -> str:
    """The format itself. Raises ValueError that says what a format is made of."""
    _tokens(text)
    return text


def reader(text: str) -> Reader:
    """The function that reads a value of that format (or `hl7`): its parts, or None where it has another form."""
    pattern = _HL7 if text == "hl7" else _pattern(_tokens(text))

    def read(value: str) -> Parts | None:
        match = pattern.fullmatch(value)
        if match is None:
            return None
        parts = {name: found for name, found in match.groupdict().items() if found}
        return parts if _is_real(parts) else None

    return read


def writer(text: str, *, fill: bool = False) -> Writer:
    """The function that writes parts in that format, or None where the format needs a part that is not there."""
    tokens = _tokens(text)
    letters = "".join(letter or "-" for letter, _ in tokens)
    as_hl7 = "YMDhms".startswith(letters.removesuffix("Z"))

    def write(parts: Parts) -> str | None:
        found = ""
        for letter, sign in tokens:
            part = parts.get(letter, _FILL.get(letter, "") if fill else "") if letter else sign
            if not part and letter != "Z":
                return found if as_hl7 else None
            found += part
        return found

    return write


def _tokens(text: str) -> list[tuple[str, str]]:
    """(letter of the part, "") and ("", sign), in order."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"'{text}' is no date format: write it with YYYY, MM, DD, HH, MM, SS, ZZZZ and signs")
        word, at = match[0], match.end()
        letters = {letter for letter, _ in found}
        letter = ("m" if "h" in letters else "M") if word == "MM" else _LETTERS.get(word, "")
        if letter and letter in letters:
            raise ValueError(f"'{text}' is no date format: {word} is there twice")
        found.append((letter, "" if letter else word))
    if "Y" not in {letter for letter, _ in found}:
        raise ValueError(f"'{text}' is no date format: it needs the year as YYYY")
    return found


def _pattern(tokens: list[tuple[str, str]]) -> re.Pattern[str]:
    sizes = {"Y": r"\d{4}", "Z": r"[+-]\d{4}"}
    return re.compile(
        "".join(
            f"(?P<{letter}>{sizes.get(letter, r'[0-9]{2}')})" if letter else re.escape(sign) for letter, sign in tokens
        ),
        re.ASCII,
    )


def _is_real(parts: Parts) -> bool:
    numbers = [int(parts.get(letter, _FILL.get(letter, "0"))) for letter in "YMDhms"]
    try:
        datetime(*numbers)  # type: ignore[arg-type]  # noqa: DTZ001 - a check of the calendar, not a moment
    except ValueError:
        return False
    return True
