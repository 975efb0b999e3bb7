"""The version of a channel: what changes it, what does not, and that no secret is in it or its text."""

from pathlib import Path

import pytest

from hl7auth.flow.channel import load_channel, load_channels
from hl7auth.flow.channel_version import masked
from hl7auth.rules.strict_yaml import written

TEXT = """# where it listens
channel: north
listen: tcp:${PORT:-4001}
errors: accept
destinations:
  payer: {mllp: {connect: "tcp:${HOST}:2575"}}
"""
ENVIRONMENT = {"HOST": "payer.example"}


def version(folder: Path, text: str = TEXT, **environment: str) -> str:
    path = folder / "north.yaml"
    path.write_text(text, encoding="utf-8")
    return load_channel(path, {**ENVIRONMENT, **environment}).version


def test_it_is_sixteen_digits(tmp_path: Path) -> None:
    assert len(version(tmp_path)) == 16
    assert int(version(tmp_path), 16) >= 0


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("# where it listens", "# somewhere\n"),
        TEXT.replace("errors: accept", 'errors:   "accept"   # for now'),
        "errors: accept\n" + TEXT.replace("errors: accept\n", ""),
        TEXT.replace('{mllp: {connect: "tcp:${HOST}:2575"}}', "\n    mllp:\n      connect: 'tcp:${HOST}:2575'"),
    ],
    ids=["comment", "quotes", "order", "flow"],
)
def test_comments_blanks_and_the_order_of_keys_do_not_count(tmp_path: Path, text: str) -> None:
    assert version(tmp_path, text) == version(tmp_path)


def test_variables_count_by_their_names(tmp_path: Path) -> None:
    assert version(tmp_path, PORT="4002", HOST="other.example") == version(tmp_path)
    assert version(tmp_path, TEXT.replace("${PORT:-4001}", "4001")) != version(tmp_path)


def test_every_other_change_counts(tmp_path: Path) -> None:
    assert version(tmp_path, TEXT.replace("accept", "reject")) != version(tmp_path)
    assert version(tmp_path, TEXT + "profile: referral-strict\n") != version(tmp_path)


def test_tables_and_modules_beside_it_count(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("from,to\nA,B\n")
    # any text that names a file beside the channel does
    text = TEXT + "title: codes.csv\n"
    before = version(tmp_path, text)
    (tmp_path / "codes.csv").write_text("from,to\r\nA,B\r\n")
    assert version(tmp_path, text) == before
    (tmp_path / "codes.csv").write_text("from,to\nA,C\n")
    assert version(tmp_path, text) != before
    (tmp_path / "codes.csv").unlink()
    assert version(tmp_path, text) != before


def test_the_channels_of_a_folder_share_their_editions(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"channel: {name}\nlisten: tcp:0\n")
    one, other = load_channels(tmp_path)
    assert one.editions == other.editions
    assert one.version != other.version
    assert one.compiled("referral", "2.5") is other.compiled("referral", "2.5")


def test_secrets_are_masked(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    text = """# H\u00e4user
a: {password: h\u00fcsh, token_file: f, user: u}
b:
  - secret: "o\u00e4ne"
  - api_key: |
      one
      two
  - token: ${TOKEN}
url: https://user:pass@payer.example/hl7
c: end
"""
    path.write_text(text, encoding="utf-8")
    shown = masked(written(path))
    assert (
        shown
        == """# H\u00e4user
a: {password: '***', token_file: f, user: u}
b:
  - secret: '***'
  - api_key: '***'
  - token: ${TOKEN}
url: https://***@payer.example/hl7
c: end
"""
    )
    assert written(path, shown).data["c"] == "end"


def test_a_secret_in_the_file_is_neither_in_the_text_nor_in_the_version(tmp_path: Path) -> None:
    text = TEXT.replace(
        'payer: {mllp: {connect: "tcp:${HOST}:2575"}}',
        "payer: {http: {url: 'http://127.0.0.1/', headers: {Authorization: 'Bearer hush'}}}",
    )
    path = tmp_path / "north.yaml"
    path.write_text(text)
    channel = load_channel(path)
    assert "hush" not in channel.text
    assert "Bearer hush" in str(channel.file)
    assert version(tmp_path, text.replace("hush", "other")) == channel.version
