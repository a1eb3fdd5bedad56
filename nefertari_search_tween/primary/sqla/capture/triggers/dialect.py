"""The triggers of one database: what differs between dialects, and what does not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Optional

from sqlalchemy import text

from nefertari_search_tween.primary.sqla.capture.triggers.statements import PREFIX, Statements
from nefertari_search_tween.primary.sqla.dependencies.tables import WatchedTable


class Dialect(ABC):
    """Reads, creates and drops triggers.

    :param sql: writes SQL for them.
    """

    def __init__(self, connection: Any, sql: Statements) -> None:
        self.connection = connection
        self.sql = sql

    @abstractmethod
    def prepare(self) -> None:
        """Prepare the transaction of a change, before anything is changed."""

    def installed(self) -> dict[str, dict[str, str]]:
        """Return our triggers: address of the table -> name -> definition."""
        pattern = PREFIX.replace("_", r"\_") + "%"
        tables: dict[str, dict[str, str]] = {}
        for table, name, definition in self.connection.execute(text(self.LIST), pattern=pattern):
            tables.setdefault(table, {})[name] = definition
        return tables

    #: selects table, name and definition of the triggers whose names are LIKE ``:pattern``
    LIST: str

    @abstractmethod
    def address(self, table: Any) -> Optional[str]:
        """Return the name that the database has for *table*, None if it does not exist."""

    @abstractmethod
    def expected(self, capture: WatchedTable) -> dict[str, str]:
        """Return name -> definition of the triggers of a table."""

    @abstractmethod
    def create(self, capture: WatchedTable) -> None:
        """Create the triggers of a table that has none."""

    @abstractmethod
    def drop(self, address: str, names: list[str]) -> None:
        """Drop triggers of a table."""

    def _run(self, statement: str) -> None:
        # A colon in it is no parameter.
        self.connection.execute(text(statement.replace(":", r"\:")))
