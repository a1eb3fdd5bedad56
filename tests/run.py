"""Runs the tests of a tier: ``python -m tests.run quick|test|rest|matrix [arguments of pytest]``.

A process has one engine and one backend, so a tier is several runs of pytest. They share servers,
and run beside each other while there are processors for them. What they print is in .pytest_tmp;
here, what they come to, and all of what a failed one printed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import shared
from tests.servers.base import DATA
from tests.support.paths import TOP
from tests.support.tiers import BACKEND, EXAMPLES, PRIMARY

FOLDER = TOP / ".pytest_tmp"
PROGRESS_SECONDS = 30
MEMORY = Path("/dev/shm")
NEEDED_MEMORY_BYTES = 8 * 2**30


@dataclass(frozen=True)
class Run:
    """One run of pytest, or of another *command*.

    :param select: the expression of marks that selects its tests.
    :param workers: how many processes it keeps busy.
    """

    name: str
    select: str = ""
    workers: int = 1
    backend: str = "embedded"
    primary: str = "sqlite"
    command: tuple[str, ...] = ()

    def arguments(self, more: Sequence[str]) -> list[str]:
        if self.command:
            return list(self.command)
        split = ["-n", str(self.workers), "--dist", "loadfile", "--no-loadscope-reorder"]
        return [
            *(sys.executable, "-m", "pytest", "-m", self.select),
            # pytest removes old folders of its own, which may be another run's.
            f"--basetemp={Path(tempfile.gettempdir()) / self.name}",
            *("-o", f"cache_dir={FOLDER / 'cache' / self.name}"),
            *(split if self.workers > 1 else []),
            *more,
        ]


CORES = os.cpu_count() or 1
SMOKE = Run("smoke", command=(".ci/smoke",))
# A sample of some modules of tests/mutants: one of each part of the package's heart.
MUTANTS = Run(
    "mutants",
    workers=CORES,
    command=(
        *(sys.executable, "-m", "tests.mutants", "--most", "5", "--minutes", "5"),
        *("search/routing.py", "indexing/recorder.py", "indexing/failures.py"),
        *("primary/outbox_base.py", "primary/sqla/outbox/versions.py"),
    ),
)
#: what mutants are tried with
WITHOUT_SERVER = "not server and not mongodb and not long"


def once(of: str) -> list[Run]:
    """Return the runs of each test *of* a tier on one backend and one database, or two.

    Every backend passes the conformance suite here. The suites of every backend run on the two
    most different ones, the slow ones among them on one.
    """
    return [
        Run(
            "elasticsearch",
            f"(server or every_backend and not slow) and not mongodb and {of}",
            workers=CORES,
            backend="elasticsearch",
        ),
        # One process each, beside those of a long run.
        Run("mongodb", f"mongodb and {of}", primary="mongodb"),
        Run("postgresql", f"every_primary and {of}", primary="postgresql"),
        Run("embedded", f"not server and not mongodb and {of}", workers=CORES),
    ]


TIERS: dict[str, list[Run]] = {
    "quick": [
        Run(
            "quick",
            "not server and not mongodb and not slow and not thorough and not long",
            workers=CORES,
        )
    ],
    "test": once("not thorough and not long"),
    # What `make test-all` has beside that of `make test`.
    "rest": once("thorough and not long"),
    "matrix": [
        Run("elasticsearch", "not mongodb", workers=CORES, backend="elasticsearch"),
        Run("embedded", "not server and not mongodb", workers=CORES),
        Run("mongodb", "mongodb", primary="mongodb", backend="elasticsearch"),
        Run("postgresql", "every_primary", primary="postgresql", backend="elasticsearch"),
        Run("opensearch", "every_backend and not mongodb", backend="opensearch"),
        Run("mongodb-embedded", "mongodb and every_backend", primary="mongodb"),
        SMOKE,
        # Its operators need a newer Python than the package.
        *([MUTANTS] if sys.version_info >= (3, 10) else []),
    ],
}
#: the share of a random test's examples that a tier draws
SHARES = {"quick": "0.1", "test": "0.25", "rest": "0.25", "matrix": "1"}


@dataclass
class Process:
    """A run that was started."""

    run: Run
    log: Path
    popen: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def progress(self) -> str:
        return (re.findall(r"\[ *(\d+%)\]", self.text) or ["started"])[-1]

    @property
    def result(self) -> str:
        lines = [line for line in self.text.splitlines() if line.strip()]
        return lines[-1].strip("= ") if lines else ""


def start(run: Run, tier: str, arguments: Sequence[str]) -> Process:
    environment = {
        **os.environ,
        BACKEND: run.backend,
        PRIMARY: run.primary,
        EXAMPLES: os.environ.get(EXAMPLES, SHARES[tier]),
        # Tests start hundreds of processes: none of them compiles the modules again.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(FOLDER / "pycache"),
    }
    log = FOLDER / f"{run.name}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            run.arguments(arguments),
            cwd=TOP,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    say(f"{run.name}: started (what it prints: {log.relative_to(TOP)})")
    return Process(run, log, popen)


def run_tier(tier: str, arguments: Sequence[str]) -> int:
    """Run all of it; returns how many runs failed."""
    pending, running, failed = list(TIERS[tier]), [], 0
    reported_at = time.monotonic()
    try:
        while pending or running:
            # One more process than processors: tests wait for servers, too.
            while pending and (
                not running
                or sum(each.run.workers for each in running) + pending[0].workers <= CORES + 1
            ):
                running.append(start(pending.pop(0), tier, arguments))
            time.sleep(0.2)
            for each in [each for each in running if each.popen.poll() is not None]:
                running.remove(each)
                failed += finish(each)
            if running and time.monotonic() - reported_at > PROGRESS_SECONDS:
                reported_at = time.monotonic()
                say(", ".join(f"{each.run.name} {each.progress}" for each in running))
    finally:
        for each in running:
            stop(each)
    return failed


def finish(process: Process) -> bool:
    """Say what came of it; returns whether it failed."""
    failed = process.popen.returncode != 0
    if failed:
        sys.stdout.write(process.text)
    outcome = "FAILED" if failed else "passed"
    say(f"{process.run.name}: {outcome} after {process.seconds:.0f} s: {process.result}")
    return failed


def stop(process: Process) -> None:
    """End a run, and each of its processes: their fixtures stop what they have started."""
    os.killpg(process.popen.pid, signal.SIGTERM)
    try:
        process.popen.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.popen.pid, signal.SIGKILL)


@contextlib.contextmanager
def files_in_memory() -> Iterator[None]:
    """Put what the tests and their servers write in memory, where there is room.

    They wait for a disk thousands of times otherwise. A killed process loses nothing by it: what
    it has written stays, as it does in the system's cache of a disk.
    """
    room = os.access(MEMORY, os.W_OK) and _free_memory_bytes() > NEEDED_MEMORY_BYTES
    folder = Path(tempfile.mkdtemp(prefix="tests-", dir=MEMORY if room else None))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    if room:
        folder.chmod(0o755)  # servers run as another user
        os.environ[DATA] = str(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_memory_bytes() -> int:
    """Return what the folder in memory may still take."""
    available = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text())
    assert available, "/proc/meminfo has no MemAvailable"
    return min(int(available[1]) * 1024, shutil.disk_usage(MEMORY).free)


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


def main() -> int:
    tier, *arguments = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    FOLDER.mkdir(exist_ok=True)
    began = time.monotonic()
    with files_in_memory(), shared.owned():
        failed = run_tier(tier, arguments)
    say(f"{tier}: {failed} failed runs" if failed else f"{tier}: all passed")
    say(f"{time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
