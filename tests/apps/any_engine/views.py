"""Plain views of the library."""

from __future__ import annotations

from tests.apps.any_engine.models import Author, Book, Card, Chapter, Profile
from tests.apps.views import PlainView


class LibraryView(PlainView):
    """Collections and items of one model, as in nefertari's own example."""

    def replace(self, **kwargs):
        return self.update(**kwargs)

    def update_many(self, **kwargs):
        items = self.Model.get_collection(**self._query_params)
        return self.Model._update_many(items, self._json_params, self.request)

    def delete_many(self, **kwargs):
        items = self.Model.get_collection(**self._query_params)
        return self.Model._delete_many(items, self.request)


class AuthorsView(LibraryView):
    Model = Author


class ProfilesView(LibraryView):
    Model = Profile


class BooksView(LibraryView):
    Model = Book


class ChaptersView(LibraryView):
    Model = Chapter


class CardsView(LibraryView):
    Model = Card


class FoundView(LibraryView):
    """Books by search."""

    Model = Book

    def index(self, **kwargs):
        return self.get_collection_es()


def includeme(config):
    root = config.get_root_resource()
    for member, collection, view in (
        ("found", "founds", FoundView),
        ("author", "authors", AuthorsView),
        ("profile", "profiles", ProfilesView),
        ("book", "books", BooksView),
        ("chapter", "chapters", ChaptersView),
        ("card", "cards", CardsView),
    ):
        root.add(member, collection, view=view, id_name="id")
