"""The databases that models are tried on: by dialect, the ways in which one can be made."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.columns.kinds import MARIADB, POSTGRESQL, SQLITE
from tests.servers import MariadbServer
from tests.servers.shared import start_or_attach
from tests.support.generated import Database, postgresql_database, sqlite_database


def mariadb_database(folder: Path) -> tuple[str, Callable[[], None]]:
    name = f"generated_{uuid.uuid4().hex[:12]}"
    return start_or_attach(MariadbServer).create_database(name), lambda: None


def _icu(locale: str) -> Database:
    options = ("--template=template0", "--locale-provider=icu", f"--icu-locale={locale}")
    return partial(_postgresql_database, options)


def _postgresql_database(options: tuple[str, ...], folder: Path) -> tuple[str, Callable[[], None]]:
    return postgresql_database(folder, *options)


DATABASES: dict[str, dict[str, Database]] = {
    SQLITE: {"sqlite": sqlite_database},
    POSTGRESQL: {
        # That of the server: libc, and C.UTF-8.
        "postgresql": postgresql_database,
        "postgresql, ICU en-US": _icu("en-US"),
        "postgresql, ICU de": _icu("de-u-ks-level1"),
        "postgresql, C": partial(_postgresql_database, ("--template=template0", "--locale=C")),
    },
    MARIADB: {"mariadb": mariadb_database},
}
