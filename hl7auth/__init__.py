"""hl7auth: the HL7 v2 interface engine that understands prior authorizations."""

from hl7auth.native import use_copies

__version__ = "0.1.0"

use_copies()
