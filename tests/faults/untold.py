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
        deployment = Place(Path(folder), database.create_database("untold"), server.url)
        deployment.sql(
            "INSERT INTO zoo_items (id, name) SELECT n, 'Before' "
            f"FROM generate_series(1, {last}) AS s(n)"
        )
        assert deployment.run("rebuild", "--models", "Item").returncode == 0
        before = differences(deployment)
        deployment.sql(f"UPDATE zoo_items SET name = 'After' WHERE id > {UNCHANGED}")
        after = differences(deployment)
    expected = {"stale": [str(number) for number in range(UNCHANGED + 1, last + 1)]}
    right = before == {} and after == expected
    counts = {kind: len(keys) for kind, keys in after.items()}
    print(f"{CHANGED} rows changed without a trigger; verify: {counts}, exactly these: {right}")
    return 0 if right else 1


def differences(deployment: Any) -> dict[str, list[str]]:
    """What `verify` finds, by kind: keys in their order."""
    result = json.loads(deployment.run("verify", "--models", "Item", "--json").stdout)["Item"]
    return {
        kind: [str(key) for key in sorted(map(int, keys))]
        for kind, keys in result.items()
        if isinstance(keys, list) and keys
    }


if __name__ == "__main__":
    sys.exit(main())
