"""Whatever the documents hold, the answer is a profile or one sentence; never anything else."""

import random
import re
from pathlib import Path

import pytest

from hl7auth.errors import UserError
from hl7auth.exchange.importing import import_profile
from tests.exchange.foreign import BUNDLE, REQUEST, TABLES

ODD = ["", "-1", "0", "*", "99999999999999999999", "R", "C(X/X)", "ÄÖ", "'", "\"", "a b", "1[1]", "1[*].2[3].4[1].5[1]",
       "0[0]", "x" * 5000, "{}", "#", "AUT", "MSH", "CWE", "HL70001", ":", "NA", "2.9", "true"]  # fmt: skip
ATTRIBUTE = re.compile(r'([A-Za-z0-9]+)="([^"]*)"')
TAG = re.compile(r"<(\w+)[^<>]*/>")


def spoiled(text: str, chance: random.Random) -> str:
    """The document with a few values, and sometimes whole elements, put in place of others."""
    values = [match[2] for match in ATTRIBUTE.finditer(text)] + ODD
    for _ in range(chance.randint(1, 4)):
        spots = list((TAG if chance.random() < 0.3 else ATTRIBUTE).finditer(text))
        if not spots:
            continue
        spot = chance.choice(spots)
        if spot.re is ATTRIBUTE:
            value = chance.choice(values).replace("&", "").replace("<", "").replace('"', "")
            new = f'{spot[1]}="{value}"'
        else:
            new = chance.choice(["", spot[0] * 2, chance.choice(spots)[0]])
        text = text[: spot.start()] + new + text[spot.end() :]
    return text


@pytest.mark.parametrize("seed", range(60))
def test_spoiled_documents_become_profiles_or_one_sentence(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    originals = [REQUEST, TABLES] if seed % 2 else sorted(BUNDLE.iterdir())
    victim = chance.choice(originals)
    for path in originals:
        text = path.read_text(encoding="utf-8")
        (tmp_path / path.name).write_text(spoiled(text, chance) if path == victim else text, encoding="utf-8")
    said = ""
    try:
        import_profile([tmp_path], message="" if seed % 2 else "m-1").compiled()
    except UserError as error:
        said = str(error)
    assert "\n" not in said
