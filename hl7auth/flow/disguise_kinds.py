"""What a disguise does with each component of a data type: the table that flow.disguise follows.

Imports the standard library only.

A component that is not listed follows its own data type, down to primitive ones; what has no data type is text.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    """What is done with a value.

    `keep`: nothing. `code`: kept where it looks like a code. `said`: a text beside a code, which becomes the code.
    `text`: free text; what looks like an id becomes one, the rest a word. `id`, `family`, `given`, `organisation`,
    `street`, `city`, `phone`, `date`: another one, the same for the same. `short`: kept up to a few letters (Dr).
    `number`: kept where it is one. `drop`: left empty.
    """

    KEEP = "keep"
    CODE = "code"
    SAID = "said"
    TEXT = "text"
    ID = "id"
    FAMILY = "family"
    GIVEN = "given"
    ORGANISATION = "organisation"
    STREET = "street"
    CITY = "city"
    PHONE = "phone"
    DATE = "date"
    SHORT = "short"
    NUMBER = "number"
    DROP = "drop"


K = Kind
_NAME = {1: K.FAMILY, 2: K.GIVEN, 3: K.DROP, 4: K.SHORT, 5: K.SHORT, 6: K.SHORT, 9: K.DROP, 10: K.DROP}
_NAME |= {12: K.DATE, 13: K.DATE, 14: K.SHORT, 15: K.DROP}
_PERSON = {1: K.ID, 2: K.FAMILY, 3: K.GIVEN, 4: K.DROP, 5: K.SHORT, 6: K.SHORT, 7: K.SHORT, 8: K.CODE, 9: K.KEEP}
_PERSON |= {11: K.DROP, 12: K.DROP, 14: K.KEEP, 16: K.DROP, 17: K.DROP, 21: K.SHORT, 24: K.DROP, 25: K.DROP}
_ADDRESS = {1: K.STREET, 2: K.DROP, 3: K.CITY, 4: K.CODE, 5: K.DROP, 6: K.CODE, 7: K.CODE, 8: K.DROP, 9: K.DROP}
_ADDRESS |= {10: K.DROP, 11: K.DROP, 12: K.DROP} | dict.fromkeys(range(15, 24), K.DROP)
_PHONE = {1: K.PHONE, 2: K.CODE, 3: K.CODE, 4: K.DROP, 5: K.DROP, 6: K.DROP, 7: K.PHONE, 8: K.DROP, 9: K.DROP}
_PHONE |= {10: K.DROP, 11: K.DROP, 12: K.PHONE} | dict.fromkeys(range(13, 19), K.DROP)
_CODED = {1: K.CODE, 2: K.SAID, 3: K.KEEP, 4: K.CODE, 5: K.SAID, 6: K.KEEP, 7: K.KEEP, 8: K.KEEP, 9: K.DROP}
_CODED |= {10: K.CODE, 11: K.SAID, 12: K.KEEP} | dict.fromkeys(range(13, 23), K.DROP)
_ID = {1: K.ID, 2: K.DROP, 3: K.DROP, 4: K.KEEP, 5: K.CODE, 6: K.KEEP, 9: K.DROP, 10: K.DROP, 11: K.DROP, 12: K.DROP}

COMPONENTS: Mapping[str, Mapping[int, Kind]] = MappingProxyType(
    {
        "XPN": _NAME,
        "PN": _NAME,
        "FN": {1: K.FAMILY, 2: K.DROP, 3: K.DROP, 4: K.DROP, 5: K.DROP},
        "XCN": _PERSON,
        "CN": _PERSON,
        "CNN": _PERSON,
        "PPN": _PERSON,
        "XAD": _ADDRESS,
        "AD": _ADDRESS,
        "SAD": {1: K.STREET, 2: K.DROP, 3: K.DROP},
        "XTN": _PHONE,
        "TN": {1: K.PHONE},
        "CE": _CODED,
        "CWE": _CODED,
        "CNE": _CODED,
        "CF": _CODED,
        "CX": _ID,
        "CK": _ID,
        "EI": {1: K.ID, 2: K.KEEP, 3: K.KEEP, 4: K.KEEP},
        "PLN": {1: K.ID, 2: K.CODE, 3: K.CODE, 4: K.DATE},
        "PI": {1: K.ID, 2: K.CODE, 3: K.SAID},
        "DLN": {1: K.ID, 2: K.CODE, 3: K.DATE},
        "XON": {1: K.ORGANISATION, 2: K.CODE, 3: K.ID, 4: K.DROP, 5: K.DROP, 6: K.KEEP, 7: K.CODE, 8: K.KEEP, 10: K.ID},
        "TS": {1: K.DATE, 2: K.CODE},
        "ED": {1: K.KEEP, 2: K.KEEP, 3: K.KEEP, 4: K.KEEP, 5: K.TEXT},
        "RP": {1: K.TEXT, 2: K.TEXT, 3: K.KEEP, 4: K.KEEP},
    }
)
"""By data type and number of the component. HL7's own names of types; FN stands within XPN and XCN."""

PRIMITIVES: Mapping[str, Kind] = MappingProxyType(
    {
        "ID": K.CODE,
        "IS": K.CODE,
        "NM": K.NUMBER,
        "SI": K.NUMBER,
        "SNM": K.NUMBER,
        "DT": K.DATE,
        "DTM": K.DATE,
        "TM": K.KEEP,
        "HD": K.KEEP,
        "VID": K.KEEP,
        "PT": K.KEEP,
        "MSG": K.KEEP,
        "CM_MSG": K.KEEP,
        "ERL": K.KEEP,
        "ELD": K.KEEP,
    }
)
"""Data types that are one thing to a disguise; any other without components is text."""

PLACES: Mapping[str, Kind] = MappingProxyType(
    {
        "MSH-9": K.KEEP,
        "MSH-10": K.ID,
        "MSH-18": K.KEEP,
        "MSH-21": K.KEEP,
        "MSA-2": K.ID,
        "IN1-3": K.KEEP,
        "IN1-4": K.KEEP,
        "AUT-3": K.KEEP,
        "PID-19": K.ID,
        "GT1-12": K.ID,
        "IN1-36": K.ID,
    }
)
"""Fields that are more, or less, than their data type says. The payor is no person: routes and tables know it."""
