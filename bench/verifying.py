"""What a verify costs, by a rebuild of the same rows in the same run.

    python -m bench.verifying [ROWS]

The flights (tests/apps/large) on SQLite and the embedded backend, by the processor's time of this
process. The reader's own part is shown, too: columns for the rebuild, objects for the verify.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

from pyramid.paster import get_app

from tests.apps.large import load

ROWS = 20_000


def _seconds(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main(rows: int = ROWS) -> None:
    """Print the ratios."""
    from nefertari_search_tween.indexing.rebuild.rebuild import rebuild
    from nefertari_search_tween.indexing.verify.verify import verify

    with tempfile.TemporaryDirectory() as folder:
        ini = Path(folder, "flights.ini")
        ini.write_text(load.INI)
        options = {
            "database": f"sqlite:///{folder}/flights.sqlite",
            "backend": f"embedded:{folder}/search",
            "elasticsearch_hosts": "",
        }
        load.main(str(ini), str(rows), *(f"{key}={value}" for key, value in options.items()))
        search = get_app(str(ini), options=options).registry.nefertari_search
        mirror, size = search.mirrors.get("Flight"), search.settings.chunk_size
        locks = search.rebuild_locks
        built = _seconds(lambda: rebuild(search.mirrors, locks, search.outbox, [mirror], size))
        verified = _seconds(lambda: verify(search.mirrors, search.outbox, mirror, size))
        columns = _seconds(lambda: list(mirror.reader.scan(size)))
        print(f"{rows} flights: rebuild {built:.1f} s, of it reading {columns:.1f} s")
        if hasattr(mirror.reader, "scan_objects"):
            objects = _seconds(lambda: list(mirror.reader.scan_objects(size)))
            print(f"  objects are read in {objects:.1f} s, {objects / columns:.2f} of columns")
        print(f"  verify {verified:.1f} s, {verified / built:.2f} of a rebuild")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
