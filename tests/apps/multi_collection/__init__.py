"""A nefertari application whose models have little in common: for requests of multiple collections.

A field name may have another type, be visible in one model and hidden in another, or be missing.
"""

from __future__ import annotations

from pyramid.authentication import RemoteUserAuthenticationPolicy
from pyramid.authorization import ACLAuthorizationPolicy
from pyramid.config import Configurator

from tests.apps.wsgi import include_application, make_wsgi_app


class User:
    """Who asks: ``REMOTE_USER``, by name alone."""

    def __init__(self, name):
        self.name = name

    @staticmethod
    def is_admin(user):
        return user.name == "admin"


def user_of(request):
    return User(request.remote_user) if request.remote_user else None


def principals(user_name, request):
    return ["g:admin"] if user_name == "admin" else []


def main(global_config, **settings):
    """Return the WSGI application."""
    config = Configurator(settings=settings)
    config.set_authentication_policy(RemoteUserAuthenticationPolicy(callback=principals))
    config.set_authorization_policy(ACLAuthorizationPolicy())
    config.add_request_method(user_of, "user", reify=True)
    return make_wsgi_app(config, includeme)


def includeme(config):
    include_application(config, "multi_collection", "nefertari.elasticsearch")
