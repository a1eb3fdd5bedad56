"""Makes the applications that tests talk to: real ones, on a real database and a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import transaction
from pyramid.paster import get_app
from webtest import TestApp

from nefertari_search_tween.concurrency.threads import wait_until
from tests.servers import shared
from tests.support.forked import run_python
from tests.support.paths import TOP

INI = TOP / "development.ini"
SHARED_MODELS = "tests.apps.zoo_models"
#: what renders itself there, and the same for all requests: it can be searched
TRUSTED_IN_ZOO = "tests.apps.zoo_models.Custom.to_dict"
# Seconds; most tests are not about it, and the machine may be busy with others.
SEARCH_TIMEOUT = "20"
_left_out: set[Any] = set()


def film_options(directory: Path, url: str, prefix: str) -> dict[str, str]:
    """Variables of the example application's ini file."""
    backend, hosts = backend_and_hosts(url)
    return {
        "database": str(directory / "films.sqlite"),
        "backend": backend,
        "elasticsearch_hosts": hosts,
        "index_name": prefix,
        "search_timeout": SEARCH_TIMEOUT,
    }


def backend_and_hosts(url: str) -> tuple[str, str]:
    """The settings for a backend: ``http://h:p``, ``opensearch+http://h:p``, ``embedded:DIR``."""
    if url.startswith("embedded:"):
        return url, ""
    kind, plus, _ = url.partition("+")
    return kind if plus else "elasticsearch", url.partition("://")[2]


class Films(NamedTuple):
    """Where the loaded films are: arguments of :func:`films`."""

    directory: Path
    url: str
    prefix: str


def films(directory: Path, url: str, prefix: str) -> TestApp:
    """The example application; its database holds the films when `load_films` was called."""
    forget_sessions()
    leave_out_models_of_others("films")
    return TestApp(get_app(str(INI), options=film_options(directory, url, prefix)))


def load_films(directory: Path, url: str, prefix: str) -> None:
    """Load the films by the example's own command, and build the indices by the package's."""
    from nefertari_search_tween.indexing.rebuild import rebuild
    from nefertari_search_tween.scripts.main import cli

    forget_sessions()
    leave_out_models_of_others("films")
    variables = [f"{key}={value}" for key, value in film_options(directory, url, prefix).items()]
    with shared.made_once("films.sqlite", _load_database) as database:
        shutil.copy(database, directory / database.name)
    with pytest.MonkeyPatch.context() as patch:
        # Nobody writes meanwhile: there are no older claims to be waited for.
        patch.setattr(rebuild, "SETTLE_SECONDS", 0)
        cli(["rebuild", str(INI), *variables, "--json"], standalone_mode=False)


def _load_database(file: Path) -> None:
    """Fill the database as the application does without the package: no change waits in copies."""
    ini = file.with_suffix(".ini")
    text, count = re.subn(r"(?m)^pyramid\.includes = nefertari_search_tween$", "", INI.read_text())
    assert count == 1, f"{INI} does not include the package in a line of its own"
    ini.write_text(text)
    done = run_python("-m", "films.load", ini, f"database={file}", env=os.environ)
    assert done.returncode == 0, done.stderr


def zoo(database_url: str, url: str, prefix: str, **settings: Any) -> TestApp:
    """The zoo application (tests/apps/every_field) on *database_url*."""
    from tests.apps.every_field import main

    trusted = {"nefertari_search.trusted_hooks": TRUSTED_IN_ZOO}
    return _test_app(main, database_url, url, prefix, {**trusted, **settings})


def museum(database_url: str, url: str, prefix: str, **settings: Any) -> TestApp:
    """The museum application (tests/apps/multi_collection) on *database_url*."""
    from tests.apps.multi_collection import main

    polymorphic = {
        "elasticsearch.enable_polymorphic_query": "true",
        "elasticsearch.enable_aggregations": "true",
    }
    return _test_app(main, database_url, url, prefix, {**polymorphic, **settings})


