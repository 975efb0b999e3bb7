"""The structures that a profile brings along or changes.

Imports rules and errors only.
"""

from dataclasses import replace
from typing import NamedTuple

from hl7auth.errors import ConfigError
from hl7auth.rules.departures import least
from hl7auth.rules.dictionary import Dictionary, Node
from hl7auth.rules.profile_model import GroupProfile, Profile
from hl7auth.rules.profile_words import Verb
from hl7auth.rules.syntax import parse_syntax


class _Change(NamedTuple):
    structure: str
    group: str
    path: tuple[str, ...]
    rules: GroupProfile


def own_structures(profile: Profile, dictionary: Dictionary, relaxed: set[str] | None = None) -> dict[str, Node]:
    """The structures of the profile, and those of the dictionary that it changes, by name.

    The places that it relaxes are added to `relaxed`. Raises ConfigError for a syntax that can not be read, or a group
    that is relaxed without `departs`.
    """
    refuse = _Refuse(profile, set() if relaxed is None else relaxed)
    roots = {name: _parsed(refuse, dictionary, name, text) for name, text in profile.structures.items()}
    for structure, groups in profile.groups.items():
        root = roots.get(structure) or dictionary.structures.get(structure)
        if root is not None:
            for group, rules in groups.items():
                root = _changed(refuse, root, _Change(structure, group, tuple(group.split(".")), rules))
            roots[structure] = root
    _refuse_lesser_structures(refuse, dictionary, roots)
    return roots


class _Refuse(NamedTuple):
    """Refuses what is relaxed without a word, and keeps what is relaxed."""

    profile: Profile
    relaxed: set[str]

    def __call__(self, place: str, path: str, what: str) -> None:
        """Raises ConfigError unless the profile departs there."""
        self.relaxed.add(path)
        if path not in self.profile.departs:
            raise ConfigError(f"{place}: {what}; to relax it, name it in departs: [{path}]")


def _refuse_lesser_structures(refuse: _Refuse, dictionary: Dictionary, roots: dict[str, Node]) -> None:
    """An event of HL7's that is given another structure still needs what HL7 requires. Raises ConfigError."""
    profile = refuse.profile
    for event, structure in profile.events.items():
        kind, _, trigger = event.partition("^")
        usual = dictionary.structure_of(kind, trigger)
        root = roots.get(structure) or dictionary.structures.get(structure)
        if root is None or usual is None or usual == structure:
            continue
        for path in relaxed_places(replace(root, name=usual), dictionary):
            place = f"{profile.place('events', event) or profile.profile}: events.{event}"
            refuse(place, path, f"HL7 requires {path}")


def _parsed(refuse: _Refuse, dictionary: Dictionary, name: str, text: str) -> Node:
    """The structure as a Node. What is written anew under a name of HL7's requires at least what HL7 requires of it."""
    place = f"{refuse.profile.place('structures', name) or refuse.profile.profile}: structures.{name}"
    try:
        root = parse_syntax(text, name)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from None
    for path in relaxed_places(root, dictionary):
        refuse(place, path, f"HL7 requires {path}")
    return root


def relaxed_places(root: Node, dictionary: Dictionary) -> list[str]:
    """The segments and groups that HL7 requires at message level of a structure of that name, and this one does not.

    As `RPA_I08.PROCEDURE`. Groups are told by the segment that opens them, for their names are not stable.
    """
    standard = dictionary.structures.get(root.name)
    asked = {_first(child) for child in root.children if child.min}
    children = standard.children if standard else ()
    return [f"{root.name}.{child.name}" for child in children if child.min and _first(child) not in asked]


def _first(node: Node) -> str:
    return _first(node.children[0]) if node.children else node.name


def _changed(refuse: _Refuse, node: Node, change: _Change, above: tuple[str, ...] = ()) -> Node:
    """The structure with the change made at every place of that name (`PR1`, or `PROCEDURE.AUT` under PROCEDURE)."""
    children = []
    for child in node.children:
        here = (*above, child.name)
        changed_child = _changed(refuse, child, change, here) if child.children else child
        children.append(_with(refuse, changed_child, change) if _is_at(here, change.path) else changed_child)
    return replace(node, children=tuple(children))


def names_place(root: Node, path: tuple[str, ...], above: tuple[str, ...] = ()) -> bool:
    """True when the structure has a place of that name."""
    return any(
        _is_at((*above, child.name), path) or names_place(child, path, (*above, child.name)) for child in root.children
    )


def _is_at(here: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """True when the place is what the path ends in, and the rest of the path lies above it, in that order."""
    if here[-1] != path[-1]:
        return False
    above = iter(here[:-1])
    return all(name in above for name in path[:-1])


def _with(refuse: _Refuse, node: Node, change: _Change) -> Node:
    low, high = _bounds(node, change.rules)
    path = f"{change.structure}.{change.group}"
    if node.min and not low:
        place = refuse.profile.place("groups", change.structure, change.group)
        refuse(place, path, f"{change.structure} requires {node.name}")
    return replace(node, min=low, max=high)


def _bounds(node: Node, rules: GroupProfile) -> tuple[int, int | None]:
    if rules.verb is Verb.SHALL_NOT or rules.usage == "X":
        return 0, 0
    low = least(rules)
    if rules.cardinality is None:
        return node.min if low is None else low, node.max
    high = rules.cardinality.partition("..")[2]
    asked = rules.verb is Verb.SHALL or rules.usage == "R"
    return max(low or 0, int(asked)), None if high == "*" else int(high)
