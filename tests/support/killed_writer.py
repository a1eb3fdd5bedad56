"""Killed by SIGKILL while it writes: ``python -m tests.support.killed_writer JSON``.

JSON has ``settings`` of the zoo on MongoDB, ``write`` (what to do), and ``moment``:

* ``before``: the intent is in the outbox, and the write has not left the process;
* ``after``: the database has made the write, and nothing is confirmed or indexed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from pymongo import monitoring

COLLECTION = "zoo_keepers"
WRITES = ("insert", "update", "delete", "findAndModify")


class Killer(monitoring.CommandListener):
    """Kills this process at a write to the collection."""

    def __init__(self, moment: str) -> None:
        self.moment = moment
        self.armed = False
        self.request: int | None = None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        target = event.command.get(event.command_name)
        if self.armed and event.command_name in WRITES and target == COLLECTION:
            self.request = event.request_id
            if self.moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)

    def succeeded(self, event: Any) -> None:
        if event.request_id == self.request:
            os.kill(os.getpid(), signal.SIGKILL)

    def failed(self, event: Any) -> None:
        """Nothing: then there was no write."""


def main() -> None:
    arguments = json.loads(sys.argv[1])
    killer = Killer(arguments["moment"])
    monitoring.register(killer)
    from tests.apps.every_field_mongo import main as make

    make({}, **arguments["settings"])
    from tests.apps.every_field_mongo.models import Keeper

    killer.armed = True
    if arguments["write"] == "create":
        Keeper(code="new", name="New").save()
    elif arguments["write"] == "update":
        Keeper.get_item(code="a").update({"name": "Changed"})
    elif arguments["write"] == "delete":
        Keeper.get_item(code="a").delete()
    elif arguments["write"] == "bulk-update":
        Keeper.objects.update(set__name="Changed")
    elif arguments["write"] == "bulk-delete":
        Keeper.objects.delete()
    elif arguments["write"] == "upsert":
        Keeper.objects(code="new").update_one(upsert=True, set__name="New")
    elif arguments["write"] == "modify":
        Keeper.objects(name="Ann").modify(set__name="Changed")
    elif arguments["write"] == "insert":
        Keeper.objects.insert([Keeper(code="new", name="New"), Keeper(code="newer")])
    print("survived")


if __name__ == "__main__":
    main()
