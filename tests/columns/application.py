"""Models served in a process of their own, on tables that SQL may have made."""

from __future__ import annotations

import contextlib
import logging
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.columns.differences import Answer
from tests.columns.kinds import PRELUDE
from tests.columns.models import HEADER, Model, Row
from tests.columns.requests import NOTHING, TYPED, Request
from tests.support.generated import make_application

#: status of a request whose exception no view of the application turned into a response
RAISED = 599


class Application:
    """The application of *models*.

    :ivar tables: the statements that have made tables, by number of the model.
    """

    def __init__(self, url: str, folder: Path, models: Sequence[Model]) -> None:
        self.models = models
        self.tables: dict[int, str] = {}
        text = "\n\n".join([HEADER, *(each.source(at) for at, each in enumerate(models))])
        self.app, registry, self.module = make_application(text, url, folder, {}, self._finish)
        self.runtime = registry.nefertari_search
        from pyramid_sqlalchemy import BaseObject

        self.engine = BaseObject.metadata.bind
        self.keys: dict[int, set[Any]] = {number: set() for number in range(len(models))}

    def _finish(self, config: Any, module: Any) -> None:
        """Create the tables that differ from their models, and add the views."""
        from sqlalchemy import create_engine

        engine = create_engine(config.registry.settings["sqlalchemy.url"])
        for statement in PRELUDE.get(engine.dialect.name, ()):
            engine.execute(statement)
        root = config.get_root_resource()
        for number, model in enumerate(self.models):
            mapped = getattr(module, f"Thing{number}")
            types = {each.column: each.ddl for each in model.columns if each.ddl is not None}
            if types:
                self.tables[number] = _create_table(mapped.__table__, types, engine)
                engine.execute(self.tables[number])
            view = _view(mapped, module)
            root.add(f"thing{number}", f"things{number}", view=view, id_name="id")
        engine.dispose()

    def fill(self, number: int, rows: Sequence[Row]) -> int:
        """Replace the rows of a model, and index them.

        :returns: how many values the database has refused.
        """
        from nefertari_search_tween.interfaces.primary import Key

        model, name = self.models[number], f"Thing{number}"
        table = getattr(self.module, name).__table__
        statements = model.statements(number)
        with self.engine.begin() as connection:
            for statement in [each for each in statements if each.startswith("DELETE")]:
                connection.execute(statement)
            connection.execute(table.delete())
        refused = 0
        names = dict(vars(self.module))
        for row in rows:
            values = {each.column: eval(row[each.name], names) for each in model.columns}
            refused += _insert(self.engine, table, eval(row["id"], names), values)
        with self.engine.begin() as connection:
            for statement in [each for each in statements if not each.startswith("DELETE")]:
                connection.execute(statement)
        # As the database has them, whatever a type has made of them.
        keys = {key for (key,) in self.engine.execute(f"SELECT id FROM {table.name}")}
        self.runtime.outbox.enqueue([Key(name, key) for key in keys | self.keys[number]])
        self.keys[number] = keys
        self.runtime.indexer.drain()
        return refused

    def ask(self, number: int, request: Request) -> Answer:
        from pyramid.request import Request as WebRequest

        query = urlencode(request)
        url = f"/things{number}?{query}" if query else f"/things{number}"
        try:
            response = WebRequest.blank(url).get_response(self.app)
        except Exception as error:  # noqa: BLE001 - compared like any other answer
            return Answer(RAISED, "", f"{type(error).__name__}: {error}")
        engine = response.headers.get("X-Search-Engine", "")
        return Answer(response.status_int, engine, response.body.decode())


def _view(mapped: Any, module: Any) -> Any:
    """Return a view of *mapped* that passes values of its own, if requests name them."""
    from tests.apps.views import PlainView

    class View(PlainView):
        Model = mapped

        def index(self, **kwargs: Any) -> Any:
            params = self._query_params
            nothing, typed = params.pop(NOTHING, None), params.pop(TYPED, None)
            if nothing is not None:
                params[nothing] = None
            if typed is not None:
                name, _, literal = typed.partition(":")
                params[name] = eval(literal, dict(vars(module)))
            return self.Model.get_collection(**params)

    return View


def _create_table(table: Any, types: dict[str, str], engine: Any) -> str:
    """Return the statement that makes *table* with other *types* of some columns."""
    from sqlalchemy import types as sqltypes

    lines = []
    for column in table.columns:
        if isinstance(column.type, sqltypes.Enum) and column.name not in types:
            column.type.create(engine, checkfirst=True)
        own = column.type.compile(dialect=engine.dialect)
        options = " PRIMARY KEY" if column.primary_key else "" if column.nullable else " NOT NULL"
        unique = " UNIQUE" if column.unique else ""
        lines.append(f'"{column.name}" {types.get(column.name, own)}{options}{unique}')
    quote = "`" if engine.dialect.name == "mysql" else '"'
    return f"CREATE TABLE {table.name} ({', '.join(lines)})".replace('"', quote)


def _insert(engine: Any, table: Any, key: int, values: dict[str, Any]) -> int:
    """Insert a row, with nulls for what the database refuses; returns how many, or all."""
    nothing: dict[str, Any] = dict.fromkeys(values)
    tries = [values, *({**values, name: None} for name in values), nothing]
    for attempt in tries:
        with contextlib.suppress(Exception), engine.begin() as connection:
            connection.execute(table.insert().values({"id": key, **attempt}))
            return sum(attempt[name] is not value for name, value in values.items())
    return len(values)


def serve(connection: Any, url: str, folder: Path, models: Sequence[Model]) -> None:
    """Run the application, and do what comes over *connection* until it is closed."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    try:
        application = Application(url, folder, models)
        refused = [application.fill(at, each.rows) for at, each in enumerate(models)]
    except Exception as error:  # noqa: BLE001 - the parent judges it
        frames = "".join(traceback.format_tb(error.__traceback__)[-2:])
        connection.send(f"{frames}{type(error).__name__}: {error}")
        return
    connection.send((application.tables, sum(refused)))
    with contextlib.suppress(EOFError):
        while True:
            work, number, argument = connection.recv()
            if work == "ask":
                connection.send([application.ask(number, each) for each in argument])
            else:
                connection.send(application.fill(number, argument))
