"""Triggers of PostgreSQL: a function for each table, called once for each statement.

A statement's rows are passed as two tables, the old and the new ones. So a document that ten
thousand of them concern gets one row, and a statement that changes many rows is not slowed down by
as many calls. The database keeps the source of the function word for word.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import text

from nefertari_search_tween.interfaces.outbox import FanOut
from nefertari_search_tween.primary.sqla.capture.triggers.dialect import Dialect
from nefertari_search_tween.primary.sqla.capture.triggers.statements import (
    COLUMNS,
    PREFIX,
    Statements,
    literal,
    objects_of,
)
from nefertari_search_tween.primary.sqla.dependencies.tables import WatchedTable
from nefertari_search_tween.primary.sqla.outbox.tables import OUTBOX

NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
OLD, NEW = "old_rows", "new_rows"
EVENTS = {
    "insert": f"AFTER INSERT ON %s REFERENCING NEW TABLE AS {NEW}",
    "update": f"AFTER UPDATE ON %s REFERENCING OLD TABLE AS {OLD} NEW TABLE AS {NEW}",
    "delete": f"AFTER DELETE ON %s REFERENCING OLD TABLE AS {OLD}",
    "truncate": "AFTER TRUNCATE ON %s",
}
# How long an install or a remove waits for a table that is in use.
LOCK_SECONDS = 5
# Names are cut off after this number of bytes.
_MAX_NAME_BYTES = 63

_FUNCTION = """CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS {body}"""

# EXECUTE: planned again each time, because a plan for one row is a bad one for a million. A
# transaction that is to be prepared must not notify; where none can be, workers are woken.
_BODY = """
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO {outbox} ({columns})
{insert};
  ELSIF TG_OP = 'UPDATE' THEN
    EXECUTE {update};
  ELSIF TG_OP = 'DELETE' THEN
    EXECUTE {delete};
  ELSE
    INSERT INTO {outbox} ({columns})
{truncate};
  END IF;
  IF current_setting('max_prepared_transactions') = '0' THEN
    PERFORM pg_notify('nefertari_search', '');
  END IF;
  RETURN NULL;
