"""Bytes and text on the wire: framing, messages, character sets, acknowledgements. Pure."""
