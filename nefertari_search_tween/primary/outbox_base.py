"""What the outboxes of both primaries do alike: names of models, rows, leases, dead letters."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Callable, Optional

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.interfaces.outbox import (
    LEASE_SECONDS,
    Claim,
    DeadLetter,
    NotificationListener,
    Outbox,
)
from nefertari_search_tween.interfaces.primary import Key, Reader, keys_by_model
from nefertari_search_tween.primary.claim_tokens import awaited_range, awaited_token
from nefertari_search_tween.primary.clock import DatabaseClock, milliseconds
from nefertari_search_tween.primary.dependencies_base import DependenciesBase

# So much longer than it can be, a lease was granted by a clock that has been set back since.
CLOCK_SLACK_SECONDS = 60.0
# A claim of which this part of the lease is over is renewed before it is used.
RENEW_AFTER = 0.5
# MySQL's TEXT ends at 64 KiB, and a character may take four bytes.
MAX_ERROR_CHARACTERS = 10_000
# Old versions of SQLite allow 999 variables in a statement.
KEYS_PER_STATEMENT = 500
# Up to so many objects it is checked whether each of them has a row.
MAX_ROWS = 1000


class OutboxBase(Outbox, ABC):
    """The part of an outbox that does not depend on where its rows are.

    :param reached: by name of the tracked model, the mirrored models whose documents its rows may
        represent.
    :param parse_key: (model, text) -> the key whose ``str()`` is the text.
    :param inline: rows are recorded as claimed by this process (inline sync); else workers claim
        them.
    :ivar models: the tracked models by name.
    :ivar mirrored: the mirrored models by name.
    """

    def __init__(
        self,
        dependencies: DependenciesBase[Any],
        reached: Mapping[str, set[str]],
        parse_key: Callable[[Any, str], Any],
        inline: bool,
    ) -> None:
        self.inline = inline
        self.lease_seconds = LEASE_SECONDS
        self.clock = DatabaseClock(self._read_clock)
        self.models = dependencies.models
        self.mirrored = dependencies.mirrored
        self._key_of_text = parse_key
        names = sorted(self.models)
        # The other models whose rows may represent documents of a mirrored one, too.
        self._sources = {
            name: tuple(each for each in names if each != name and name in reached[each])
            for name in self.mirrored
        }
        # Those of them without a mirror, whose rows its claims expand.
        self._carried = {
            name: [
                each for each in sources if each not in self.mirrored and name == min(reached[each])
            ]
            for name, sources in self._sources.items()
        }
        # Records of transactions that were committed and are not claimed yet, by token.
        self._committed: dict[str, Any] = {}

    # Rows

    def _new_row(self, key: Key, token: Optional[str], fan_out: int, now: int) -> dict[str, Any]:
        """Return the values of a new row.

        :param now: the time of the clock.
        :param token: of the claim that it belongs to, None if it is free.
        :param fan_out: a FanOut, or 0.
        """
        return {
            "model": key.model,
            "pk": None if key.pk is None else str(key.pk),
            "fan_out": int(fan_out),
            "recorded_at": now,
            "claim_token": token,
            "lease_expires_at": None if token is None else now + self._lease_milliseconds,
        }

    def _parse_key(self, model_name: str, text: Optional[str]) -> Any:
        """Return the key of a row whose ``pk`` is *text*."""
        model = self.models.get(model_name)
        if model is None or text is None:
            return text
        try:
            return self._key_of_text(model, text)
        except ValueError:
            # No object can have it; a document of the index may.
            return text

    def _keys(self, model_name: str, rows: Iterable[Any]) -> frozenset[Key]:
        return frozenset(Key(model_name, self._parse_key(model_name, row["pk"])) for row in rows)

    # Leases

    @property
    def _lease_milliseconds(self) -> int:
        return int(self.lease_seconds * 1000)

    @abstractmethod
    def _read_clock(self, connection: Any) -> int:
        """Return the milliseconds since 1970 by the database's clock."""

    def _new_lease(self, token: str, now: int) -> dict[str, Any]:
        """Return the values of a row that is claimed now."""
        return {"claim_token": token, "lease_expires_at": now + self._lease_milliseconds}

    def _lease_bounds(self, now: int) -> tuple[int, int]:
        """Return the times between which the leases of claims end that are alive."""
        longest = max(LEASE_SECONDS, self.lease_seconds) + CLOCK_SLACK_SECONDS
        return now, now + int(longest * 1000)

    def _awaited_token(self, connection: Any = None) -> str:
        """Return the token of what a writer records from now on, and indexes before it is answered.

        Reads count its rows after a lease, even if that is renewed.
        """
        return awaited_token(self.clock.now(connection) + self._lease_milliseconds)

    def _awaited_range(self, connection: Any = None) -> tuple[str, str]:
        """Return the least and the greatest token of rows that are awaited now."""
        return awaited_range(self._lease_bounds(self.clock.now(connection)))

    def _needs_renewal(self, began: float) -> bool:
        """Return True if a lease that began then, on :func:`time.monotonic`, is half over."""
        return time.monotonic() - began > RENEW_AFTER * self.lease_seconds

    # Claims

    def claim(self, model_name: str, limit: int) -> Optional[Claim]:
        for name in self._carried[model_name]:
            while self._replace_rows(name, limit):
                pass
        return self._claim_rows(model_name, limit)

    @abstractmethod
    def _replace_rows(self, model_name: str, limit: int) -> bool:
        """Replace rows of a model without a mirror by rows of the documents that they represent.

        :returns: False if there were none.
        """

    @abstractmethod
    def _claim_rows(self, model_name: str, limit: int) -> Optional[Claim]:
        """Claim up to *limit* claimable rows of a model; None if there are none."""

    # What is there

    def all_pending(self, model_name: str, reader: Reader) -> bool:
        count = reader.count()
        if count > MAX_ROWS:
            return False
        keys = set()
        for text in self._pending_texts(model_name):
            try:
                keys.add(reader.key(text))
            except ValueError:
                # Written by hand: no object of the model has such a key.
                continue
        return len(reader.existing(keys)) == count

    @abstractmethod
    def _pending_texts(self, model_name: str) -> Iterable[str]:
        """Return the keys of up to MAX_ROWS rows of a model, as the outbox has them."""

    def notifications(self) -> Optional[NotificationListener]:
        return None

    # Dead letters

    @abstractmethod
    def _letters(self) -> AbstractContextManager[DeadLettersBase]:
        """Provide the dead letters, in one transaction where there are any."""

    def dead_letters(self, model_name: Optional[str] = None) -> list[DeadLetter]:
        with self._letters() as letters:
            return [
                DeadLetter(Key(model, self._parse_key(model, pk)), error, failed_at / 1000)
                for model, pk, error, failed_at in letters.read_all(model_name)
            ]

    def dead_letter_counts(self) -> dict[str, int]:
        with self._letters() as letters:
            return letters.counts()

    def retry(self, keys: Iterable[Key]) -> int:
        retried = list(keys)
        # The letters stay until the documents are in the index.
        self.enqueue(retried)
        return len(retried)

    def drop(self, keys: Iterable[Key]) -> int:
        with self._letters() as letters:
            return sum(letters.delete(name, pks) for name, pks in keys_by_model(keys).items())


