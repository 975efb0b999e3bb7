"""A folder that is read again: what is as it was is not read anew, and one mistake does not hide another file."""

from pathlib import Path

import pytest

from hl7auth.errors import ConfigError
from hl7auth.flow.channel_folder import ChannelFolder


def write(folder: Path, name: str, more: str = "", channel: str = "") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(f"channel: {channel or name}\nlisten: tcp:0:interface=127.0.0.1\n{more}")
    return path


def test_what_is_as_it_was_is_the_same_channel(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path, name)
    folder = ChannelFolder(tmp_path)
    before = {channel.name: channel for channel in folder.load()}
    write(tmp_path, "b", "errors: accept\n")
    found = folder.look()
    assert found.channels["a"] is before["a"]
    assert found.channels["b"].version != before["b"].version
    assert not found.wrong


def test_a_table_beside_a_channel_makes_it_another(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("from,to\nA,B\n")
    write(tmp_path, "a", "title: codes.csv\n")
    folder = ChannelFolder(tmp_path)
    (before,) = folder.load()
    (tmp_path / "codes.csv").write_text("from,to\nA,C\n")
    assert folder.look().channels["a"].version != before.version


def test_mistakes_are_told_file_by_file(tmp_path: Path) -> None:
    write(tmp_path, "a")
    write(tmp_path, "b", "errors: perhaps\n")
    write(tmp_path, "c", channel="a")
    found = ChannelFolder(tmp_path).look()
    assert list(found.channels) == ["a"]
    assert [path.name for path in found.wrong] == ["b.yaml", "c.yaml"]
    assert "'a' is already used by" in found.wrong[tmp_path / "c.yaml"]


def test_a_folder_without_channels_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no channel file"):
        ChannelFolder(tmp_path).look()
