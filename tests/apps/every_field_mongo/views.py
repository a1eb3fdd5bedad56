"""Views: plain ones for each model, and ones that narrow or write."""

from __future__ import annotations

from nefertari.view import BaseView

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


class PlainView(BaseView):
    """Collections and items of one model."""

    def index(self, **kwargs):
        return self.Model.get_collection(**self._query_params)

    def show(self, **kwargs):
        return self.Model.get_item(**{self.Model.pk_field(): kwargs["id"]})

    def create(self, **kwargs):
        return self.Model(**self._json_params).save(self.request)

    def update(self, **kwargs):
        return self.show(**kwargs).update(self._json_params, self.request)

    def delete(self, **kwargs):
        self.show(**kwargs).delete(self.request)

    def update_many(self, **kwargs):
        items = self.Model.filter_objects(self.get_collection_es())
        return self.Model._update_many(items, self._json_params, self.request)

    def delete_many(self, **kwargs):
        items = self.Model.filter_objects(self.get_collection_es())
        return self.Model._delete_many(items, self.request)


class NarrowView(PlainView):
    """Only one owner's items: the result is used as a database query."""

    Model = Item

    def index(self, **kwargs):
        return self.Model.get_collection(**self._query_params).filter(owner="bob")


class FoundView(PlainView):
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
        view = type(f"{model.__name__}sView", (PlainView,), {"Model": model})
        root.add(member, collection, view=view, id_name="id")
