"""Runs the cases on one engine in a process of its own: models and engine are global in nefertari.

``python -m tests.engine.contract.runner ENGINE key=value ...`` with the settings of the application
prints what each case saw, as JSON on the last line.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
import traceback
import warnings


def main(engine: str, *pairs: str) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    settings = dict(pair.split("=", 1) for pair in pairs)
    settings.update({"nefertari.engine": engine, "auth": "false"})
    if engine == "nefertari_sqla":
        _enforce_foreign_keys()
    from webtest import TestApp

    from tests.apps.any_engine import main as library

    world_app = TestApp(library({}, **settings))
    from tests.engine.contract import keys, modelling, reading, relating, writing  # noqa: F401
    from tests.engine.contract.world import CASES, World

    world = World(world_app, engine == "nefertari_sqla")
    results = {}
    for name, case in CASES.items():
        world.clear()
        try:
            results[name] = case(world)
        except Exception:  # noqa: BLE001 - the table reports it
            results[name] = {"failed": traceback.format_exc(limit=-3)}
            world.abort()
    print(json.dumps(results))


def _enforce_foreign_keys() -> None:
    """SQLite heeds ON DELETE only in connections that ask for it."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def enforce(connection, _record):
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA foreign_keys = ON")

    event.listen(Engine, "connect", enforce)


if __name__ == "__main__":
    main(*sys.argv[1:])
