"""Which profile a message is checked against, when nobody names one: what MSH-21, MSH-12 and MSH-9 say.

Imports errors, rules.profile, yaml and wire only.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hl7auth.errors import UserError
from hl7auth.rules.profile import Applies, profile_files, resolved
from hl7auth.wire.message import Message

DEFAULT = "referral"
REFERRAL_TYPES = frozenset({"RQA", "RPA", "REF", "RRI"})
_APPLIES = re.compile(r"^applies:.*\n?(?:(?:[ \t#].*|)(?:\n|\Z))*", re.MULTILINE)
_REMEMBERED = 1_000

Key = tuple[str, str, str, tuple[str, ...]]


class Choice:
    """Chooses among the shipped profiles and, before them, those of a folder.

    A profile is chosen by what its own file says under `applies`, where every list that is not empty must fit; the
    profile that says most about the message wins. Without an identifier in MSH-21 that a profile names, the four
    referral types go to `referral`, and so does everything that no profile fits.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Raises ConfigError for a profile whose `applies` is wrong."""
        self.folder = folder
        self._known: list[tuple[str, Applies, bool]] | None = None
        self._chosen: dict[Key, str] = {}

    def of(self, message: Message) -> str:
        """The name of the profile for a message. Raises ConfigError for a profile whose `applies` is wrong."""
        header, msh = message.header, message.segments[0]
        identifiers: tuple[str, ...] = ()
        if len(msh.fields) > 21 and msh.fields[21]:
            count = len(msh.repetitions(21))
            identifiers = tuple(filter(None, (msh.value(21, 1, number) for number in range(1, count + 1))))
        if not identifiers and self.folder is None and header.message_type in REFERRAL_TYPES:
            return DEFAULT
        key = header.message_type, header.trigger_event, header.version, identifiers
        chosen = self._chosen.get(key)
        if chosen is None:
            if len(self._chosen) >= _REMEMBERED:
                self._chosen.clear()
            chosen = self._chosen[key] = self._choose(key)
        return chosen

    def _choose(self, key: Key) -> str:
        if self._known is None:
            self._known = _known(self.folder)
        message_type = key[0]
        best, name = (0, 0, 0, 0, 0), DEFAULT
        for candidate, applies, own in self._known:
            fit = _fit(applies, key)
            if fit is None or not (fit[0] or own or message_type not in REFERRAL_TYPES):
                continue
            score = (fit[0], int(own), *fit[1:], int(candidate == DEFAULT))
            if score > best:
                best, name = score, candidate
        return name


def _fit(applies: Applies, key: Key) -> tuple[int, int, int] | None:
    """How well a profile fits by identifier, message and version; None when it does not."""
    message_type, event, version, identifiers = key
    named = bool(set(applies.identifiers) & set(identifiers))
    messages = {message_type: 1, f"{message_type}^{event}": 2}
    by_message = max((messages.get(each, 0) for each in applies.messages), default=0)
    by_version = int(version in applies.versions)
    said = ((applies.identifiers, named), (applies.messages, by_message), (applies.versions, by_version))
    if not any(wanted for wanted, _ in said) or any(wanted and not found for wanted, found in said):
        return None
    return int(named), by_message, by_version


def _known(folder: Path | None) -> list[tuple[str, Applies, bool]]:
    """The profiles that say for what they are, by name, and whether they are the caller's own.

    Only that part of each file is read: to read them all would take longer than the check of a message.
    """
    files = profile_files(folder)
    own = folder.resolve() if folder is not None else None
    found = ((name, _applies(name, path, folder), path.resolve().parent == own) for name, path in files.items())
    return [(name, applies, mine) for name, applies, mine in found if applies is not None]


def _applies(name: str, path: Path, folder: Path | None) -> Applies | None:
    try:
        part = _APPLIES.search(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return resolved(name, folder).applies  # which says what is wrong with the file
    if part is None:
        return None
    try:
        said: Any = yaml.load(part[0], Loader=yaml.CSafeLoader)
        return Applies.model_validate(said["applies"])
    except (yaml.YAMLError, ValidationError, TypeError, KeyError):
        return resolved(name, folder).applies


def check_folder(folder: Path | None) -> None:
    """Raises UserError for a folder of profiles that is not there."""
    if folder is not None and not folder.is_dir():
        raise UserError(f"{folder}: no such folder of profiles")
