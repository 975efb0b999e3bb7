"""What a partner would notice when one channel takes the place of another, in words.

Imports flow.channel, flow.channel_schema, flow.channel_leaves and yaml (to show what a list holds) only.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel

from hl7auth.flow.channel_leaves import Keys, is_secret, plain, spelled
from hl7auth.flow.channel_schema import channel_schema, meanings

Kind = Literal["changed", "new", "gone", "moved"]
_IDENTITY = ("channel",)
_HIDDEN = "(a secret)"
_WIDTH = 100


class Difference(NamedTuple):
    """One key that differs: how it was and how it is (None: it was not, or is no more), and what the key means."""

    key: str
    kind: Kind
    before: Any
    after: Any
    text: str
    meaning: str = ""

    def entry(self) -> dict[str, Any]:
        """The difference as plain data."""
        return self._asdict()


def channel_diff(before: BaseModel, after: BaseModel) -> list[Difference]:
    """The differences between two channel files, key by key in the order of the model; their names are no difference.

    A secret is never told, only that it is another one.
    """
    known = meanings(channel_schema(type(after)))
    old, new = plain(before), plain(after)
    found: list[Difference] = []
    for key in dict.fromkeys((*old, *new)):
        if key not in _IDENTITY:
            found += _compared((key,), old.get(key), new.get(key))
    return [each._replace(meaning=_meaning(each.key, known)) for each in found]


def _compared(keys: Keys, old: Any, new: Any) -> Iterator[Difference]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _compared((*keys, key), old.get(key), new.get(key))
    elif is_secret(keys) and old is not None and new is not None:
        yield _difference(keys, "changed", _HIDDEN, _HIDDEN, "is another secret")
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(keys, old, new)
    elif old is None:
        yield _difference(keys, "new", None, new, f"is new: {_shown(new, keys)}")
    elif new is None:
        yield _difference(keys, "gone", old, None, f"is gone; it was {_shown(old, keys)}")
    else:
        yield _difference(keys, "changed", old, new, f"is {_shown(new)}; it was {_shown(old)}")


def _lists(keys: Keys, old: list[Any], new: list[Any]) -> Iterator[Difference]:
    if any(isinstance(each, dict | list) for each in (*old, *new)):
        yield from _entries(keys, old, new)
        return
    more, less = [each for each in new if each not in old], [each for each in old if each not in new]
    said = [f"also has {_listed(more)}"] if more else []
    said += [f"no longer has {_listed(less)}"] if less else []
    if said:
        kind: Kind = "changed" if more and less else "new" if more else "gone"
        yield _difference(keys, kind, old, new, " and ".join(said))
    else:
        yield _difference(keys, "moved", old, new, f"is in another order: {_listed(new)}; it was {_listed(old)}")


def _entries(keys: Keys, old: list[Any], new: list[Any]) -> Iterator[Difference]:
    """Entries that are mappings, as steps and routes: what came in between, what went, and what took its place.

    Equal entries belong together, then those between them that have the same keys.
    """
    texts = [_shown(each, keys) for each in old], [_shown(each, keys) for each in new]
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        kinds = [_kind(each) for each in old[i1:i2]], [_kind(each) for each in new[j1:j2]]
        for inner, a1, a2, b1, b2 in SequenceMatcher(None, *kinds, autojunk=False).get_opcodes():
            befores, afters = old[i1 + a1 : i1 + a2], new[j1 + b1 : j1 + b2]
            if inner == "equal":
                for number, (one, other) in enumerate(zip(befores, afters, strict=True), start=j1 + b1):
                    yield from _compared((*keys, number), one, other)
            else:
                yield from _replaced(keys, befores, afters, j1 + b1, i1 + a1)


def _replaced(keys: Keys, old: list[Any], new: list[Any], to: int, since: int) -> Iterator[Difference]:
    """Entries of other kinds: at their number in the new list, or where they are gone, in the old one."""
    for number, each in enumerate(old, start=since):
        place = (*keys, number)
        yield _difference(place, "gone", each, None, f"is gone; it was {_shown(each, keys)}")
    for number, each in enumerate(new, start=to):
        yield _difference((*keys, number), "new", None, each, f"is new: {_shown(each, keys)}")


def _kind(entry: Any) -> tuple[str, ...]:
    return tuple(entry) if isinstance(entry, dict) else ()


def _difference(keys: Keys, kind: Kind, before: Any, after: Any, said: str) -> Difference:
    return Difference(spelled(keys), kind, _safe(before, keys), _safe(after, keys), f"{spelled(keys)} {said}")


def _shown(value: Any, keys: Keys = ()) -> str:
    """A value as it would stand in the file, on one line."""
    if value in ("", [], {}):
        return "empty"
    text = yaml.safe_dump(
        _said(_safe(value, keys)), default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6
    )
    text = text.removesuffix("\n").removesuffix("\n...")
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."


def _said(value: Any) -> Any:
    """Without the keys that nobody wrote."""
    if isinstance(value, dict):
        return {key: _said(inner) for key, inner in value.items() if inner is not None}
    return [_said(each) for each in value] if isinstance(value, list) else value


def _safe(value: Any, keys: Keys) -> Any:
    """The value with every secret in it hidden."""
    if isinstance(value, dict):
        return {key: _safe(inner, (*keys, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_safe(each, (*keys, at)) for at, each in enumerate(value)]
    return _HIDDEN if value is not None and is_secret(keys) else value


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(_shown, values)) or "nothing"


def _meaning(key: str, known: dict[str, str]) -> str:
    """What the key means, else the nearest one around it that is known."""
    names = [name for name in key.split(".") if not name.isdigit()]
    for end in range(len(names), 0, -1):
        path = names[:end]
        for tried in (path, *([*path[:at], "*", *path[at + 1 :]] for at in range(1, end))):
            if found := known.get(".".join(tried)):
                return found
    return ""
