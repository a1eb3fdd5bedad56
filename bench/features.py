"""What each part of a result page costs: the same search with it, in ratio to that without.

    python -m bench.features [embedded|elasticsearch|opensearch]

On the 17,472 films; all take turns in one process. A request is a whole one, without HTTP.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from urllib.parse import quote

from bench.relevance import SERVERS
from bench.turns import medians, seconds
from tests.servers import shared
from tests.support.apps import films, load_films

WARM_UP = 5
ROUNDS = 40
#: the search that the others are compared with, and theirs, by name
SEARCHES = {
    "_query": ("godfather", ""),
    "one letter, _prefix": ("g", "&_prefix=true"),
    "a beginning, _prefix": ("godf", "&_prefix=true"),
    "a typo": ("godfahter", ""),
    "two words as one": ("starwars", ""),
    "most of the words": ("godfather zzzzqqq", ""),
    "_highlight": ("godfather", "&_highlight=true"),
    "_facets, two": ("godfather", "&_facets=genres.name,year:5"),
    "_facets, own filter": ("godfather", "&genres.name=Drama&_facets=genres.name"),
    "_after": ("godfather", "&_after=start"),
}
#: a few fields with weights, as a search box has them, and all fields
FIELDS = {"title and director": "&_search_fields=title^5,director.name^3", "all fields": ""}


def main() -> int:
    backend = sys.argv[1] if len(sys.argv) > 1 else "embedded"
    with shared.owned(), tempfile.TemporaryDirectory() as folder:
        url = SERVERS[backend](folder)
        load_films(Path(folder), url, "features")
        app = films(Path(folder), url, "features")
        for where, fields in FIELDS.items():
            turns = {
                name: partial(
                    seconds,
                    partial(app.get, f"/films?_limit=20&_query={quote(text)}{more}{fields}"),
                )
                for name, (text, more) in SEARCHES.items()
            }
            times = medians(turns, WARM_UP, ROUNDS)
            base = times["_query"]
            for name, each in times.items():
                print(f"{backend}, {where}: {name:22} {each * 1000:7.1f} ms, {each / base:5.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
