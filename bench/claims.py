"""Claiming with ten million rows waiting, beside claiming with twenty thousand, on PostgreSQL.

python -m bench.claims [rows]
"""

from __future__ import annotations

import sys
import time
from typing import Any

from sqlalchemy import Column, Integer, create_engine
from sqlalchemy.ext.declarative import declarative_base

from bench.turns import medians
from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.outbox import tables
from nefertari_search_tween.primary.sqla.outbox.outbox import SqlaOutbox
from tests.servers import PostgresServer

FEW = 20_000
LIMIT = 500
ROUNDS = 20

Base: Any = declarative_base()


class Item(Base):
    __tablename__ = "items"
    id = Column(Integer, primary_key=True)
    # What is asked of a model of nefertari.
    _nested_relationships = ()
    _nesting_depth = 1
    to_dict = native_fields = _mapped_columns = _mapped_relationships = None


def measure(engine: Any, rows: int) -> dict[str, float]:
    """Median seconds of a claim, of settling it, and of asking for the state."""
    tables.create_missing(engine)
    engine.execute(
        "INSERT INTO nefertari_search_outbox (model, pk, recorded_at) "
        f"SELECT 'Item', number::text, 0 FROM generate_series(1, {rows}) AS number"
    )
    engine.execution_options(isolation_level="AUTOCOMMIT").execute(
        "VACUUM ANALYZE nefertari_search_outbox"
    )
    outbox = SqlaOutbox(Dependencies([Item]), engine, inline=False)
    outbox.create_missing()

    def turn() -> dict[str, float]:
        began = time.perf_counter()
        claim = outbox.claim("Item", LIMIT)
        claimed = time.perf_counter()
        assert claim is not None
        assert len(claim.keys) == LIMIT
        outbox.settle(claim, {})
        settled = time.perf_counter()
        assert outbox.sync_state("Item").pending
        checked = time.perf_counter()
        return {"claim": claimed - began, "settle": settled - claimed, "state": checked - settled}

    return medians({"all": turn}, 0, ROUNDS)["all"]


def main() -> None:
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with PostgresServer() as server:
        small = measure(create_engine(server.create_database("small")), FEW)
        large = measure(create_engine(server.create_database("large")), many)
    for name in small:
        print(
            f"{name} of {LIMIT}: {1000 * small[name]:.2f} ms with {FEW:,} rows waiting, "
            f"{1000 * large[name]:.2f} ms with {many:,}  ratio {large[name] / small[name]:.2f}"
        )


if __name__ == "__main__":
    main()
