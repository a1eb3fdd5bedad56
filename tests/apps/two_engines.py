"""An application on two engines, inspected in its own process; see test_two_engines.py.

``python -m tests.apps.two_engines key=value ...`` prints its observations as JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings


class Sql:
    """nefertari_sqla, and whether it was queried.

    Made when the application is there, and before its first connection: what one listens to is
    decided when it is made.
    """

    def __init__(self):
        import transaction
        from pyramid_sqlalchemy import Session, metadata
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        transaction.abort()
        Session.remove()
        self.statements = []
        # All engines: nefertari's setup_database creates another one than the session's.
        event.listen(Engine, "before_cursor_execute", lambda *args: self.note(args[2]))
        self.tables = sorted(name for name in metadata.tables if name.startswith("library_"))

    def note(self, statement):
        self.statements.append(statement)

    def start(self):
        del self.statements[:]

    def was_queried(self):
        return any("library_" in each for each in self.statements)

    def commit(self):
        import transaction

        transaction.commit()

    def abort(self):
        import transaction

        transaction.abort()


class Mongo:
    """nefertari_mongodb, and whether it was queried. It has no transactions to commit."""

    def __init__(self, commands):
        from nefertari_mongodb import get_document_classes

        self.commands = commands
        # They come with their first document.
        self.tables = sorted(
            model._get_collection_name()
            for model in get_document_classes().values()
            if model.__module__ == "tests.apps.any_engine.models"
        )

    def start(self):
        self.before = self.commands.count

    def was_queried(self):
        return self.commands.count > self.before

    def commit(self):
        """What was saved is stored."""

    abort = commit


def main(*pairs):
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    from webtest import TestApp

    from tests.apps.any_engine import main as library

    # They listen to connections that are opened from here on.
    from tests.support.mongodb import COMMANDS

    settings = dict(pair.split("=", 1) for pair in pairs)
    app = library({}, auth="false", **settings)
    from nefertari import engine

    from tests.apps.any_engine.models import Author, Book
    from tests.engine.contract.world import World

    sql = "nefertari_sqla" in settings["nefertari.engine"]
    database = Sql() if sql else Mongo(COMMANDS)
    world = World(TestApp(app), sql)
    world.books()

    def with_source(work):
        """Return the result of *work*, and whether it queried the application's tables."""
        database.start()
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - the caller checks it
            result = f"{type(error).__name__} {getattr(error, 'status_int', '')}".strip()
        queried = database.was_queried()
        database.abort()
        return [result, "primary" if queried else "mirror"]

    def codes(items):
        return sorted(each.code for each in items)

    first, second = engine.engines
    mirror = second.get_document_cls("Book")
    facts = {
        "engines": [first.__name__, second.__name__],
        "names are the first one's": engine.BaseDocument is first.BaseDocument,
        "tables": database.tables,
        "stored": {model.__name__: model.get_collection(_count=True) for model in world.models},
        "indices": sorted(
            each.name for each in app.registry.nefertari_search.mirrors if each.problem is None
        ),
        "secondary": [Book.secondary is mirror, mirror.primary is Book, mirror is not Book],
        "field classes": {
            name: [type(field).__name__, type(field).__module__]
            for name, field in mirror.fields().items()
            if name in ("code", "genre", "author", "printed")
        },
        "collection": [
            with_source(lambda: codes(Book.get_collection(genre="novel"))),
            with_source(lambda: codes(Book.get_collection(genre="novel", _query_secondary=True))),
            with_source(lambda: codes(Book.get_collection(genre="novel", _query_secondary=False))),
            with_source(lambda: codes(Book.secondary.get_collection(genre="novel"))),
            with_source(lambda: Book.get_collection(_count=True, _query_secondary=True)),
        ],
        "item": [
            with_source(lambda: Book.get_item(code="waves").title),
            with_source(lambda: Book.get_item(code="waves", _query_secondary=True).title),
            with_source(lambda: Book.get_item(code="waves", _query_secondary=False).title),
            with_source(lambda: Book.secondary.get_item(title="Orlando").code),
            with_source(lambda: Book.get_item(code="nothing", _query_secondary=True)),
            with_source(
                lambda: Book.get_item(code="nothing", _query_secondary=True, _raise_on_empty=False)
            ),
        ],
        "by ids": [
            with_source(lambda: codes(Book.get_by_ids(["waves", "room", "nothing"]))),
            with_source(lambda: codes(Book.get_by_ids(["waves", "room"], _query_secondary=True))),
            with_source(lambda: codes(Book.get_by_ids(["waves", "room"], _query_secondary=False))),
            with_source(lambda: codes(Book.secondary.get_by_ids(["waves", "nothing"]))),
            with_source(
                lambda: codes(
                    Book.get_by_ids(["waves", "room"], genre="essay", _query_secondary=True)
                )
            ),
        ],
        "over HTTP": [
            world.get("/books?_query_secondary=true")[0],
            world.app.get("/books").headers["X-Search-Engine"],
            world.app.get("/books?_search=false").headers["X-Search-Engine"],
        ],
    }

    def write_through():
        book = Book.secondary.get_item(code="waves")
        book.title = "Waves"
        if not sql:
            book.save()
        database.commit()
        return [
            Book.get_item(code="waves").title,
            Book.get_item(code="waves", _query_secondary=True).title,
        ]

    facts["a write through the mirror"] = write_through()
    facts["author"] = with_source(lambda: Author.get_item(code="joyce", _query_secondary=True).name)
    print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
