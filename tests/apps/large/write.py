"""Changes flights at a steady rate, by sessions of the application, until it is terminated.

``python -m tests.apps.large.write INI RATE [--number N] [key=value ...]``; prints one JSON
object at the end. Several at a time have numbers of their own, and create flights under keys of
their own.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import time

import transaction
from pyramid.paster import bootstrap
from sqlalchemy.exc import OperationalError

# Of a hundred changes.
CREATED = 3
DELETED = 3
# How many keys each has for the flights that it creates; those that were there are below.
OWN = 1_000_000


def main(ini: str, rate: float, number: int, variables: list[str]) -> None:
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    bootstrap(ini, options=dict(each.split("=", 1) for each in variables))
    from pyramid_sqlalchemy import Session

    from tests.apps.large.models import Flight

    draw = random.Random(number)
    own: list[int] = []
    counts = {"updated": 0, "created": 0, "deleted": 0, "locked": 0}
    with transaction.manager:
        # Not of what another one has created by now.
        there = Session.query(Flight.id).filter(Flight.id < OWN)
        highest = there.order_by(Flight.id.desc()).first()[0]
    print("writing", flush=True)
    began = time.monotonic()
    while not ended:
        kind = draw.randrange(100)
        try:
            with transaction.manager:
                if kind < CREATED:
                    key = (number + 1) * OWN + counts["created"]
                    Session.add(Flight(id=key, carrier="ZZ", flight=key))
                    done = "created"
                else:
                    position = draw.randrange(highest + len(own))
                    key = position + 1 if position < highest else own[position - highest]
                    flight = Session.query(Flight).get(key)
                    if flight is None:
                        continue
                    if kind < CREATED + DELETED:
                        Session.delete(flight)
                        done = "deleted"
                    else:
                        flight.dep_delay = draw.randrange(10_000)
                        done = "updated"
            counts[done] += 1
            if done == "created":
                own.append(key)
        except OperationalError:
            # SQLite has one writer at a time; the change was rolled back.
            counts["locked"] += 1
        written = sum(counts.values())
        time.sleep(max(0.0, began + written / rate - time.monotonic()))
    counts["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("ini")
    parser.add_argument("rate", type=float)
    parser.add_argument("variables", nargs="*")
    parser.add_argument("--number", type=int, default=0)
    options = parser.parse_args()
    main(options.ini, options.rate, options.number, options.variables)
