"""Views: plain ones for each model, and ones that narrow or write."""

from __future__ import annotations

from tests.apps.every_field_mongo import models
from tests.apps.every_field_mongo.models import Item
from tests.apps.views import SearchWriteView, add_zoo_views


class NarrowView(SearchWriteView):
    """Only one owner's items: the result is used as a database query."""

    Model = Item

    def index(self, **kwargs):
        return self.Model.get_collection(**self._query_params).filter(owner="bob")


class FoundView(SearchWriteView):
    """A search view."""

    Model = Item

    def index(self, **kwargs):
        return self.get_collection_es()


def includeme(config):
    add_zoo_views(config, models)
    root = config.get_root_resource()
    for member, collection, view in (
        ("narrow", "narrows", NarrowView),
        ("found", "founds", FoundView),
    ):
        root.add(member, collection, view=view, id_name="id")
