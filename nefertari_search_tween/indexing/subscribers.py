"""The subscriber that keeps mirrors in sync; found by a venusian scan."""

from __future__ import annotations

from pyramid.events import subscriber

from nefertari_search_tween.indexing.events import ChangeEvent


@subscriber(ChangeEvent)
def record(event: ChangeEvent) -> None:
    """Record the keys of *event* in the outbox, in the transaction of the change."""
    event.registry.nefertari_search.outbox.record(event.session, event.document_keys)
