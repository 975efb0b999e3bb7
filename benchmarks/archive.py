"""What sealing brings and costs: ratio, rate, and the time of `message show` from a pack; prints one JSON document.

Imports the standard library, the template beside it, and hl7auth's flow and store.

    python -m benchmarks.archive [--messages N] [--folder DIR]

N messages are taken in by the real journal as one day's traffic and sealed with their replies: half are requests of the
benchmark's template with other people, dates, diagnoses and numbers in each, and half are the answers that close them.
`share` is the pack's size over that of its bodies; `show_ms` opens one message at a time in a process that has nothing
open yet, and in one that has.
"""

import argparse
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hl7auth.flow.channel import find_channel
from hl7auth.flow.intake import plan
from hl7auth.store.archive import read_message
from hl7auth.store.database import open_database, upgrade
from hl7auth.store.journal import Journal
from hl7auth.store.pack_list import verify_packs
from hl7auth.store.sealable import DAY
from hl7auth.store.sealing import Sealing, seal

if TYPE_CHECKING or __package__:
    from .template import TEMPLATE, message
else:  # run by path: this folder is on sys.path, its parent need not be
    from template import TEMPLATE, message

START = 20_513 * DAY
"""A day of March 2026."""
_GIVEN = [
    "Ada",
    "Ivo",
    "Noor",
    "Tove",
    "Samir",
    "Joost",
    "Lena",
    "Mila",
    "Omar",
    "Petra",
    "Quin",
    "Rosa",
    "Sven",
    "Tara",
    "Uwe",
    "Vera",
    "Wim",
    "Yara",
    "Zeno",
    "Bram",
]
_FAMILY = [
    "Moss",
    "Quill",
    "Reed",
    "Okon",
    "Lind",
    "Faro",
    "Alder",
    "Brook",
    "Castel",
    "Drum",
    "Ember",
    "Fell",
    "Grove",
    "Hollis",
    "Inder",
    "Kestrel",
    "Larch",
]
_ENDS = ("", "son", "man", "berg", "field", "er")
_KNEES = (
    "M17.11^Osteoarthritis, right knee", "M17.12^Osteoarthritis, left knee", "S83.511A^Sprain, right knee",
    "M23.21^Derangement of meniscus",
)  # fmt: skip


def varied(chance: random.Random) -> str:
    """The template with another patient, provider, address, time, diagnosis and accounts."""

    def digits(count: int) -> str:
        return "".join(chance.choice("0123456789") for _ in range(count))

    def person() -> str:
        return f"{chance.choice(_FAMILY)}{chance.choice(_ENDS)}^{chance.choice(_GIVEN)}"

    born = f"{chance.randint(1930, 2015)}{chance.randint(1, 12):02}{chance.randint(1, 28):02}"
    at = f"20260304{chance.randint(0, 23):02}{chance.randint(0, 59):02}{chance.randint(0, 59):02}"
    others = {
        "Vandermeer^Joost": person(), "Okonkwo^Adaeze": person(), "19710822": born, "20260304093015": at,
        "231 Alder Street": f"{chance.randint(1, 999)} {chance.choice(_FAMILY)} Street", "HC20417": f"HC{digits(5)}",
        "802^5550112": f"802^{digits(7)}", "ACC77120": f"ACC{digits(5)}", "GRP5521": f"GRP{digits(4)}",
        "ORD8815": f"ORD{digits(4)}", "M17.11^Osteoarthritis, right knee": chance.choice(_KNEES),
        "Pain at rest": f"Pain for {digits(2)} weeks",
    }  # fmt: skip
    text = TEMPLATE
    for before, after in others.items():
        text = text.replace(before, after)
    return text


