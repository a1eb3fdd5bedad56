"""The runtime that serves this process.

Models and sessions are global in nefertari, so the application that was made last has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional, Protocol

from pyramid.registry import Registry

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.exceptions import Reason, SearchUnavailable
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.search.searcher import Searcher
from nefertari_search_tween.settings.settings import Settings


class KeyRecorder(Protocol):
    """Records what an application indexes while it is being configured."""

    def enqueue(self, keys: Iterable[Key]) -> None: ...


class Runtime(Protocol):
    """What the drop-in uses of an application's search."""

    registry: Registry
    settings: Settings
    mirrors: MirrorRegistry

    @property
    def backend(self) -> Backend: ...
    @property
    def searcher(self) -> Searcher: ...
    def refresh_indices(self, names: Iterable[str]) -> None: ...
    def enqueue(self, keys: set[Key]) -> None: ...
    def changed(self, model: Any, pks: Iterable[Any], session: Any) -> None: ...
    def prepare(self) -> None: ...
    def stop(self) -> None: ...


class NoClient:
    """Replaces the client of a backend without one: it is false, and its errors say why."""

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"ES.api.{name}: the embedded backend has no client; Elasticsearch has one "
            "(nefertari_search.backend = elasticsearch)"
        )


class Current:
    """The runtime of the application that was made last.

    :ivar runtime: None until an application has been made.
    :ivar startup_recorder: records what an application indexes while it is being configured; None
        before and after.
    """

    runtime: Optional[Runtime] = None
    startup_recorder: Optional[KeyRecorder] = None

    def require(self) -> Runtime:
        """Return the runtime.

        :raises SearchUnavailable: no application has been made yet.
        """
        if self.runtime is None:
            raise SearchUnavailable(Reason.NOT_STARTED, "The application has not been started yet.")
        return self.runtime

    def stop(self) -> None:
        """Stop what served until now: another application takes over."""
        self.startup_recorder = None
        if self.runtime is not None:
            self.runtime.stop()


CURRENT = Current()
