"""Random schemas and operations; afterwards each mirror must equal one built from nothing.

    python -m tests.schemas sqlite|postgresql [--schemas 300] [--operations 60] [--seed N]
        [--triggers] [--keep-going]

Ends at the first finding, and prints the smallest schema and statements that show it. The same seed
makes the same schemas; each has one of its own, printed with what it finds:

    python -m tests.schemas sqlite --schemas 1 --seed 7
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.schemas.models import Schema, random_schema
from tests.schemas.run import Outcome, Setting, run, smallest
from tests.servers import shared
from tests.support.generated import DATABASES, import_old_stack


def report(seed: int, schema: Schema, outcome: Outcome) -> str:
    lines = [f"seed {seed}:", *outcome.findings, "", schema.source]
    return "\n".join([*lines, *outcome.statements, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("primary", choices=list(DATABASES))
    parser.add_argument("--schemas", type=int, default=300)
    parser.add_argument("--operations", type=int, default=60, help="of each schema")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the first")
    parser.add_argument("--triggers", action="store_true", help="install them; raw SQL, too")
    parser.add_argument("--keep-going", action="store_true", help="after findings, as they are")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    import_old_stack()
    began, findings, totals = time.monotonic(), 0, Outcome()
    with shared.owned():
        for seed in range(options.seed, options.seed + options.schemas):
            dice = random.Random(seed)
            schema = random_schema(dice)
            sync = dice.choice(["inline", "worker"])
            setting = Setting(DATABASES[options.primary], sync, options.triggers)
            outcome = run(schema, setting, seed, options.operations)
            if outcome.invalid:
                print(f"seed {seed}: no such models:\n{outcome.invalid}\n{schema.source}")
                return 2
            for name in ("mirrors", "untracked", "checks"):
                setattr(totals, name, getattr(totals, name) + getattr(outcome, name))
            totals.statements += outcome.statements
            totals.errors += outcome.errors
            if not outcome.findings:
                continue
            findings += 1
            if not options.keep_going:
                print(f"seed {seed}: {outcome.findings[0]}\nlooking for the smallest", flush=True)
                print(report(seed, *smallest(schema, setting, outcome)), flush=True)
                break
            print(f"seed {seed}: {outcome.findings[0].splitlines()[0]}", flush=True)
    print(
        f"{seed - options.seed + 1} schemas, {totals.mirrors} mirrors ({totals.untracked} "
        f"untracked), {len(totals.statements)} statements, {len(totals.errors)} failed, "
        f"{totals.checks} checks, {findings} findings, {time.monotonic() - began:.0f} s"
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