END
"""


class PostgresqlTriggers(Dialect):
    """Triggers whose functions PostgreSQL keeps word for word."""

    LIST = (
        "SELECT t.tgrelid::regclass::text, t.tgname, "
        "CASE WHEN t.tgenabled <> 'D' THEN p.prosrc ELSE 'disabled' END "
        "FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
        "WHERE NOT t.tgisinternal AND t.tgname LIKE :pattern"
    )

    def __init__(self, connection: Any) -> None:
        super().__init__(connection, Statements(connection.dialect, NOW, qualified=True))

    def prepare(self) -> None:
        # A transaction that holds a table would block this one, and this one all later ones.
        self._run(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")

    def address(self, table: Any) -> str | None:
        return self._one("SELECT CAST(to_regclass(:name) AS text)", name=self.sql.table(table))

    def expected(self, capture: WatchedTable) -> dict[str, str]:
        body = self._body(capture)
        return {f"{PREFIX}{event}": body for event in EVENTS}

    def create(self, capture: WatchedTable) -> None:
        address = self.address(capture.table)
        function = self._function(capture.table)
        body = self._body(capture)
        self._run(_FUNCTION.format(function=function, body=literal(body)))
        # It writes to the outbox whatever rights the caller has, so only triggers may call it.
        self._run(f"REVOKE ALL ON FUNCTION {function}() FROM PUBLIC")
        for event, clause in EVENTS.items():
            # Not EXECUTE FUNCTION: PostgreSQL 10 does not know it.
            self._run(
                f"CREATE TRIGGER {PREFIX}{event} {clause % address} "
                f"FOR EACH STATEMENT EXECUTE PROCEDURE {function}()"
            )

    def drop(self, address: str, names: list[str]) -> None:
        functions = {
            self._one(
                "SELECT CAST(CAST(tgfoid AS regprocedure) AS text) FROM pg_trigger "
                "WHERE tgrelid = CAST(:table AS regclass) AND tgname = :name",
                table=address,
                name=name,
            )
            for name in names
        }
        for name in names:
            self._run(f"DROP TRIGGER {self.sql.name(name)} ON {address}")
        for function in functions:
            self._run(f"DROP FUNCTION {function}")

    def _one(self, query: str, **values: Any) -> Any:
        return self.connection.execute(text(query), **values).scalar()

    def _schema_of(self, table: Any) -> str:
        """Return the schema of *table*, quoted: the functions have no search path."""
        return str(
            self._one(
                "SELECT quote_ident(n.nspname) FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.oid = CAST(:name AS regclass)",
                name=self.sql.table(table),
            )
        )

    def _function(self, table: Any) -> str:
        """Return the name of the function of *table*, with its schema; a long one with a digest."""
        name = f"{PREFIX}{table.name}"
        if len(name.encode()) > _MAX_NAME_BYTES:
            digest = hashlib.sha256(name.encode()).hexdigest()[:8]
            name = name.encode()[: _MAX_NAME_BYTES - 9].decode("utf-8", "ignore") + "_" + digest
        return f"{self._schema_of(table)}.{self.sql.name(name)}"

    def _body(self, capture: WatchedTable) -> str:
        sql = QualifiedStatements(self.sql, self._schema_of)
        outbox = sql.table(OUTBOX)

        def joined(selects: list[str]) -> str:
            # UNION: a document that many rows concern gets one row.
            return "\n    UNION ".join(f"    {each}".strip() for each in dict.fromkeys(selects))

        def executed(selects: list[str]) -> str:
            return literal(f"INSERT INTO {outbox} ({COLUMNS})\n    {joined(selects)}")

        return _BODY.format(
            outbox=outbox,
            columns=COLUMNS,
            insert="    " + joined(sql.inserted(capture, "n", [f"{NEW} n"])),
            update=executed(_updated(sql, capture)),
            delete=executed(sql.deleted(capture, "o", [f"{OLD} o"])),
            truncate="    " + joined(_truncated(sql, capture)),
        )


class QualifiedStatements(Statements):
    """Names every table with the schema that it is in now."""

    def __init__(self, plain: Statements, schema_of: Any) -> None:
        super().__init__(plain.dialect, plain.now, plain.qualified)
        self._schema_of = schema_of

    def table(self, table: Any) -> str:
        return f"{self._schema_of(table)}.{self.name(table.name)}"


def _updated(sql: Statements, capture: WatchedTable) -> list[str]:
    selects = []
    for _, key in objects_of(capture)[:1]:
        # Rows are paired by their keys: one without a partner is deleted, or new. Byte by byte: a
        # collation may take keys for equal that are two documents.
        same = f'{sql.text("o", key)} COLLATE "C" = {sql.text("n", key)} COLLATE "C"'
        old_key, new_key = sql.column("o", key), sql.column("n", key)
        kind = sql.kind(capture, "o", "n")
        kind = f"CASE WHEN {old_key} IS NULL THEN {FanOut.REFERENCING} ELSE {kind} END"
        new = [f"{NEW} n LEFT JOIN {OLD} o ON {same}"]
        old = [f"{OLD} o LEFT JOIN {NEW} n ON {same}"]
        deleted = f"{new_key} IS NULL"
        selects += sql.objects(capture, "n", kind, new)
        selects += sql.objects(capture, "o", str(FanOut.EMBEDDING), old, [deleted])
        for lookup in capture.listed:
            moved = f"{deleted} OR {sql.changed(lookup.columns, 'o', 'n')}"
            selects.append(sql.documents(lookup, "o", old, [moved]))
    for link in capture.linked:
        selects += [sql.documents(link, "o", [f"{OLD} o"]), sql.documents(link, "n", [f"{NEW} n"])]
    return selects


def _truncated(sql: Statements, capture: WatchedTable) -> list[str]:
    names = {name for name, _, _ in capture.models}
    names |= {link.edge.owner.__name__ for link in capture.linked}
    return [
        f"SELECT {literal(name)}, NULL, {FanOut.EMBEDDING}, {sql.now}" for name in sorted(names)
    ]
