"""Changes flights at a steady rate, by sessions of the application, until it is terminated.

``python -m tests.flights.write INI RATE [key=value ...]``; prints one JSON object at the end.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time

import transaction
from pyramid.paster import bootstrap
from sqlalchemy.exc import OperationalError

# Of a hundred changes.
CREATED = 3
DELETED = 3


def main(ini: str, rate: float, *variables: str) -> None:
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    bootstrap(ini, options=dict(each.split("=", 1) for each in variables))
    from pyramid_sqlalchemy import Session

    from tests.flights.models import Flight

    draw = random.Random(1)
    counts = {"updated": 0, "created": 0, "deleted": 0, "locked": 0}
    with transaction.manager:
        highest = Session.query(Flight.id).order_by(Flight.id.desc()).first()[0]
    print("writing", flush=True)
    began = time.monotonic()
    while not ended:
        kind = draw.randrange(100)
        try:
            with transaction.manager:
                if kind < CREATED:
                    highest += 1
                    Session.add(Flight(id=highest, carrier="ZZ", flight=highest))
                    done = "created"
                else:
                    flight = Session.query(Flight).get(draw.randint(1, highest))
                    if flight is None:
                        continue
                    if kind < CREATED + DELETED:
                        Session.delete(flight)
                        done = "deleted"
                    else:
                        flight.dep_delay = draw.randrange(10_000)
                        done = "updated"
            counts[done] += 1
        except OperationalError:
            # SQLite has one writer at a time; the change was rolled back.
            counts["locked"] += 1
        written = sum(counts.values())
        time.sleep(max(0.0, began + written / rate - time.monotonic()))
    counts["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:])
