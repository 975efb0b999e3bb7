"""What the tests of the upper floors share: short messages with invented data, and a channel on a scratch store."""

from pathlib import Path

from hl7auth.flow.channel import Channel, load_channel
from hl7auth.resources import shipped


def msh(
    kind: str = "RQA",
    event: str = "I08",
    control_id: str = "C1",
    version: str = "2.5",
    modes: tuple[str, str] = ("", ""),
    pid: str = "P",
) -> str:
    """An MSH; `pid` is MSH-11, `modes` MSH-15 and MSH-16."""
    head = f"MSH|^~\\&|EHR|NORTH|PAYER|SOUTH|20260301101500||{kind}^{event}|{control_id}|{pid}|{version}"
    return f"{head}|||{modes[0]}|{modes[1]}".rstrip("|")


def message(head: str, *segments: str) -> bytes:
    """A message of those segments."""
    return ("\r".join((head, *segments)) + "\r").encode()


def request(control_id: str = "C1", number: str = "", referral: str = "", modes: tuple[str, str] = ("", "")) -> bytes:
    """An RQA^I08 with one procedure; with an authorization number or a referral id if wanted."""
    segments = [f"RF1|||||O|{referral}"] if referral else []
    segments += ["PRD|RP|Moss^Ada", "PID|||77001||Quill^Ivo||19800102", "PR1|1||99213^Visit^C4||20260401"]
    return message(msh(control_id=control_id, modes=modes), *segments, f"AUT|GOLD|ACME|Acme Health|||{number}||3")


def answer(
    control_id: str, answers: str, number: str = "PA1", referral: str = "", modes: tuple[str, str] = ("", "")
) -> bytes:
    """An RPA^I08 that grants two visits."""
    head = f"MSH|^~\\&|PAYER|SOUTH|EHR|NORTH|20260302||RPA^I08|{control_id}|P|2.5|||{modes[0]}|{modes[1]}".rstrip("|")
    segments = [f"MSA|AA|{answers}"] + ([f"RF1|A||||O|{referral}"] if referral else [])
    segments += ["PRD|RP|Moss^Ada", "PID|||77001||Quill^Ivo||19800102", "PR1|1||99213^Visit^C4||20260401"]
    return message(head, *segments, f"AUT|GOLD|ACME|Acme Health|20260401|20260930|{number}||2|2")


def channel(folder: Path, **changes: str) -> Channel:
    """The shipped channel on any free port, with lines `key: ...` replaced."""
    text = (shipped("channels") / "referral-intake.yaml").read_text(encoding="utf-8")
    lines = []
    for line in text.splitlines():
        key = line.split(":")[0].strip()
        indent = line[: len(line) - len(line.lstrip())]
        lines.append(f"{indent}{key}: {changes[key]}" if key in changes else line)
    path = folder / "referral-intake.yaml"
    path.write_text("\n".join(lines).replace("tcp:2575:", "tcp:0:"), encoding="utf-8")
    return load_channel(path)
