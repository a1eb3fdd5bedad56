"""A nefertari application with every field class, every form of relationship, and views that
narrow or deny: what the example application does not need, and others have."""

from __future__ import annotations

from pyramid.authentication import RemoteUserAuthenticationPolicy
from pyramid.authorization import ACLAuthorizationPolicy
from pyramid.config import Configurator


def main(global_config, **settings):
    """Return the WSGI application; ``REMOTE_USER`` names the caller."""
    config = Configurator(settings=settings)
    config.set_authentication_policy(RemoteUserAuthenticationPolicy())
    config.set_authorization_policy(ACLAuthorizationPolicy())
    config.include("nefertari.engine")
    config.include(includeme)
    from nefertari.engine import setup_database

    setup_database(config)
    config.commit()
    return config.make_wsgi_app()


def includeme(config):
    config.include("tests.zoo.models")
    config.include("nefertari")
    config.include("nefertari.view")
    config.include("nefertari.json_httpexceptions")
    config.include("tests.zoo.views")
