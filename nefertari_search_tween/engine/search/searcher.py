"""Searches the engine's documents, and renders them as their models do."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Callable, Optional

from nefertari_search_tween.engine.queries import NotFoundByType, Query, Rows, compared
from nefertari_search_tween.engine.search.joins import JoiningBackend
from nefertari_search_tween.engine.serializers import JSONEncoder
from nefertari_search_tween.exceptions import Reason, SearchError, Unanswerable
from nefertari_search_tween.interfaces.field_proof import PROVEN, FieldProof
from nefertari_search_tween.interfaces.outbox import SyncState, Watermark
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.mirror.serializer import document_id
from nefertari_search_tween.search.consistency import ReadVersion
from nefertari_search_tween.search.multi.merge import Hit
from nefertari_search_tween.search.query.search_read import SearchQuery
from nefertari_search_tween.search.searcher import Searcher
from nefertari_search_tween.settings.settings import Settings


class EnginePrimary:
    """The part of a primary that reads need: here the index is the primary."""

    query_class: type = Query
    rows: Optional[Callable[[list[Any]], Any]] = Rows

    def semantics(self, model: Any, document_cls: Any) -> EngineSemantics:
        return EngineSemantics(model)

    def has_written(self) -> bool:
        # There are no transactions.
        return False

    def write_watch(self) -> Callable[[], bool]:
        return self.has_written

    def limited(self, model: Any, seconds: float) -> AbstractContextManager[None]:
        # Each of its searches is limited by search_timeout.
        return nullcontext()

    def is_timeout(self, error: BaseException) -> bool:
        return False


class EngineSemantics:
    """How this engine compares; see ``interfaces.primary.Semantics``."""

    first_sort_counts = True

    def __init__(self, model: Any) -> None:
        self.model = model

    def picked(self, only: list[str], exclude: list[str]) -> list[str]:
        raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)

    def unloaded(self, name: str) -> Any:
        return None

    def filter_value(self, name: str, value: Any) -> Any:
        try:
            return compared(self.model, self.model.fields()[name], value)
        except (NotFoundByType, SearchError) as error:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER) from error

    def proof(self, name: str) -> FieldProof:
        """Return that all is equal: the documents are the values."""
        return PROVEN

    def default_sort(self, picked: Optional[list[str]]) -> list[str]:
        return []

    def nulls_first(self, descending: bool) -> bool:
        return not descending


class NothingPending:
    """Pending changes: there are none, because searches read the stored documents themselves."""

    def __init__(self) -> None:
        self._versions = itertools.count(1)

    def sync_state(self, model_name: str) -> SyncState:
        # Every search sees every write before it: a new version causes a refresh.
        return SyncState(False, next(self._versions))

    def watermark(self) -> Watermark:
        return Watermark(0, 0)

    def has_passed(self, watermark: Watermark) -> bool:
        return True

    has_passed_known = has_passed


class EngineSearcher(Searcher):
    """Searches the engine's documents, and renders them as their models do, with relations."""

    def __init__(self, mirrors: MirrorRegistry, settings: Settings) -> None:
        super().__init__(mirrors, settings, primary=EnginePrimary(), pending=NothingPending())
        self.backend: Any = JoiningBackend(self.backend)

    def get_objects(self, mirror: Mirror, pks: Iterable[Any]) -> dict[str, Any]:
        ids = [document_id(pk) for pk in pks]
        documents = self.get_documents(mirror, ids, True, mirror.alias)
        return {each["_pk"]: each for each in documents.values() if each is not None}

    def get_documents(
        self, mirror: Mirror, ids: list[str], current: bool, index: str
    ) -> dict[str, Any]:
        sources = super().get_documents(mirror, ids, current, index)
        if index != mirror.alias:
            # The index of another application, whose models are not known here.
            return sources
        hits = [{"_id": key, "_source": each} for key, each in sources.items() if each is not None]
        visible = {hit["_id"]: hit["_source"] for hit in _render(mirror, hits, True)}
        return {key: visible.get(key) for key in sources}

    def _hits(self, query: SearchQuery, read_version: ReadVersion) -> tuple[list[Hit], int, int]:
        whole = [
            dataclasses.replace(part, body={**part.body, "_source": True}) for part in query.parts
        ]
        hits, total, took = super()._hits(dataclasses.replace(query, parts=whole), read_version)
        visible: dict[tuple[int, str], Hit] = {}
        for number, part in enumerate(query.parts):
            own = [hit for hit in hits if hit.get("part", 0) == number]
            for hit in _render(part.mirror, own, part.body.get("_source", True)):
                visible[number, hit["_id"]] = hit
        keys = [(hit.get("part", 0), hit["_id"]) for hit in hits]
        return [visible[key] for key in keys if key in visible], total, took


def _render(mirror: Mirror, hits: list[Hit], source_filter: Any) -> list[Hit]:
    """Return *hits* with each document as its model renders it.

    :param source_filter: which of its fields, as ``_source`` of a search.
    """
    # With a server nothing else of the embedded backend is imported.
    from nefertari_search_tween.backends.embedded.search.source_filter import filter_source

    model: Any = mirror.document_cls
    documents = model.by_pks([hit["_source"][model.pk_field()] for hit in hits])
    model._prefetch(documents)
    visible = {str(each.pk_value()): each for each in documents}
    pick = filter_source(source_filter) if source_filter is not True else None
    rendered = []
    for hit in hits:
        document = visible.get(hit["_source"]["_pk"])
        if document is None:
            # Deleted between the search and the read.
            continue
        source = json.loads(json.dumps(document.to_dict(), cls=JSONEncoder))
        rendered.append({**hit, "_source": source if pick is None else pick(source)})
    return rendered
