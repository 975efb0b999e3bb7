"""Files of messages taken apart: plain, captured with framing bytes, and in the batch protocol."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hl7auth.wire.batch import Batch, objection, split, split_blocks
from hl7auth.wire.framing import FS, VT, frame

BOM = b"\xef\xbb\xbf"


def message(number: int, end: bytes = b"\r") -> bytes:
    head = b"MSH|^~\\&|EHR|CLINIC|PAYER|HUB|20250301||RQA^I08^RQA_I08|C%d|P|2.5" % number
    return end.join([head, b"PRD|RP|Ward^Ada", b"PID|1||77^^^CLINIC", b""])


def batch(messages: list[bytes], bts: bytes, end: bytes = b"\r") -> bytes:
    return b"BHS|^~\\&|EHR|CLINIC" + end + b"".join(messages) + bts + end


ENDS = pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"], ids=["CR", "LF", "CRLF"])
LOST = "the file holds lines that belong to no message"


class TestPlain:
    @pytest.mark.parametrize("data", [b"", b"\n", b"\r\n \t\r\n\x00", BOM[:0]])
    def test_an_empty_file_holds_no_message(self, data: bytes) -> None:
        assert split(data) == Batch([])

    @ENDS
    def test_one_message(self, end: bytes) -> None:
        assert split(message(1, end)) == Batch([message(1, end)])

    @ENDS
    def test_several(self, end: bytes) -> None:
        messages = [message(number, end) for number in range(3)]
        assert split(b"".join(messages)) == Batch(messages)

    @ENDS
    @pytest.mark.parametrize("gap", [1, 2, 5])
    def test_blank_lines_between_and_around(self, end: bytes, gap: int) -> None:
        messages = [message(1, end), message(2, end)]
        assert split(end * gap + messages[0] + end * gap + messages[1] + end * gap) == Batch(messages)

    def test_one_message_a_line_with_cr_inside(self) -> None:
        assert split(message(1) + b"\n" + message(2) + b"\n") == Batch([message(1), message(2)])
        bare = [message(1).rstrip(b"\r"), message(2).rstrip(b"\r")]
        assert split(bare[0] + b"\n" + bare[1] + b"\n") == Batch(bare)

    def test_a_last_segment_without_an_end(self) -> None:
        assert split(message(1) + message(2)[:-1]) == Batch([message(1), message(2)[:-1]])

    def test_a_lone_msh(self) -> None:
        assert split(b"MSH|^~\\&|A") == Batch([b"MSH|^~\\&|A"])

    def test_blanks_at_the_end_of_the_last_field_stay(self) -> None:
        data = b"MSH|^~\\&|A\rNTE|1||text  \t\r"
        assert split(data + b"\r\r" + message(2)) == Batch([data, message(2)])
        assert split(data[:-1]) == Batch([data[:-1]])

    def test_an_indented_message_begins_at_its_msh(self) -> None:
        assert split(b"  " + message(1, b"\n") + b"\t" + message(2, b"\n")) == Batch(
            [message(1, b"\n"), message(2, b"\n")]
        )

    def test_p11_a_byte_order_mark(self) -> None:
        assert split(BOM + message(1)) == Batch([message(1)], ("a byte order mark stands before the first line",))

    @pytest.mark.parametrize(
        "line", [b"NTE|1||see MSH|^~\\& above", b"MSHAPE|1", b"MSH is a segment", b"BTSX|1", b"FHS "]
    )
    def test_other_lines_begin_nothing(self, line: bytes) -> None:
        data = message(1) + line + b"\rNTE|2\r"
        assert split(data) == Batch([data])

    def test_text_before_the_first_message_is_no_message(self) -> None:
        assert split(b"exported on a Monday\r\n" + message(1)) == Batch([message(1)], (LOST,))

    def test_p04_a_file_without_a_message(self) -> None:
        assert split(b"dsfddfMSH|^~\\&|A\r") == Batch([], (LOST,))

    def test_vertical_tabs_pasted_into_a_text_do_not_make_a_capture(self) -> None:
        data = message(1) + b"NTE|1||one\x0btwo\x1cthree\r"
        assert split(data + message(2)) == Batch([data, message(2)])


class TestCapture:
    def test_one_frame(self) -> None:
        assert split(frame(message(1))) == Batch([message(1)])

    @pytest.mark.parametrize("between", [b"", b"\n", b"\r\n\r\n"])
    def test_several_frames(self, between: bytes) -> None:
        messages = [message(number) for number in range(4)]
        assert split(between.join(map(frame, messages)) + between) == Batch(messages)

    def test_what_is_tolerated_is_noted_by_frame(self) -> None:
        data = message(1) + FS + b"\n" + VT + BOM + message(2) + FS
        notes = ("start-block-missing", "end-block-without-cr", "byte-order-mark", "end-block-without-cr")
        numbers = (1, 1, 2, 2)
        expected = tuple(f"frame {number}: {note}" for number, note in zip(numbers, notes, strict=True))
        assert split(data) == Batch([message(1), message(2)], expected)

    def test_text_outside_is_counted(self) -> None:
        expected = ("frame 1: noise-before-start", "8 bytes stand outside of frames")
        assert split(b"in:\n" + frame(message(1)) + b"out: 1\n") == Batch([message(1)], expected)

    def test_a_capture_that_breaks_off(self) -> None:
        assert split(frame(message(1)) + VT + message(2)) == Batch(
            [message(1), message(2)], ("frame 2: truncated",), (1,)
        )

    def test_a_frame_without_a_message_is_still_shown_as_one(self) -> None:
        assert split(VT + b"PID|1\r" + FS + b"\r") == Batch([b"PID|1\r"])

    def test_an_empty_frame_is_none(self) -> None:
        assert split(frame(b"") + frame(message(1))) == Batch([message(1)], ("frame 1: it is empty",))

    def test_a_frame_is_one_message_even_with_a_second_msh(self) -> None:
        assert split(frame(message(1) + message(2))) == Batch([message(1) + message(2)])

    def test_a_batch_inside_a_frame(self) -> None:
        data = frame(batch([message(1), message(2)], b"BTS|3"))
        assert split(data) == Batch([message(1), message(2)], ("frame 1: BTS-1 says 3 messages, 2 found",))


class TestProtocol:
    @ENDS
    def test_right_counts(self, end: bytes) -> None:
        messages = [message(number, end) for number in range(5)]
        data = b"FHS|^~\\&|EHR" + end + batch(messages[:3], b"BTS|3", end) + batch(messages[3:], b"BTS|02|x", end)
        assert split(data + b"FTS|2" + end) == Batch(messages)

    def test_p70_a_wrong_count_of_messages(self) -> None:
        messages = [message(number) for number in range(3)]
        data = b"FHS|^~\\&|EHR\r" + batch(messages, b"BTS|4") + b"FTS|1"
        assert split(data) == Batch(messages, ("BTS-1 says 4 messages, 3 found",))

    def test_a_wrong_count_of_batches(self) -> None:
        data = b"FHS|^~\\&\r" + batch([message(1)], b"BTS|1") + b"FTS|2\r"
        assert split(data) == Batch([message(1)], ("FTS-1 says 2 batches, 1 found",))

    @pytest.mark.parametrize(
        ("bts", "notes"),
        [
            (b"BTS", ()), (b"BTS|", ()), (b"BTS||comment", ()), (b"BTS|1^x", ("BTS-1 says 1^x messages, 1 found",)),
            (b"BTS|one|1", ("BTS-1 says one messages, 1 found",)), (b"BTS|0", ("BTS-1 says 0 messages, 1 found",)),
            (b"BTS|" + b"9" * 5000, ("BTS-1 says 99999999999999999999 messages, 1 found",)), (b"BTS#1#x", ()),
            (b"BTS|\xb2", ("BTS-1 says \ufffd messages, 1 found",)),
        ],
    )  # fmt: skip
    def test_what_bts_1_may_say(self, bts: bytes, notes: tuple[str, ...]) -> None:
        assert split(batch([message(1)], bts)) == Batch([message(1)], notes)

    def test_an_empty_batch(self) -> None:
        assert split(b"FHS|^~\\&\rBHS|^~\\&\rBTS|0\rFTS|1\r") == Batch([])

    @pytest.mark.parametrize("fts", [b"FTS|1\r", b"FTS|\r"])
    def test_batch_headers_may_be_left_out(self, fts: bytes) -> None:
        data = b"FHS|^~\\&\r" + message(1) + message(2) + fts
        assert split(data) == Batch([message(1), message(2)])

    def test_a_batch_without_a_trailer_ends_with_the_next(self) -> None:
        data = b"BHS|^~\\&\r" + message(1) + batch([message(2)], b"BTS|1") + b"FTS|2\r"
        assert split(data) == Batch([message(1), message(2)])

    def test_messages_after_a_batch_are_counted_anew(self) -> None:
        data = batch([message(1)], b"BTS|1") + message(2) + b"BTS|1\rFTS|2\r"
        assert split(data) == Batch([message(1), message(2)])

    def test_every_file_of_several_counts_for_itself(self) -> None:
        one = b"FHS|^~\\&\r" + batch([message(1)], b"BTS|1") + b"FTS|1\r"
        assert split(one + one) == Batch([message(1), message(1)])
        without_trailer = b"FHS|^~\\&\r" + batch([message(1)], b"BTS|1")
        assert split(without_trailer + one) == Batch([message(1), message(1)])

    def test_lines_behind_a_header_or_a_trailer_belong_to_no_message(self) -> None:
        data = b"BHS|^~\\&\rNTE|1\r" + message(1) + b"BTS|1\r"
        assert split(data) == Batch([message(1)], (LOST,))
        assert split(batch([message(1)], b"BTS|1") + b"\r\nend of file\r\n") == Batch([message(1)], (LOST,))


@given(st.integers(1, 6), st.sampled_from([b"\r", b"\n", b"\r\n"]), st.sampled_from([b"", b"\n", b"\n\n"]))
def test_messages_are_never_altered(count: int, end: bytes, gap: bytes) -> None:
    messages = [message(number, end) for number in range(count)]
    assert split(gap.join(messages) + gap).messages == messages


TOKENS = [b"MSH|", b"MSH", b"FHS", b"BHS|", b"BTS|1", b"FTS|", b"\r", b"\n", VT, FS, BOM, b" ", b"x", frame(b"MSH|1\r")]


@given(st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=3)), max_size=25).map(b"".join))
def test_any_data_is_taken_apart_into_pieces_of_itself_in_order(data: bytes) -> None:
    at = 0
    for piece in split(data).messages:
        at = data.index(piece, at) + len(piece)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data in blocks of these sizes, the rest in one."""
    blocks, at = [], 0
    for size in sizes:
        blocks.append(data[at : at + size])
        at += size
    return [block for block in (*blocks, data[at:]) if block]


