"""Which profile a message is checked against: always the same, or the first of several whose condition it fits.

Imports flow.condition, rules.strict_yaml and wire only.
"""

from pydantic import field_validator

from hl7auth.flow.condition import condition
from hl7auth.rules.strict_yaml import Strict
from hl7auth.wire.message import Message


class Choice(Strict):
    """One of several profiles: `profile` is its name, `when` the condition on the messages that it is for.

    The first whose condition holds is taken; the last has no `when`, and is for all others.
    """

    profile: str
    when: str = ""

    @field_validator("when")
    @classmethod
    def _compiles(cls, text: str) -> str:
        if text:
            condition(text)
        return text


def checked(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """The choices. Raises ValueError where some message would have none, or where one is behind the default."""
    if not choices:
        raise ValueError("at least one profile is expected")
    for number, choice in enumerate(choices[:-1], start=1):
        if not choice.when:
            raise ValueError(f"entry {number} has no `when`: it would be for all messages, and none after it for any")
    if choices[-1].when:
        raise ValueError("the last entry is for all other messages, and has no `when`")
    return choices


def profile_of(profile: str | tuple[Choice, ...], message: Message) -> str:
    """The name of the profile for a message."""
    if isinstance(profile, str):
        return profile
    for choice in profile[:-1]:
        if condition(choice.when)(message, message.segments[0]):
            return choice.profile
    return profile[-1].profile
