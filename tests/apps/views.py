"""Views of one model, as in nefertari's own example, for all applications."""

from __future__ import annotations

from nefertari.view import BaseView


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


class SearchWriteView(PlainView):
    """Updates and deletes the items that a search finds."""

    def update_many(self, **kwargs):
        items = self.Model.filter_objects(self.get_collection_es())
        return self.Model._update_many(items, self._json_params, self.request)

    def delete_many(self, **kwargs):
        items = self.Model.filter_objects(self.get_collection_es())
        return self.Model._delete_many(items, self.request)


def add_model_views(config, models):
    """Add a plain view of each of *models*: name of an item, of the collection, and the model."""
    root = config.get_root_resource()
    for member, collection, model in models:
        view = type(f"{model.__name__}sView", (SearchWriteView,), {"Model": model})
        root.add(member, collection, view=view, id_name="id")


def add_zoo_views(config, models):
    """Add plain views of the models that the zoos on SQL and on MongoDB both have.

    :param models: the module with them.
    """
    add_model_views(
        config,
        (
            ("item", "items", models.Item),
            ("keeper", "keepers", models.Keeper),
            ("tag", "tags", models.Tag),
            ("label", "labels", models.Label),
            ("visit", "visits", models.Visit),
            ("node", "nodes", models.Node),
            ("custom", "customs", models.Custom),
            ("mark", "marked", models.Marked),
            ("plain", "plains", models.Plain),
        ),
    )
