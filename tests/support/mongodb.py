"""What tests on MongoDB have in common: the application, and an eye on its commands.

One process has one engine, so these tests are marked ``mongodb``: tests/support/tiers.py.
"""

from __future__ import annotations

from typing import Any

from pymongo import monitoring
from webtest import TestApp

from tests.support.apps import TRUSTED_IN_ZOO, backend_and_hosts


def ini_on_mongodb(ini: str, settings: dict[str, str]) -> str:
    """The ini file of an application on SQL, for one on MongoDB.

    :param settings: the ``mongodb.*`` settings.
    """
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
    ini = ini.replace("get sqlalchemy.url = database\n", lines)
    return ini.replace("engine = nefertari_sqla\n", "engine = nefertari_mongodb\n")


class Commands(monitoring.CommandListener):
    """Counts the commands on collections of the application, those of all connections.

    Whether something waits in the outbox may be asked; nothing of the models.
    """

    def __init__(self) -> None:
        self.count = 0
        self.last: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        target = event.command.get(event.command_name)
        if event.command_name == "getMore":
            target = event.command.get("collection")
        if isinstance(target, str) and not target.startswith("nefertari_search_"):
            self.count += 1
            self.last = [*self.last[-4:], f"{event.command_name} {target}"]

    def succeeded(self, event: Any) -> None:
        """Nothing: the start was counted."""

    def failed(self, event: Any) -> None:
        """Nothing: the start was counted."""


COMMANDS = Commands()
monitoring.register(COMMANDS)


def settings(database: dict[str, str], url: str, prefix: str) -> dict[str, str]:
    """Settings of an application.

    :param database: the ``mongodb.*`` settings.
    :param url: of the backend.
    """
    backend, hosts = backend_and_hosts(url)
    return {
        "pyramid.includes": "nefertari_search_tween",
        "nefertari.engine": "nefertari_mongodb",
        "auth": "false",
        "nefertari_search.backend": backend,
        "elasticsearch.hosts": hosts,
        "elasticsearch.index_name": prefix,
        **database,
    }


def zoo(database: dict[str, str], url: str, prefix: str, **more: Any) -> TestApp:
    """The zoo application on *database*; connections of one made before are closed."""
    import mongoengine

    from tests.apps.every_field_mongo import main

    mongoengine.disconnect()
    trusted = {"nefertari_search.trusted_hooks": TRUSTED_IN_ZOO}
    return TestApp(main({}, **{**settings(database, url, prefix), **trusted, **more}))
