"""The message of the benchmark: one synthetic RQA^I08 of HL7 2.8.2 asking for two authorizations, and how to number it.

Imports the standard library only.
"""

from typing import NamedTuple

ID, REFERRAL, AUTHORIZATION, PATIENT = "@@ID@@", "@@REF@@", "@@AUT@@", "@@PAT@@"
#: identifiers are ID_WIDTH (MSH-10) and NUMBER_WIDTH (RF1-6.1, AUT-6.1: at most 15; PID-3.1) characters wide
ID_WIDTH, NUMBER_WIDTH = 20, 15
#: each of them ends in this many digits, the number of the message
DIGITS = 8

_SEGMENTS = (
    r"MSH|^~\&|HILLCREST|HILL|HARBOR_UM|HARBOR|20260304093015+0000||RQA^I08^RQA_I08"
    "|@@ID@@|P|2.8.2||||||UNICODE UTF-8",
    "RF1||R^Routine^HL70280|Med^Medical^HL70281|AM^Assume management^HL70282|A^Ambulatory^HL70284"
    "|@@REF@@^HILLCREST|20260304|20260904||O^Provider ordered^HL70336",
    "PRD|RP^Referring provider^HL70286|Okonkwo^Adaeze^^^^^L|||^WPN^PH^^1^802^5550143||HC20417^L",
    "PRD|RT^Referred to provider^HL70286|Lindqvist^Tove^^^^^L|||^WPN^PH^^1^802^5550166||MJ4410^L",
    "CTD|C^Emergency contact^HL70131|Farouk^Samir^^^^^L|||^WPN^PH^^1^802^5550178",
    "PID|1||@@PAT@@^^^HILL^MR||Vandermeer^Joost^A^^^^L||19710822|M|||231 Alder Street^^Millbrook^VT^05999"
    "||^PRN^PH^^1^802^5550112|||||ACC77120^^^HILL^AN",
    "NK1|1|Vandermeer^Ilse^^^^^L|SPO^Spouse^HL70063",
    "GT1|1||Vandermeer^Joost^A^^^^L|||||19710822|M||SEL^Self^HL70063",
    "IN1|1|GOLD80^Harbor Gold 80^L|HH001^^^HARBOR^NIIP|Harbor Mutual||||GRP5521||||20260101|20261231"
    "|||Vandermeer^Joost^A^^^^L|SEL^Self^HL70063|19710822",
    "DG1|1||M17.11^Osteoarthritis, right knee^I10C||20260227|W^Working^HL70052",
    "DRG|470^Joint replacement^L|20260302",
    "AL1|1|DA^Drug allergy^HL70127|PEN^Penicillin^L|MO^Moderate^HL70128|Rash",
    "PR1|1||KNEE-R^Knee replacement, right^L||20260420083000|P^Procedure^HL70230|110",
    "AUT|GOLD80^Harbor Gold 80^L|HH001^Harbor Mutual^L|Harbor Mutual|20260420|20260720"
    "|@@AUT@@^HARBOR|18500.00&USD|4^DAYS||20260304093000|ORT^Orthopedics^L|ORT^Orthopedics^L"
    "|SURG^Surgical^L|PEND^Pending^L|20260424|INP^Surgery^L|Pain at rest"
    "|0^DAYS|0^DAYS|4^DAYS|IMP^Inpatient^L|18500.00^USD|Millbrook Joint Center^L^^^^HARBOR^XX^^^MJC01"
    "|MJ4410^Lindqvist^Tove^^^^^^HARBOR^L^^^PRN|Plan on file|20260303|^WPN^PH^^1^802^5550166|Right side only|",
    "PR1|2||PHYS-K^Physical therapy, knee^L||20260428100000|P^Procedure^HL70230|45",
    "AUT|GOLD80^Harbor Gold 80^L|HH001^Harbor Mutual^L|Harbor Mutual|20260428|20260728"
    "|@@AUT@@^HARBOR|175.00&USD|12^VISITS||20260304093000|PT^Therapy^L|PT^Therapy^L"
    "|THER^Therapy^L|PEND^Pending^L|20260728|REH^Rehabilitation^L|Walk without aid"
    "|0^VISITS|0^VISITS|3^VISITS|AMB^Ambulatory^L|2100.00^USD|Alder Street Therapy^L^^^^HARBOR^XX^^^AST02"
    "|AS7301^Baptiste^Noor^^^^^^HARBOR^L^^^PRN|Plan on file|20260303|^WPN^PH^^1^802^5550131|Twice a week|",
    "OBR|1|ORD8815^HILL||KNEE-EX^Examination of the knee^L|||20260227101500",
    "OBX|1|NM|KNEE-FLEX^Flexion of the knee^L||85|deg^Degrees^UCUM|||||F|||20260227102000",
    "PV1|1|O|ORTHO^2^^HILL||||HC20417^Okonkwo^Adaeze^^^^^^HILL^L",
    "NTE|1|P|Please answer before April 20.",
)

#: One RQA^I08^RQA_I08: original mode, AUT-29 empty (snapshot); the four tokens stand for the identifiers.
TEMPLATE = "".join(segment + "\r" for segment in _SEGMENTS)


class Framed(NamedTuple):
    """A template in its MLLP frame with a run's prefix: to number it is to write DIGITS digits at each place."""

    frame: bytes
    places: tuple[int, ...]
    #: the control id without its last DIGITS digits
    control_id: bytes


def identifier(letter: str, prefix: str, width: int, number: int) -> str:
    """`letter` (or none) and `prefix`, then `number` padded to `width`, so that equal prefixes never collide."""
    head = letter + prefix
    if len(prefix) > NUMBER_WIDTH - DIGITS - 1 or not prefix.isalnum() or not 0 <= number < 10**DIGITS:
        raise ValueError(
            f"prefix {prefix!r} is not 1 to 6 letters and digits, or number {number} has more than 8 digits"
        )
    return f"{head}{number:0{width - len(head)}d}"


def message(template: str, number: int, prefix: str) -> bytes:
    """The `number`th message of the run called `prefix` (1 to 6 letters and digits); no frame around it."""
    numbered = template.replace(ID, identifier("", prefix, ID_WIDTH, number))
    numbered = numbered.replace(REFERRAL, identifier("R", prefix, NUMBER_WIDTH, number))
    numbered = numbered.replace(PATIENT, identifier("H", prefix, NUMBER_WIDTH, number))
    return numbered.replace(AUTHORIZATION, identifier("P", prefix, NUMBER_WIDTH, number)).encode()


def framed(template: str, prefix: str) -> Framed:
    """The MLLP frame of message 0 and the places where its number stands; equal to `message` for every number."""
    if template.count(ID) != 1:
        raise ValueError(f"the template wants exactly one {ID}")
    heads = {
        ID: identifier("", prefix, ID_WIDTH, 0)[:-DIGITS],
        REFERRAL: identifier("R", prefix, NUMBER_WIDTH, 0)[:-DIGITS],
        AUTHORIZATION: identifier("P", prefix, NUMBER_WIDTH, 0)[:-DIGITS],
        PATIENT: identifier("H", prefix, NUMBER_WIDTH, 0)[:-DIGITS],
    }
    mark = "\x00" * DIGITS
    for token, head in heads.items():
        template = template.replace(token, head + mark)
    frame = b"\x0b" + template.encode() + b"\x1c\r"
    places: list[int] = []
    at = frame.find(mark.encode())
    while at >= 0:
        places.append(at)
        at = frame.find(mark.encode(), at + DIGITS)
    return Framed(frame.replace(mark.encode(), b"0" * DIGITS), tuple(places), heads[ID].encode())
