"""MLLP framing: every case whole, byte by byte, and with the beginning of a next frame behind it."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hl7auth.wire.framing import CR, DEFAULT_MAX_BYTES, FS, VT, Deframer, Frame, frame

BOM = b"\xef\xbb\xbf"
ONE = b"MSH|^~\\&|EHR|CLINIC|PAYER|HUB|20250301||RQA^I08^RQA_I08|C1|P|2.5\rPID|1||77\r"
TWO = b"MSH|^~\\&|EHR|CLINIC|PAYER|HUB|20250301||RQA^I08^RQA_I08|C2|P|2.5\rPID|1||78\r"
NEXT = VT + b"MSH|^~\\&|NEX"

#: A constant that the bound on held bytes may be exceeded by: the longest beginning of a stop
SLACK = 8


def feed_all(deframer: Deframer, reads: Iterable[bytes]) -> list[Frame]:
    return [found for read in reads for found in deframer.feed(read)]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[i : i + 1] for i in range(len(stream))]


def three_ways(stream: bytes, expected: list[Frame], max_bytes: int = DEFAULT_MAX_BYTES, lenient: bool = True) -> None:
    """The frames of `stream`, which must end between frames, however it arrives."""
    whole = Deframer(max_bytes, lenient)
    assert whole.feed(stream) == expected
    slowly = Deframer(max_bytes, lenient)
    assert feed_all(slowly, bytewise(stream)) == expected
    followed = Deframer(max_bytes, lenient)
    assert followed.feed(stream + NEXT) == expected
    assert followed.in_frame
    for deframer in (whole, slowly):
        assert not deframer.in_frame
        assert not deframer.pending_end
        assert deframer.buffered == 0
    assert whole.noise_bytes == slowly.noise_bytes == followed.noise_bytes
    assert whole.discarded == slowly.discarded == followed.discarded


def test_frame_puts_the_payload_between_start_and_end_block() -> None:
    assert frame(b"MSH|x") == b"\x0bMSH|x\x1c\x0d"
    assert frame(b"") == VT + FS + CR


@pytest.mark.parametrize("lenient", [True, False])
@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(frame(ONE), [Frame(ONE)], id="one"),
        pytest.param(frame(ONE) + frame(TWO), [Frame(ONE), Frame(TWO)], id="P01 two in one read"),
        pytest.param(frame(b""), [Frame(b"")], id="empty payload"),
        pytest.param(frame(b"\x06"), [Frame(b"\x06")], id="a commit block of release 2"),
        pytest.param(frame(b"PID|1\r"), [Frame(b"PID|1\r")], id="no message inside"),
        pytest.param(frame(ONE + FS + b"x"), [Frame(ONE + FS + b"x")], id="FS before another byte is data"),
        pytest.param(frame(ONE + FS), [Frame(ONE + FS)], id="FS FS CR: the first is data"),
        pytest.param(frame(ONE + VT + b"x"), [Frame(ONE + VT + b"x")], id="VT is data"),
        pytest.param(frame(ONE + VT + b"MSX"), [Frame(ONE + VT + b"MSX")], id="VT and half of MSH are data"),
        pytest.param(frame(ONE + VT), [Frame(ONE + VT)], id="VT FS CR: the VT is data"),
        pytest.param(frame(ONE) + b"\n" + frame(TWO), [Frame(ONE), Frame(TWO)], id="P03 FS CR LF"),
        pytest.param(b"\r\n\x00 \t" + frame(ONE) + b"\r\r\n", [Frame(ONE)], id="P05 keep-alives around"),
        pytest.param(frame(BOM + ONE), [Frame(ONE, ("byte-order-mark",))], id="P11 byte order mark"),
        pytest.param(
            b"log: up\r\n" + frame(ONE) + frame(TWO),
            [Frame(ONE, ("noise-before-start",)), Frame(TWO)],
            id="P05 log text before VT",
        ),
        pytest.param(
            b"log" + frame(BOM + ONE),
            [Frame(ONE, ("noise-before-start", "byte-order-mark"))],
            id="noise and a byte order mark",
        ),
        pytest.param(
            VT + ONE[:40] + frame(TWO) + frame(ONE),
            [Frame(ONE[:40], ("truncated",)), Frame(TWO), Frame(ONE)],
            id="broken off and started again",
        ),
        pytest.param(
            VT + ONE[:40] + frame(BOM + TWO),
            [Frame(ONE[:40], ("truncated",)), Frame(TWO, ("byte-order-mark",))],
            id="started again with a byte order mark",
        ),
        pytest.param(VT + frame(ONE), [Frame(ONE, ("start-block-repeated",))], id="VT twice"),
        pytest.param(
            b"x" + VT + BOM + VT + b"\r\n" + frame(ONE),
            [Frame(ONE, ("noise-before-start", "start-block-repeated"))],
            id="VT again and again with nothing between",
        ),
        pytest.param(b"dsfddf" + ONE + FS + CR + frame(TWO), [Frame(TWO, ("noise-before-start",))], id="P04 garbage"),
        pytest.param(b"dsfddf" + FS + CR, [], id="noise alone"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_frames_in_both_modes(stream: bytes, expected: list[Frame], lenient: bool) -> None:
    three_ways(stream, expected, lenient=lenient)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (VT + ONE + FS + b"\x00" + frame(TWO), [Frame(ONE, ("end-block-without-cr",)), Frame(TWO)]),
        (VT + ONE + FS + b"\n" + frame(TWO), [Frame(ONE, ("end-block-without-cr",)), Frame(TWO)]),
        (VT + ONE + FS + frame(TWO), [Frame(ONE, ("end-block-without-cr",)), Frame(TWO)]),
        (ONE + FS + CR, [Frame(ONE, ("start-block-missing",))]),
        (frame(ONE) + b"\r\n" + TWO + FS + CR, [Frame(ONE), Frame(TWO, ("start-block-missing",))]),
        (BOM + ONE + FS + CR, [Frame(ONE, ("start-block-missing", "byte-order-mark"))]),
        (ONE + FS + b"\n" + TWO + FS + b"\n", [
            Frame(ONE, ("start-block-missing", "end-block-without-cr")),
            Frame(TWO, ("start-block-missing", "end-block-without-cr")),
        ]),
        (ONE[:30] + frame(TWO), [Frame(ONE[:30], ("start-block-missing", "truncated")), Frame(TWO)]),
        (b"MSX|" + frame(ONE), [Frame(ONE, ("noise-before-start",))]),
        (b"MS\r\n" + frame(ONE), [Frame(ONE, ("noise-before-start",))]),
        (b"x MSH|" + FS + CR + ONE + FS + CR, [Frame(ONE, ("noise-before-start", "start-block-missing"))]),
        (b"x" + FS + b"x" + FS + CR + frame(ONE), [Frame(ONE, ("noise-before-start",))]),
    ],
    ids=[
        "P03 FS NUL", "P03 FS LF", "FS VT", "VT missing", "VT missing on the second", "byte order mark without VT",
        "FS LF and no VT at all", "broken off without VT", "half of MSH is noise", "half of MSH and a line end",
        "MSH behind noise counts only after an end block", "FS in noise",
    ],
)  # fmt: skip
def test_frames_leniently(stream: bytes, expected: list[Frame]) -> None:
    three_ways(stream, expected)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (VT + ONE + FS + b"\x00" + FS + CR, [Frame(ONE + FS + b"\x00")]),
        (VT + ONE + FS + b"\n" + FS + CR, [Frame(ONE + FS + b"\n")]),
        (VT + ONE + FS + frame(TWO), [Frame(ONE + FS, ("truncated",)), Frame(TWO)]),
        (ONE + FS + CR + frame(TWO), [Frame(TWO, ("noise-before-start",))]),
        (ONE + FS + CR, []),
    ],
    ids=["FS NUL is data", "FS LF is data", "FS VT MSH starts again", "VT missing is noise", "VT missing alone"],
)
def test_frames_strictly(stream: bytes, expected: list[Frame]) -> None:
    three_ways(stream, expected, lenient=False)


@pytest.mark.parametrize(
    ("notes", "refused"),
    [
        ((), False),
        (("byte-order-mark", "end-block-without-cr", "start-block-missing"), False),
        (("truncated",), True),
        (("noise-before-start", "too-long"), True),
    ],
)
def test_a_frame_that_did_not_come_whole_is_refused(notes: tuple[str, ...], refused: bool) -> None:
    assert Frame(ONE, notes).refused is refused


def test_p01_ten_messages_in_one_read_keep_their_order() -> None:
    payloads = [ONE.replace(b"|C1|", b"|%d|" % number) for number in range(10)]
    three_ways(b"".join(map(frame, payloads)), [Frame(payload) for payload in payloads])


@pytest.mark.parametrize("cut", range(1, 4))
def test_p02_a_trailer_split_across_reads(cut: int) -> None:
    deframer, stream = Deframer(), frame(ONE) + frame(TWO)
    border = len(frame(ONE)) - 3 + cut
    assert feed_all(deframer, [stream[:border], stream[border:]]) == [Frame(ONE), Frame(TWO)]


def test_keep_alives_give_nothing() -> None:
    deframer = Deframer()
    for read in (b"\r", b"\n", b"\x00", b"\r\n", b"  \t", b""):
        assert deframer.feed(read) == []
        assert deframer.buffered == 0
    assert deframer.noise_bytes == 0
    assert not deframer.in_frame
    assert deframer.feed(frame(ONE)) == [Frame(ONE)]


def test_noise_is_counted_and_not_kept() -> None:
    deframer = Deframer()
    for _ in range(100):
        assert deframer.feed(b"GET / \r\n" * 100) == []
        assert deframer.buffered == 0
    assert deframer.noise_bytes == 100 * 100 * len("GET/")
    assert not deframer.in_frame
    assert deframer.feed(frame(ONE)) == [Frame(ONE, ("noise-before-start",))]
    assert deframer.feed(frame(TWO)) == [Frame(TWO)]


def test_in_frame_from_start_block_to_end_block() -> None:
    deframer = Deframer()
    seen = []
    for byte in bytewise(b"\n" + VT + b"MSH" + FS + CR):
        deframer.feed(byte)
        seen.append(deframer.in_frame)
    assert seen == [False, True, True, True, True, True, False]


class TestPendingEnd:
    def test_p02_fs_alone_ends_the_frame_when_flushed(self) -> None:
        deframer = Deframer()
        assert deframer.feed(VT + ONE) == []
        assert (deframer.pending_end, deframer.in_frame) == (False, True)
        assert deframer.feed(FS) == []
        assert (deframer.pending_end, deframer.in_frame) == (True, True)
        assert deframer.flush() == [Frame(ONE, ("end-block-without-cr",))]
        assert (deframer.pending_end, deframer.in_frame, deframer.buffered) == (False, False, 0)

    def test_the_cr_that_comes_after_the_flush_is_a_keep_alive(self) -> None:
        deframer = Deframer()
        deframer.feed(VT + ONE + FS)
        deframer.flush()
        assert deframer.feed(CR + frame(TWO)) == [Frame(TWO)]

    def test_the_cr_that_comes_before_the_flush_ends_the_frame_without_a_note(self) -> None:
        deframer = Deframer()
        deframer.feed(VT + ONE + FS)
        assert deframer.feed(CR) == [Frame(ONE)]
        assert deframer.flush() == []

    def test_another_byte_makes_the_fs_data(self) -> None:
        deframer = Deframer()
        deframer.feed(VT + ONE + FS)
        assert deframer.feed(b"x") == []
        assert not deframer.pending_end
        assert deframer.flush() == []
        assert deframer.feed(FS + CR) == [Frame(ONE + FS + b"x")]

    def test_strict_waits_on(self) -> None:
        deframer = Deframer(lenient=False)
        deframer.feed(VT + ONE + FS)
        assert deframer.pending_end
        assert deframer.flush() == []
        assert deframer.feed(CR) == [Frame(ONE)]

    def test_of_noise_ends_the_noise(self) -> None:
        deframer = Deframer()
        deframer.feed(b"junk" + FS)
        assert deframer.pending_end
        assert deframer.flush() == []
        assert deframer.noise_bytes == 5
        assert deframer.feed(ONE + FS + CR) == [Frame(ONE, ("noise-before-start", "start-block-missing"))]

    def test_of_a_frame_that_is_too_long_ends_it(self) -> None:
        deframer = Deframer(max_bytes=10)
        assert deframer.feed(VT + b"x" * 50 + FS) == [Frame(b"x" * 10, ("too-long",))]
        assert deframer.pending_end
        assert deframer.flush() == []
        assert deframer.discarded == 40
        assert deframer.feed(frame(b"MSH|")) == [Frame(b"MSH|")]

    @pytest.mark.parametrize(("length", "notes"), [(10, ("end-block-without-cr",)), (11, ("too-long",))])
    def test_minds_the_limit(self, length: int, notes: tuple[str, ...]) -> None:
        deframer = Deframer(max_bytes=10)
        assert deframer.feed(VT + b"x" * length + FS) == []
        assert deframer.flush() == [Frame(b"x" * 10, notes)]

    def test_without_any_data(self) -> None:
        deframer = Deframer()
        assert not deframer.pending_end
        assert deframer.flush() == []


class TestClose:
    def test_gives_the_begun_frame_as_truncated(self) -> None:
        deframer = Deframer()
        assert deframer.feed(frame(ONE) + VT + TWO) == [Frame(ONE)]
        assert deframer.close() == [Frame(TWO, ("truncated",))]
        assert not deframer.in_frame
        assert deframer.buffered == 0
        assert deframer.close() == []

    def test_takes_a_pending_end(self) -> None:
        deframer = Deframer()
        deframer.feed(VT + ONE + FS)
        assert deframer.close() == [Frame(ONE, ("end-block-without-cr",))]

    def test_takes_no_pending_end_when_strict(self) -> None:
        deframer = Deframer(lenient=False)
        deframer.feed(VT + ONE + FS)
        assert deframer.close() == [Frame(ONE + FS, ("truncated",))]

    @pytest.mark.parametrize("stream", [b"", b"\r\n", VT, VT + b"\r\n", b"MS", b"junk", frame(ONE)])
    def test_gives_nothing_where_nothing_was_begun(self, stream: bytes) -> None:
        deframer = Deframer()
        deframer.feed(stream)
        assert deframer.close() == []
        assert deframer.buffered == 0
        assert deframer.feed(frame(TWO)) == [Frame(TWO)]

    def test_gives_nothing_more_of_a_frame_that_was_too_long(self) -> None:
        deframer = Deframer(max_bytes=10)
        deframer.feed(VT + b"x" * 50)
        assert deframer.close() == []


class TestLimit:
    @pytest.mark.parametrize("lenient", [True, False])
    def test_a_payload_of_exactly_the_limit_passes(self, lenient: bool) -> None:
        three_ways(frame(b"x" * 2000), [Frame(b"x" * 2000)], max_bytes=2000, lenient=lenient)

    @pytest.mark.parametrize("lenient", [True, False])
    @pytest.mark.parametrize("surplus", [1, 3, 6, 7, 500, 40_000])
    def test_one_above_yields_its_beginning_and_the_next_is_found(self, surplus: int, lenient: bool) -> None:
        payload = ONE + b"x" * (2000 + surplus - len(ONE))
        expected = [Frame(payload[:1024], ("too-long",)), Frame(TWO)]
        three_ways(frame(payload) + frame(TWO), expected, max_bytes=2000, lenient=lenient)

    def test_it_comes_at_once(self) -> None:
        deframer = Deframer(max_bytes=2000)
        found = deframer.feed(VT + ONE + b"x" * 2100)
        assert [one.notes for one in found] == [("too-long",)]
        assert found[0].payload.startswith(ONE)
        assert deframer.in_frame

    def test_what_is_thrown_away_is_counted_and_not_held(self) -> None:
        deframer = Deframer(max_bytes=2000)
        deframer.feed(VT)
        for _ in range(50):
            deframer.feed(b"x" * 1000)
            assert deframer.buffered <= 2000 + SLACK
        assert deframer.discarded + 1024 + deframer.buffered == 50_000
        assert deframer.feed(FS + CR) == []
        assert deframer.discarded + 1024 == 50_000
        assert deframer.feed(VT + b"y" * 3000 + FS + CR) == [Frame(b"y" * 1024, ("too-long",))]
        assert deframer.discarded + 1024 == 3000

    def test_a_sender_that_starts_again_is_heard(self) -> None:
        expected = [Frame(b"x" * 1024, ("too-long",)), Frame(ONE)]
        three_ways(VT + b"x" * 5000 + frame(ONE), expected, max_bytes=2000)

    def test_the_notes_of_its_start_stay(self) -> None:
        expected = [Frame(b"x" * 7, ("noise-before-start", "byte-order-mark", "too-long"))]
        three_ways(b"log" + frame(BOM + b"x" * 50), expected, max_bytes=10)

    def test_fs_alone_does_not_end_it_when_strict(self) -> None:
        deframer = Deframer(max_bytes=10, lenient=False)
        deframer.feed(VT + b"x" * 50 + FS + b"\n" + FS)
        assert deframer.flush() == []
        assert deframer.in_frame


def test_a_document_of_the_default_limit_in_small_reads() -> None:
    payload = ONE + b"OBX|1|ED|" + b"QUJD" * ((DEFAULT_MAX_BYTES - len(ONE)) // 4 - 4)
    stream = frame(payload)
    found = feed_all(Deframer(), (stream[i : i + 4096] for i in range(0, len(stream), 4096)))
    assert [one.notes for one in found] == [()]
    assert found[0].payload == payload


TOKENS = [VT, FS, CR, b"\n", b"\x00", b" ", b"M", b"S", b"H", b"MSH", b"MSH|", BOM, BOM[:1], BOM[:2], b"x", b"PID|"]
TOKENS += [VT + b"MSH|", FS + CR, frame(b"MSH|1\r"), frame(b"MSH|2"), b"x" * 40]
streams = st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=3)), max_size=30).map(b"".join)


@given(streams, st.lists(st.integers(0, 200), max_size=12), st.sampled_from([1, 5, 30, 1000]), st.booleans())
@example(VT + b"x" * 6 + FS + CR, [7], 5, True)
@example(VT + VT + BOM + b"MSH" + FS + CR, [2, 4, 6], 5, True)
def test_frames_do_not_depend_on_the_reads(stream: bytes, cuts: list[int], max_bytes: int, lenient: bool) -> None:
    borders = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    whole = Deframer(max_bytes, lenient)
    expected = whole.feed(stream)
    for reads in ([stream[a:b] for a, b in pairwise(borders)], bytewise(stream)):
        deframer = Deframer(max_bytes, lenient)
        found = []
        for read in reads:
            found += deframer.feed(read)
            assert deframer.buffered <= max_bytes + SLACK
        assert found == expected
        assert deframer.noise_bytes == whole.noise_bytes
        assert deframer.discarded == whole.discarded
        assert deframer.in_frame == whole.in_frame
        assert deframer.pending_end == whole.pending_end


@given(streams, st.booleans(), st.booleans())
def test_nothing_raises_and_end_of_stream_leaves_nothing(stream: bytes, lenient: bool, timer: bool) -> None:
    deframer = Deframer(20, lenient)
    for byte in bytewise(stream):
        for found in deframer.feed(byte) + (deframer.flush() if timer else []):
            assert found.refused or len(found.payload) <= 20
    deframer.close()
    assert deframer.buffered == 0
    assert not deframer.in_frame
    assert deframer.feed(frame(ONE[:10])) == [Frame(ONE[:10])]


@given(st.lists(st.binary(max_size=60).filter(lambda payload: VT not in payload and FS not in payload), max_size=6))
def test_framed_payloads_come_back(payloads: list[bytes]) -> None:
    plain = [payload for payload in payloads if not payload.startswith(BOM)]
    for lenient in (True, False):
        assert Deframer(lenient=lenient).feed(b"".join(map(frame, plain))) == [Frame(payload) for payload in plain]
