"""Whatever is sent: the check raises nothing, and every finding points into the message."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hl7auth.errors import Fault
from hl7auth.resources import shipped
from hl7auth.rules.check import MAX_FINDINGS, check
from hl7auth.rules.compiled import compiled
from hl7auth.wire.message import Message, parse
from hl7auth.wire.versions import VERSIONS
from tests.rules.test_cases_elements import profile_of

EVERYTHING = """
extends: referral
departs: [AUT-2, RQA_I08.PROVIDER]
groups: {RQA_I08: {PROVIDER: {cardinality: 0..*}, PROCEDURE.AUT: {cardinality: 1..*}}}
flavours:
  CWE_F: {base: CWE, length: 9, components: {1: {usage: R, length: [2, 4]}, 3: {usage: CE, condition: this.2 valued}}}
  HD_F: {base: HD, components: {1: {usage: R}, 3: {constant: ISO}}}
segments:
  AUT:
    delete_pattern: [all_fields, first_field, key]
    key: 6
    fields:
      1: {type: CWE_F, usage: C(R/X), condition: group.PR1-1 = 1 or any message.AUT-8 > 2}
      2: {usage: RE, cardinality: 2..3}
      3: {length: 2..4, constant: Acme, severities: {length: alert}}
      4: {usage: X}
      5: {usage: IX}
      6: {components: {2: {type: HD_F}, 3: {condition: PID-3 valued}, 4: {usage: X, components: {2: {usage: R}}}}}
      8: {usage: B}
      29: {pre_adopted: true, binding: {table: "0206", strength: suggested, extensibility: open}}
  ZAU: {fields: {1: {type: CWE_F}, 2: {type: NM, usage: R}}}
statements:
  - {id: grouped, scope: group, segment: PR1, holds: "count(AUT) <= 1 and AUT-6.1 matches '[A-Z]{2}[0-9]+'", text: t}
  - {id: whole, scope: message, holds: all message.PID-3.1 valued, text: t}"""

NAMES = st.sampled_from(["AUT", "AUT", "PR1", "PID", "PRD", "ZAU", "MSH", "NTE", "RF1", "XYZ", "msh", "A"])
VALUES = st.one_of(
    st.sampled_from(
        ["", '""', "A", "^", "~", "&", "\\", "a^b&c~d", "20260301", "2", "-1", "ISO", '""~""', "\\F\\", "#", "é"]
    ),
    st.text(alphabet="aB1^~&\\\"|# .-'é\t", max_size=12),
    st.text(max_size=6),
)
LINES = st.tuples(NAMES, st.lists(VALUES, max_size=32)).map(lambda line: "|".join((line[0], *line[1])))
MARKS = st.sampled_from(["^~\\&", "^~\\&#", "^~\\", "~^&\\", "*+?.", "$%/!"])


def laid_out(message: Message, name: str, version: str) -> None:
    """Checks a message in each way, and looks at every finding."""
    for profile in (compiled(name, version), profile_of(EVERYTHING, version)):
        layout = profile.layout("RQA_I08", tuple(segment.name for segment in message.segments))
        for where in (None, layout):
            found = check(message, profile, where)
            assert len(found) <= MAX_FINDINGS + 1
            for each in [*found, *check(message, profile, where, affirmative=True)]:
                assert 0 <= each.start <= each.end <= len(message.raw)
                assert 0 <= each.line <= len(message.segments)
                assert each.rule
                assert len(each.shape) <= 40
            assert found == check(message, profile, where)


@settings(deadline=None)
@given(st.lists(LINES, max_size=8), MARKS, st.sampled_from(["2.3", "2.5.1", "2.7", "2.8.2", "2.9.1"]))
def test_no_message_makes_the_check_raise(lines: list[str], marks: str, version: str) -> None:
    text = "\r".join((f"MSH|{marks}|A|B|C|D|20260301||RQA^I08|1|P|{version}", *lines))
    try:
        message = parse(text.encode("utf-8", "replace"))
    except Fault:
        return
    laid_out(message, "referral", version)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_the_check_raise(raw: bytes) -> None:
    try:
        message = parse(b"MSH|^~\\&|A|B|C|D|1||RQA^I08|1|P|2.5\rAUT|" + raw)
    except Fault:
        return
    laid_out(message, "aut-standard", "2.5")


def test_no_sample_makes_the_check_raise_in_any_version() -> None:
    for path in sorted(shipped("sample_messages").glob("*.hl7"))[::7]:
        try:
            message = parse(path.read_bytes())
        except Fault:
            continue
        for version in VERSIONS[::4]:
            laid_out(message, "referral", version)
