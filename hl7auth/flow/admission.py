"""Who may connect to a channel, and who may send and be written to: networks, and patterns of MSH-3 to MSH-6.

Imports rules.strict_yaml and wire only.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from pydantic import field_validator, model_validator

from hl7auth.rules.strict_yaml import Strict
from hl7auth.wire.ack import Location, Problem
from hl7auth.wire.delimiters import Delimiters
from hl7auth.wire.escapes import unescape
from hl7auth.wire.message import Header

_CERTIFICATE_NAMES = ("CN=", "DNS:", "IP:", "URI:", "email:", "subject:", "SHA256:")

#: Table 0357, "table value not found": MSH-3 to MSH-6 are bound to the site's own tables 0361 and 0362
_UNKNOWN_PARTY = "103"

OTHER_CERTIFICATE = Problem(
    _UNKNOWN_PARTY,
    "this sender has another certificate than that of this connection (MSH-3, MSH-4)",
    Location("MSH", 1, 3),
)


class Receiver(Strict):
    """Who messages are for: `application` is MSH-5, `facility` is MSH-6; one that is left out may be any.

    Patterns, in which `*` stands for any text and `?` for any sign. One with `^` in it is compared with the whole
    field, else with the first component.
    """

    application: str = ""
    facility: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> "Receiver":
        if not self.application and not self.facility:
            raise ValueError("application or facility is expected, or both")
        return self


class Sender(Receiver):
    """Who messages are from: `application` is MSH-3, `facility` is MSH-4; one that is left out may be any.

    Patterns, in which `*` stands for any text and `?` for any sign. One with `^` in it is compared with the whole
    field, else with the first component. `certificate` is a name that the client certificate of this sender has.
    """

    certificate: str = ""

    @field_validator("certificate")
    @classmethod
    def _is_name(cls, text: str) -> str:
        return certificate_name(text) if text else text


class Networks:
    """Addresses of IPv4 and IPv6."""

    def __init__(self, texts: Sequence[str]) -> None:
        """`texts` are as `network` takes them."""
        from ipaddress import ip_network

        self._networks = [ip_network(text) for text in texts]

    def __contains__(self, host: str) -> bool:
        """Is an address in one of them? What is no address is in none."""
        from ipaddress import IPv6Address, ip_address

        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return False
        # a socket for both families tells addresses of IPv4 as ::ffff:10.0.0.1
        plain = (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
        return any(plain.version == each.version and plain in each for each in self._networks)


@lru_cache(maxsize=4096)
def networks(texts: tuple[str, ...]) -> Networks:
    """The networks of a channel, made once."""
    return Networks(texts)


def network(text: str) -> str:
    """A network as it is written, like `10.1.0.0/16`, `fd00::/8`, or one address. Raises ValueError."""
    from ipaddress import ip_network

    try:
        ip_network(text)
    except ValueError as error:
        raise ValueError(f"'{text}' is no network, like 10.1.0.0/16, fd00::/8 or one address ({error})") from None
    return text


def certificate_name(text: str) -> str:
    """A pattern of a name in a certificate. Raises ValueError for one without the kind of the name before it."""
    if not text.startswith(_CERTIFICATE_NAMES) or text.endswith(("=", ":")):
        allowed = ", ".join(_CERTIFICATE_NAMES)
        raise ValueError(f"'{text}' does not say which name of a certificate is meant (begin with one of {allowed})")
    return text


def fits(pattern: str, text: str) -> bool:
    """Does a pattern with * and ? fit the whole text?"""
    return _compiled(pattern).fullmatch(text) is not None


def has_name(pattern: str, names: Sequence[str]) -> bool:
    """Does a pattern of `certificate_name` fit one of the names of a certificate? Case means nothing in them."""
    lower = pattern.lower()
    return any(fits(lower, name.lower()) for name in names)


def strangers(
    header: Header,
    marks: Delimiters,
    senders: Sequence[Sender],
    receivers: Sequence[Receiver],
    names: Sequence[str] | None = None,
) -> Iterator[Problem]:
    """What is wrong with who a message is from and for; none are listed where all are welcome.

    `names` are those of the client certificate; None where a sender is not to be held to its certificate (yet).
    """
    first = header.sending_application, header.sending_facility
    last = header.receiving_application, header.receiving_facility
    if senders:
        known = [each for each in senders if _is(each, first, header.parties[:2], marks)]
        if not known:
            yield _unknown(senders, first[0], header.parties[0], marks, 3, "take messages of this sender")
        elif names is not None and not any(_has(each, names) for each in known):
            yield OTHER_CERTIFICATE
    if receivers and not any(_is(each, last, header.parties[2:], marks) for each in receivers):
        yield _unknown(receivers, last[0], header.parties[2], marks, 5, "take messages for this receiver")


def _has(sender: Sender, names: Sequence[str]) -> bool:
    return not sender.certificate or has_name(sender.certificate, names)


def _unknown(listed: Sequence[Receiver], first: str, whole: str, marks: Delimiters, field: int, what: str) -> Problem:
    """Names the facility where the application alone would be known."""
    known = any(_one(each.application, first, whole, marks) for each in listed)
    text = f"this channel does not {what} (MSH-{field}, MSH-{field + 1})"
    return Problem(_UNKNOWN_PARTY, text, Location("MSH", 1, field + known))


def _is(party: Receiver, first: tuple[str, str], whole: Sequence[str], marks: Delimiters) -> bool:
    return _one(party.application, first[0], whole[0], marks) and _one(party.facility, first[1], whole[1], marks)


def _one(pattern: str, first: str, whole: str, marks: Delimiters) -> bool:
    if not pattern:
        return True
    if "^" not in pattern:
        return fits(pattern, first)
    components = [unescape(each, marks) for each in whole.split(marks.component)]
    return fits(pattern, "^".join(components).rstrip("^"))


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Each piece between stars is found once, at its first place: a long text costs no more than its length."""
    first, *pieces = ["".join("." if sign == "?" else re.escape(sign) for sign in each) for each in pattern.split("*")]
    if pieces:
        first += "".join(f"(?>.*?{piece})" for piece in pieces[:-1]) + f".*{pieces[-1]}"
    return re.compile(first, re.DOTALL)
