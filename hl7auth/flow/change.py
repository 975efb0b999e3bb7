"""What becomes of channels while they are served: new, changed or gone, and what is told about it.

Imports flow.channel only.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from hl7auth.flow.channel import Channel


class Change(NamedTuple):
    """A channel before and after: None where it is new, or gone."""

    before: Channel | None
    after: Channel | None

    @property
    def name(self) -> str:
        """The name of the channel."""
        found = self.after or self.before
        assert found is not None
        return found.name

    @property
    def is_own(self) -> bool:
        """False where nothing changes but what other channels have to do with it."""
        before, after = self.before, self.after
        return before is None or after is None or before.version != after.version or before.file != after.file


class Did(StrEnum):
    """What became of a channel. What is refused stays as it was."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class Told(NamedTuple):
    """What became of one channel, or of a file that holds none: the version that it runs under from now on, the one
    before (both may be empty), and where it is refused, why."""

    channel: str
    did: Did
    version: str = ""
    before: str = ""
    text: str = ""

    def entry(self) -> dict[str, Any]:
        """As plain data."""
        return self._asdict()

    @property
    def sentence(self) -> str:
        """As people read it."""
        now = f"version {self.version}"
        match self.did:
            case Did.ADDED:
                return f"{self.channel} is new: {now}"
            case Did.CHANGED:
                same = self.version == self.before
                was = "with other secrets, or other values of variables" if same else f"it was {self.before}"
                return f"{self.channel} goes on as {now}; {was}"
            case Did.REMOVED:
                return f"{self.channel} is no longer served" + (f": {self.text}" if self.text else "")
            case Did.UNCHANGED:
                return f"{self.channel} is unchanged: {now}"
            case Did.REFUSED:
                kept = f"{self.channel} goes on as {now}, for its file is refused" if self.version else "refused"
                return f"{kept}: {self.text}"


def told_of(change: Change) -> Told:
    """What is told of a change that was made."""
    before, after = change.before, change.after
    if after is None:
        return Told(change.name, Did.REMOVED, "", before.version if before else "")
    if before is None:
        return Told(change.name, Did.ADDED, after.version)
    return Told(change.name, Did.CHANGED, after.version, before.version)


def refused(name: str, stays: Channel | None, text: str) -> Told:
    """What is told of one that was not made."""
    version = stays.version if stays else ""
    return Told(name, Did.REFUSED, version, version, text)
