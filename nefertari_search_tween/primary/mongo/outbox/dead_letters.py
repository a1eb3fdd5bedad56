"""The collection of dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional

LONGEST_ERROR = 10_000
_KEYS_PER_COMMAND = 500


def replace(
    letters: Any, model_name: str, refused: Mapping[Any, str], settled: Iterable[Any], now: int
) -> None:
    """Documents of a model were written: those refused have one letter each, the others none.

    :param letters: the collection.
    :param refused: key -> error.
    :param now: milliseconds since 1970.
    """
    # Nearly always there is none, and nothing to delete.
    if letters.find_one({"model": model_name}, {"_id": 1}) is not None:
        forget(letters, model_name, [*settled, *refused])
    if refused:
        letters.insert_many(
            [
                {"model": model_name, "pk": str(pk), "error": _storable(error), "failed_at": now}
                for pk, error in refused.items()
            ]
        )


def forget(letters: Any, model_name: str, pks: Iterable[Any]) -> int:
    """Delete the letters of *pks*; gives how many there were."""
    wanted = [str(pk) for pk in pks]
    done = 0
    for start in range(0, len(wanted), _KEYS_PER_COMMAND):
        part = wanted[start : start + _KEYS_PER_COMMAND]
        done += letters.delete_many({"model": model_name, "pk": {"$in": part}}).deleted_count
    return done


def rows(letters: Any, model_name: Optional[str]) -> list[Any]:
    """All letters (of one model), oldest first."""
    narrow = {} if model_name is None else {"model": model_name}
    return list(letters.find(narrow).sort([("failed_at", 1), ("_id", 1)]))


def counts(letters: Any) -> dict[str, int]:
    """Number of letters by model; models without any are left out."""
    found = letters.aggregate([{"$group": {"_id": "$model", "count": {"$sum": 1}}}])
    return {row["_id"]: int(row["count"]) for row in found}


def _storable(error: str) -> str:
    """Lone surrogates have no UTF-8: the letter would keep its claim alive."""
    text = error.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]} ..."
