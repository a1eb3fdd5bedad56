"""Views: plain ones for each model, and ones that narrow or write."""

from __future__ import annotations

from tests.apps.every_field_mongo.models import (
    Custom,
    Item,
    Keeper,
    Label,
    Marked,
    Node,
    Plain,
    Tag,
    Visit,
)
from tests.apps.views import SearchWriteView


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
    root = config.get_root_resource()
    for member, collection, view in (
        ("narrow", "narrows", NarrowView),
        ("found", "founds", FoundView),
    ):
        root.add(member, collection, view=view, id_name="id")
    for member, collection, model in (
        ("item", "items", Item),
        ("keeper", "keepers", Keeper),
        ("tag", "tags", Tag),
        ("label", "labels", Label),
        ("visit", "visits", Visit),
        ("node", "nodes", Node),
        ("custom", "customs", Custom),
        ("mark", "marked", Marked),
        ("plain", "plains", Plain),
    ):
        view = type(f"{model.__name__}sView", (SearchWriteView,), {"Model": model})
        root.add(member, collection, view=view, id_name="id")
