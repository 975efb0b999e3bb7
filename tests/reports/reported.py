"""What the tests of reports share: a message with something wrong, and the report of it."""

from hl7auth.reports.report import Report, remarks
from hl7auth.rules.check import check
from hl7auth.rules.compiled import compiled
from hl7auth.wire.message import Message, parse

SECRETS = ("Quillfeather", "Tamsin", "77001442", "Maple", "SILVERPLAN", "19770131")
SEGMENTS = (
    "PRD|RP|Quillfeather^Tamsin",
    "PID|||77001442^^^NORTH||Quillfeather^Tamsin||19770131|||5 Maple Road^^Cedarton",
    "PR1|1||99213^Visit^C4||20260401",
)
BAD_AUT = "AUT|SILVERPLAN^Plan for Quillfeather^L||Mutual of Maple|2026-04-01||Q7^X||three"


def message(*segments: str, version: str = "2.5", kind: str = "RQA^I08", codec: str = "ascii") -> Message:
    head = f"MSH|^~\\&|EHR|NORTH|PAYER|SOUTH|20260301101500||{kind}|C-9|P|{version}"
    return parse("\r".join((head, *segments)).encode(codec))


def report(of: Message, *, values: bool = False, file: str = "a/b.hl7", number: int = 1) -> Report:
    """The report of a message checked against the AUT standard; its structure is not looked at."""
    header = of.header
    rules = compiled("aut-standard", header.version)
    found = remarks(of, check(of, rules, None), values)
    return Report(file, number, header.control_id, header.event, header.version, "aut-standard", found)


BAD = message(*SEGMENTS, BAD_AUT)
GOOD = message(*SEGMENTS, "AUT|GOLD|ACME|Acme Health|20260401|20260930|||3")
UNUSABLE = Report("c.hl7", 1, "", "", "", "", (), "HL7 version 2.99Quill is not supported", "The version is unknown.")
