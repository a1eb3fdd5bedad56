"""Runs tests in a process of its own, which has imported what mutants do not change."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from tests.support.tiers import BACKEND, EXAMPLES, PRIMARY

# Importing these takes longer than many a test. Nothing of the project: it comes from a checkout.
PRELOADED = [
    *("pytest", "hypothesis", "webtest", "sqlalchemy", "pyramid.config", "waitress", "click"),
    *("elasticsearch", "luqum.parser", "dogpile.cache", "rich.progress", "sqlalchemy_utils"),
    *("prometheus_client", "xdist", "tests.mutants.worker"),
]
CONTEXT = multiprocessing.get_context("forkserver")


class Outcome(Enum):
    PASSED = "passed"
    FAILED = "failed"
    #: Something is waited for in vain, or the machine is too busy.
    TIMED_OUT = "timed out"


def run_tests(
    checkout: Path, tests: Sequence[str], select: str, keep_bytecode: bool, seconds: float
) -> Outcome:
    """Run *tests* in *checkout* until one fails, at most for this time."""
    CONTEXT.set_forkserver_preload(PRELOADED)
    arguments = [
        *("-x", "-q", "--no-header", "-p", "no:cacheprovider", "-m", select),
        f"--basetemp={checkout.with_suffix('.tmp')}",
        *tests,
    ]
    process = CONTEXT.Process(
        target=_in_checkout, args=(checkout, arguments, keep_bytecode), daemon=False
    )
    process.start()
    process.join(seconds)
    outcome = {None: Outcome.TIMED_OUT, 0: Outcome.PASSED}.get(process.exitcode, Outcome.FAILED)
    assert process.pid is not None
    try:
        # With all that a mutant left behind.
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # nothing was
    process.join()
    return outcome


def _in_checkout(checkout: Path, arguments: list[str], keep_bytecode: bool) -> None:
    os.setsid()
    log = os.open(checkout.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(checkout)
    os.environ.update(
        {
            BACKEND: "embedded",
            PRIMARY: "sqlite",
            EXAMPLES: os.environ.get(EXAMPLES, "0.1"),
            "PYTHONPATH": str(checkout),
            # A mutant's would be taken for the original's.
            "PYTHONDONTWRITEBYTECODE": "" if keep_bytecode else "1",
        }
    )
    sys.dont_write_bytecode = not keep_bytecode
    sys.path.insert(0, str(checkout))
    for name in list(sys.modules):
        if name.partition(".")[0] in ("tests", "nefertari_search_tween"):
            del sys.modules[name]
    import pytest

    sys.exit(pytest.main(arguments))
