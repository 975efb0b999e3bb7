"""Tables of codes: the HL7-defined ones the engine needs, by version, and what a site adds.

Imports wire, rules.strict_yaml, resources and pydantic only.
"""

from functools import cache
from typing import Annotated, Literal

from pydantic import AfterValidator

from hl7auth.resources import shipped
from hl7auth.rules.strict_yaml import Strict, load
from hl7auth.wire.versions import VERSIONS, at_least


def _known(version: str) -> str:
    if version not in VERSIONS:
        raise ValueError(f"unknown version '{version}' (known: {', '.join(VERSIONS)})")
    return version


Version = Annotated[str, AfterValidator(_known)]
"""One of the versions that the engine speaks, as people write it in YAML: in quotes."""


class Code(Strict):
    """One code: its meaning and the versions that have it."""

    text: str
    since: Version = "2.3"


class Table(Strict):
    """A table of codes. A value outside an HL7-defined table is an error, outside a user-defined one a warning."""

    name: str
    kind: Literal["hl7", "user"]
    values: dict[str, Code | str]

    def codes(self, version: str) -> frozenset[str]:
        """The codes that exist in a version."""
        return frozenset(
            code
            for code, meaning in self.values.items()
            if isinstance(meaning, str) or at_least(version, meaning.since)
        )


class Tables(Strict):
    """The shape of profiles/dictionary/tables.yaml."""

    tables: dict[str, Table]


@cache
def shipped_tables() -> dict[str, Table]:
    """The tables that come with the engine, by number."""
    return load(shipped("profiles") / "dictionary" / "tables.yaml", Tables).tables
