"""The table of dead letters: every function works in the transaction of its connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional

from sqlalchemy import and_, func, select

from nefertari_search_tween.primary.sqla.outbox.tables import DEAD_LETTERS

# SQLite of old allows 999 variables.
_KEYS_PER_STATEMENT = 500
# MySQL's TEXT ends at 64 KiB, and a character may take four bytes.
LONGEST_ERROR = 10_000


def replace(
    connection: Any,
    model_name: str,
    refused: Mapping[Any, str],
    settled: Iterable[Any],
    now: int,
) -> None:
    """Documents of a model were written: those refused have one letter each, the others none.

    :param refused: key -> error.
    :param now: milliseconds since 1970.
    """
    first = select([DEAD_LETTERS.c.id]).where(DEAD_LETTERS.c.model == model_name).limit(1)
    # Nearly always there is none, and nothing to delete.
    if connection.execute(first).scalar() is not None:
        forget(connection, model_name, [*settled, *refused])
    if refused:
        connection.execute(
            DEAD_LETTERS.insert(),
            [
                {"model": model_name, "pk": str(pk), "error": _storable(error), "failed_at": now}
                for pk, error in refused.items()
            ],
        )


def forget(connection: Any, model_name: str, pks: Iterable[Any]) -> int:
    """Delete the letters of *pks*; gives how many there were."""
    wanted = [str(pk) for pk in pks]
    done = 0
    for start in range(0, len(wanted), _KEYS_PER_STATEMENT):
        done += connection.execute(
            DEAD_LETTERS.delete().where(
                and_(
                    DEAD_LETTERS.c.model == model_name,
                    DEAD_LETTERS.c.pk.in_(wanted[start : start + _KEYS_PER_STATEMENT]),
                )
            )
        ).rowcount
    return done


def rows(connection: Any, model_name: Optional[str]) -> list[Any]:
    """All rows (of one model), oldest first."""
    query = select([DEAD_LETTERS]).order_by(DEAD_LETTERS.c.id)
    if model_name is not None:
        query = query.where(DEAD_LETTERS.c.model == model_name)
    return list(connection.execute(query))


def counts(connection: Any) -> dict[str, int]:
    """Number of letters by model; models without any are left out."""
    query = select([DEAD_LETTERS.c.model, func.count()]).group_by(DEAD_LETTERS.c.model)
    return {name: int(count) for name, count in connection.execute(query)}


def _storable(error: str) -> str:
    """Databases refuse lone surrogates and null bytes: the letter would keep its claim alive."""
    text = error.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")
    return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]} ..."
