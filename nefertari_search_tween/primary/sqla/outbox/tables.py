"""The tables that this package keeps beside the application's, in the same database.

They belong to nefertari_sqla's own metadata: ``setup_database`` creates them with the models'
tables, and migration tools see them as a part of the application. One that is missing when the
application starts is created then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyramid_sqlalchemy import BaseObject
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    literal_column,
    or_,
)
from sqlalchemy.exc import DBAPIError

from nefertari_search_tween.exceptions import ConfigurationError

# Databases that number rows of a BIGINT by themselves are all but SQLite.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
# MySQL's TEXT ends at 64 KiB.
_NAME = 200

# Spelled out, not bound: so the index of these rows is used.
#: rows whose dependent documents have none of their own yet
FANS_OUT = literal_column("fan_out > 0")
#: the same, and those that stand for all documents of a model
EXPANDS = or_(FANS_OUT, literal_column("pk IS NULL"))

#: Keys that must be indexed, a row for each time that a transaction changed one. Rows are only
#: added and removed, and never wait for each other: no transaction of an application can block
#: another one here.
OUTBOX = Table(
    "nefertari_search_outbox",
    BaseObject.metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("model", String(_NAME), nullable=False),
    # NULL: the whole model (see triggers).
    Column("pk", Text, nullable=True),
    # A FanOut: dependent documents are found when the row is claimed; 0: they have rows.
    Column("fan_out", SmallInteger, nullable=False, server_default="0"),
    # Milliseconds since 1970.
    Column("recorded_at", BigInteger, nullable=False),
    # The claim that has it, and until when (milliseconds since 1970); NULL: it is free.
    Column("claim_token", String(32), nullable=True),
    Column("lease_expires_at", BigInteger, nullable=True),
    # Every query of the table is a range of this: free rows of a model in their order, claimed
    # ones, the rows of a claim, whether a model has any.
    Index("nefertari_search_outbox_claims", "model", "claim_token", "id"),
    # Whether a model has rows that may become others, or any has.
    Index(
        "nefertari_search_outbox_fan_out", "model", postgresql_where=EXPANDS, sqlite_where=EXPANDS
    ),
)

#: The version of the latest claim of each model.
VERSIONS = Table(
    "nefertari_search_versions",
    BaseObject.metadata,
    Column("model", String(_NAME), primary_key=True),
    Column("version", BigInteger, nullable=False),
)

#: Documents that the search backend rejected, or that could not be rendered.
DEAD_LETTERS = Table(
    "nefertari_search_dead_letters",
    BaseObject.metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("model", String(_NAME), nullable=False, index=True),
    Column("pk", Text, nullable=False),
    Column("error", Text, nullable=False),
    # Milliseconds since 1970.
    Column("failed_at", BigInteger, nullable=False),
)

#: Rebuilds that have not ended.
REBUILDS = Table(
    "nefertari_search_rebuilds",
    BaseObject.metadata,
    Column("model", String(_NAME), primary_key=True),
    Column("index_name", String(_NAME), nullable=False),
    # The process, for people, and the secret that identifies the holder.
    Column("owner", String(_NAME), nullable=False),
    Column("token", String(32), nullable=False),
    # Milliseconds since 1970 of its latest heartbeat.
    Column("heartbeat_at", BigInteger, nullable=False),
    # The last key that is in the new index, and how many documents are; NULL: none.
    Column("checkpoint", Text, nullable=True),
    Column("documents", BigInteger, nullable=False),
)

#: What each process has counted: reads by who answered them, hits and misses of its cache.
COUNTS = Table(
    "nefertari_search_counts",
    BaseObject.metadata,
    Column("process", String(_NAME), primary_key=True),
    Column("model", String(_NAME), primary_key=True),
    Column("name", String(_NAME), primary_key=True),
    Column("number", BigInteger, nullable=False),
    # Milliseconds since 1970.
    Column("reported_at", BigInteger, nullable=False),
)

#: What the database is known by: one row.
IDENTITY = Table(
    "nefertari_search_identity",
    BaseObject.metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("identifier", String(32), nullable=False),
    # Milliseconds since 1970.
    Column("created_at", BigInteger, nullable=False),
)

TABLES = (OUTBOX, VERSIONS, DEAD_LETTERS, REBUILDS, IDENTITY, COUNTS)


def create_missing(engine: Any, tables: Iterable[Table] = TABLES) -> None:
    """Create those of *tables* that are missing.

    :raises ConfigurationError: the database user may not.
    """
    for table in tables:
        if table.exists(engine):
            continue
        try:
            table.create(engine, checkfirst=True)
        except DBAPIError as error:
            # Another process that starts at the same time was faster.
            if not table.exists(engine):
                raise ConfigurationError(
                    f"the table {table.name} is missing and can't be created "
                    f"(docs/consistency.rst has the statements): {error.orig}"
                ) from error
