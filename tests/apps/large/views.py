"""Collections and items of each model."""

from __future__ import annotations

from nefertari.view import BaseView

from tests.apps.large.models import Airline, Airport, Flight, Plane


class View(BaseView):
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


def includeme(config):
    root = config.get_root_resource()
    for model in (Airline, Airport, Flight, Plane):
        name = model.__name__.lower()
        view = type(f"{model.__name__}sView", (View,), {"Model": model})
        root.add(name, f"{name}s", view=view, id_name="id")
