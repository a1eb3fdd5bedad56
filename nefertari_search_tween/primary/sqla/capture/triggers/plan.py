"""Which tables get triggers: the same description as the capture of statements has (tables.py).

The documents that depend on the new state of a row are found when the outbox row is claimed
(fan_out.py). Only those of its old state can't be found by then: owners by a foreign key that
moved, documents that listed a deleted row, both ends of a link. What the database changes by a
foreign key's rule fires the triggers of the tables that it changes.
"""

from __future__ import annotations

from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.dependencies.tables import WatchedTable


def trigger_plan(dependencies: Dependencies) -> list[WatchedTable]:
    """Return the tables whose rows documents depend on, by name."""
    tables = (each for each in dependencies.tables.values() if each.models or each.lookups)
    return sorted(tables, key=lambda each: str(each.table.fullname))
