"""Views: plain ones for each model, and ones that narrow, count, deny or write."""

from __future__ import annotations

from nefertari.acl import CollectionACL
from nefertari.view import BaseView
from nefertari.view_helpers import ESAggregator
from pyramid.security import Allow, Authenticated

from tests.apps.every_field.models import (
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


class ItemsView(PlainView):
    Model = Item


class KeepersView(PlainView):
    Model = Keeper


class TagsView(PlainView):
    Model = Tag


class LabelsView(PlainView):
    Model = Label


class VisitsView(PlainView):
    Model = Visit


class NodesView(PlainView):
    Model = Node


class CustomsView(PlainView):
    Model = Custom


class MarkedView(PlainView):
    Model = Marked


class PlainsView(PlainView):
    Model = Plain


class MineView(PlainView):
    """Only the caller's own items: an argument narrows the collection."""

    Model = Item

    def index(self, **kwargs):
        self._query_params["owner"] = self.request.remote_user or "nobody"
        return self.Model.get_collection(**self._query_params)


class NarrowView(PlainView):
    """Only the caller's own items: the result is used as a database query."""

    Model = Item

    def index(self, **kwargs):
        query = self.Model.get_collection(**self._query_params)
        return query.from_self().filter(Item.owner == (self.request.remote_user or "nobody"))


class FoundView(PlainView):
    """A search view, narrowed by an argument."""

    Model = Item

    def index(self, **kwargs):
        return self.get_collection_es()


class TouchView(PlainView):
    """Writes through what a collection gives."""

    Model = Item

    def index(self, **kwargs):
        items = self.Model.get_collection(**self._query_params)
        for item in items:
            item.name = item.shout()
        return items


class FacetsView(PlainView):
    """Aggregations under a name of its own."""

    Model = Item
    _aggregations_keys = ("facets",)


class RatherView(PlainView):
    """The same, said by each view for itself."""

    Model = Item

    def __init__(self, *args, **kwargs):
        self._aggregations_keys = ("rather",)
        super().__init__(*args, **kwargs)


class SiftedView(PlainView):
    """Leaves out some of what it found, in Python."""

    Model = Item

    def index(self, **kwargs):
        items = self.Model.get_collection(**self._query_params)
        return [item for item in items if item != "x"]


class BarrenView(PlainView):
    """Knows that there is nothing, and does not look."""

    Model = Item

    def index(self, **kwargs):
        return []


class BareView(PlainView):
    """Has no aggregations, whatever the settings say."""

    Model = Item

    def _setup_aggregation(self, aggregator=None):
        pass


class Renaming(ESAggregator):
    """An aggregator of the application's own."""

    def aggregate(self):
        return {"renamed": super().aggregate()}


class Broken(ESAggregator):
    """An aggregator with a mistake."""

    def aggregate(self):
        self.pop_aggregations_params()
        raise KeyError("mistake")


class RenamedView(PlainView):
    Model = Item

    def _setup_aggregation(self, aggregator=None):
        super()._setup_aggregation(Renaming)


class BrokenView(PlainView):
    Model = Item

    def _setup_aggregation(self, aggregator=None):
        super()._setup_aggregation(Broken)


class SecretACL(CollectionACL):
    """For users only."""

    __acl__ = ((Allow, Authenticated, ("view", "options")),)
    item_model = Item


def includeme(config):
    root = config.get_root_resource()
    for member, collection, view in (
        ("item", "items", ItemsView),
        ("keeper", "keepers", KeepersView),
        ("tag", "tags", TagsView),
        ("label", "labels", LabelsView),
        ("visit", "visits", VisitsView),
        ("node", "nodes", NodesView),
        ("custom", "customs", CustomsView),
        ("mark", "marked", MarkedView),
        ("plain", "plains", PlainsView),
        ("mine", "mine", MineView),
        ("narrow", "narrows", NarrowView),
        ("found", "founds", FoundView),
        ("touch", "touches", TouchView),
        ("facet", "facets", FacetsView),
        ("rather", "rathers", RatherView),
        ("sifted", "sifteds", SiftedView),
        ("barren", "barrens", BarrenView),
        ("bare", "bares", BareView),
        ("renamed", "renameds", RenamedView),
        ("broken", "brokens", BrokenView),
    ):
        root.add(member, collection, view=view, id_name="id")
    root.add(
        "secret",
        "secrets",
        view=type("SecretsView", (ItemsView,), {}),
        factory=SecretACL,
        auth=True,
        id_name="id",
    )
