"""Plain views of all models."""

from __future__ import annotations

from tests.apps.proven import models
from tests.apps.views import add_model_views


def includeme(config):
    add_model_views(
        config,
        (
            ("account", "accounts", models.Account),
            ("arrival", "arrivals", models.Arrival),
            ("guest", "guests", models.Guest),
            ("stay", "stays", models.Stay),
            ("sample", "samples", models.Sample),
            ("entry", "listed", models.Listed),
            ("ranked", "ordered", models.Ordered),
            ("oddly", "oddly", models.OddlyOrdered),
            ("unsortable", "unsortables", models.Unsortable),
            ("overridden", "overriddens", models.Overridden),
            ("composed", "composeds", models.Composed),
        ),
    )
