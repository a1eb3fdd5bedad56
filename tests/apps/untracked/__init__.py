"""An application with a relationship whose changes can't be followed: by a function of SQL."""

from __future__ import annotations

from pyramid.config import Configurator

from tests.apps.wsgi import include_application, ini_text, make_wsgi_app

INI = ini_text(
    "untracked",
    """
database = unset
trusted_members =
""",
    """
nefertari.engine = nefertari_sqla
auth = false
get sqlalchemy.url = database
get nefertari_search.trusted_members = trusted_members
""",
)


def main(global_config, **settings):
    """Return the WSGI application."""
    return make_wsgi_app(Configurator(settings=settings), includeme)


def includeme(config):
    include_application(config, "untracked")