def narrowed(database_url: str, url: str, prefix: str, **settings: Any) -> TestApp:
    """The application of narrowed views (tests/apps/narrowed) on *database_url*."""
    from tests.apps.narrowed import main

    on = {"elasticsearch.enable_aggregations": "true"}
    return _test_app(main, database_url, url, prefix, {**on, **settings})


def awkward(database_url: str, url: str, prefix: str, **settings: Any) -> TestApp:
    """The application of awkward models (tests/apps/awkward) on *database_url*."""
    from tests.apps.awkward import main

    return _test_app(main, database_url, url, prefix, settings)


def proven(database_url: str, url: str, prefix: str, **settings: Any) -> TestApp:
    """The application of odd columns (tests/apps/proven) on *database_url*."""
    from tests.apps.proven import main

    return _test_app(main, database_url, url, prefix, settings)


def command_of_proven(
    command: str, database_url: str, url: str, prefix: str, folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run ``nefertari-search`` *command* on the application of odd columns, and on its indices."""
    from tests.apps.proven import INI as PROVEN

    ini = folder / "proven.ini"
    ini.write_text(PROVEN)
    backend, hosts = backend_and_hosts(url)
    variables = {
        "database": database_url,
        "backend": backend,
        "elasticsearch_hosts": hosts,
        "index_name": prefix,
    }
    words = ["-m", "nefertari_search_tween.scripts.main", command, str(ini), *arguments]
    words += [f"{name}={value}" for name, value in variables.items()]
    return run_python(
        *words, env={**os.environ, "PYTHONPATH": str(TOP), "PYTHONWARNINGS": "ignore"}
    )


def untracked(database_url: str, url: str, prefix: str, **settings: Any) -> TestApp:
    """The application of what can't be followed (tests/apps/untracked) on *database_url*."""
    from tests.apps.untracked import main

    return _test_app(main, database_url, url, prefix, settings)


def observed(database_url: str, url: str, prefix: str, **settings: Any) -> TestApp:
    """The application of views that look (tests/apps/observed) on *database_url*."""
    from tests.apps.observed import main

    return _test_app(main, database_url, url, prefix, settings)


def _test_app(
    main: Any, database_url: str, url: str, prefix: str, settings: dict[str, Any]
) -> TestApp:
    forget_sessions()
    leave_out_models_of_others(main.__module__)
    backend, hosts = backend_and_hosts(url)
    return TestApp(
        main(
            {},
            **{
                "pyramid.includes": "nefertari_search_tween",
                "nefertari.engine": "nefertari_sqla",
                "sqlalchemy.url": database_url,
                "auth": "false",
                "nefertari_search.backend": backend,
                "elasticsearch.hosts": hosts,
                "elasticsearch.index_name": prefix,
                "nefertari_search.search_timeout": SEARCH_TIMEOUT,
                **settings,
            },
        )
    )


def leave_out_models_of_others(package: str) -> None:
    """Keep models that other tests have defined out of the next application's mirrors.

    nefertari's models are the process's: by the end of a run there are a hundred, and each
    application would make an index for every one of them.
    """
    from nefertari_sqla import get_document_classes

    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(".py")[0].replace("/", ".")
    for model in get_document_classes().values():
        own = model.__module__.startswith((f"{package}.", SHARED_MODELS, test or package))
        if own and model in _left_out:
            _left_out.remove(model)
            model._index_enabled = True
        elif not own and getattr(model, "_index_enabled", False):
            _left_out.add(model)
            model._index_enabled = False


def forget_sessions() -> None:
    """Let go of the session of an application made before: it keeps that one's database."""
    from pyramid_sqlalchemy import Session

    transaction.abort()
    Session.remove()


def search_of(app: TestApp) -> Any:
    """The package's own object of the application behind *app*."""
    return app.app.registry.nefertari_search


def index_everything(app: TestApp) -> None:
    """Index all that is pending, and wait for what another thread or process has claimed."""
    search = search_of(app)
    search.indexer.drain()

    def nothing_is_pending() -> bool:
        return not any(search.outbox.sync_state(mirror.name).pending for mirror in search.mirrors)

    assert wait_until(nothing_is_pending, float(SEARCH_TIMEOUT)), "rows are still pending"
