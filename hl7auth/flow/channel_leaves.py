"""A channel as plain data: its values by key, and which of them are secrets.

Imports pydantic and the standard library only.
"""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

Key = str | int
Keys = tuple[Key, ...]

_SECRET = re.compile(
    r"(^|[_-])(password|passphrase|secret|token|credential|api[_-]?key|authorization)s?$", re.IGNORECASE
)


def plain(model: BaseModel) -> dict[str, Any]:
    """A model as it could be written in its file, with every default filled in."""
    data: dict[str, Any] = model.model_dump(mode="json", by_alias=True)
    return data


def leaves(data: Any, above: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every value that is neither a mapping nor a list, with its keys from the top."""
    if isinstance(data, dict | list):
        for key, inner in data.items() if isinstance(data, dict) else enumerate(data):
            yield from leaves(inner, (*above, key))
    else:
        yield above, data


def spelled(keys: Keys) -> str:
    """`limits.idle_seconds`, `steps.2.set`: entries of lists count from 1, as people do."""
    return ".".join(str(key + 1 if isinstance(key, int) else key) for key in keys)


def is_secret(keys: Keys) -> bool:
    """True for a key that by its name holds a secret itself, not where one is found (`password_file`)."""
    names = [key for key in keys if isinstance(key, str)]
    return bool(names) and _SECRET.search(names[-1]) is not None
