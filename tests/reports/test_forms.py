"""Every form of a report: complete, well-formed, escaped, and without a value of a patient unless asked."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from hl7auth.reports.forms import NAMES, Form, form
from hl7auth.reports.report import Report
from hl7auth.reports.tally import Tally
from tests.reports.reported import BAD, BAD_AUT, GOOD, SECRETS, SEGMENTS, UNUSABLE, message, report


def drawn(by: Form, *files: list[Report]) -> str:
    tally = Tally()
    for reports in files:
        tally.add(reports)
    return by.head(tally) + by.separator.join(filter(None, map(by.fragment, files))) + by.foot(tally)


FILES = ([report(GOOD), report(BAD, number=2)], [UNUSABLE])
SUMMARIES = [(name, True) for name in NAMES if name != "junit"]


@pytest.mark.parametrize(("name", "summary"), [*((name, False) for name in NAMES), *SUMMARIES])
def test_no_form_tells_a_value(name: str, summary: bool) -> None:
    text = drawn(form(name, summary), *FILES)
    assert not [secret for secret in SECRETS if secret in text]
    assert "AUT-2.usage" in text
    assert "aut-standard" in text


@pytest.mark.parametrize("name", ["text", "json", "junit", "html"])
def test_values_are_told_where_they_are_asked_for(name: str) -> None:
    assert "2026-04-01" in drawn(form(name), [report(BAD, values=True)])


def test_json_is_one_array_of_messages() -> None:
    good, bad, unusable = json.loads(drawn(form("json"), *FILES))
    assert (good["file"], good["number"], good["profile"], good["findings"], good["exit"]) == (
        "a/b.hl7", 1, "aut-standard", [], 0,
    )  # fmt: skip
    assert (bad["number"], bad["exit"], bad["findings"][0]["rule"][:3]) == (2, 1, "AUT")
    assert {"severity", "path", "text", "code", "bytes", "line"} <= bad["findings"][0].keys()
    assert (unusable["exit"], unusable["unusable"]) == (2, UNUSABLE.unusable)
    assert json.loads(drawn(form("json"))) == []
    assert json.loads(drawn(form("json", summary=True), *FILES))["messages"] == 3


def test_text_has_a_caret_under_the_place() -> None:
    lines = drawn(form("text"), [report(BAD)]).splitlines()
    at = next(number for number, line in enumerate(lines) if "[AUT-4.type]" in line)
    shown, caret = lines[at + 1 : at + 3]
    marked = "".join(char for char, mark in zip(shown, caret, strict=False) if mark == "^")
    assert marked == "9999-99-99"
    assert any(line.strip().startswith("mend: ") for line in lines)


def test_junit_has_a_case_for_each_message() -> None:
    root = ElementTree.fromstring(drawn(form("junit"), *FILES))
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == ("testsuites", "3", "1", "1")
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["a/b.hl7", "c.hl7"]
    good, bad = suites[0].findall("testcase")
    assert len(good) == 0
    (failure,) = bad.findall("failure")
    assert failure.get("type") == report(BAD).remarks[0].finding.rule
    assert "AUT-4.type" in (failure.text or "")
    assert bad.get("classname") == "hl7auth.aut-standard"
    assert suites[1].find("testcase/error") is not None


def test_junit_takes_any_text() -> None:
    odd = Report('<&"\x00\ud800\n>', 1, "\x1b]]>", "A\x0bB", "2.5", "p", (), "bad\x07\r\n<>&", "")
    case = ElementTree.fromstring(drawn(form("junit"), [odd])).find("testsuite/testcase/error")
    assert case is not None
    assert (case.get("message") or "").endswith("<>&")


class Page(HTMLParser):
    """Collects what a browser would load, and checks that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_from_elsewhere() -> None:
    text = drawn(form("html"), *FILES)
    page = Page(text)
    assert page.open == []
    assert not page.tags & {"script", "link", "img", "iframe", "base", "form", "object"}
    assert not [value for name, value in page.attributes if name in ("src", "href", "style") or name.startswith("on")]
    assert not re.search(r"https?:|url\(|@import", text)


def test_the_page_escapes_what_comes_from_outside() -> None:
    evil = "<script>alert(1)</script>"
    shown = drawn(form("html"), [report(message(*SEGMENTS, BAD_AUT + evil), values=True, file=evil)])
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_the_page_shows_no_event_that_is_none() -> None:
    assert "Quill" not in drawn(form("html"), [report(BAD)._replace(event="Quill^Ivo")])


def test_the_page_leaves_out_the_control_id_and_what_could_not_be_read() -> None:
    text = drawn(form("html"), *FILES)
    assert "C-9" not in text
    assert "2.99Quill" not in text
    assert UNUSABLE.reason in text


def test_a_terminal_is_not_steered() -> None:
    text = drawn(form("text"), [report(BAD, values=True, file="\x1b[2J.hl7")._replace(control_id="a\rb")])
    assert "\x1b" not in text
    assert "\r" not in text


@pytest.mark.parametrize(("name", "summary"), [("pdf", False), ("junit", True)])
def test_a_form_that_is_not_there(name: str, summary: bool) -> None:
    with pytest.raises(ValueError, match=name):
        form(name, summary)
