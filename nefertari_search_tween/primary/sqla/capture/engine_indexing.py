"""nefertari_sqla's own indexing, which this package replaces."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event


def disable_engine_indexing(models: Any) -> Any:
    """Remove the listeners by which nefertari_sqla itself indexes models; return the class whose
    ``get_collection`` all models have.

    They index inside the transaction, object by object, and reload each one.
    """
    from nefertari_sqla import BaseMixin, documents, signals
    from pyramid_sqlalchemy import Session as ScopedSession

    hooks = (
        ("after_insert", signals.on_after_insert),
        ("after_update", signals.on_after_update),
        ("after_delete", signals.on_after_delete),
    )
    for model in models:
        for cls in model.__mro__:
            for name, handler in hooks:
                if hasattr(cls, "_sa_class_manager") and event.contains(cls, name, handler):
                    event.remove(cls, name, handler)
    if event.contains(ScopedSession, "after_bulk_update", signals.on_bulk_update):
        event.remove(ScopedSession, "after_bulk_update", signals.on_bulk_update)
    # Called by name in _delete_many; the capture of its statement does its work.
    documents.on_bulk_delete = _index_nothing
    return BaseMixin


def _index_nothing(model_cls: Any, objects: Any, request: Any) -> None:
    """Replace nefertari_sqla's on_bulk_delete: the capture has reported the delete."""