def together(batches: list[Batch]) -> Batch:
    """What parts of a file say, as one."""
    messages: list[bytes] = []
    broken: list[int] = []
    for batch in batches:
        broken += [len(messages) + at for at in batch.broken]
        messages += batch.messages
    return Batch(messages, tuple(note for batch in batches for note in batch.notes), tuple(broken))


LINES = [token for token in TOKENS if VT not in token and FS not in token]


class TestBlocks:
    @ENDS
    @pytest.mark.parametrize("size", [1, 7, 90, 4096])
    def test_a_file_in_blocks_is_what_it_is_whole(self, end: bytes, size: int) -> None:
        data = BOM + b"FHS|^~\\&" + end + batch([message(number, end) for number in range(5)], b"BTS|4", end) + b"FTS|3"
        assert together(list(split_blocks(cut(data, [size] * (len(data) // size))))) == split(data)

    def test_messages_come_before_the_end_is_read(self) -> None:
        blocks = iter([message(1) + message(2), message(3)])
        first = next(split_blocks(blocks))
        assert first.messages == [message(1)]
        assert next(blocks) == message(3)

    def test_a_message_longer_than_a_block(self) -> None:
        long = message(1).replace(b"Ada", b"A" * 1000)
        assert together(list(split_blocks(cut(long + message(2), [64] * 20)))).messages == [long, message(2)]

    def test_a_capture_in_blocks(self) -> None:
        data = b"noise" + b"".join(frame(message(number)) for number in range(4)) + frame(b"") + VT + message(5)
        for size in (20, 300):
            assert together(list(split_blocks(cut(data, [size] * (len(data) // size))))) == split(data)

    def test_nothing_at_all(self) -> None:
        assert together(list(split_blocks([]))) == Batch([])

    @given(
        st.lists(st.sampled_from(LINES), max_size=25),
        st.lists(st.integers(1, 9), max_size=20),
    )
    def test_any_lines_in_any_blocks(self, tokens: list[bytes], sizes: list[int]) -> None:
        data = b"".join(tokens)
        assert together(list(split_blocks(cut(data, sizes)))) == split(data)


def test_control_characters_of_a_count_are_not_told() -> None:
    assert objection(b"BTS|\x00\x0b\x1b2|x", 1) == "BTS-1 says ???2 messages, 1 found"
