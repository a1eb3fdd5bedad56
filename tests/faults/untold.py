"""Rows changed past this package, with its triggers off: ``verify`` must find exactly these.

python -m tests.faults.untold
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.servers import ElasticsearchServer, PostgresServer
from tests.support.processes import Place

CHANGED = 200_000
UNCHANGED = 500


def main() -> int:
    last = UNCHANGED + CHANGED
    with (
        ElasticsearchServer() as server,
        PostgresServer() as database,
        tempfile.TemporaryDirectory() as folder,
    ):
        place = Place(Path(folder), database.create_database("untold"), server.url)
        place.sql(
            "INSERT INTO zoo_items (id, name) SELECT n, 'Before' "
            f"FROM generate_series(1, {last}) AS s(n)"
        )
        assert place.run("rebuild", "--models", "Item").returncode == 0
        before = differences(place)
        place.sql(f"UPDATE zoo_items SET name = 'After' WHERE id > {UNCHANGED}")
        after = differences(place)
    wanted = {"stale": [str(number) for number in range(UNCHANGED + 1, last + 1)]}
    right = before == {} and after == wanted
    counts = {kind: len(keys) for kind, keys in after.items()}
    print(f"{CHANGED} rows changed without a trigger; verify: {counts}, exactly these: {right}")
    return 0 if right else 1


def differences(place: Any) -> dict[str, list[str]]:
    """What `verify` finds, by kind: keys in their order."""
    found = json.loads(place.run("verify", "--models", "Item", "--json").stdout)["Item"]
    return {
        kind: [str(key) for key in sorted(map(int, keys))]
        for kind, keys in found.items()
        if isinstance(keys, list) and keys
    }


if __name__ == "__main__":
    sys.exit(main())
