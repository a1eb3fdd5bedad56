"""``python -m tests.mutants``: which changes of the package's heart no test notices."""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.equivalents import Entry, read_entries
from tests.mutants.mutations import Mutant, mutants_of
from tests.mutants.table import TESTS
from tests.mutants.worker import Outcome, run_tests
from tests.run import FOLDER, WITHOUT_SERVER, say
from tests.support.paths import TOP

MIN_SHARE = 0.9
MUTANTS_FOLDER = FOLDER / "mutants"
SURVIVORS = MUTANTS_FOLDER / "survivors.txt"
EQUIVALENTS = Path(__file__).with_name("equivalents.txt")
PACKAGE = "nefertari_search_tween"
COPIED = (PACKAGE, "tests", "examples", "docs", "development.ini", "README.rst", "CHANGES.rst")
SETTINGS = ("pyproject.toml", "setup.py", "Makefile")


class Checkouts:
    """Copies of the project, one for each worker: in them, mutants take the place of modules."""

    def __init__(self, workers: int) -> None:
        shutil.rmtree(MUTANTS_FOLDER / "checkouts", ignore_errors=True)
        self.folders = [MUTANTS_FOLDER / "checkouts" / str(number) for number in range(workers)]
        self.free: queue.Queue[Path] = queue.Queue()
        ignored = shutil.ignore_patterns("_build", "__pycache__", "*.egg-info")
        for folder in self.folders:
            for name in (*COPIED, *SETTINGS):
                if (TOP / name).is_dir():
                    shutil.copytree(TOP / name, folder / name, ignore=ignored)
                else:
                    shutil.copy2(TOP / name, folder / name)
            self.free.put(folder)

    def seconds_of(self, tests: Sequence[str]) -> float:
        """Run *tests* without a mutant, which must pass, and return how long they take."""
        folder = self.free.get()
        began = time.monotonic()
        try:
            if run_tests(folder, tests, WITHOUT_SERVER, True, 900) is not Outcome.PASSED:
                log = folder.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
                raise SystemExit(f"{log}\n{' '.join(tests)}\nfail without any mutant")
        finally:
            self.free.put(folder)
        return time.monotonic() - began

    def outcome_of(self, mutant: Mutant, seconds: float) -> Outcome:
        """Run the tests of a mutant's module with it."""
        folder = self.free.get()
        path = folder / PACKAGE / mutant.module
        original, status = path.read_text(encoding="utf-8"), path.stat()
        try:
            path.write_text(mutant.text, encoding="utf-8")
            # Whatever its size, it is not what the bytecode was made of.
            os.utime(path, (status.st_atime, status.st_mtime + 10))
            return run_tests(folder, TESTS[mutant.module], WITHOUT_SERVER, False, seconds)
        finally:
            path.write_text(original, encoding="utf-8")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            self.free.put(folder)


def choose(options: argparse.Namespace) -> tuple[list[Mutant], dict[str, int], dict[str, int]]:
    """Return the mutants to try, and by module how many there are and how many are equivalent."""
    entries = list(read_entries(EQUIVALENTS))
    again = list(read_entries(SURVIVORS)) if options.again else []
    mutants: list[Mutant] = []
    totals: dict[str, int] = {}
    equivalents: dict[str, int] = {}
    for module in TESTS:
        if not module.startswith(tuple(options.module)):
            continue
        every = sorted(mutants_of(TOP / PACKAGE, module), key=lambda each: each.rank)
        check_entries([entry for entry in entries if entry.module == module], every)
        if options.again:
            sample = [each for each in every if any(e.includes(each) for e in again)]
        else:
            sample = every if options.all else every[: options.most]
        counted = [each for each in sample if not any(e.includes(each) for e in entries)]
        totals[module], equivalents[module] = len(every), len(sample) - len(counted)
        mutants += counted
    # The modules in turn, so that a run that ends early has tried some of each.
    ranks: dict[str, int] = defaultdict(int)
    order = []
    for each in mutants:
        ranks[each.module] += 1
        order.append((ranks[each.module], each))
    return [each for _, each in sorted(order, key=lambda pair: pair[0])], totals, equivalents


def check_entries(entries: Iterable[Entry], mutants: Sequence[Mutant]) -> None:
    """Fail if an entry of equivalents.txt fits no mutant: its code has changed."""
    for entry in entries:
        if not any(entry.includes(each) for each in mutants):
            raise SystemExit(f"{EQUIVALENTS.name}: there is no such mutant any more:\n{entry}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("module", nargs="*", default=[""], help="search/, indexing/indexer.py ...")
    parser.add_argument("--most", type=int, default=10, help="mutants of a module (10)")
    parser.add_argument("--all", action="store_true", help="all mutants (hours)")
    parser.add_argument("--again", action="store_true", help="those that survived the last run")
    parser.add_argument("--minutes", type=float, default=600, help="start none after that")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    began = time.monotonic()
    MUTANTS_FOLDER.mkdir(parents=True, exist_ok=True)
    mutants, totals, equivalents = choose(options)
    if not mutants:
        raise SystemExit("no mutant is chosen")
    say(f"{len(mutants)} mutants of {len(totals)} modules")
    checkouts = Checkouts(options.workers)
    sets = sorted({TESTS[each.module] for each in mutants})
    with ThreadPoolExecutor(options.workers) as pool:
        seconds = dict(zip(sets, pool.map(checkouts.seconds_of, sets)))
    say(f"{len(sets)} sets of tests pass without a mutant, in {sum(seconds.values()):.0f} s")
    tried: dict[str, list[Mutant]] = defaultdict(list)
    survivors: list[Mutant] = []

    def try_one(mutant: Mutant) -> None:
        if time.monotonic() - began > 60 * options.minutes:
            return
        # Much longer than without it: it waits for what will not happen.
        limit = 60 + 10 * seconds[TESTS[mutant.module]]
        started = time.monotonic()
        outcome = checkouts.outcome_of(mutant, limit)
        tried[mutant.module].append(mutant)
        if outcome is Outcome.PASSED:
            survivors.append(mutant)
        say(f"tests {outcome.value} after {time.monotonic() - started:.0f} s: {mutant}")

    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(try_one, mutants))
    return report(tried, survivors, totals, equivalents)


def report(
    tried: dict[str, list[Mutant]],
    survivors: Sequence[Mutant],
    totals: dict[str, int],
    equivalents: dict[str, int],
) -> int:
    """Print the share of each module; returns 1 if fewer than MIN_SHARE were noticed."""
    texts = sorted(str(each) for each in survivors)
    SURVIVORS.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    print(f"{'':40} {'mutants':>8} {'tried':>6} {'noticed':>8} {'equivalent':>11}")
    for module, total in totals.items():
        count = len(tried[module])
        noticed = count - sum(each.module == module for each in survivors)
        share = f"{noticed / count:.0%}" if count else "-"
        print(f"{module:40} {total:8} {count:6} {share:>8} {equivalents[module]:11}")
    count = sum(map(len, tried.values()))
    share = 1 - len(survivors) / count if count else 0
    print(
        f"\n{count} mutants tried, {share:.1%} noticed. Survivors ({SURVIVORS.relative_to(TOP)}):\n"
    )
    print("\n\n".join(texts))
    return int(share < MIN_SHARE)


if __name__ == "__main__":
    sys.exit(main())
