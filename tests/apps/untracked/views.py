"""Plain views of the models."""

from __future__ import annotations

from tests.apps.untracked import models
from tests.apps.views import add_model_views


def includeme(config):
    add_model_views(
        config,
        (
            ("room", "rooms", models.Room),
            ("shelf", "shelves", models.Shelf),
            ("box", "boxes", models.Box),
        ),
    )
