"""What a channel makes of one kind of message: found out for the first of them, and the same for all that follow.

Imports rules only.
"""

from typing import NamedTuple

from hl7auth.rules.compiled import CompiledProfile
from hl7auth.rules.dialect import Dialect
from hl7auth.rules.profile import StatusMap

Asked = tuple[str, str, str, str, str]
"""Profile, message type, trigger event, version and processing id: all that a Kind depends on."""


class Kind(NamedTuple):
    """The profile that checks it, the structure that it has there, the standard event that it acts as, and what codes
    of its partner mean."""

    profile: CompiledProfile
    structure: str
    acts_as: tuple[str, str]
    dialect: Dialect | None
    names: StatusMap
