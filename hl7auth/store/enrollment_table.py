"""The tables of enrollment: what is known of members, and which requests wait because nobody could be asked.

Imports sqlalchemy and store.schema only. Times are microseconds since 1970.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from hl7auth.store.schema import metadata

enrollment = Table(
    "enrollment",
    metadata,
    # NUMBER@ASSIGNER
    Column("member", Text, nullable=False),
    Column("payor", Text, nullable=False),
    # what the source said, as JSON; null where it knows nobody of that number
    Column("data", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("member", "payor", name="enrollment_key"),
)

process_trouble = Table(
    "process_trouble",
    metadata,
    Column("process_id", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("retry_at", BigInteger, nullable=False),
    Index("process_trouble_due", "retry_at"),
)
