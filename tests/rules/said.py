"""What the tests of the check share: short messages, their findings as one line each, profiles of one's own."""

from pathlib import Path

from hl7auth.rules.check import Finding, check
from hl7auth.rules.compiled import CompiledProfile, compile_profile, compiled
from hl7auth.rules.profile import load_profile
from hl7auth.rules.structure import layout
from hl7auth.wire.message import Message, parse
from hl7auth.wire.versions import at_least


def head(version: str = "2.5", kind: str = "RQA^I08", marks: str = "^~\\&", charset: str = "") -> str:
    return f"MSH|{marks}|EHR|NORTH|PAYER|SOUTH|20260301101500||{kind}|C1|P|{version}||||||{charset}".rstrip("|")


def checked(message: Message, profile: CompiledProfile, *, placed: bool = False) -> list[Finding]:
    """The findings; with those of the structure where wanted."""
    if not placed:
        return check(message, profile, None)
    header = message.header
    name = profile.dictionary.structure_of(header.message_type, header.trigger_event)
    assert name is not None
    return check(message, profile, layout(profile.version, name, tuple(each.name for each in message.segments)))


def found(*segments: str, version: str = "2.5", kind: str = "RQA^I08", profile: str = "aut-standard") -> list[Finding]:
    """What the segments behind a good MSH give; their structure is not looked at."""
    raw = "\r".join((head(version, kind), *segments)).encode()
    return checked(parse(raw), compiled(profile, version))


def said(findings: list[Finding]) -> list[str]:
    """The findings as `error 101 AUT-2.usage AUT[2]-2`."""
    return [f"{each.severity} {each.code} {each.rule} {each.path}" for each in findings]


# Good values of AUT: by field, from version 2.7 on, where 8 and 9 have units
AUT = {
    1: "GOLD^Gold plan^L", 2: "ACME^Acme Health^L", 3: "Acme Health", 4: "20260301", 5: "20260930",
    6: "PA1001^ACME", 7: "175.0&USD", 8: "3^VISITS", 9: "2^VISITS", 10: "202603011015",
    11: "CARD^Cardiology^L", 12: "CARD^Cardiology^L~PHYS", 13: "REF^Referral^L", 14: "AP^approved^L",
    15: "20260930", 16: "CARD", 17: "as agreed", 18: "2^VISITS", 19: "0^VISITS", 20: "1^VISITS", 21: "OP",
    22: "500.00^USD", 23: "North Clinic^L", 24: "4711^Moss^Ada", 25: "by telephone", 26: "20260302",
    27: "^PRN^PH^^1^555^0100200", 28: "none", 29: "U",
}  # fmt: skip


def fields_of(version: str) -> int:
    return 29 if at_least(version, "2.8") else 12 if at_least(version, "2.7") else 10


def aut(version: str, values: dict[int, str] | None = None) -> str:
    """A good AUT of a version, with some fields changed."""
    fields = {number: AUT[number] for number in range(1, fields_of(version) + 1)}
    if not at_least(version, "2.7"):
        fields |= {8: "3", 9: "2"}
    fields |= values or {}
    return "|".join(["AUT", *(fields.get(number, "") for number in range(1, max(fields) + 1))])


def told(profile: CompiledProfile, *segments: str, version: str = "2.5") -> list[str]:
    return said(check(parse("\r".join((head(version), *segments)).encode()), profile, None))


def own_profile(folder: Path, text: str, version: str = "2.5") -> CompiledProfile:
    """Compiles a profile file of that folder: `text` comes behind its name and title."""
    path = folder / "site.yaml"
    path.write_text(f"profile: site\ntitle: t\n{text}\n")
    return compile_profile(load_profile(path), version)
