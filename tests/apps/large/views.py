"""Collections and items of each model."""

from __future__ import annotations

from tests.apps.large.models import Airline, Airport, Flight, Plane
from tests.apps.views import PlainView


def includeme(config):
    root = config.get_root_resource()
    for model in (Airline, Airport, Flight, Plane):
        name = model.__name__.lower()
        view = type(f"{model.__name__}sView", (PlainView,), {"Model": model})
        root.add(name, f"{name}s", view=view, id_name="id")
