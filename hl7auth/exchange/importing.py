"""Profiles of other tools, from their files to our YAML.

Imports rules, errors and the exchange modules only.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from hl7auth.errors import UserError
from hl7auth.exchange import hl7_reader, nist_reader
from hl7auth.exchange.bundle import read_bundle
from hl7auth.exchange.drafting import draft
from hl7auth.exchange.markup import Source
from hl7auth.exchange.model import Guide, Loss
from hl7auth.exchange.yaml_text import yaml_text
from hl7auth.rules.compiled import CompiledProfile, compile_profile
from hl7auth.rules.profile import Profile
from hl7auth.rules.strict_yaml import MAX_FILE_BYTES

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", re.ASCII)


class Imported(NamedTuple):
    """A profile that was read: its name, the version it is for, its YAML, and what is not in it."""

    name: str
    version: str
    text: str
    profile: Profile
    losses: tuple[Loss, ...]

    def compiled(self) -> CompiledProfile:
        """The profile compiled for its version."""
        return compile_profile(self.profile, self.version)


def import_profile(paths: Sequence[Path], *, name: str = "", message: str = "") -> Imported:
    """The profile of one message of those files, folders and zip archives.

    `name` is the profile's, made from its title unless given; `message` names one of several (`RQA^I08`, an
    identifier, an ID). Raises UserError for files that can not be used, and where there are several and none is named.
    """
    return import_sources(read_bundle(paths), name=name, message=message)


def import_sources(sources: Sequence[Source], *, name: str = "", message: str = "") -> Imported:
    """As `import_profile`, of documents that were read."""
    found = _the_one(sources, message)
    guide = found.read()
    name = name or slug(guide.title) or slug(f"{guide.message_type}-{guide.event}")
    if not _NAME.fullmatch(name):
        raise UserError(f"'{name}' can not be the name of a profile (letters, digits, dots, hyphens and underscores)")
    drafted = draft(guide, name)
    losses = tuple(dict.fromkeys((*drafted.losses, *found.unread)))
    text = yaml_text(drafted.keys, drafted.comments, _heading(guide, losses))
    if len(text.encode()) > MAX_FILE_BYTES:
        raise UserError(f"the profile is larger than {MAX_FILE_BYTES} bytes; leave the largest value sets out")
    try:
        profile = Profile.model_validate(drafted.keys)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{guide.source}: can not become a profile: {key}: {first['msg']}") from None
    return Imported(name, guide.version, text, profile, losses)


def slug(title: str) -> str:
    """`Referral (North)` as `referral-north`."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-")


class _Found(NamedTuple):
    names: tuple[str, ...]
    read: Callable[[], Guide]
    unread: tuple[Loss, ...]


def _the_one(sources: Sequence[Source], wanted: str) -> _Found:
    """The message of that name, or the only one there is."""
    found = _messages(sources)
    if not found:
        roots = ", ".join(dict.fromkeys(f"{source.name} is a {source.root.name}" for source in sources))
        raise UserError(f"there is no message profile ({roots}; wanted: {hl7_reader.ROOT} or {nist_reader.ROOT})")
    chosen = [each for each in found if not wanted or wanted.casefold() in {name.casefold() for name in each.names}]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(dict.fromkeys(" = ".join(each.names) for each in (chosen or found)))
    problem = (
        f"no message is called '{wanted}'" if not chosen else "there are several messages: choose one with --message"
    )
    raise UserError(f"{problem} ({names})")


def _messages(sources: Sequence[Source]) -> list[_Found]:
    tables = [source for source in sources if source.root.name in ("Specification", "HL7Tables", "hl7tables")]
    others = [source for source in sources if source.root.name not in (hl7_reader.ROOT, nist_reader.ROOT)]
    found: list[_Found] = []
    for source in sources:
        if source.root.name == hl7_reader.ROOT:
            unread = _unread(each for each in others if each not in tables)
            for index, names in enumerate(hl7_reader.choices(source)):
                found.append(_Found(names, partial(hl7_reader.read_hl7, source, index, tables), unread))
        elif source.root.name == nist_reader.ROOT:
            unread = _unread(each for each in others if each.root.name not in nist_reader.READ)
            for index, names in enumerate(nist_reader.choices(source)):
                found.append(_Found(names, partial(nist_reader.read_nist, source, index, others), unread))
    return found


def _unread(sources: Iterable[Source]) -> tuple[Loss, ...]:
    return tuple(Loss(each.place(each.root), each.root.name, "it is not read") for each in sources)


def _heading(guide: Guide, losses: Sequence[Loss]) -> list[str]:
    """What stands on top of the file."""
    first = [f"Imported from {guide.source}: {guide.title}, HL7 {guide.version}."]
    if not losses:
        return [*first, "Everything was carried over."]
    return [*first, f"Not carried over ({len(losses)}):", *(f"- {loss}" for loss in losses)]
