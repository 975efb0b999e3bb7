"""One sentence on how to mend a breach, by its kind.

Imports rules.rule only.
"""

from hl7auth.rules.rule import ElementRule

_FORMS = {
    "NM": "Send digits with at most one decimal point and no blanks, commas or units, as in 12.5.",
    "SI": "Send a whole number, as in 1.",
    "DT": "Send a date of the calendar as YYYYMMDD.",
    "TM": "Send a time as HHMM or HHMMSS.",
    "DTM": "Send a date of the calendar as YYYYMMDD, with a time as YYYYMMDDHHMM or YYYYMMDDHHMMSS.",
    "SNM": "Send digits and the signs of telephone numbers alone.",
}
_LISTED = 12
"""Codes that fit into a sentence."""


def mend_usage(element: ElementRule, present: bool) -> str:
    """For a value that is missing, or that is there and must not be."""
    what = f"{element.path} ({element.name})" if element.name else element.path
    return f"Leave {what} empty." if present else f"Send a value in {what}."


def mend_delete(element: ElementRule) -> str:
    """For a delete value among repetitions."""
    what = f"{element.path} ({element.name})" if element.name else element.path
    return f'Send all the values of {what} that are to stay, or "" alone to delete them all.'


def mend_type(path: str, datatype: str, category: str) -> str:
    """For a value of the wrong form, or with more parts than its data type has."""
    if category == "extra":
        return f"Leave out what stands behind the last part of {datatype} in {path}."
    if category == "unescaped separator":
        return (
            "Write separators inside of text as escape sequences: \\T\\ for the subcomponent, \\S\\ for the component."
        )
    if category == "invalid content":
        return f"Leave out formatting commands: {path} is plain text."
    return _FORMS.get("DTM" if datatype in ("TS", "TSDTM") else datatype, f"Send a value that is right for {datatype}.")


def mend_length(element: ElementRule) -> str:
    """For a value of a length that there may not be."""
    if element.lengths:
        return f"Send a value of {' or '.join(map(str, element.lengths))} characters."
    if element.shortest and element.length:
        return f"Send {element.shortest} to {element.length} characters."
    if element.shortest:
        return f"Send at least {element.shortest} characters."
    return f"Send at most {element.length} characters, or agree on more."


def mend_code(element: ElementRule) -> str:
    """For a code that is not in its table."""
    codes = sorted(element.codes or ())
    if 0 < len(codes) <= _LISTED:
        return f"Send a code of table {element.table}: {', '.join(codes)}."
    return f"Send a code of table {element.table}."


def mend_cardinality(path: str, least: int, most: int | None) -> str:
    """For too few or too many repetitions."""
    if most is not None and least and least != most:
        return f"Send {path} {least} to {most} times."
    return f"Send {path} at most {most} time(s)." if most is not None else f"Send {path} at least {least} time(s)."
