"""Every error the engine raises, as one tree; each says how HL7 answers it.

Imports the standard library only. The text of an error is its class docstring unless the raiser knows better.
"""

from typing import ClassVar


class Fault(Exception):
    """The message can not be processed."""

    #: HL7 table 0357 (message error condition code)
    code: ClassVar[str] = "207"
    #: MSA-1 in original mode, HL7 table 0008; enhanced mode replaces the A by a C
    ack: ClassVar[str] = "AE"

    def __init__(self, text: str = "", *, location: str = "") -> None:
        """`text` is for the sender and holds nothing the sender did not send; `location` is a path like `MSH-9`."""
        super().__init__(text or (type(self).__doc__ or "").strip())
        self.location = location


class Unreadable(Fault):
    """The frame does not hold an HL7 message: it must begin with MSH and a field separator."""

    code: ClassVar[str] = "100"
    ack: ClassVar[str] = "AR"


class UnsupportedCharset(Fault):
    """The character set of MSH-18 is not supported."""

    code: ClassVar[str] = "207"
    ack: ClassVar[str] = "AR"


class UserError(Exception):
    """Something a person can mend (a wrong file, a taken port, an unknown channel); shown as one sentence."""


class ConfigError(UserError):
    """A configuration file is wrong; the text names file, line and key."""
