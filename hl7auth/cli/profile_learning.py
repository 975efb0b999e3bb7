"""Reads a partner's messages and proposes a profile.

Imports errors, cli.check_input, cli.check_choice, rules and wire.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from hl7auth.cli.check_choice import Choice
from hl7auth.cli.check_input import parts, sources
from hl7auth.errors import Fault, UserError
from hl7auth.rules.learn import Use
from hl7auth.rules.profile import Profile, load_profile, resolved
from hl7auth.rules.proposal import propose
from hl7auth.wire.message import Message, parse

NONE = "none"


def learned(files: Sequence[Path], name: str, extends: str | None, folder: Path | None) -> tuple[Use, str]:
    """What was learned, and the text of a profile. Raises UserError when there is nothing to learn from.

    Without `extends` it is the profile that the first message would be checked against.
    """
    choice = Choice(folder)
    use: Use | None = None
    for message in _messages(files):
        if use is None:
            use = Use(_base(extends or choice.of(message), folder))
        use.learn(message)
    if use is None or not use.messages:
        raise UserError(f"{', '.join(map(str, files))}: no message of a known version, nothing to learn from")
    return use, propose(use, name)


def _base(name: str, folder: Path | None) -> Profile | None:
    if name == NONE:
        return None
    return load_profile(Path(name)) if name.endswith((".yaml", ".yml")) else resolved(name, folder)


def _messages(files: Sequence[Path]) -> Iterator[Message]:
    """The messages that can be read; the others have nothing to teach."""
    for source in sources(files):
        for part in parts(source):
            for raw in part.messages:
                try:
                    yield parse(raw)
                except Fault:
                    continue
