"""The tables of the API: tokens, operations, who may see an authorization, and the audit log.

Imports sqlalchemy and store.schema only.

Times are microseconds since 1970. Lists in a column are JSON; an empty list of payors or channels is all of them.
"""

from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, Table, Text, text

from hl7auth.store.schema import BigKey, metadata

token = Table(
    "token",
    metadata,
    Column("name", Text, primary_key=True),
    # SHA-256 of the token, which has 256 random bits of its own: there is nothing to guess, and no need for salt
    Column("hash", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("payors", Text, nullable=False),
    Column("channels", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Index("token_hash", "hash", unique=True),
)

operation = Table(
    "operation",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("idempotency_key", Text, nullable=False),
    Column("body_hash", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("result", Text),
    Index(
        "operation_idempotency",
        "caller",
        "idempotency_key",
        unique=True,
        sqlite_where=text("idempotency_key <> ''"),
    ),
    Index(
        "operation_open",
        "created_at",
        sqlite_where=text("state IN ('NotStarted', 'Running')"),
    ),
)

authorization_access = Table(
    "authorization_access",
    metadata,
    Column("key", Text, nullable=False),
    # the line it belongs to; empty for the whole
    Column("line", Text, nullable=False),
    Column("idtype", Text, nullable=False),
    Column("providerid", Text, nullable=False),
    Column("role", Text, nullable=False),
    PrimaryKeyConstraint("key", "line", "idtype", "providerid", "role", name="authorization_access_key"),
)

audit = Table(
    "audit",
    metadata,
    # counted without gaps: what is missing shows
    Column("id", BigKey, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("audit_subject", "subject", "id"),
)

audit_end = Table(
    "audit_end",
    metadata,
    # one row: where the chain ends, so that a tail that was cut off shows, and writers take turns
    Column("name", Text, primary_key=True),
    Column("id", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)
