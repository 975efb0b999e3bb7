"""Conformance profiles as people write them: YAML files with `extends`, found, read strictly and merged.

Imports errors, and of rules: edition, profile_model, profile_words, profile_merge, departures, status, strict_yaml,
tables and finding only.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from hl7auth.errors import ConfigError, UserError
from hl7auth.rules.departures import departing
from hl7auth.rules.edition import Texts, kept_edition, profile_files
from hl7auth.rules.finding import Severity
from hl7auth.rules.profile_merge import merge
from hl7auth.rules.profile_model import (
    Applies,
    Binding,
    Component,
    Departing,
    Element,
    FieldProfile,
    Flavour,
    GroupProfile,
    Profile,
    SegmentProfile,
    Statement,
    Structure,
)
from hl7auth.rules.profile_words import Kind, Verb, by_version
from hl7auth.rules.status import StatusMap
from hl7auth.rules.strict_yaml import load_with_lines
from hl7auth.rules.tables import filled

__all__ = [
    "Applies",
    "Binding",
    "Component",
    "Element",
    "FieldProfile",
    "Flavour",
    "GroupProfile",
    "Kind",
    "Profile",
    "SegmentProfile",
    "Severity",
    "Statement",
    "StatusMap",
    "Structure",
    "Verb",
    "by_version",
    "forget_profiles",
    "load_profile",
    "profile_files",
    "resolved",
]


_YAML = (".yaml", ".yml")
_resolved: dict[tuple[str, Path | None, str], Profile] = {}


def resolved(name: str, folder: Path | None = None, edition: str = "") -> Profile:
    """The profile of that name with all that it extends: as its files are, or were in an edition of it.

    Raises UserError for an unknown name, else ConfigError.
    """
    key = (name, folder, edition)
    found = _resolved.get(key)
    if found is None:
        texts = kept_edition(edition).texts if edition else {}
        # a file of the edition may stand elsewhere than that of its name does now
        files = profile_files(folder) | {path.stem: path for path in map(Path, texts) if path.suffix in _YAML}
        found = _resolved[key] = _resolve(name, files, (), texts)
    return found


def forget_profiles(keep: Collection[str]) -> None:
    """Lets go of all profiles but those of these editions."""
    for key in [key for key in _resolved if key[2] not in keep]:
        del _resolved[key]


def load_profile(path: Path) -> Profile:
    """A profile from any file, resolved against its neighbours and the shipped ones."""
    return _resolve(path.stem, profile_files(path.parent) | {path.stem: path}, (), {})


def _resolve(name: str, files: Mapping[str, Path], above: tuple[str, ...], texts: Texts) -> Profile:
    if name in above:
        raise ConfigError(f"{files[name]}: extends itself through {' -> '.join((*above, name))}")
    if name not in files:
        problem = f"unknown profile '{name}' (known: {', '.join(files)})"
        raise ConfigError(f"{files[above[-1]]}: extends: {problem}") if above else UserError(problem)
    own = _read(files[name], texts)
    if own.profile != name:
        raise ConfigError(f"{files[name]}:1: profile: must be '{name}', the name of the file")
    if own.extends is None:
        own.depart(Departing(own.departs))
        return own
    base = _resolve(own.extends, files, (*above, name), texts)
    said = departing(base, own)
    merged = merge(base, own)
    merged.depart(said)
    return merged


def _read(path: Path, texts: Texts) -> Profile:
    """`texts` are of files as they were before; others are read."""
    profile, lines = load_with_lines(path, Profile, texts.get(str(path)))
    places = profile.places
    places.update((keys, f"{path}:{line}") for keys, line in lines.items())
    # a statement that is inherited has another number in the file where it stands, but the same id
    places.update((f"statements.{each.id}", places[f"statements.{n}"]) for n, each in enumerate(profile.statements))
    tables = {
        number: filled(table, number, path.parent, profile.place("tables", number, "file"), texts)
        for number, table in profile.tables.items()
    }
    return profile.model_copy(update={"tables": tables}) if tables else profile
