"""Random columns, values and requests; what the mirror answers must be what the primary answers.

    python -m tests.columns sqlite|postgresql|mariadb [--requests 20000] [--seed N] [--keep-going]

Ends at the first finding, and prints its kind with the smallest model, values and request. The same
seed makes the same models. At the end it says what share of requests the mirror has answered, by
kind of column, and of models whose fields are ordinary ones.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from functools import partial

from tests.columns.databases import DATABASES
from tests.columns.run import Run
from tests.servers import shared
from tests.support.generated import import_old_stack


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("primary", choices=list(DATABASES))
    parser.add_argument("--requests", type=int, default=20_000, help="to compare, at least")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the first")
    parser.add_argument("--keep-going", action="store_true", help="after findings")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    import_old_stack()
    began = time.monotonic()
    show = partial(print, flush=True)
    run = Run(options.primary, DATABASES[options.primary], lambda each: show(f"{each}\n"))
    try:
        with shared.owned():
            run.run(options.requests, options.seed, options.keep_going)
    finally:
        # Of a run that was ended, too.
        show(run.stats.report())
        show(f"{time.monotonic() - began:.0f} s")
    return 1 if run.stats.findings or run.stats.invalid else 0


if __name__ == "__main__":
    sys.exit(main())
