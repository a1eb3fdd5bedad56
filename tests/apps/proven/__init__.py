"""Models whose columns differ from the ordinary: in their types, their code, or in the database."""

from __future__ import annotations

from pyramid.config import Configurator

from tests.apps.wsgi import include_application, ini_text, make_wsgi_app

INI = ini_text(
    "proven",
    """
database = unset
""",
    """
nefertari.engine = nefertari_sqla
auth = false
get sqlalchemy.url = database
""",
)


def main(global_config, **settings):
    """Return the WSGI application."""
    return make_wsgi_app(Configurator(settings=settings), includeme)


def includeme(config):
    include_application(config, "proven")
