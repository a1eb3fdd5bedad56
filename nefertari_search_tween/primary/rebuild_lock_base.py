"""The locks of rebuilds over an insert and a compare-and-set of the primary database."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Callable, Optional

from nefertari_search_tween.interfaces.rebuild_lock import (
    ALIVE_SECONDS,
    RebuildInProgress,
    RebuildLock,
    RebuildLost,
    this_process,
)
from nefertari_search_tween.primary.clock import milliseconds

# How often a lock is tried to take that other processes take or release at the same moment.
ATTEMPTS = 5


class RebuildLocksBase(ABC):
    """See :class:`~nefertari_search_tween.interfaces.rebuild_lock.RebuildLocks`.

    Every change names the token, so two processes can't both succeed.

    :param models: the mirrored models by name.
    :param parse_key: (model, text) -> the key whose ``str()`` is the text.
    """

    def __init__(self, models: Mapping[str, Any], parse_key: Callable[[Any, str], Any]) -> None:
        self.models = models
        self._parse_key = parse_key

    def acquire(self, model_name: str) -> RebuildLock:
        token = uuid.uuid4().hex
        values = {"owner": this_process(), "token": token, "heartbeat_at": milliseconds()}
        for _ in range(ATTEMPTS):
            row = self._row(model_name)
            if row is None:
                if self._insert(model_name, {**_NOT_STARTED, **values}):
                    return RebuildLock(model_name, token, "", None, 0)
            elif _is_alive(row):
                break
            else:
                expected = {name: row[name] for name in ("token", "heartbeat_at")}
                if self._compare_and_set(model_name, expected, values):
                    text = row["checkpoint"]
                    key = None if text is None else self._parse_key(self.models[model_name], text)
                    return RebuildLock(model_name, token, row["index_name"], key, row["documents"])
        row = self._row(model_name)
        owner = "another process" if row is None else row["owner"]
        raise RebuildInProgress(
            f"{model_name} is being rebuilt by {owner}; if it died, wait {ALIVE_SECONDS:g} seconds"
        )

    def start(self, lock: RebuildLock, index: str) -> None:
        self._update(lock, {**_NOT_STARTED, "index_name": index})

    def checkpoint(self, lock: RebuildLock, key: Any, documents: int) -> None:
        self._update(lock, {"checkpoint": str(key), "documents": documents})

    def heartbeat(self, lock: RebuildLock) -> None:
        self._update(lock, {})

    def release(self, lock: RebuildLock) -> None:
        # A rebuild that has not started leaves nothing to resume.
        self._delete(lock.model, {"token": lock.token, "index_name": ""})
        self._compare_and_set(lock.model, {"token": lock.token}, {"heartbeat_at": 0})

    def finish(self, lock: RebuildLock) -> None:
        self._delete(lock.model, {"token": lock.token})

    def _update(self, lock: RebuildLock, values: dict[str, Any]) -> None:
        values = {**values, "heartbeat_at": milliseconds()}
        if not self._compare_and_set(lock.model, {"token": lock.token}, values):
            raise RebuildLost(
                f"the rebuild of {lock.model} was held up for more than {ALIVE_SECONDS:g} "
                "seconds, and another process has resumed it"
            )

    @abstractmethod
    def _row(self, model_name: str) -> Optional[Mapping[str, Any]]: ...

    @abstractmethod
    def _insert(self, model_name: str, values: dict[str, Any]) -> bool:
        """Insert the row of a model; return False if there is one already."""

    @abstractmethod
    def _compare_and_set(
        self, model_name: str, expected: dict[str, Any], values: dict[str, Any]
    ) -> bool:
        """Set *values* if the row of a model has the values *expected*; return whether it had."""

    @abstractmethod
    def _delete(self, model_name: str, expected: dict[str, Any]) -> None:
        """Delete the row of a model if it has the values *expected*."""


_NOT_STARTED: dict[str, Any] = {"index_name": "", "checkpoint": None, "documents": 0}


def _is_alive(row: Mapping[str, Any]) -> bool:
    # By the clocks of two hosts: one that is ahead must not look like one that lives for ever.
    return bool(abs(milliseconds() - row["heartbeat_at"]) < ALIVE_SECONDS * 1000)
