"""Recording what an application writes while it is being configured, before it has its mirrors.

Ramses makes its system user then, others load what they need. These changes are captured as all
are, and recorded with the change; the rows are pending until the application is complete.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

from nefertari_search_tween.interfaces.outbox import Outbox
from nefertari_search_tween.interfaces.primary import BulkChange, FlushedChanges, Key
from nefertari_search_tween.interfaces.primary_engine import Primary


class StartupRecorder:
    """The listener of the ordinary capture, until there is one that fires events.

    :param is_selected: returns True if a model is to be mirrored.
    :ivar recorded: rows were written.
    """

    def __init__(self, primary: Primary, is_selected: Callable[[Any], bool]) -> None:
        self.primary = primary
        self.recorded = False
        self._is_selected = is_selected
        self._models: dict[str, Any] = {}
        self._outbox: Optional[Outbox] = None
        self._mirrored: set[str] = set()
        self.capture = primary.capture(self)

    def enqueue(self, keys: Iterable[Key]) -> None:
        """Record *keys*, for ``ES.index`` and similar calls."""
        with self.primary.recording() as session:
            self.change_begins(session)
            self._record(session, set(keys), set())

    def change_begins(self, session: Any) -> None:
        """Follow the models, which may still come."""
        models = self.primary.list_models()
        if models == self._models:
            return
        self._models = self.primary.models = models
        selected = [
            model
            for model in models.values()
            if self._is_selected(model) and self.primary.unmirrorable(model) is None
        ]
        if selected:
            self.primary.connect(selected, inline=False)
            self.primary.create_missing_in(session)
            self._outbox = self.primary.outbox
            self._mirrored = {model.__name__ for model in selected}

    def flushed(self, session: Any, changes: FlushedChanges) -> None:
        keys = {*changes.created, *changes.deleted}
        self._record(session, keys, changes.content_changes)

    def bulk_changed(self, session: Any, change: BulkChange) -> None:
        self._record(session, {*change.keys, *change.related}, change.content_changes)

    def _record(self, session: Any, keys: set[Key], content_changes: set[Key]) -> None:
        outbox = self._outbox
        if outbox is not None:
            embedding = self.primary.embedding(session, content_changes)
            outbox.record_content_changes(session, content_changes)
            affected = {*keys, *content_changes, *embedding}
            outbox.record(session, {key for key in affected if key.model in self._mirrored})

    def savepoint_rolled_back(self, session: Any) -> None:
        if self._outbox is not None:
            self._outbox.savepoint_rolled_back(session)

    def transaction_ended(self, session: Any, committed: bool) -> None:
        outbox = self._outbox
        if outbox is not None and outbox.has_recorded(session):
            self.recorded = True
            if committed:
                outbox.committed(session)
            outbox.rolled_back(session)


# The recorder of the application that is being configured.
_current: Optional[StartupRecorder] = None


def start_recording(recorder: StartupRecorder) -> StartupRecorder:
    """Record by *recorder* until :func:`stop_recording`, and return it."""
    global _current  # noqa: PLW0603 - as models and sessions are, it is one in a process
    stop_recording()
    _current = recorder
    recorder.capture.install()
    return recorder


def stop_recording() -> bool:
    """Stop recording, and return True if something was recorded."""
    global _current
    recorder, _current = _current, None
    if recorder is None:
        return False
    recorder.capture.remove()
    return recorder.recorded
