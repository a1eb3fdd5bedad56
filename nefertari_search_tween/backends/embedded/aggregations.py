"""Aggregations over the documents that a search matched."""

from __future__ import annotations
from typing import Any
import sqlite3


def run(connection, index, parser, matched, requested):
    out = {}
    for name, spec in requested.items():
        node = parser.parse(spec["filter"])
        sql = (
            f"SELECT count(*) FROM {index.root.level.table} d WHERE d.doc IN ("
            + matched
            + ") AND "
            + node.where("d")
        )
        out[name] = {"doc_count": connection.execute(sql.text, sql.params).fetchone()[0]}
    return out
