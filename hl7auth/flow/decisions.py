"""Whether the requests of a channel are decided by rules, and by which.

Imports rules.strict_yaml only.
"""

from pathlib import PurePosixPath

from pydantic import field_validator

from hl7auth.rules.strict_yaml import Strict


class Decisions(Strict):
    """Requests of this channel are decided by rules, as soon as they are stored; `rules` is their file, in a folder
    beside the channel."""

    rules: str

    @field_validator("rules")
    @classmethod
    def _in_a_folder(cls, name: str) -> str:
        path = PurePosixPath(name)
        if path.suffix not in (".yaml", ".yml"):
            raise ValueError(f"'{name}' is no YAML file")
        if not path.is_absolute() and len(path.parts) < 2:
            raise ValueError(f"what is beside a channel would be a channel: put it into a folder, as rules/{name}")
        return name
