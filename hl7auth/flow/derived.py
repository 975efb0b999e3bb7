"""Models that work out things from what they hold, once.

Imports rules.strict_yaml only.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from hl7auth.rules.strict_yaml import Strict


class Derived(Strict):
    """A model with cached properties. A copy may hold other values and another process has memory of its own: both
    work things out for themselves."""

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Another one, in which nothing is worked out yet."""
        copy = super().model_copy(update=update, deep=deep)
        for name in _worked_out(type(self)) & copy.__dict__.keys():
            del copy.__dict__[name]
        return copy

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        left_out = _worked_out(type(self))
        return state | {"__dict__": {key: value for key, value in state["__dict__"].items() if key not in left_out}}


def _worked_out(kind: type) -> frozenset[str]:
    parts = (vars(each).items() for each in kind.__mro__)
    return frozenset(name for part in parts for name, value in part if isinstance(value, cached_property))