def answer(request: bytes) -> bytes:
    """What the payor says to a request: as many of each as were asked for, and nothing pends any more."""
    head, *rest = request.decode().split("\r")
    msh = head.split("|")
    msh[2:6], msh[8], asked = [*msh[4:6], *msh[2:4]], "RPA^I08^RPA_I08", msh[9]
    msh[9] = f"Z{asked[1:]}"
    lines = ["|".join(msh), f"MSA|AA|{asked}", f"RF1|A^Accepted^HL70283|{rest[0].partition('|')[2].partition('|')[2]}"]
    for line in rest[1:]:
        fields = line.split("|")
        if fields[0] == "AUT":
            fields[9], fields[14], fields[18] = fields[8], "", fields[8]
        lines.append("|".join(fields))
    return "\r".join(lines).encode()


def fill(url: str, count: int) -> float:
    """Takes in that many messages, every second one the answer to the one before; the seconds without generating."""
    engine = open_database(url)
    upgrade(engine)
    journal, channel, new_id = Journal(engine), find_channel("referral-intake"), itertools.count(1).__next__
    chance, spent = random.Random(7), 0.0
    for at in range(0, count, 250):
        raws = list[bytes]()
        for number in range(at, min(at + 250, count), 2):
            asked = message(varied(chance), number, "ARC")
            raws += [asked, answer(asked)]
        began = time.perf_counter()
        outcomes = journal.commit(
            [plan(raw, channel, START + n * (DAY // (count + 1)), new_id) for n, raw in enumerate(raws, at)]
        )
        spent += time.perf_counter() - began
        if any(outcome.disposition != "accepted" for outcome in outcomes):
            raise RuntimeError("a message of the template was not accepted")
    journal.close()
    engine.dispose()
    return spent


def shown(url: str) -> list[float]:
    """Milliseconds to read single messages here and there, the first with nothing open."""
    found, engine, chance = list[float](), open_database(url), random.Random(3)
    with engine.connect() as connection:
        ids = list(connection.exec_driver_sql("SELECT id FROM message").scalars())
        for message_id in chance.sample(ids, 50):
            began = time.perf_counter()
            entry = read_message(connection, message_id)
            found.append((time.perf_counter() - began) * 1000)
            if entry["raw"] is None:
                raise RuntimeError(entry["lost"])
    engine.dispose()
    return found


def command(url: str) -> float:
    """Seconds of `hl7auth message show` as a command, the start of Python in it."""
    engine = open_database(url)
    with engine.connect() as connection:
        number = connection.exec_driver_sql("SELECT max(id) FROM message").scalar_one()
    engine.dispose()
    began = time.perf_counter()
    words = [sys.executable, "-m", "hl7auth", "message", "show", str(number), "--database", url]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(count: int, folder: Path) -> dict[str, float | int]:
    """All figures."""
    url, count = f"sqlite:///{folder / 'store.db'}", count + count % 2
    filled = fill(url, count)
    engine = open_database(url)
    began = time.perf_counter()
    done = seal(engine, Sealing(START // DAY + 9, None, "", "benchmark", START + 9 * DAY))
    sealing = time.perf_counter() - began
    began = time.perf_counter()
    with engine.connect() as connection:
        faults = [fault for each in verify_packs(connection, None) for fault in each["faults"]]
    verifying = time.perf_counter() - began
    engine.dispose()
    if faults or sum(each.sealed for each in done) != count:
        raise RuntimeError(f"not all was sealed: {faults or done}")
    times, size, bodies = shown(url), sum(each.bytes for each in done), sum(each.body_bytes for each in done)
    return {
        "messages": count, "body_bytes": bodies, "pack_bytes": size, "share": round(size / bodies, 4),
        "bytes_per_message": round(size / count), "taken_in_per_second": round(count / filled),
        "sealed_per_second": round(count / sealing), "verified_per_second": round(count / verifying),
        "show_first_ms": round(times[0], 2), "show_median_ms": round(statistics.median(times[1:]), 2),
        "show_most_ms": round(max(times), 2), "command_seconds": round(command(url), 2),
    }  # fmt: skip


def main() -> None:
    """The command."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--messages", type=int, default=20_000)
    arguments.add_argument("--folder", type=Path)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        print(json.dumps(measure(asked.messages, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
