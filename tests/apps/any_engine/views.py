"""Plain views of the library."""

from __future__ import annotations

from nefertari.view import BaseView

from tests.apps.any_engine.models import Author, Book, Card, Chapter, Profile


class PlainView(BaseView):
    """Collections and items of one model, as nefertari's own example has them."""

    def index(self, **kwargs):
        return self.Model.get_collection(**self._query_params)

    def show(self, **kwargs):
        return self.Model.get_item(**{self.Model.pk_field(): kwargs["id"]})

    def create(self, **kwargs):
        return self.Model(**self._json_params).save(self.request)

    def update(self, **kwargs):
        return self.show(**kwargs).update(self._json_params, self.request)

    def replace(self, **kwargs):
        return self.update(**kwargs)

    def delete(self, **kwargs):
        self.show(**kwargs).delete(self.request)

    def update_many(self, **kwargs):
        items = self.Model.get_collection(**self._query_params)
        return self.Model._update_many(items, self._json_params, self.request)

    def delete_many(self, **kwargs):
        items = self.Model.get_collection(**self._query_params)
        return self.Model._delete_many(items, self.request)


class AuthorsView(PlainView):
    Model = Author


class ProfilesView(PlainView):
    Model = Profile


class BooksView(PlainView):
    Model = Book


class ChaptersView(PlainView):
    Model = Chapter


class CardsView(PlainView):
    Model = Card


class FoundView(PlainView):
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
