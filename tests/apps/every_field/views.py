"""Views: plain ones for each model, and ones that narrow, count, deny or write."""

from __future__ import annotations

from nefertari.acl import CollectionACL
from nefertari.view_helpers import ESAggregator
from pyramid.security import Allow, Authenticated

from tests.apps.every_field import models
from tests.apps.every_field.models import Item, Meal, Pen, Round
from tests.apps.views import SearchWriteView, add_model_views, add_zoo_views


class MineView(SearchWriteView):
    """Only the caller's own items: an argument narrows the collection."""

    Model = Item

    def index(self, **kwargs):
        self._query_params["owner"] = self.request.remote_user or "nobody"
        return self.Model.get_collection(**self._query_params)


class NarrowView(SearchWriteView):
    """Only the caller's own items: the result is used as a database query."""

    Model = Item

    def index(self, **kwargs):
        query = self.Model.get_collection(**self._query_params)
        return query.from_self().filter(Item.owner == (self.request.remote_user or "nobody"))


class FoundView(SearchWriteView):
    """A search view, narrowed by an argument."""

    Model = Item

    def index(self, **kwargs):
        return self.get_collection_es()


class TouchView(SearchWriteView):
    """Writes to the results of a collection."""

    Model = Item

    def index(self, **kwargs):
        items = self.Model.get_collection(**self._query_params)
        for item in items:
            item.name = item.shout()
        return items


class FacetsView(SearchWriteView):
    """Aggregations under its own parameter name."""

    Model = Item
    _aggregations_keys = ("facets",)


class RatherView(SearchWriteView):
    """The same, set by each view instance."""

    Model = Item

    def __init__(self, *args, **kwargs):
        self._aggregations_keys = ("rather",)
        super().__init__(*args, **kwargs)


class ChosenView(SearchWriteView):
    """Of a model that each view instance chooses."""

    def __init__(self, *args, **kwargs):
        self.Model = Item
        super().__init__(*args, **kwargs)


class SiftedView(SearchWriteView):
    """Filters its results in Python."""

    Model = Item

    def index(self, **kwargs):
        items = self.Model.get_collection(**self._query_params)
        return [item for item in items if item != "x"]


class BarrenView(SearchWriteView):
    """Returns nothing without a query."""

    Model = Item

    def index(self, **kwargs):
        return []


class BareView(SearchWriteView):
    """Has no aggregations, whatever the settings."""

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


class RenamedView(SearchWriteView):
    Model = Item

    def _setup_aggregation(self, aggregator=None):
        super()._setup_aggregation(Renaming)


class BrokenView(SearchWriteView):
    Model = Item

    def _setup_aggregation(self, aggregator=None):
        super()._setup_aggregation(Broken)


class SecretACL(CollectionACL):
    """For users only."""

    __acl__ = ((Allow, Authenticated, ("view", "options")),)
    item_model = Item


def includeme(config):
    add_zoo_views(config, models)
    root = config.get_root_resource()
    for member, collection, view in (
        ("mine", "mine", MineView),
        ("narrow", "narrows", NarrowView),
        ("found", "founds", FoundView),
        ("touch", "touches", TouchView),
        ("chosen", "chosens", ChosenView),
        ("facet", "facets", FacetsView),
        ("rather", "rathers", RatherView),
        ("sifted", "sifteds", SiftedView),
        ("barren", "barrens", BarrenView),
        ("bare", "bares", BareView),
        ("renamed", "renameds", RenamedView),
        ("broken", "brokens", BrokenView),
    ):
        root.add(member, collection, view=view, id_name="id")
    add_model_views(
        config, (("pen", "pens", Pen), ("round", "rounds", Round), ("meal", "meals", Meal))
    )
    root.add(
        "secret",
        "secrets",
        view=type("SecretsView", (SearchWriteView,), {"Model": Item}),
        factory=SecretACL,
        auth=True,
        id_name="id",
    )
