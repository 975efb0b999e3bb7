"""What is fuzzed: each target takes bytes, knows what may be raised for them, and asserts what always holds.

Targets are named after what they feed. `run.py` beside this file feeds them for a time; the tests, for a moment.
"""

import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path

import zstandard

from hl7auth.errors import Fault, UserError
from hl7auth.exchange.importing import import_sources
from hl7auth.exchange.markup import read_source
from hl7auth.flow.channel import Channel, find_channel
from hl7auth.flow.channel_model import ChannelFile
from hl7auth.flow.decision import decide
from hl7auth.flow.intake import plan
from hl7auth.flow.trial import TRIAL_TIME, Memory
from hl7auth.packs.format import (
    FENCE,
    FORMAT,
    HEAD,
    INDEX,
    MAGIC,
    TRAILER,
    Manifest,
    PackFault,
    Record,
    Section,
    decode,
    digest_of,
    encode,
)
from hl7auth.packs.reader import Pack, check
from hl7auth.resources import shipped
from hl7auth.rules.check import MAX_FINDINGS
from hl7auth.rules.predicate import compile_condition
from hl7auth.rules.profile_model import Profile
from hl7auth.rules.strict_yaml import load_with_lines
from hl7auth.wire.ack import read_msa
from hl7auth.wire.batch import split, split_blocks
from hl7auth.wire.framing import Deframer, Frame, frame
from hl7auth.wire.message import canonical, parse
from tests.fuzz.documents import DOCUMENTS, ROOTS, changed, sound_documents

Target = Callable[[bytes], None]

FOLDER = Path(__file__).parent
SMALL = 4_096


def framing(data: bytes) -> None:
    """However the bytes of a connection are cut into reads, the frames are the same, and what is held is bounded."""
    cut = data[0] % 7 + 1 if data else 1
    for lenient in (True, False):
        whole, pieces = Deframer(SMALL, lenient), Deframer(SMALL, lenient)
        found = [*whole.feed(data), *whole.flush(), *whole.close()]
        slowly: list[Frame] = []
        for at in range(0, len(data), cut):
            slowly += pieces.feed(data[at : at + cut])
            assert pieces.buffered <= SMALL + 16
        assert [*slowly, *pieces.flush(), *pieces.close()] == found
    held = Deframer().feed(frame(b"MSH|" + data.replace(b"\x1c", b"").replace(b"\x0b", b"")))
    assert len(held) == 1


def message(data: bytes) -> None:
    """What can be parsed is whole, and its canonical text does not change by being read again."""
    try:
        parsed = parse(data)
    except Fault:
        return
    for segment in parsed.segments:
        assert parsed.text[segment.start : segment.start + len(segment.text)] == segment.text
        first, last = parsed.byte_range(segment.start, segment.start + len(segment.text))
        assert 0 <= first <= last <= len(parsed.raw)
        for number in range(len(segment.fields) + 1):
            segment.value(number)
            segment.components(number, 3)
    assert canonical(parsed)


def engine(data: bytes) -> None:
    """Whatever is sent is planned and decided, twice with the same end, and its findings are bounded."""
    memory, new_id = Memory(), itertools.count(1).__next__
    for _ in range(2):
        outcome = decide(plan(data, _channel(), TRIAL_TIME, new_id), memory)
        assert len(outcome.findings) <= MAX_FINDINGS + 20
        for reply in outcome.replies:
            assert reply.startswith(b"MSH")
            assert b"\x0b" not in reply
            assert b"\x1c" not in reply
        memory.apply(outcome)


def ack(data: bytes) -> None:
    """The reader of replies reads anything."""
    found = read_msa(data.decode("utf-8", "replace"))
    assert found is None or "\r" not in found.control_id


def batch(data: bytes) -> None:
    """A file read at once and in blocks holds the same messages, each of them bytes of the file."""
    found = split(data)
    assert all(each in data or b"\r" in each or b"\n" in each for each in found.messages)
    size = data[0] + 1 if data else 1
    if data[:size].lstrip()[:1] not in (b"", b"\x0b"):
        blocks = (data[at : at + size] for at in range(0, len(data), size))
        in_blocks = [each for part in split_blocks(blocks) for each in part.messages]
        assert len(in_blocks) == len(found.messages) or b"\x0b" in data or b"\x1c" in data


def profile_yaml(data: bytes) -> None:
    """A profile file is read, or refused in one sentence."""
    _refused(lambda: load_with_lines(Path("fuzz.yaml"), Profile, data.decode("utf-8", "replace")))


def channel_yaml(data: bytes) -> None:
    """A channel file is read, or refused in one sentence."""
    _refused(lambda: load_with_lines(Path("fuzz.yaml"), ChannelFile, data.decode("utf-8", "replace")))


def condition(data: bytes) -> None:
    """The condition language is compiled, or the place of a mistake is told."""
    try:
        compile_condition(data.decode("utf-8", "replace"))
    except ValueError as error:
        said = str(error)
    else:
        said = "compiled"
    assert said


