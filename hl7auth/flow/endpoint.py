"""Where a channel listens or connects to, read from the text that Twisted understands: kind, port, interface.

Imports the standard library only.
"""

import re
from typing import NamedTuple

_PART = re.compile(r"(?:\\.|[^:\\])*")
_ESCAPED = re.compile(r"\\(.)")
_PORTS = ("tcp", "tcp6", "ssl", "tls")
_WITH_PORT = frozenset(_PORTS)
_ANY = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - to be recognised, not listened on


class Endpoint(NamedTuple):
    """One endpoint: `address` and `second` stand behind the kind (a port, a path, or host and port of a client).

    `port` is the one to listen on, -1 where there is none; `fault` says what is wrong with such a text.
    """

    kind: str
    port: int = -1
    interface: str = ""
    address: str = ""
    second: str = ""
    options: dict[str, str] = {}
    fault: str = ""

    @property
    def named(self) -> str:
        """The endpoint in words."""
        if self.port < 0:
            return f"{self.kind} {self.address}"
        return f"port {self.port}" + (f" of {self.interface}" if self.interface not in _ANY else "")

    @property
    def is_local(self) -> bool:
        """True where nobody but this machine reaches it."""
        return is_local(self.interface)

    @property
    def host(self) -> str:
        """Where a client of this kind connects to."""
        return self.options.get("host", self.address)

    def meets(self, other: "Endpoint") -> bool:
        """True when the two can not be listened on at the same time."""
        if self.port < 0 or other.port < 0:
            return (self.kind, self.address) == (other.kind, other.address) and bool(self.address)
        if self.port != other.port or not self.port:
            return False
        return self.interface == other.interface or bool(_ANY & {self.interface, other.interface})


def is_local(host: str) -> bool:
    """True for names and addresses of the loopback."""
    return host.startswith("127.") or host in ("::1", "localhost")


def endpoint(text: str) -> Endpoint:
    """The endpoint of a text like `tcp:2575:interface=127.0.0.1`; a colon in a value has a backslash before it."""
    parts, options = [], {}
    for part in _parts(text):
        name, equals, value = part.partition("=")
        if equals:
            options[name] = _ESCAPED.sub(r"\1", value)
        else:
            parts.append(_ESCAPED.sub(r"\1", part))
    kind, address = parts[0] if parts else "", parts[1] if len(parts) > 1 else options.get("port", "")
    second, interface = parts[2] if len(parts) > 2 else "", options.get("interface", "")
    if kind not in _WITH_PORT:
        return Endpoint(kind, address=address, second=second, options=options)
    if not address.isdecimal() or int(address) > 65_535:
        return Endpoint(kind, -1, interface, address, second, options, f"'{address}' is no port (0 to 65535)")
    return Endpoint(kind, int(address), interface, address, second, options)


def _parts(text: str) -> list[str]:
    parts, at = [], 0
    while at <= len(text):
        match = _PART.match(text, at)
        assert match is not None
        parts.append(match[0])
        at = match.end() + 1
    return parts
