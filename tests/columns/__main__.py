"""Random columns, values and requests; what the mirror answers must be what the primary answers.

    python -m tests.columns sqlite|postgresql|mariadb [--requests 20000] [--seed N] [--keep-going]

Ends at the first finding, and prints its kind with the smallest model, values and request. The same
seed makes the same models. At the end it says what share of requests the mirror has answered, by
kind of column, and of models whose fields are ordinary ones.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

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
    import_old_stack()
    began = time.monotonic()
    with shared.owned():
        run = Run(
            options.primary,
            DATABASES[options.primary],
            lambda each: print(f"{each}\n", flush=True),
        )
        stats = run.run(options.requests, options.seed, options.keep_going)
    print(stats.report())
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if stats.findings or stats.invalid else 0


if __name__ == "__main__":
    sys.exit(main())
