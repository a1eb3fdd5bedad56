"""What both primaries do alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Callable, Generic, Optional, TypeVar

from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.interfaces.primary import ChangeCapture, ChangeListener, Key
from nefertari_search_tween.interfaces.rebuild_lock import RebuildLocks
from nefertari_search_tween.mirror.serializer import Serializers
from nefertari_search_tween.primary.dependencies_base import DependenciesBase
from nefertari_search_tween.primary.outbox_base import OutboxBase

Dependencies_co = TypeVar("Dependencies_co", bound=DependenciesBase[Any], covariant=True)
Outbox_co = TypeVar("Outbox_co", bound=OutboxBase, covariant=True)


class PrimaryBase(ABC, Generic[Dependencies_co, Outbox_co]):
    """See :class:`~nefertari_search_tween.interfaces.primary_engine.Primary`."""

    models: dict[str, Any]
    dependencies: Dependencies_co
    outbox: Outbox_co
    rebuild_locks: RebuildLocks

    @staticmethod
    @abstractmethod
    def list_models() -> dict[str, Any]:
        """Return all models that are defined by now, by name."""

    @staticmethod
    @abstractmethod
    def unmirrorable(model: Any) -> Optional[str]: ...

    @abstractmethod
    def connect(self, models: Iterable[Any], inline: bool) -> None: ...

    @abstractmethod
    def create_missing_in(self, session: Any) -> None:
        """Create what the outbox needs, while the transaction of *session* may hold the database's
        only lock."""

    @abstractmethod
    def recording(self) -> AbstractContextManager[Any]:
        """Provide what records in the outbox, for a caller that changes nothing itself."""

    @abstractmethod
    def embedding(self, session: Any, keys: Iterable[Key]) -> set[Key]: ...

    @abstractmethod
    def capture(self, listener: ChangeListener) -> ChangeCapture: ...


def serializers(document_cls: Callable[[Any], type[BaseDocument]]) -> Serializers:
    """Return the serializers of all models, which render values as the engine does.

    :param document_cls: returns the mirror model of a model.
    """
    from nefertari import engine

    return Serializers(document_cls, engine.JSONEncoder)
