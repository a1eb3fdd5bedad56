"""Whether an engine leads to the database of the models."""

from __future__ import annotations

import os
from typing import Any
from weakref import WeakKeyDictionary

from pyramid_sqlalchemy import BaseObject


class ModelDatabase:
    """The database that the models are bound to, by however many engines.

    Sessions and engines of other databases, which may have tables of the same names, are left
    alone.
    """

    def __init__(self) -> None:
        self._engines: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
        self._bind: Any = None

    def has(self, engine: Any) -> bool:
        """Return True if *engine* leads to it. Called on every statement, must be fast."""
        bind = BaseObject.metadata.bind
        if bind is not self._bind:
            self._bind = bind
            self._engines = WeakKeyDictionary()
        same = self._engines.get(engine)
        if same is None:
            same = self._engines[engine] = bind is not None and _location(engine) == _location(bind)
        return same


def is_in_memory(url: Any) -> bool:
    """Return True if *url* is that of an SQLite database without a file."""
    return url.get_backend_name() == "sqlite" and (
        url.database in (None, "", ":memory:") or "mode=memory" in str(url.database)
    )


def _location(engine: Any) -> Any:
    url = engine.url
    name = url.get_backend_name()
    if name != "sqlite":
        # Users and passwords differ, and so may settings of the connection; not the search path,
        # which says where the tables are.
        return name, url.host, url.port, url.database, str(url.query.get("options"))
    if is_in_memory(url):
        # Its pool's own; an engine with other options has the same pool.
        return id(engine.pool)
    return name, os.path.realpath(str(url.database))
