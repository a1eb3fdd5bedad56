"""Plain views of all models."""

from __future__ import annotations

from tests.apps.awkward import models
from tests.apps.views import add_model_views


def includeme(config):
    add_model_views(
        config,
        (
            ("switch", "switches", models.Switch),
            ("lever", "levers", models.Lever),
            ("revision", "revisions", models.Revision),
            ("origin", "origins", models.Origin),
            ("journey", "journeys", models.Journey),
            ("wide", "wides", models.Wide),
            ("parcel", "parcels", models.Parcel),
        ),
    )
