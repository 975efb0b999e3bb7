"""Where HL7 describes a segment: the chapter, and of the segments that matter most the section.

Imports wire only.
"""

from hl7auth.wire.versions import at_least

_CHAPTERS = {
    "2": "MSH MSA ERR SFT UAC NTE DSC ADD FHS FTS BHS BTS",
    "3": "EVN PID PD1 NK1 PV1 PV2 AL1 IAM MRG PDA ARV DB1 GSP GSR GSC",
    "4": "ORC OBR",
    "5": "QRD QRF QAK QPD RCP DSP",
    "6": "ACC BLG DG1 DRG FT1 GT1 IN1 IN2 IN3 PR1 UB1 UB2 ABS",
    "7": "OBX PRT SPM TXA",
    "11": "RF1 AUT PRD CTD",
    "15": "STF PRA",
    "16": "IVC PYE PSS PSG PSL ADJ PMT IPR RFI",
}
_CHAPTER_OF = {name: chapter for chapter, names in _CHAPTERS.items() for name in names.split()}
_AUT = (("2.8", "11.8.2"), ("2.4", "11.6.2"))


def section_of(segment: str, version: str, field: int = 0, own: str | None = None) -> str:
    """`HL7 chapter 11, 11.8.2.6` of AUT-6; the chapter and the place where no section is known; empty for a Z segment.

    `own` is the section that the profile names. A field has the number of its segment's section with its own behind it.
    """
    section = own or next((found for since, found in _AUT if segment == "AUT" and at_least(version, since)), "")
    chapter = _CHAPTER_OF.get(segment) or section.partition(".")[0]
    if not chapter:
        return ""
    if section:
        return f"HL7 chapter {chapter}, {section}" + (f".{field}" if field else "")
    return f"HL7 chapter {chapter}, {segment}" + (f"-{field}" if field else "")
