"""Triggers of SQLite: one for each event and row, compared by the definition that it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import inspect

from nefertari_search_tween.interfaces.outbox import FanOut
from nefertari_search_tween.primary.sqla.capture.triggers.dialect import Dialect
from nefertari_search_tween.primary.sqla.capture.triggers.statements import (
    COLUMNS,
    PREFIX,
    Statements,
    objects_of,
)
from nefertari_search_tween.primary.sqla.dependencies.tables import WatchedTable
from nefertari_search_tween.primary.sqla.outbox.tables import OUTBOX

NOW = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


class SqliteTriggers(Dialect):
    """Triggers that SQLite keeps word for word."""

    LIST = (
        "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger' "
        r"AND name LIKE :pattern ESCAPE '\'"
    )

    def __init__(self, connection: Any) -> None:
        super().__init__(connection, Statements(connection.dialect, NOW, qualified=False))
        self._outbox = self.sql.name(OUTBOX.name)

    def prepare(self) -> None:
        # The driver begins none for statements that define something.
        self._run("BEGIN IMMEDIATE")

    def address(self, table: Any) -> str | None:
        exists = self.connection.dialect.has_table(self.connection, table.name)
        return str(table.name) if exists and not table.schema else None

    def expected(self, capture: WatchedTable) -> dict[str, str]:
        return dict(self._triggers(capture))

    def create(self, capture: WatchedTable) -> None:
        for statement in self.expected(capture).values():
            self._run(statement)

    def drop(self, address: str, names: list[str]) -> None:
        for name in names:
            self._run(f"DROP TRIGGER {self.sql.name(name)}")

    def _triggers(self, capture: WatchedTable) -> Iterator[tuple[str, str]]:
        for event, when, bodies in (
            ("insert", "AFTER INSERT", self.sql.inserted(capture, "NEW")),
            ("update", "AFTER UPDATE", self._updated(capture)),
            ("delete", "AFTER DELETE", self.sql.deleted(capture, "OLD")),
            ("replace", "BEFORE INSERT", self._replaced(capture, None)),
            ("displace", "BEFORE UPDATE", self._replaced(capture, "OLD")),
        ):
            if bodies:
                name = f"{PREFIX}{event}_{capture.table.name}"
                inserts = "".join(
                    f"\n  INSERT INTO {self._outbox} ({COLUMNS}) {body};"
                    for body in dict.fromkeys(bodies)
                )
                yield (
                    name,
                    f"CREATE TRIGGER {self.sql.name(name)} {when} ON "
                    f"{self.sql.table(capture.table)} BEGIN{inserts}\nEND",
                )

    def _updated(self, capture: WatchedTable) -> list[str]:
        bodies = self.sql.objects(capture, "NEW", self.sql.kind(capture, "OLD", "NEW"))
        for _, key in objects_of(capture)[:1]:
            other_key = [self.sql.changed([key.name], "OLD", "NEW")]
            bodies += self.sql.objects(capture, "OLD", str(FanOut.EMBEDDING), conditions=other_key)
        for lookup in capture.listed:
            moved = [self.sql.changed(lookup.columns, "OLD", "NEW")]
            bodies.append(self.sql.documents(lookup, "OLD", conditions=moved))
        for link in capture.linked:
            bodies += [self.sql.documents(link, row) for row in ("OLD", "NEW")]
        return bodies

    def _replaced(self, capture: WatchedTable, old: str | None) -> list[str]:
        """Return SELECTs of rows that an OR REPLACE is about to delete, which fires no trigger.

        :param old: the name of the row that an UPDATE changes, which is not deleted.
        """
        bodies = []
        sources = [f"{self.sql.table(capture.table)} r"]
        for columns in self._unique(capture.table):
            conditions = [
                f"{self.sql.column('r', name)} = {self.sql.column('NEW', name)}" for name in columns
            ]
            if old is not None:
                conditions.append(self.sql.changed(columns, old, "NEW"))
            bodies += self.sql.deleted(capture, "r", sources, conditions)
        return bodies

    def _unique(self, table: Any) -> list[list[str]]:
        """Return the sets of columns that are unique, as the database has them."""
        inspector = inspect(self.connection)
        keys = [inspector.get_pk_constraint(table.name)["constrained_columns"]]
        for each in inspector.get_unique_constraints(table.name):
            keys.append(each["column_names"])
        for each in inspector.get_indexes(table.name):
            if each["unique"]:
                keys.append(each["column_names"])
        return sorted(
            {tuple(names): list(names) for names in keys if names and all(names)}.values()
        )
