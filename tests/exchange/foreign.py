"""What the tests of the exchange share: the documents, XML put together in place, and what a check says."""

from pathlib import Path

from hl7auth.exchange.importing import Imported, import_profile
from hl7auth.rules.check import check
from hl7auth.rules.compiled import CompiledProfile, compile_profile
from hl7auth.rules.profile import load_profile
from hl7auth.wire.message import parse

DOCUMENTS = Path(__file__).parent / "documents"
REQUEST = DOCUMENTS / "referral-request.xml"
TABLES = DOCUMENTS / "referral-tables.xml"
BUNDLE = DOCUMENTS / "bundle"


def loaded(imported: Imported, folder: Path) -> CompiledProfile:
    """The profile as everybody uses it: written to a file and read from there."""
    path = folder / f"{imported.name}.yaml"
    path.write_text(imported.text, encoding="utf-8")
    return compile_profile(load_profile(path), imported.version)


def said(rules: CompiledProfile, *segments: str) -> list[str]:
    """What a check finds, as `error AUT-2.usage AUT[2]-2`."""
    message = parse("\r".join(segments).encode())
    structure = rules.structure_of(message.header.message_type, message.header.trigger_event)
    assert structure is not None
    findings = check(message, rules, rules.layout(structure, tuple(segment.name for segment in message.segments)))
    return sorted(f"{each.severity} {each.rule} {each.path}" for each in findings)


def document(folder: Path, inner: str, version: str = "2.5.1", name: str = "small.xml") -> Path:
    """A message profile of the HL7 form with a MSH and these segments."""
    path = folder / name
    path.write_text(
        f'<HL7v2xConformanceProfile HL7Version="{version}"><MetaData Name="Small"/>'
        '<HL7v2xStaticDef MsgType="RQA" EventType="I08" MsgStructID="RQA_I08">'
        f'<Segment Name="MSH" Usage="R" Min="1" Max="1"/>{inner}</HL7v2xStaticDef></HL7v2xConformanceProfile>',
        encoding="utf-8",
    )
    return path


def small(folder: Path, inner: str, version: str = "2.5.1") -> Imported:
    """The profile of such a document."""
    return import_profile([document(folder, inner, version)])
