"""An application whose views narrow their collections, each in a way of its own.

The caller is ``REMOTE_USER``. Nobody may see more than the volumes and leaflets that they own.
"""

from __future__ import annotations

from pyramid.authentication import RemoteUserAuthenticationPolicy
from pyramid.authorization import ACLAuthorizationPolicy
from pyramid.config import Configurator

from tests.apps.wsgi import include_application, make_wsgi_app


def main(global_config, **settings):
    """Return the WSGI application."""
    config = Configurator(settings=settings)
    config.set_authentication_policy(RemoteUserAuthenticationPolicy())
    config.set_authorization_policy(ACLAuthorizationPolicy())
    return make_wsgi_app(config, includeme)


def includeme(config):
    include_application(config, "narrowed", "nefertari.elasticsearch")
