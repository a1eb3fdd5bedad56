"""Racers for test_engine_races: several threads of one process that begin at a given moment.

``python -m tests.support.racing WORK THREADS key=value ...`` prints ``ready``, waits for a line on
its standard input, and prints what each thread saw, as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
import warnings

from webtest import TestApp

ROUNDS = 5


def application(pairs):
    """The library on the engine, and its models."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    from tests.apps.any_engine import main as library

    settings = dict(pair.split("=", 1) for pair in pairs)
    settings.update({"nefertari.engine": "nefertari_search_tween.engine", "auth": "false"})
    return library({}, **settings)


def create(app, number):
    """Create the document that all others create, too."""
    body = {"code": "race", "email": f"{number}@x.org", "visits": number}
    return TestApp(app).post_json("/cards", body, status="*").status_int


def reuse(app, number):
    """Create a document with each value that the creators of one document wanted."""
    statuses = []
    for racer in range(100):
        body = {"code": f"r{racer}", "email": f"{racer}@x.org"}
        statuses.append(TestApp(app).post_json("/cards", body, status="*").status_int)
    return statuses


def take(app, number):
    """Create a document with a value that all others want, too."""
    body = {"code": f"c{number}", "email": "race@x.org"}
    return TestApp(app).post_json("/cards", body, status="*").status_int


def count(app, number):
    """Add one to a number of one document, several times; gives how often it had to be done."""
    from nefertari.json_httpexceptions import JHTTPConflict

    from tests.apps.any_engine.models import Card

    tries = 0
    for _ in range(ROUNDS):
        while True:
            tries += 1
            card = Card.get_item(code="race")
            try:
                card.update({"visits": card.visits + 1})
                break
            except JHTTPConflict:
                time.sleep(0.001 * (number % 7))
    return tries


def author(app, number):
    """Create the author that all others refer to."""
    return TestApp(app).post_json("/authors", {"code": "race", "name": "R"}).status_int


def append(app, number):
    """Create documents that refer to one that every fifth deletes."""
    from nefertari.json_httpexceptions import JHTTPBadRequest

    from tests.apps.any_engine.models import Author, Book

    if number % 5 == 4:
        time.sleep(0.05)
        author = Author.get_item(code="race", _raise_on_empty=False)
        if author is not None:
            author.delete()
        return "deleted"
    # Not over HTTP: nefertari looks the author up again when it renders the answer.
    statuses = []
    for turn in range(ROUNDS):
        try:
            Book(code=f"b{number}-{turn}", title="T", author_code="race").save()
            statuses.append(201)
        except JHTTPBadRequest:
            statuses.append(400)
    return statuses


def number(app, number):
    """Documents whose keys are numbers that the engine gives out."""
    from tests.apps.any_engine.numbered import Ticket

    return [Ticket(text=f"{number}-{turn}").save().id for turn in range(ROUNDS)]


def die(app, number):
    """End between the reservation of a value and the write of the document."""
    from nefertari_search_tween.engine.database import Database
    from nefertari_search_tween.engine.writes import unique_values

    unique_values.LEASE_SECONDS = 5.0
    Database.write = lambda *args: os._exit(9)
    return take(app, number)


def freeze(app, number):
    """Stand still between the reservation of a value and the write, longer than it lasts."""
    from nefertari_search_tween.engine.database import Database
    from nefertari_search_tween.engine.writes import unique_values

    unique_values.LEASE_SECONDS = 1.0
    write = Database.write

    def late(self, model, writes):
        Database.write = write
        print("frozen", flush=True)
        sys.stdin.readline()
        return write(self, model, writes)

    Database.write = late
    return take(app, number)


def main(work, threads, first, *pairs):
    app = application(pairs)
    results = {}
    barrier = threading.Barrier(int(threads))

    def run(number):
        barrier.wait()
        results[number] = globals()[work](app, number)

    racers = [
        threading.Thread(target=run, args=(int(first) + number,)) for number in range(int(threads))
    ]
    print("ready", flush=True)
    sys.stdin.readline()
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    print(json.dumps(list(results.values())), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
