"""XML that would do harm is refused; what is read is what stands there."""

import pytest

from hl7auth.errors import UserError
from hl7auth.exchange import markup
from hl7auth.exchange.markup import read_source

LAUGHS = """<?xml version="1.0"?>
<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<a>&c;</a>"""


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://example.invalid/x.dtd">%x;]><a/>',
        '<!DOCTYPE a SYSTEM "http://example.invalid/a.dtd"><a/>',
        "<!DOCTYPE a><a/>",
    ],
    ids=["laughs", "file", "parameter", "external", "bare"],
)
def test_document_types_and_entities_are_refused_before_anything_is_read(text: str) -> None:
    with pytest.raises(UserError, match=r"p\.xml:\d+: has a DOCTYPE"):
        read_source("p.xml", text.encode())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not XML: no element found"),
        ("<a>", "not XML: no element found"),
        ("<a></b>", "not XML: mismatched tag"),
        ("<a/><b/>", "not XML: junk after document element"),
        ("<a>&x;</a>", "not XML: undefined entity"),
        ("MSH|^~\\&|", "not XML: syntax error"),
        ('<?xml version="1.0" encoding="x-nowhere"?><a/>', "its encoding is not supported|unknown encoding"),
        ("<a>" * 70 + "</a>" * 70, "more than 60 levels"),
        ("<a " + " ".join(f'x{number}="1"' for number in range(61)) + "/>", "more than 60 attributes"),
    ],
)
def test_what_is_no_document_is_named(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read_source("p.xml", text.encode())


def test_size_and_number_of_elements_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markup, "MAX_ELEMENTS", 5)
    monkeypatch.setattr(markup, "MAX_BYTES", 100)
    assert len(read_source("p.xml", b"<a><b/><b/><b/><b/></a>").root.children) == 4
    with pytest.raises(UserError, match="more than 5 elements"):
        read_source("p.xml", b"<a><b/><b/><b/><b/><b/></a>")
    with pytest.raises(UserError, match="larger than 100 bytes"):
        read_source("p.xml", b"<a>" + b" " * 100 + b"</a>")


def test_elements_are_read_without_their_namespace_and_with_their_line() -> None:
    source = read_source("p.xml", b'<x:a xmlns:x="u" x:Name=" N ">\n <x:b>one\n two</x:b><c/></x:a>')
    root = source.root
    assert (root.name, root.get("Name"), root.get("Other")) == ("a", "N", "")
    assert root.note("b") == "one two"
    assert root.note("z") == ""
    assert [source.place(child) for child in root.all("b", "c")] == ["p.xml:2", "p.xml:3"]
    assert root.first("z") is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_the_encodings_of_windows_tools_are_read(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><a Name="Münster"/>'
    assert read_source("p.xml", text.encode(encoding)).root.get("Name") == "Münster"
