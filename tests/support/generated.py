"""Applications of generated models, each in a process of its own, on a database of its own."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import types
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.servers import PostgresServer
from tests.servers.shared import start_or_attach

CONTEXT = multiprocessing.get_context("fork")

#: makes an empty database, given a folder; returns its URL, and what removes it
Database = Callable[[Path], tuple[str, Callable[[], None]]]
T = TypeVar("T")


def sqlite_database(folder: Path) -> tuple[str, Callable[[], None]]:
    return f"sqlite:///{folder}/database.sqlite", lambda: None


def postgresql_database(folder: Path, *options: str) -> tuple[str, Callable[[], None]]:
    server, name = start_or_attach(PostgresServer), f"generated_{uuid.uuid4().hex[:12]}"
    return server.create_database(name, *options), lambda: server.drop_database(name)


DATABASES: dict[str, Database] = {"sqlite": sqlite_database, "postgresql": postgresql_database}


@contextmanager
def forked(target: Callable[..., None], database: Database, *arguments: Any) -> Iterator[Any]:
    """Run *target* in a process of its own, and end it.

    It gets its end of a connection, the URL of a database of its own, a folder, and *arguments*.

    :returns: the other end of the connection.
    """
    folder = Path(tempfile.mkdtemp(prefix="generated-"))
    url, remove = database(folder)
    ours, theirs = CONTEXT.Pipe()
    arguments = (theirs, url, folder, *arguments)
    process = CONTEXT.Process(target=_run, args=(ours, target, arguments))
    try:
        process.start()
        theirs.close()
        yield ours
        ours.close()
        process.join(1)
    finally:
        process.kill()
        process.join()
        process.close()
        remove()
        shutil.rmtree(folder, ignore_errors=True)


def _run(others: Any, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # Or the connection would not end for this process when the other one closes it.
    others.close()
    target(*arguments)


def import_old_stack() -> None:
    """Import what each forked process would import otherwise."""
    import nefertari_sqla  # noqa: F401
    import zope.sqlalchemy  # noqa: F401

    import nefertari_search_tween  # noqa: F401
    from tests.apps import wsgi  # noqa: F401


def make_application(
    text: str,
    url: str,
    folder: Path,
    settings: dict[str, str],
    finish: Callable[[Any, types.ModuleType], None] = lambda config, models: None,
) -> tuple[Any, Any, types.ModuleType]:
    """Make the application of the models in *text*.

    :param url: of its database.
    :param folder: of the indices.
    :param finish: called with the configurator and the module of models, before the tables that
        are missing are created.
    :returns: the WSGI application, its registry and the module of models.
    """
    from pyramid.config import Configurator

    from tests.apps.wsgi import make_wsgi_app

    models = types.ModuleType("generated_models")
    config = Configurator(
        settings={
            "pyramid.includes": "nefertari_search_tween",
            "nefertari.engine": "nefertari_sqla",
            "sqlalchemy.url": url,
            "auth": "false",
            "nefertari_search.backend": f"embedded:{folder}",
            "elasticsearch.index_name": "generated",
            **settings,
        }
    )

    def includeme(config: Any) -> None:
        exec(compile(text, "generated_models.py", "exec"), models.__dict__)
        for part in ("nefertari", "nefertari.view", "nefertari.json_httpexceptions"):
            config.include(part)
        finish(config, models)

    return make_wsgi_app(config, includeme), config.registry, models


def fewer(items: Sequence[T]) -> Iterator[list[T]]:
    """Yield *items* without long parts of them, and then without short ones."""
    size = len(items) // 2
    while size:
        for at in range(0, len(items), size):
            yield [*items[:at], *items[at + size :]]
        size //= 2
