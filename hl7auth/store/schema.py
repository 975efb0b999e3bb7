"""The tables: messages, versions of authorizations and channels, incidents, search, codes, and revisions.

Imports sqlalchemy only.

Times are microseconds since 1970, UTC. Ids of messages grow with time. Documents and findings are JSON text.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    event,
    text,
)

metadata = MetaData()


def as_on_server() -> None:
    """Partial indexes on PostgreSQL, where they are as on SQLite. To name them there in each table would import its
    dialect: a tenth of a second of every command, most of which have no server."""
    for table in metadata.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]


@event.listens_for(metadata, "before_create")
def _before_create(_target: object, connection: Connection, **_options: object) -> None:
    if connection.dialect.name == "postgresql":
        as_on_server()


#: SQLite grows its own row ids only for INTEGER, which is 64 bits wide there
BigKey = BigInteger().with_variant(Integer(), "sqlite")

#: compared byte by byte on a server too, so that what begins with something is a range of the index
Folded = Text().with_variant(Text(collation="C"), "postgresql")

#: what is listed by an index of its own: spelled as the partial index spells it
OTHERS = "current = 1 AND status NOT IN ('approved', 'requested', 'pended')"

message = Table(
    "message",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=False),
    Column("channel", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("peer", Text, nullable=False),
    Column("control_id", Text, nullable=False),
    Column("digest", BigInteger, nullable=False),
    Column("message_type", Text, nullable=False),
    Column("trigger_event", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("facility", Text, nullable=False),
    Column("disposition", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("duplicate_of", BigInteger),
    Column("raw", LargeBinary, nullable=False),
    Column("accept_ack", LargeBinary),
    Column("reply", LargeBinary),
    Column("findings", Text),
    # what the steps of the channel made of it, where that is something else: this was judged, and is sent on
    Column("shaped", LargeBinary),
    # the version of the channel that it ran under; none for messages older than this column
    Column("channel_version", Text),
    # where its bodies are: a row of the table of packs, or NULL for this one; `raw` is empty then, the others NULL
    Column("pack", BigInteger),
    # one index for "was this very message here before", for look-up by control id, and for the strict duplicate rule
    Index("message_control_id", "control_id", "digest"),
    Index("message_pack", "pack", sqlite_where=text("pack IS NOT NULL")),
    # what support asks by, each newest first; of dispositions only those that are worth looking for
    Index("message_received", "received_at"),
    Index("message_channel", "channel", "id"),
    Index("message_sender", "sender", "id"),
    Index("message_event", "message_type", "trigger_event", "id"),
    Index(
        "message_disposition",
        "disposition",
        "id",
        sqlite_where=text("disposition <> 'accepted'"),
    ),
)

message_field = Table(
    "message_field",
    metadata,
    # a path as PID-3.1, or `status` (of an authorization that it changed), or `rule` (of a finding)
    Column("field", Text, nullable=False),
    Column("value", Folded, nullable=False),
    Column("message_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("field", "value", "message_id", name="message_field_key"),
    # in SQLite the key is the table: a row is written once
    sqlite_with_rowid=False,
)

message_edit = Table(
    "message_edit",
    metadata,
    # the control id that the corrected message was given, and the id of the message it was made of
    Column("control_id", Text, primary_key=True),
    Column("origin", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("edited_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changes", Text, nullable=False),
    Index("message_edit_origin", "origin"),
)

search_mark = Table(
    "search_mark",
    metadata,
    # `fields`: messages before this id are not in message_field; `text`: those after this id have no words in the index
    Column("name", Text, primary_key=True),
    Column("message_id", BigInteger, nullable=False),
)

authorization_version = Table(
    "authorization_version",
    metadata,
    Column("key", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("current", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("referral", Text, nullable=False),
    Column("requester", Text, nullable=False),
    Column("control_id", Text, nullable=False),
    Column("message_id", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("rule", Text, nullable=False),
    Column("document", Text, nullable=False),
    # also what makes two writers of the same next version impossible
    PrimaryKeyConstraint("key", "version", name="authorization_version_key"),
    Index("authorization_version_message", "message_id"),
    # what is open, oldest first: the list that somebody has to work through
    Index(
        "authorization_version_open",
        "message_id",
        sqlite_where=text("current = 1 AND status IN ('requested', 'pended')"),
    ),
    # lists of the few that were denied, modified or cancelled
    Index(
        "authorization_version_others",
        "status",
        "message_id",
        sqlite_where=text(OTHERS),
    ),
    Index(
        "authorization_version_referral",
        "referral",
        sqlite_where=text("current = 1 AND referral <> ''"),
    ),
    Index(
        "authorization_version_asked",
        "control_id",
        sqlite_where=text("current = 1 AND key >= '?' AND key < '@'"),
    ),
)

unmapped_value = Table(
    "unmapped_value",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    # the channel, or channel/destination, whose steps met it
    Column("place", Text, nullable=False),
    Column("code_table", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("message_id", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    Column("done_by", Text),
    Index("unmapped_value_key", "place", "code_table", "value", unique=True),
)

channel_version = Table(
    "channel_version",
    metadata,
    Column("channel", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    # the channel file without secrets, and as JSON the fingerprints of the other files of this version by their names
    Column("text", Text, nullable=False),
    Column("parts", Text, nullable=False),
    PrimaryKeyConstraint("channel", "version", name="channel_version_key"),
)

channel_part = Table(
    "channel_part",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("text", Text, nullable=False),
)

schema_revision = Table(
    "schema_revision",
    metadata,
    Column("revision", Text, primary_key=True),
    # the oldest code, by the revision that it makes itself, that works on a schema of this revision
    Column("works_with", Text, nullable=False),
)
