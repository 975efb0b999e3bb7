"""NIST's value set libraries as tables of ours, and their bindings.

Imports rules, exchange.attributes, exchange.markup and exchange.model only.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hl7auth.exchange.attributes import Attributes, table_number
from hl7auth.exchange.markup import Element, Source
from hl7auth.exchange.model import Loss
from hl7auth.rules.tables import shipped_tables

MAX_CODES = 5_000
"""A larger value set (all of LOINC) belongs into a terminology service, not into a profile."""

_STRENGTHS = {"": "required", "R": "required", "S": "suggested"}


class ValueSet(NamedTuple):
    """A value set: its table of ours, and whether other codes may be sent."""

    table: Mapping[str, Any]
    open: bool


class ValueSets:
    """The value sets of a library, by the number or name of the table; `unchecked` are those nobody is to check."""

    def __init__(self, sources: Iterable[Source], losses: list[Loss]) -> None:
        self.sets: dict[str, ValueSet] = {}
        self.unchecked: set[str] = set()
        for source in sources:
            library = Attributes(source, losses)
            for part in source.root.all("NoValidation"):
                self.unchecked |= {table_number(each.text.strip()) for each in part.all("BindingIdentifier")}
            for group in source.root.all("ValueSetDefinitions"):
                for definition in group.all("ValueSetDefinition"):
                    self.read(library, definition)

    def read(self, library: Attributes, definition: Element) -> None:
        identifier = definition.get("BindingIdentifier")
        name = table_number(identifier)
        elements = list(definition.all("ValueElement"))
        if len(elements) > MAX_CODES:
            library.lose(definition, f"value set {identifier}", f"it has more than {MAX_CODES} codes")
            return
        values: dict[str, str] = {}
        for element in elements:
            usage = element.get("Usage") or "R"
            if element.get("CodePattern") or element.get("RegexRule"):
                library.lose(element, f"value set {identifier}: a pattern of codes", "a table lists codes")
            elif usage != "E" and element.get("Value"):
                values[element.get("Value")] = element.get("DisplayName") or element.get("Value")
        _remarks(library, definition, identifier, elements)
        shipped = shipped_tables().get(name)
        kind = shipped.kind if shipped and values else "site"
        table = {"name": definition.get("Name") or identifier, "kind": kind, "values": values}
        self.sets[name] = ValueSet(table, definition.get("Extensibility").casefold() == "open")

    def codes(self) -> dict[str, tuple[str, ...]]:
        """The codes by the names people bind value sets with: the table's number too."""
        found = {name: tuple(each.table["values"]) for name, each in self.sets.items()}
        return found | {f"HL7{name}": codes for name, codes in found.items() if name.isdecimal()}

    def binding(self, names: Iterable[str], strength: str) -> tuple[dict[str, Any], str]:
        """The binding of one value set, or of all the codes of several, and why there is none; both may be empty."""
        tables = [table_number(name.strip()) for name in names if name.strip()]
        if not tables or any(name in self.unchecked for name in tables):
            return {}, ""
        if strength not in _STRENGTHS:
            return {}, "its strength is not determined"
        missing = [name for name in tables if name not in self.sets and (len(tables) > 1 or not name.isdecimal())]
        if missing:
            return {}, f"the bundle has no value set {missing[0]}"
        name = tables[0] if len(tables) == 1 else self.union(tables)
        known = self.sets.get(name)
        binding = {"table": name, "strength": _STRENGTHS[strength]}
        return {"binding": binding | ({"extensibility": "open" if known.open else "closed"} if known else {})}, ""

    def union(self, tables: list[str]) -> str:
        """The name of a table of all the codes of several."""
        name = "+".join(tables)
        if name not in self.sets:
            parts = [self.sets[each] for each in tables]
            values = {code: text for part in parts for code, text in part.table["values"].items()}
            table = {"name": " or ".join(part.table["name"] for part in parts), "kind": "site", "values": values}
            self.sets[name] = ValueSet(table, any(part.open for part in parts))
        return name


def _remarks(library: Attributes, definition: Element, identifier: str, elements: list[Element]) -> None:
    permitted = sum(element.get("Usage") == "P" for element in elements)
    excluded = sum(element.get("Usage") == "E" for element in elements)
    if permitted:
        library.lose(
            definition, f"value set {identifier}: {permitted} permitted code(s)", "they count as required ones"
        )
    if excluded and definition.get("Extensibility").casefold() == "open":
        library.lose(
            definition, f"value set {identifier}: {excluded} excluded code(s)", "an open table excludes nothing"
        )
    if len({element.get("CodeSystem") for element in elements}) > 1:
        library.lose(definition, f"value set {identifier}: code systems", "codes are compared, not their systems")
