"""A library on Ramses: nested resources, relationships, ticket auth, processors, event handlers,
ACLs of callables, and (``database_acls = true``) ACLs in the database.

It knows nothing of search beyond what Ramses and nefertari ask for, and runs on both of nefertari's
engines: relationships are set as such, and have the rules of both for what is deleted.
"""

from __future__ import annotations

import datetime
import re

import cryptacular.bcrypt
from pyramid.config import Configurator
from pyramid.security import Allow
from ramses import registry

crypt = cryptacular.bcrypt.BCRYPTPasswordManager()


def main(global_config, **settings):
    """Return the WSGI application."""
    config = Configurator(settings=settings)
    config.include("ramses")
    return config.make_wsgi_app()


# Field processors


@registry.add
def lower_strip(**kwargs):
    return (kwargs["new_value"] or "").lower().strip()


@registry.add
def encrypt(**kwargs):
    """Hash passwords; leave a hash unchanged."""
    password = kwargs["new_value"]
    if crypt.match(password):
        return password
    return str(crypt.encode(password))


@registry.add
def as_moment(**kwargs):
    """SQLite's driver takes no texts for moments."""
    value = kwargs["new_value"]
    return datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ") if value else None


# Event handlers


@registry.add
def set_slug(event):
    """Set the slug of a book from its title."""
    title = event.fields.get("title")
    if title is not None and title.new_value:
        event.set_field_value("slug", re.sub(r"\W+", "-", title.new_value.lower()).strip("-"))


@registry.add
def sign(event):
    """Set the author of a review to the user who sends it."""
    user = event.view.request.user
    event.set_field_value("reviewer", user.username)
    event.set_field_value("user", user)


@registry.add
def count_reviews(event):
    """An object that the request does not name: the book of a new review."""
    from nefertari import engine

    key = event.response.get("book")
    book = engine.get_document_cls("Book").get_item(id=key, _raise_on_empty=False)
    if book is not None:
        book.update({"review_count": len(book.reviews)})


@registry.add
def whisper(event):
    """Change a response; the document is unchanged."""
    if event.response is not None:
        for author in event.response.get("data", [event.response]):
            if author.get("name"):
                author["display_name"] = f"~ {author['name']} ~"


# Principals


@registry.add
def reviewer(ace, request, obj):
    """The user who wrote a review may do with it what the entry says."""
    return _to_user(ace, obj)


@registry.add
def themself(ace, request, obj):
    """A user may do with their own account and profile what the entry says."""
    return [(Allow, obj.username, ace[2])] if hasattr(obj, "username") else _to_user(ace, obj)


def _to_user(ace, obj):
    user = getattr(obj, "user", None)
    # A document has the user's key in their place.
    return [(Allow, getattr(user, "username", user), ace[2])] if user else None
