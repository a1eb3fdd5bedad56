"""What the outboxes of both primaries do alike: names of models, rows, leases, dead letters."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from nefertari_search_tween.interfaces.outbox import LEASE_SECONDS, Claim, DeadLetter
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.clock import milliseconds

# A claim of which this part of the lease is over is renewed before it is used.
RENEW_AFTER = 0.5
# MySQL's TEXT ends at 64 KiB, and a character may take four bytes.
MAX_ERROR_CHARACTERS = 10_000
# Old versions of SQLite allow 999 variables in a statement.
KEYS_PER_STATEMENT = 500


class OutboxBase(ABC):
    """See :class:`~nefertari_search_tween.interfaces.outbox.Outbox`.

    :param sources: by name of the mirrored model, the other models whose rows may represent
        documents of it, too.
    :param carried: by name of the mirrored model, the models without a mirror whose rows are
        expanded by its claims.
    :param inline: rows are recorded as claimed by this process (inline sync); else workers claim
        them.
    :param lease_seconds: how long a claim is its owner's; None: LEASE_SECONDS.
    """

    def __init__(
        self,
        sources: Mapping[str, tuple[str, ...]],
        carried: Mapping[str, list[str]],
        inline: bool,
        lease_seconds: Optional[float] = None,
    ) -> None:
        self.inline = inline
        self.lease_seconds = LEASE_SECONDS if lease_seconds is None else lease_seconds
        self._sources = sources
        self._carried = carried
        # Records of transactions that were committed and are not claimed yet, by token.
        self._committed: dict[str, Any] = {}

    # Rows

    def _new_row(self, key: Key, token: Optional[str], fan_out: int) -> dict[str, Any]:
        """Return the values of a new row.

        :param token: of the claim that it belongs to, None if it is free.
        :param fan_out: a FanOut, or 0.
        """
        now = milliseconds()
        return {
            "model": key.model,
            "pk": None if key.pk is None else str(key.pk),
            "fan_out": int(fan_out),
            "recorded_at": now,
            "claim_token": token,
            "lease_expires_at": None if token is None else now + self._lease_milliseconds,
        }

    @abstractmethod
    def _parse_key(self, model_name: str, text: Optional[str]) -> Any:
        """Return the key of a row whose ``pk`` is *text*."""

    # Leases

    @property
    def _lease_milliseconds(self) -> int:
        return int(self.lease_seconds * 1000)

    def _new_lease(self, token: str) -> dict[str, Any]:
        """Return the values of a row that is claimed now."""
        return {
            "claim_token": token,
            "lease_expires_at": milliseconds() + self._lease_milliseconds,
        }

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

    @abstractmethod
    def enqueue(self, keys: Iterable[Key]) -> None: ...

    # Dead letters

    def dead_letters(self, model_name: Optional[str] = None) -> list[DeadLetter]:
        return [
            DeadLetter(Key(model, self._parse_key(model, pk)), error, failed_at / 1000)
            for model, pk, error, failed_at in self._dead_letter_rows(model_name)
        ]

    @abstractmethod
    def _dead_letter_rows(self, model_name: Optional[str]) -> Iterable[tuple[str, str, str, int]]:
        """Return model, pk, error, failed_at of the dead letters (of one model), oldest first."""

    def retry(self, keys: Iterable[Key]) -> int:
        retried = list(keys)
        # The letters stay until the documents are in the index.
        self.enqueue(retried)
        return len(retried)

    def drop(self, keys: Iterable[Key]) -> int:
        by_model: dict[str, list[Any]] = defaultdict(list)
        for key in keys:
            by_model[key.model].append(key.pk)
        return self._drop(by_model)

    @abstractmethod
    def _drop(self, by_model: Mapping[str, list[Any]]) -> int:
        """Delete the dead letters of these keys, and return how many there were."""


class DeadLettersBase(ABC):
    """Where the dead letters are stored."""

    def replace(self, model_name: str, rejected: Mapping[Any, str], settled: Iterable[Any]) -> None:
        """Store one letter for each rejected document of a model, and delete the others' letters.

        :param rejected: key -> error.
        :param settled: keys of the documents that are in the index.
        """
        # Nearly always there is none, and nothing to delete.
        if self._has_letters(model_name):
            self.delete(model_name, [*settled, *rejected])
        if rejected:
            now = milliseconds()
            self._insert(
                [
                    {
                        "model": model_name,
                        "pk": str(pk),
                        "error": _storable(error),
                        "failed_at": now,
                    }
                    for pk, error in rejected.items()
                ]
            )

    def delete(self, model_name: str, pks: Iterable[Any]) -> int:
        """Delete the letters of *pks*, and return how many there were."""
        texts = [str(pk) for pk in pks]
        return sum(
            self._delete(model_name, texts[start : start + KEYS_PER_STATEMENT])
            for start in range(0, len(texts), KEYS_PER_STATEMENT)
        )

    @abstractmethod
    def _has_letters(self, model_name: str) -> bool: ...

    @abstractmethod
    def _insert(self, rows: list[dict[str, Any]]) -> None: ...

    @abstractmethod
    def _delete(self, model_name: str, texts: list[str]) -> int: ...


def _storable(error: str) -> str:
    """Databases reject lone surrogates and null bytes: the letter would keep its claim alive."""
    text = error.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")
    return text if len(text) <= MAX_ERROR_CHARACTERS else f"{text[:MAX_ERROR_CHARACTERS]} ..."
