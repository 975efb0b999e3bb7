"""Character sets: MSH-18 found in raw bytes, decoding that never fails on data, encoding that never fails on text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.errors import Unreadable, UnsupportedCharset
from hl7auth.wire import charset
from hl7auth.wire.charset import CODECS, Decoded, codec_of, declared, decode, encode


def message(msh_18: bytes = b"", body: bytes = b"PID|1||77\r", end: bytes = b"\r") -> bytes:
    head = b"MSH|^~\\&|EHR|CLINIC|PAYER|HUB|20250301||RQA^I08^RQA_I08|C1|P|2.5|||AL|NE"
    return head + (b"||" + msh_18 if msh_18 else b"") + end + body


def unescaped(text: str) -> str:
    return re.sub(r"\\X([0-9A-F]+)\\", lambda match: bytes.fromhex(match[1]).decode(), text)


class TestDeclared:
    @pytest.mark.parametrize(
        ("raw", "name"),
        [
            (message(), ""),
            (message(b"8859/1"), "8859/1"),
            (message(b" UNICODE UTF-8 "), "UNICODE UTF-8"),
            (message(b"ASCII~ISO IR87"), "ASCII"),
            (message(b"~ISO IR87"), ""),
            (message(b'""'), ""),
            (message(b"8859/1", end=b"\n"), "8859/1"),
            (message(b"8859/1", end=b"\r\n"), "8859/1"),
            (message(b"8859/1|NL^Dutch|"), "8859/1"),
            (message(b"8859/1", body=b"", end=b""), "8859/1"),
            (message(b"8859/1").replace(b"|", b"#"), "8859/1"),
            (message(b"8859/1*ASCII").replace(b"^~", b"^*"), "8859/1"),
            (message(b"\xff"), "\ufffd"),
            (b"MSH|^~\\&|A\nPID|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19\n", ""),
            (b"MSH|^~\\&|A\rPID|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19\r", ""),
            (b"MSH|^|3" + b"|" * 15 + b"KO~LA", "KO~LA"),
            (b"MSH|^~\\&|Cl\xc3\xadnica" + b"|" * 15 + b"8859/1", "8859/1"),
        ],
    )
    def test_is_the_first_repetition_of_msh_18(self, raw: bytes, name: str) -> None:
        assert declared(raw) == name

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"MSH",
            b"MSH|^~\\",
            b"PID|1||77\r" * 3,
            b"xxMSH|^~\\&|A|B",
            "MSH|^~\\&|A|B|C|D".encode("utf_16"),
            "MSH|^~\\&|A|B|C|D".encode("utf_16_le"),
            "MSH|^~\\&|A|B|C|D".encode("utf_32_be"),
            b"MSH\x00|\x00^\x00~\x00\\\x00&\x00",
            b"MSH\xa6^~\\&\xa6A\xa6B",
        ],
    )
    def test_needs_msh_in_ascii(self, raw: bytes) -> None:
        with pytest.raises(Unreadable):
            declared(raw)
        with pytest.raises(Unreadable):
            decode(raw)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "codec"),
        [
            ("ASCII", "ascii"), ("ISO IR6", "ascii"), ("8859/1", "iso8859_1"), ("8859/9", "iso8859_9"),
            ("8859/15", "iso8859_15"), ("UNICODE", "utf_8"), ("UNICODE UTF-8", "utf_8"), ("UNICODE UTF-16", "utf_16"),
            ("UNICODE UTF-32", "utf_32"), ("GB 18030-2000", "gb18030"), ("KS X 1001", "euc_kr"), ("BIG-5", "big5"),
            ("ISO IR14", "shift_jis"), ("ISO IR87", "iso2022_jp"), ("ISO IR159", "iso2022_jp_1"),
        ],
    )  # fmt: skip
    def test_of_table_0211(self, name: str, codec: str) -> None:
        assert codec_of(name) == codec

    @pytest.mark.parametrize(
        ("spelling", "name"),
        [
            ("UTF-8", "UNICODE UTF-8"), ("utf8", "UNICODE UTF-8"), ("Unicode UTF8", "UNICODE UTF-8"),
            ("ISO-8859-1", "8859/1"), ("iso8859/15", "8859/15"), ("8859-2", "8859/2"), ("US-ASCII", "ASCII"),
            ("GB18030", "GB 18030-2000"), ("BIG5", "BIG-5"), ("ISO_IR 100", "8859/1"), ("ISO_IR 192", "UNICODE UTF-8"),
        ],
    )  # fmt: skip
    def test_as_senders_spell_them_get_a_note(self, spelling: str, name: str) -> None:
        raw = message(spelling.encode())
        assert decode(raw) == Decoded(raw.decode(), name, CODECS[name], ("charset-name-not-in-table",))

    @pytest.mark.parametrize("name", ["CNS 11643-1992", "JAS2020", "8859/16", "windows-1252", "8859", "|", "/", "é"])
    def test_that_are_unknown_are_refused(self, name: str) -> None:
        with pytest.raises(UnsupportedCharset) as fault:
            codec_of(name)
        assert fault.value.location == "MSH-18"
        assert (fault.value.code, fault.value.ack) == ("207", "AR")
        with pytest.raises(UnsupportedCharset):
            encode("text", name)

    def test_p71_an_unknown_set_is_refused_even_where_all_bytes_are_ascii(self) -> None:
        with pytest.raises(UnsupportedCharset, match="'CNS 11643-1992'"):
            decode(message(b"CNS 11643-1992"))

    def test_a_long_unknown_name_is_shown_in_part(self) -> None:
        with pytest.raises(UnsupportedCharset) as fault:
            decode(message(b"8859/1" + b"." * 5000))
        assert len(str(fault.value)) < 100

    def test_every_codec_exists_and_none_is_a_windows_one(self) -> None:
        for codec in CODECS.values():
            assert "a".encode(codec).decode(codec) == "a"
            assert not codec.startswith("cp")


class TestDecode:
    def test_ascii_without_msh_18(self) -> None:
        raw = message()
        assert decode(raw) == Decoded(raw.decode(), "", "ascii")

    @pytest.mark.parametrize("name", [name for name in CODECS if name not in ("UNICODE UTF-16", "UNICODE UTF-32")])
    def test_ascii_bytes_under_every_name(self, name: str) -> None:
        raw = message(name.encode())
        assert decode(raw) == Decoded(raw.decode(), name, CODECS[name])

    @pytest.mark.parametrize(
        ("name", "word"),
        [
            ("8859/1", "Peña"), ("8859/2", "Łódź"), ("8859/5", "Пётр"), ("8859/7", "Νίκος"), ("8859/15", "10 €"),
            ("UNICODE UTF-8", "Peña Łódź 山田"), ("UNICODE", "山田"), ("GB 18030-2000", "张伟"), ("BIG-5", "陳功許"),
            ("KS X 1001", "김철수"), ("ISO IR14", "ﾔﾏﾀﾞ"), ("ISO IR87", "山田"), ("ISO IR159", "丂山"),
        ],
    )  # fmt: skip
    def test_a_declared_set(self, name: str, word: str) -> None:
        raw = message(name.encode(), b"PID|1||77||" + word.encode(CODECS[name]) + b"^X\r")
        decoded = decode(raw)
        assert decoded.text.endswith(f"PID|1||77||{word}^X\r")
        assert (decoded.charset, decoded.notes) == (name, ())
        assert word.encode(decoded.codec) in raw

    def test_8859_1_is_not_windows_1252(self) -> None:
        assert decode(message(b"8859/1", b"NTE|\x93x\x94\r")).text.endswith("NTE|\x93x\x94\r")

    @pytest.mark.parametrize("msh_18", [b"~ISO IR87", b"ASCII~ISO IR87", b"ASCII~8859/1~ISO IR159", b"ISO IR87"])
    def test_japanese_escape_sequences_of_an_alternate_set(self, msh_18: bytes) -> None:
        raw = message(msh_18, b"PID|1||77||\x1b$B;3ED\x1b(B^\x1b(I1\x1b(B\r")
        decoded = decode(raw)
        assert decoded.text.endswith("PID|1||77||山田^ｱ\r")
        assert decoded.notes == ()
        assert decoded.charset == msh_18.split(b"~")[0].decode()

    @pytest.mark.parametrize("msh_18", [b"", b"ASCII~8859/1", b"UNICODE UTF-8~CNS 11643-1992"])
    def test_an_escape_byte_without_a_japanese_alternate_is_a_byte(self, msh_18: bytes) -> None:
        assert decode(message(msh_18, b"NTE|\x1b$B\r")).text.endswith("NTE|\x1b$B\r")

    def test_utf_8_without_msh_18(self) -> None:
        decoded = decode(message(body="NTE|1||Peña\r".encode()))
        assert decoded.text.endswith("Peña\r")
        assert decoded[1:] == ("", "utf_8", ("undeclared-charset",))

    @pytest.mark.parametrize(
        ("fallback", "codec", "letter"), [("8859/1", "iso8859_1", "é"), ("8859/5", "iso8859_5", "щ")]
    )
    def test_p10_other_bytes_without_msh_18_take_the_fallback(self, fallback: str, codec: str, letter: str) -> None:
        decoded = decode(message(body=b"NTE|1||caf\xe9\r"), fallback)
        assert decoded.text.endswith(f"caf{letter}\r")
        assert decoded[1:] == ("", codec, ("undeclared-charset",))

    @pytest.mark.parametrize("fallback", ["ASCII", "UNICODE UTF-8", "ISO IR87", "8859/3"])
    def test_bytes_that_even_the_fallback_lacks_become_8859_1(self, fallback: str) -> None:
        decoded = decode(message(body=b"NTE|\xa5\xff\r"), fallback)
        assert decoded.text.endswith("NTE|\xa5\xff\r")
        assert decoded[1:] == ("", "iso8859_1", ("undeclared-charset",))

    @pytest.mark.parametrize(
        ("name", "body", "text", "codec"),
        [
            ("UNICODE UTF-8", b"NTE|\xe9\r", "NTE|é\r", "iso8859_1"),
            ("ASCII", b"NTE|\xe9\r", "NTE|é\r", "iso8859_1"),
            ("ASCII", b"NTE|\xc3\xa9\r", "NTE|é\r", "utf_8"),
            ("ISO IR87", b"NTE|\x1b$B\xff\r", "NTE|\x1b$B\xff\r", "iso8859_1"),
            ("ISO IR87", b"NTE|\x1b$B\x20\r", "NTE|\x1b$B\x20\r", "ascii"),
        ],
    )
    def test_bytes_that_the_declared_set_lacks(self, name: str, body: bytes, text: str, codec: str) -> None:
        decoded = decode(message(name.encode(), body))
        assert decoded.text.endswith(text)
        assert decoded[1:] == (name, codec, ("undecodable-bytes",))

    @pytest.mark.parametrize("name", ["UNICODE UTF-16", "UNICODE UTF-32"])
    @pytest.mark.parametrize(("body", "codec"), [(b"NTE|e\r", "ascii"), ("NTE|é\r".encode(), "utf_8")])
    def test_wide_sets_can_not_be_what_a_readable_msh_says(self, name: str, body: bytes, codec: str) -> None:
        raw = message(name.encode(), body)
        assert decode(raw) == Decoded(raw.decode(), "", codec, ("undecodable-bytes",))

    @given(
        st.sampled_from(["", *CODECS, "UTF-8", "ASCII~ISO IR87", "~ISO IR159"]), st.binary(), st.sampled_from([*CODECS])
    )
    def test_no_data_fails(self, msh_18: str, body: bytes, fallback: str) -> None:
        raw = message(msh_18.encode(), body)
        decoded = decode(raw, fallback)
        assert decoded.text.startswith("MSH|^~\\&|EHR|")
        assert decoded.charset in ("", *CODECS)
        if decoded.codec == "iso8859_1":
            assert decoded.text.encode(decoded.codec) == raw


class TestEncode:
    @pytest.mark.parametrize(
        ("text", "name", "data"),
        [
            ("MSH|^~\\&|A\r", "", b"MSH|^~\\&|A\r"),
            ("Peña", "8859/1", b"Pe\xf1a"),
            ("Peña", "UNICODE UTF-8", b"Pe\xc3\xb1a"),
            ("Peña", "utf-8", b"Pe\xc3\xb1a"),
            ("Peña", "", b"Pe\\XC3B1\\a"),
            ("10 €", "8859/1", b"10 \\XE282AC\\"),
            ("10 €", "8859/15", b"10 \xa4"),
            ("éè x", "ASCII", b"\\XC3A9C3A8\\ x"),
            ("¥ 山", "ISO IR14", b"\\XC2A5\\ \\XE5B1B1\\"),
            ("ｱ", "ISO IR14", b"\xb1"),
            ("\u3164가", "KS X 1001", b"\\XE385A4\\\xb0\xa1"),
            ("\x1b$", "ISO IR159", b"\\X1B\\$"),
            ("山é", "ISO IR87", b"\x1b$B;3\x1b(B\\XC3A9\\"),
            ("\ud800", "UNICODE UTF-8", b"\\X3F\\"),
        ],
    )
    def test_escapes_what_the_set_lacks(self, text: str, name: str, data: bytes) -> None:
        assert encode(text, name) == data

    def test_p72_a_note_beyond_ascii_reaches_an_ascii_partner(self) -> None:
        data = encode("AUT|...|Zuständigkeit geprüft ✓\r", "ASCII")
        assert data.isascii()
        assert unescaped(data.decode()) == "AUT|...|Zuständigkeit geprüft ✓\r"

    def test_uses_the_senders_escape_character(self) -> None:
        assert encode("é", "ASCII", "!") == b"!XC3A9!"
        assert encode("è", "ASCII", "\\") == b"\\XC3A8\\"

    @pytest.mark.parametrize("escape", ["", "§"])
    @pytest.mark.parametrize("name", ["ASCII", "ISO IR14"])
    def test_without_a_usable_escape_character_a_question_mark_stands(self, escape: str, name: str) -> None:
        assert encode("10 €é", name, escape) == b"10 ??"

    @pytest.mark.parametrize("name", CODECS)
    @given(text=st.text(st.characters(exclude_characters="\\", exclude_categories=["Cs"])))
    def test_every_set_carries_every_text(self, name: str, text: str) -> None:
        assert unescaped(encode(text, name).decode(CODECS[name])) == text

    @pytest.mark.parametrize("name", ["", *CODECS])
    @given(text=st.text(st.characters()), escape=st.sampled_from(["\\", "!", "", "é", "\ud800"]))
    def test_no_text_fails(self, name: str, text: str, escape: str) -> None:
        encode(text, name, escape)

    @pytest.mark.parametrize("name", [name for name in CODECS if CODECS[name] not in ("utf_16", "utf_32")])
    @given(text=st.text(st.characters(codec="utf-8", exclude_characters="\\")))
    def test_what_was_encoded_is_decoded(self, name: str, text: str) -> None:
        raw = encode(message(name.encode(), b"NTE|").decode() + text, name)
        decoded = charset.decode(raw)
        assert unescaped(decoded.text.partition("NTE|")[2]) == text
        assert (decoded.charset, decoded.notes) == (name, ())
