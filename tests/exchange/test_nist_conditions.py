"""Assertions become conditions that mean the same, or are refused with the reason."""

import pytest

from hl7auth.exchange.markup import Element, read_source
from hl7auth.exchange.nist_conditions import MAX_CODES, Translator, Untranslatable
from hl7auth.exchange.nist_contexts import within_segment, within_type
from hl7auth.rules.predicate import compile_condition
from hl7auth.wire.message import parse

CODES = {"LIST": ("A", "B"), "LONG": tuple(f"C{number}" for number in range(MAX_CODES + 1)), "NONE": ()}
HERE = within_segment("AUT", frozenset({11}))


def assertion(text: str) -> Element:
    return read_source("c.xml", f"<Assertion>{text}</Assertion>".encode()).root


def translated(text: str) -> str:
    return Translator(CODES).condition(assertion(text), HERE)


def text(path: str, value: str, more: str = 'IgnoreCase="false"') -> str:
    return f'<PlainText Path="{path}" Text="{value}" {more}/>'


PRESENT, OTHER = '<Presence Path="1[1].1[1]"/>', '<Presence Path="3[1]"/>'
FAILS = 'IgnoreCase="false" NotPresentBehavior="FAIL"'


@pytest.mark.parametrize(
    ("xml", "condition"),
    [
        (PRESENT, "AUT-1.1 valued"),
        (f"<NOT>{PRESENT}</NOT>", "AUT-1.1 empty"),
        ('<Presence Path="11[*].2[1]"/>', "any AUT-11.2 valued"),
        ('<NOT><Presence Path="11[*]"/></NOT>', "not any AUT-11 valued"),
        ('<Presence Path="3[*]"/>', "AUT-3 valued"),
        ('<Presence Path="11[2].1[1].1[1]"/>', "AUT-11[2].1.1 valued"),
        (text("1[1].1[1]", "GOLD"), "AUT-1.1 empty or AUT-1.1 = 'GOLD'"),
        (text("1[1].1[1]", "GOLD", FAILS), "AUT-1.1 = 'GOLD'"),
        (text("1[1].1[1]", "00", FAILS), "AUT-1.1 in {'00'}"),
        (text("1[1]", "a+1", 'IgnoreCase="true" NotPresentBehavior="FAIL"'), "AUT-1 matches '[aA]\\+1'"),
        (f"<AND>{PRESENT}{text('1[1].1[1]', 'GOLD')}</AND>", "AUT-1.1 = 'GOLD'"),
        (f"<AND>{text('1[1].1[1]', 'GOLD')}{PRESENT}</AND>", "AUT-1.1 = 'GOLD'"),
        (f"<AND>{PRESENT}{text('3[1]', 'GOLD')}</AND>", "AUT-1.1 valued and (AUT-3 empty or AUT-3 = 'GOLD')"),
        (f"<OR>{PRESENT}<AND>{OTHER}{PRESENT}</AND></OR>", "AUT-1.1 valued or (AUT-3 valued and AUT-1.1 valued)"),
        (f"<NOT><OR>{PRESENT}{OTHER}</OR></NOT>", "not (AUT-1.1 valued or AUT-3 valued)"),
        (f"<IMPLY>{PRESENT}{OTHER}</IMPLY>", "not (AUT-1.1 valued) or AUT-3 valued"),
        (
            f"<XOR>{PRESENT}{OTHER}</XOR>",
            "((AUT-1.1 valued) and not (AUT-3 valued)) or (not (AUT-1.1 valued) and (AUT-3 valued))",
        ),
        (f"<FORALL>{PRESENT}{OTHER}{PRESENT}</FORALL>", "AUT-1.1 valued and AUT-3 valued and AUT-1.1 valued"),
        (f"<EXIST>{PRESENT}{OTHER}</EXIST>", "AUT-1.1 valued or AUT-3 valued"),
        ('<StringList Path="3[1]" CSV="A,B" NotPresentBehavior="FAIL"/>', "AUT-3 in {'A', 'B'}"),
        ('<NumberList Path="8[1].1[1]" CSV="1, -2.50" NotPresentBehavior="FAIL"/>', "AUT-8.1 = 1 or AUT-8.1 = -2.50"),
        ('<SimpleValue Path="8[1]" Operator="LE" Value="1e2" Type="Number"/>', "AUT-8 empty or AUT-8 <= 100"),
        ('<SimpleValue Path="3[1]" Operator="EQ" Value="7"/>', "AUT-3 empty or AUT-3 in {'7'}"),
        (
            '<SimpleValue Path="3[1]" Operator="NE" Value="X" NotPresentBehavior="FAIL"/>',
            "AUT-3 valued and not AUT-3 = 'X'",
        ),
        ('<Format Path="6[1].1[1]" Regex="^[A-Z]{2}$"/>', "AUT-6.1 empty or AUT-6.1 matches '[A-Z]{2}'"),
        ('<ValueSet Path="3[1]" ValueSetID="LIST" BindingLocation="."/>', "AUT-3 empty or AUT-3 in {'A', 'B'}"),
        ('<PathValue Path1="5[1]" Operator="GE" Path2="4[1]"/>', "AUT-5 empty or AUT-4 empty or AUT-5 >= AUT-4"),
        ('<PathValue Path1="5[1]" Operator="GE" Path2="4[1]" NotPresentBehavior="FAIL"/>', "AUT-5 >= AUT-4"),
        (text("11[*]", "X", 'AtLeastOnce="true"'), "not any AUT-11 valued or any AUT-11 = 'X'"),
        (text("11[*]", "X"), "not any AUT-11 != 'X'"),
        (text("11[*]", "X", FAILS), "any AUT-11 valued and not any AUT-11 != 'X'"),
    ],
)  # fmt: skip
def test_assertions_become_conditions(xml: str, condition: str) -> None:
    assert translated(xml) == condition


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        ("", "exactly one expression is expected"),
        (PRESENT * 2, "exactly one expression is expected"),
        ("<AND/>", r"AND has 0 expression\(s\)"),
        (f"<NOT>{PRESENT}{OTHER}</NOT>", "NOT has 2"),
        ('<Plugin QualifiedClassName="x"/>', "Plugin has no counterpart"),
        ('<SetID Path="1[1]"/>', "SetID has no counterpart"),
        ('<Presence Path=""/>', "'' is no path"),
        ('<Presence Path="0[1]"/>', "is no path"),
        ('<Presence Path="1[1].1[2]"/>', "components do not repeat"),
        ('<Presence Path="1[1].1[1].1[1].1[1]"/>', "nothing below them"),
        (text("1[1]", ""), "an empty text"),
        (text("1[1]", "it&apos;s"), "a quote or a control character"),
        (text("1[1]", "X", 'Min="2" Max="2"'), "it counts repetitions"),
        (text("11[*]", "5"), "about every repetition"),
        ('<StringList Path="11[*]" CSV="A,B"/>', "about every repetition"),
        ('<NumberList Path="1[1]" CSV="one"/>', "'one' is no number"),
        ('<SimpleValue Path="1[1]" Operator="LIKE" Value="1"/>', "operator 'LIKE' is not known"),
        ('<Format Path="1[1]" Regex="(?=x)"/>', "the condition language can not say it"),
        ('<Format Path="1[1]" Regex="("/>', "the condition language can not say it"),
        ('<ValueSet Path="1[1]" ValueSetID="NONE"/>', "not there, empty, or too long"),
        ('<ValueSet Path="1[1]" ValueSetID="LONG"/>', "not there, empty, or too long"),
        ('<ValueSet Path="1[1]" ValueSetID="LIST" BindingLocation="4"/>', "another component"),
        ('<PathValue Path1="11[*]" Operator="EQ" Path2="4[1]"/>', "more than two values"),
        ("<NOT>" * 55 + PRESENT + "</NOT>" * 55, "levels"),
    ],
)
def test_what_can_not_be_said_is_refused_with_the_reason(xml: str, reason: str) -> None:
    with pytest.raises(Untranslatable, match=reason):
        translated(xml)


