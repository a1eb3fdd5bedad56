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
