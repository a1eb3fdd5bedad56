"""Views: plain ones for each model, and ones that narrow or write."""

from __future__ import annotations

from mongoengine import QuerySet

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


class ProbeView(SearchWriteView):
    """Shows what it sees of its collection."""

    Model = Item

    def index(self, **kwargs):
        items = self.Model.get_collection(**self._query_params)
        first = self.Model.objects.order_by("id").first()
        report = (
            (isinstance(items, QuerySet), bool(items), len(items), items.count()),
            [(type(each) is Item, each in items, each == first) for each in items],
            [(each.words, each.options, each.thing) for each in items],
        )
        return {"report": repr(report)}


class RenameView(SearchWriteView):
    """Writes between reading and returning."""

    Model = Item

    def index(self, **kwargs):
        items = self.Model.get_collection(**self._query_params)
        self.Model.objects.update(set__name="written")
        return items


def includeme(config):
    add_zoo_views(config, models)
    root = config.get_root_resource()
    for member, collection, view in (
        ("narrow", "narrows", NarrowView),
        ("found", "founds", FoundView),
        ("probe", "probes", ProbeView),
        ("rename", "renames", RenameView),
    ):
        root.add(member, collection, view=view, id_name="id")
