"""hl7auth: the HL7 v2 interface engine that understands prior authorizations."""

__version__ = "0.1.0"
