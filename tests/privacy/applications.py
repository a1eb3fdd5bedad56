"""Which applications are asked, and how they get their databases."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path

from tests.apps import item_acls, partial, private_fields
from tests.servers import ElasticsearchServer, FerretdbServer, OpenSearchServer, PostgresServer
from tests.servers.shared import start_or_attach
from tests.support.apps import backend_and_hosts
from tests.support.mongodb import ini_on_mongodb

ENGINES = {
    "sqlite": "nefertari_sqla",
    "postgresql": "nefertari_sqla",
    "mongodb": "nefertari_mongodb",
    "engine": "nefertari_search_tween.engine",
}
SQL = ("sqlite", "postgresql")
BACKENDS = ("embedded", "elasticsearch", "opensearch")


@dataclass(frozen=True)
class Application:
    """One of tests/apps.

    :param ini: text of its ini file.
    :param callers: principals of those who ask: nobody, a user, one who may update, an admin.
    :param settings: more of them.
    :param primaries: keys of ENGINES that it runs on.
    :param answered: the share of reads that must be answered, or a run says nothing.
    """

    name: str
    ini: str
    callers: tuple[str, ...]
    settings: dict[str, str] = field(default_factory=dict)
    primaries: tuple[str, ...] = tuple(ENGINES)
    answered: float = 1 / 3


#: notes render themselves: parcels, which nest them, are searched only if that is trusted
TRUSTED = {"nefertari_search.trusted_hooks": "tests.apps.partial.models.Note.to_dict"}

APPLICATIONS = (
    Application(
        "private_fields",
        private_fields.INI,
        ("", "ann", "cal,g:editor"),
        {"members.login": "header"},
    ),
    Application(
        "limited",
        private_fields.INI,
        ("",),
        {"members.login": "header", "public_max_limit": "3"},
        answered=1 / 8,
    ),
    Application("item_acls", item_acls.INI, ("", "ann,g:staff")),
    Application("partial", partial.INI, ("", "ann", "bob,g:editor"), TRUSTED),
    # Searches of what renders itself are a 503.
    Application("rendered", partial.INI, ("", "ann"), answered=1 / 6),
    # Of tenants' models, too.
    *(
        Application(
            f"tenants_by_{kind}",
            partial.INI,
            ("ann", "bob,g:editor"),
            {**TRUSTED, "partial.tenants": value},
            primaries=SQL,
            # No search is, and most parameters ask for one.
            answered=1 / 16,
        )
        for kind, value in (("event", "compile"), ("class", "query_cls"))
    ),
)


def ini_of(application: Application, primary: str, folder: Path, cache: bool) -> str:
    """Write the ini file of one database, and return its path.

    :param primary: a key of ENGINES.
    """
    ini = application.ini.replace("engine = nefertari_sqla\n", f"engine = {ENGINES[primary]}\n")
    if primary == "mongodb":
        server = start_or_attach(FerretdbServer)
        settings = server.settings(f"test_{uuid.uuid4().hex[:12]}")
        ini = ini_on_mongodb(application.ini, settings)
    more = {"pyramid.includes": "\n  nefertari_search_tween\n  tests.apps.wsgi"}
    more |= application.settings
    if cache:
        more["nefertari_search.cache"] = "memory"
    for name, value in more.items():
        lines = [
            line
            for line in ini.splitlines()
            if not line.removeprefix("get ").startswith(f"{name} =")
        ]
        at = lines.index("[server:main]")
        ini = "\n".join([*lines[:at], f"{name} = {value}", *lines[at:]])
    file = folder / f"{application.name}.ini"
    file.write_text(ini)
    return str(file)


def options_of(primary: str, backend: str, folder: Path) -> dict[str, str]:
    """Variables of the ini file of one database."""
    database = f"sqlite:///{folder}/database.sqlite"
    if primary == "postgresql":
        database = start_or_attach(PostgresServer).create_database(f"test_{uuid.uuid4().hex[:12]}")
    url = f"embedded:{folder}/search"
    if backend == "elasticsearch":
        url = start_or_attach(ElasticsearchServer).url
    elif backend == "opensearch":
        url = f"opensearch+{start_or_attach(OpenSearchServer).url}"
    kind, hosts = backend_and_hosts(url)
    # The names of both are in nothing that is answered.
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    return {
        "database": database,
        "backend": kind,
        "elasticsearch_hosts": hosts,
        "index_name": prefix,
    }
