"""Whether the primary key of a model is one in the database.

SQLAlchemy makes one object of all rows with one key, but counts them. A document is an object.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.inspection import inspect


class DatabaseKeys:
    """The keys of tables, as the database has them now."""

    def __init__(self) -> None:
        self._inspectors: dict[Any, Any] = {}

    def has(self, column: Any) -> bool:
        """Return True if no two rows can have one value of *column*.

        A table that does not exist yet will be made with its key. (A null is not looked for: SQLite
        lets it into texts, and nefertari's own statements make them so.)
        """
        engine, name, schema = column.table.bind, column.table.name, column.table.schema
        if engine not in self._inspectors:
            self._inspectors[engine] = None if engine is None else inspect(engine)
        inspector = self._inspectors[engine]
        if inspector is None or name not in inspector.get_table_names(schema=schema):
            return True
        if inspector.get_pk_constraint(name, schema=schema)["constrained_columns"] == [column.name]:
            return True
        # Not by a unique index, which may leave rows out.
        unique = inspector.get_unique_constraints(name, schema=schema)
        return any(each["column_names"] == [column.name] for each in unique)