@pytest.mark.parametrize(
    ("xml", "aut", "holds"),
    [
        (text("1[1].1[1]", "GOLD"), "AUT||P", True),
        (text("1[1].1[1]", "GOLD"), "AUT|GOLD|P", True),
        (text("1[1].1[1]", "GOLD"), "AUT|TIN|P", False),
        (text("1[1].1[1]", "00"), "AUT|0|P", False),
        (text("1[1]", "gold", 'IgnoreCase="true"'), "AUT|GoLd|P", True),
        (f"<NOT>{text('1[1]', 'GOLD')}</NOT>", "AUT||P", False),
        (f"<XOR>{PRESENT}{OTHER}</XOR>", "AUT|X|P|Y", False),
        (f"<XOR>{PRESENT}{OTHER}</XOR>", "AUT|X|P", True),
        (text("11[*].1[1]", "CARD", 'AtLeastOnce="true"'), "AUT||P|||||||||PHYS~CARD", True),
        (text("11[*].1[1]", "CARD"), "AUT||P|||||||||PHYS~CARD", False),
        (text("11[*].1[1]", "CARD"), "AUT||P|||||||||CARD~^x~CARD", True),
    ],
)
def test_the_conditions_mean_what_the_assertions_mean(xml: str, aut: str, holds: bool) -> None:
    message = parse(f"MSH|^~\\&|||||20260301||RQA^I08|1|P|2.8.2\r{aut}".encode())
    condition = compile_condition(translated(xml))
    assert condition(message, message.segments[1]) is holds


def test_inside_a_data_type_paths_begin_at_what_holds_the_component() -> None:
    translator = Translator({})
    assert translator.condition(assertion('<Presence Path="3[1].2[1]"/>'), within_type(())) == "this.3.2 valued"
    assert translator.condition(assertion('<Presence Path="4[1].2[1]"/>'), within_type((4,))) == "this.2 valued"
    with pytest.raises(Untranslatable, match="another component"):
        translator.condition(assertion('<Presence Path="3[1]"/>'), within_type((4,)))
    inside = within_segment("AUT", frozenset(), (6,))
    assert translator.condition(assertion('<Presence Path="6[1].2[1]"/>'), inside) == "this.2 valued"
    assert translator.condition(assertion('<Presence Path="2[1].2[1]"/>'), inside) == "AUT-2.2 valued"
