"""What `channel show` and `channel versions` say: a channel as it is now, and as it was when messages ran under it.

Imports cli.channel_files, cli.common, and inside the functions the store.
"""

from pathlib import Path
from typing import Any

from hl7auth.cli.channel_files import chosen
from hl7auth.cli.common import reading, table

Entry = dict[str, Any]


def shown(name: str, version: str | None, folder: Path | None, database: str) -> Entry:
    """A channel of the folder, or with a version as the database has it. Raises UserError."""
    if version is not None:
        from hl7auth.store.channel_versions import read_version

        with reading(database) as connection:
            return read_version(connection, name, version)
    channel = chosen(name, folder)
    entry = {"channel": channel.name, "version": channel.version, "file": str(channel.path), "text": channel.text}
    files = {f"profile {profile}": sign for profile, sign in channel.editions.items()} | channel.beside
    return entry | {"parts": [{"file": file, "fingerprint": sign, "text": None} for file, sign in files.items()]}


def shown_text(entry: Entry) -> str:
    """The file, after comments that say which version it is of: what is printed is itself a channel file."""
    seen = f", first served {entry['first_seen']}" if "first_seen" in entry else f", from {entry['file']}"
    lines = [f"# channel {entry['channel']}, version {entry['version']}{seen}"]
    lines += [f"# {each['file']}  {each['fingerprint']}" for each in entry["parts"]]
    lines += ["", entry["text"]]
    return "\n".join(lines)


def versions(name: str, database: str) -> list[Entry]:
    """The versions of a channel that were served over the database, newest last. Raises UserError."""
    from hl7auth.store.channel_versions import list_versions

    with reading(database) as connection:
        return list_versions(connection, name)


def versions_text(entries: list[Entry]) -> str:
    """A line a version."""
    return table(entries, ("version", "first_seen"), "")
