"""The tables of units: what authorizations grant and what charges took of it, the charges, and papers.

Imports sqlalchemy and store.schema only.

Units are integer thousandths, times microseconds since 1970, days ISO dates (empty for an open end). A row of `balance`
without a line is the whole authorization; rows with one are lines that have an account of their own.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, text

from hl7auth.store.schema import BigKey, metadata

#: spelled as the partial index spells it
HAS_ISSUES = "issues <> '[]'"
IN_FORCE = "reversed_at IS NULL"
#: more than 80 % of what was granted is gone: spelled as the partial index spells it
NEARLY_SPENT = "granted = 1 AND line = '' AND approved > 0 AND (used + external_used) * 5 > approved * 4"
RUNS_OUT = "granted = 1 AND line = '' AND scheduled > 0 AND used + external_used + scheduled > approved"

balance = Table(
    "balance",
    metadata,
    Column("key", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("member", Text, nullable=False),
    Column("payor", Text, nullable=False),
    Column("status", Text, nullable=False),
    # 1 where the status lets charges be put to it
    Column("granted", Integer, nullable=False),
    Column("effective", Text, nullable=False),
    Column("expiration", Text, nullable=False),
    # NULL is without limit
    Column("approved", BigInteger),
    Column("used", BigInteger, nullable=False),
    Column("external_used", BigInteger, nullable=False),
    Column("scheduled", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    # of the whole a JSON list of the codes it is bound to, of a line its code
    Column("codes", Text, nullable=False),
    # the message whose version of the authorization this was read from
    Column("message_id", BigInteger, nullable=False),
    Column("row_version", BigInteger, nullable=False),
    PrimaryKeyConstraint("key", "line", name="balance_key"),
    Index("balance_member", "member", "message_id"),
    Index("balance_payor", "payor", "message_id"),
    Index("balance_number", "number"),
    Index("balance_spent", "key", sqlite_where=text(NEARLY_SPENT)),
    Index("balance_runs_out", "key", sqlite_where=text(RUNS_OUT)),
)

charge = Table(
    "charge",
    metadata,
    Column("id", Text, primary_key=True),
    Column("member", Text, nullable=False),
    Column("payor", Text, nullable=False),
    Column("dos", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("modifiers", Text, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount", Text, nullable=False),
    # a JSON list: auth_required, and what its last validation found
    Column("issues", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("row_version", BigInteger, nullable=False),
    Index("charge_member", "member", "at"),
    Index("charge_at", "at", "id"),
    Index("charge_issue", "at", "id", sqlite_where=text(HAS_ISSUES)),
    Index("charge_key", "key", sqlite_where=text("key <> ''")),
)

charge_use = Table(
    "charge_use",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("charge_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("dos", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("reversed_at", BigInteger),
    Column("reversed_by", Text),
    # what makes it impossible that a charge counts twice
    Index("charge_use_once", "charge_id", unique=True, sqlite_where=text(IN_FORCE)),
    Index("charge_use_key", "key", "id"),
)

paper = Table(
    "paper",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("paper_key", "key"),
)
