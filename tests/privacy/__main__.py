"""A long campaign: random requests to pairs of databases that differ in what is hidden.

    python -m tests.privacy sqlite|postgresql|mongodb|engine ... [--backends NAME ...] [--pairs N]
        [--seed N] [--cache] [--applications NAME ...]

Fails when a request tells something, or when a run says nothing.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.privacy.applications import (
    APPLICATIONS,
    BACKENDS,
    ENGINES,
    Application,
    ini_of,
    options_of,
)
from tests.privacy.pairs import Finding, Pair, Run, RunStats
from tests.servers import shared


def run_application(
    application: Application,
    primary: str,
    backend: str,
    pairs: int,
    number: int,
    cache: bool = False,
    announce: Callable[[Finding], None] = lambda finding: None,
) -> RunStats:
    """Ask one application; its databases are made for it."""
    with tempfile.TemporaryDirectory(prefix="privacy-") as top:
        folders = [Path(top) / name for name in ("one", "other")]
        for each in folders:
            each.mkdir()
        inis = [ini_of(application, primary, each, cache) for each in folders]
        options = [options_of(primary, backend, each) for each in folders]
        pair = Pair(inis, options)
        try:
            return Run(pair, list(application.callers), pairs, cache, announce).run(number)
        finally:
            pair.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("primaries", nargs="+", choices=list(ENGINES))
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=["embedded"])
    parser.add_argument("--pairs", type=int, default=20_000, help="of answers, of each engine")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--cache", action="store_true", help="keep answers in memory")
    names = [each.name for each in APPLICATIONS]
    parser.add_argument("--applications", nargs="+", choices=names, default=names)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    failed = False
    with shared.owned():
        for primary, backend in itertools.product(options.primaries, options.backends):
            selected = [
                each
                for each in APPLICATIONS
                if each.name in options.applications and primary in each.primaries
            ]
            for application in selected:
                began = time.monotonic()
                pairs = options.pairs // len(selected)
                cache = options.cache and primary != "engine"
                arguments = (application, primary, backend, pairs, options.seed, cache)
                stats = run_application(*arguments, lambda each: print(each, flush=True))
                seconds = time.monotonic() - began
                name = f"{application.name}, {primary}, {backend}, {seconds:.0f} s"
                print(stats.report(name), flush=True)
                failed = failed or bool(stats.findings) or stats.answered < application.answered
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
