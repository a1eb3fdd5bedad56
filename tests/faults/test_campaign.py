"""The campaign of ``make faults``, in short: see tests/faults/campaign.py."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.paths import TOP

pytestmark = [pytest.mark.server, pytest.mark.long]


# In `make faults`: SQLite, which has one writer at a time, and so fewer surprises; MongoDB, where
# rebuilds wait for the intents of the killed (primaries/mongodb/test_faults.py kills, too).
@pytest.mark.parametrize(("primary", "writers"), [("postgresql", 3)])
def test_mirrors_converge_whatever_is_killed(primary, writers):
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults.campaign", primary]
    # With the leases of production, most of the time would go into waiting for those of the dead:
    # each rebuild and the end wait for all that was claimed before. `make faults` has them.
    command.append("--short-leases")
    done = subprocess.run(
        [*command, "--seconds", "12", "--writers", str(writers)],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = {name: int(number) for number, name in re.findall(r"(\d+) ([a-z ]+)", done.stdout)}
    assert figures["committed"] > 20
    assert figures["kills"] > 2
    assert figures["outages"] == 3
    assert figures["rebuilds"] == 2
