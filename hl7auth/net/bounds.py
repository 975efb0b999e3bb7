"""What one connection may take of an engine: bytes, messages, noise and time, each with its reason.

Imports nothing.
"""

MAX_WAITING_BYTES = 256 * 1024 * 1024
"""Bytes of unfinished messages over all connections: more is refused, or enough slow senders could fill the memory."""

END_BLOCK_SECONDS = 0.25
"""How long the CR after a FS may take before the frame counts as ended without it."""

MAX_PENDING = 16
"""Messages of one connection under way: enough for every batch, few enough that no sender keeps others waiting."""

MAX_RECEIVED = 1_000_000
"""No bound: what a closed connection had sent whole is still taken; one read of 64 KB is the most that can wait."""

MAX_REFUSED = 16
"""Broken frames in a row after which a sender is taken for a broken one."""

MAX_NOISE = 1024 * 1024
"""Bytes outside of frames that a connection may send: log lines and keep-alives stay far below."""

CLOSE_SECONDS = 10.0
"""How long a connection that is to be closed may take to read its last replies."""

DISCARD_LIMIT = 4
"""A sender that goes on for so many times the largest message without an end block will never come to one."""

NO_MESSAGE = frozenset({b"", b"\x06", b"\x15"})
"""An empty block, and the commit blocks of MLLP release 2: to answer them would start a loop."""
