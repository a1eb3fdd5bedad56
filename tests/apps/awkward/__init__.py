"""Models, rows and keys that a mirror can't have, each beside some that it can."""

from __future__ import annotations

from pyramid.config import Configurator

from tests.apps.wsgi import include_application, ini_text, make_wsgi_app

INI = ini_text(
    "awkward",
    """
database = unset
engine = nefertari_sqla
sync = inline
""",
    """
get nefertari.engine = engine
auth = false
get sqlalchemy.url = database
get nefertari_search.sync = sync
""",
)


def main(global_config, **settings):
    """Return the WSGI application."""
    return make_wsgi_app(Configurator(settings=settings), includeme)


def includeme(config):
    include_application(config, "awkward", "nefertari.elasticsearch")
