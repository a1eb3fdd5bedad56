"""What the applications of tests have in common: how they are put together, and their ini files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.tweens import INGRESS

_INI = """
[DEFAULT]
http_port = 6543
elasticsearch_hosts =
index_name = unset
backend =
{variables}

[app:main]
use = call:tests.apps.{name}:main
pyramid.includes = nefertari_search_tween
get elasticsearch.hosts = elasticsearch_hosts
get elasticsearch.index_name = index_name
get nefertari_search.backend = backend
{settings}

[server:main]
use = egg:waitress#main
host = 127.0.0.1
threads = 8
get port = http_port
"""
#: the end of an ini file: warnings go to the standard error
LOGGING = """
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARNING
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = %(levelname)s [%(name)s] %(message)s
"""


def ini_text(name: str, variables: str, settings: str) -> str:
    """Return an ini file of ``tests.apps.NAME``, for pserve and the command line.

    :param variables: lines of more variables than all have: those that are unset are passed as
        key=value arguments.
    :param settings: lines of the application's own settings.
    """
    ini = _INI.format(name=name, variables=variables.strip(), settings=settings.strip())
    return ini + LOGGING


def includeme(config: Any) -> None:
    """Let every method be sent by GET (``_m=PATCH``), in whatever application."""
    config.add_tween("nefertari.tweens.get_tunneling", under=INGRESS)


def include_application(config: Any, name: str, *parts: str) -> None:
    """Include nefertari between the models and the views of ``tests.apps.NAME``.

    :param parts: more to include before the views.
    """
    for part in (
        f"tests.apps.{name}.models",
        "nefertari",
        "nefertari.view",
        "nefertari.json_httpexceptions",
        *parts,
        f"tests.apps.{name}.views",
    ):
        config.include(part)


def make_wsgi_app(config: Any, includeme: Callable[[Any], None]) -> Any:
    """Return the WSGI application that *includeme* sets up, with its database."""
    config.include("nefertari.engine")
    config.include(includeme)
    from nefertari.engine import setup_database

    setup_database(config)
    config.commit()
    return config.make_wsgi_app()
