"""Conditions on a message as a whole, as channels write them: compiled once, whoever asks.

Imports rules.predicate only.
"""

from functools import lru_cache

from hl7auth.rules.predicate import Condition, compile_condition


@lru_cache(maxsize=1024)
def condition(text: str) -> Condition:
    """The condition, where a segment means the first such of the message; call it with the message and its MSH.

    Raises ValueError with the place of a mistake.
    """
    found = compile_condition(text)
    if found.asks_group or any(path.scope == "this" for path in found.paths):
        raise ValueError(f"'this' and 'group.' mean nothing in the condition of a channel: {text}")
    return found