class DeadLettersBase(ABC):
    """Where the dead letters are stored."""

    def replace(self, keys: Iterable[Key], rejected: Mapping[Key, str]) -> None:
        """Store one letter for each rejected document, and delete the others' letters.

        :param keys: of all, whole models excepted: their documents have keys of their own.
        :param rejected: key -> error.
        """
        by_model = keys_by_model(key for key in keys if key.pk is not None)
        # Nearly always there is none, and nothing to delete.
        if by_model and self._has_letters(list(by_model)):
            for name, pks in by_model.items():
                self.delete(name, pks)
        if rejected:
            now = milliseconds()
            self._insert(
                [
                    {
                        "model": key.model,
                        "pk": str(key.pk),
                        "error": _storable(error),
                        "failed_at": now,
                    }
                    for key, error in rejected.items()
                ]
            )

    def delete(self, model_name: str, pks: Iterable[Any]) -> int:
        """Delete the letters of *pks*, and return how many there were."""
        return sum(
            self._delete(model_name, part) for part in chunks(map(str, pks), KEYS_PER_STATEMENT)
        )

    @abstractmethod
    def read_all(self, model_name: Optional[str]) -> list[tuple[str, str, str, int]]:
        """Return model, pk, error, failed_at of all letters (of one model), oldest first."""

    @abstractmethod
    def counts(self) -> dict[str, int]:
        """Return the number of letters by model; models without any are left out."""

    @abstractmethod
    def _has_letters(self, model_names: list[str]) -> bool: ...

    @abstractmethod
    def _insert(self, rows: list[dict[str, Any]]) -> None: ...

    @abstractmethod
    def _delete(self, model_name: str, texts: list[str]) -> int: ...


def _storable(error: str) -> str:
    """Databases reject lone surrogates and null bytes: the letter would keep its claim alive."""
    text = error.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")
    return text if len(text) <= MAX_ERROR_CHARACTERS else f"{text[:MAX_ERROR_CHARACTERS]} ..."
