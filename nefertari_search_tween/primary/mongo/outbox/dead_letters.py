"""The collection of dead letters."""

from __future__ import annotations

from typing import Any, Optional

from nefertari_search_tween.primary.outbox_base import DeadLettersBase


class MongoDeadLetters(DeadLettersBase):
    """:param rows: the collection."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def _has_letters(self, model_names: list[str]) -> bool:
        return self.rows.find_one({"model": {"$in": model_names}}, {"_id": 1}) is not None

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        self.rows.insert_many(rows)

    def _delete(self, model_name: str, texts: list[str]) -> int:
        result = self.rows.delete_many({"model": model_name, "pk": {"$in": texts}})
        return int(result.deleted_count)

    def read_all(self, model_name: Optional[str]) -> list[tuple[str, str, str, int]]:
        condition = {} if model_name is None else {"model": model_name}
        rows = self.rows.find(condition).sort([("failed_at", 1), ("_id", 1)])
        return [(row["model"], row["pk"], row["error"], row["failed_at"]) for row in rows]

    def counts(self) -> dict[str, int]:
        groups = self.rows.aggregate([{"$group": {"_id": "$model", "count": {"$sum": 1}}}])
        return {group["_id"]: int(group["count"]) for group in groups}