def markup(data: bytes) -> None:
    """XML of others becomes a profile, or is refused in one sentence."""
    _refused(lambda: import_sources([read_source("fuzz.xml", data)]))


def foreign(data: bytes) -> None:
    """A sound document with one thing in it changed becomes a profile that compiles, or is refused in one sentence.

    Which document, which element and what is done to it are the first bytes, what it says then the others.
    """
    which, high, low, done = data[:4].ljust(4, b"\x00")
    said = data[4:].decode("utf-8", "replace")
    sources = sound_documents()[which % len(sound_documents())]
    first = next(each for each in sources if each.root.name in ROOTS)
    root = changed(first.root, high * 256 + low, done, said)
    changed_ones = [first._replace(root=root) if each is first else each for each in sources]
    _refused(lambda: import_sources(changed_ones).compiled())


def pack(data: bytes) -> None:
    """A pack of others is read, or refused in one sentence: as it came, and with a part of it put in place of a sound
    one and every hash made right, as who writes packs can."""
    _refused(lambda: _read_pack(data))
    part, text = (data[0] % 3, data[1:]) if data else (0, b"")
    _refused(lambda: _read_pack(_sound_around(part, text)))
    try:
        record = decode(text)
    except PackFault:
        return
    assert len(encode(record)) == len(text)


TARGETS: dict[str, Target] = {
    each.__name__: each
    for each in (framing, message, engine, ack, batch, profile_yaml, channel_yaml, condition, markup, foreign, pack)
}


def seeds(name: str) -> list[bytes]:
    """Where a target begins: its corpus, and what is shipped of its kind."""
    own = [path.read_bytes() for path in sorted((FOLDER / "corpus" / name).glob("*"))]
    samples = [path.read_bytes() for path in sorted(shipped("sample_messages").glob("*.hl7"))[::7]]
    shipped_ones: dict[str, list[bytes]] = {
        "framing": [frame(each) for each in samples],
        "message": samples,
        "engine": samples,
        "ack": samples,
        "batch": samples,
        "profile_yaml": [(shipped("profiles") / "aut-standard.yaml").read_bytes()],
        "channel_yaml": [(shipped("channels") / "referral-intake.yaml").read_bytes()],
        "markup": [path.read_bytes() for path in sorted(DOCUMENTS.rglob("*.xml"))],
        "foreign": [b"\x00\x00\x05\x00R", b"\x01\x00\x20\x01", b"\x01\x01\x07\x02", b"\x00\x00\x09\x03*"],
        "pack": [_sound_around(9, b""), b"\x00" + _MANIFEST, b"\x01" + _LINE, b"\x02" + encode(Record(b"MSH|"))],
    }
    return own + shipped_ones.get(name, [])


def _refused(read: Callable[[], object]) -> None:
    try:
        read()
    except UserError as error:
        said = str(error)
    else:
        said = "read"
    assert said


class _Bytes:
    """A blob in memory."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def read(self, at: int, size: int) -> bytes:
        return self.data[at : at + size]

    def close(self) -> None:
        """Nothing to let go of."""


def _read_pack(data: bytes) -> None:
    found = Pack(_Bytes(data), "fuzz")
    for damage in check(found):
        assert damage.text
    found.find(7)


_LINE = b'{"id":7,"received_at":3}\n'
_NOWHERE = Section(0, 0, digest_of(b"").hex())
_MANIFEST = Manifest("n", "2026-01-01", 1, 1, 7, 7, 3, 3, 4, 3, "x", *[_NOWHERE] * 5).encoded()


def _sound_around(part: int, data: bytes) -> bytes:
    """A pack with one message where `data` is the manifest (0), the catalog (1) or the index (2); else all is sound."""
    file = bytearray(HEAD.pack(MAGIC, FORMAT))

    def section(content: bytes) -> Section:
        file.extend(content)
        return Section(len(file) - len(content), len(content), digest_of(content).hex())

    zstd = zstandard.ZstdCompressor()
    dictionary, body = section(zstd.compress(b"")), encode(Record(b"MSH|"))
    records = section(frame_ := zstd.compress(body))
    catalog = section(zstd.compress(data if part == 1 else _LINE))
    index = data if part == 2 else INDEX.pack(7, records.at, len(frame_), len(body), digest_of(body))
    told, fences = section(index), section(FENCE.pack(7, digest_of(index)))
    manifest = Manifest(
        "n", "2026-01-01", 1, 1, 7, 7, 3, 3, 4, 3, "x", dictionary, records, catalog, told, fences
    ).encoded()  # fmt: skip
    manifest = data if part == 0 else manifest
    return bytes(file) + manifest + TRAILER.pack(len(file), len(manifest), digest_of(manifest), FORMAT, MAGIC)


@cache
def _channel() -> Channel:
    return find_channel("referral-intake")
