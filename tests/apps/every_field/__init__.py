"""A nefertari application with every field class, every form of relationship, and views that
narrow or deny: what the example application does not need, and others have."""

from __future__ import annotations

from pyramid.authentication import RemoteUserAuthenticationPolicy
from pyramid.authorization import ACLAuthorizationPolicy
from pyramid.config import Configurator

from tests.apps.wsgi import include_application, ini_text, make_wsgi_app

INI = ini_text(
    "every_field",
    """
database = unset
fallback = true
sync = inline
""",
    """
nefertari.engine = nefertari_sqla
auth = false
get sqlalchemy.url = database
get nefertari_search.fallback_to_primary = fallback
get nefertari_search.sync = sync
nefertari_search.search_timeout = 1
nefertari_search.trusted_hooks = tests.apps.zoo_models.Custom.to_dict
""",
)


def main(global_config, **settings):
    """Return the WSGI application; ``REMOTE_USER`` names the caller."""
    config = Configurator(settings=settings)
    config.set_authentication_policy(RemoteUserAuthenticationPolicy())
    config.set_authorization_policy(ACLAuthorizationPolicy())
    return make_wsgi_app(config, includeme)


def includeme(config):
    include_application(config, "every_field")
