"""Random schemas and statements, in short: see tests/schemas."""

from __future__ import annotations

import os
import re

import pytest

from tests.support.forked import run_python
from tests.support.tiers import examples, primary_kind

pytestmark = [pytest.mark.slow, pytest.mark.every_primary]

SCHEMAS = 24
SEED = 1


def figures(primary: str, *options: str) -> dict[str, int]:
    """Run some schemas on *primary*, and return what was counted."""
    command = ["tests.schemas", primary, "--schemas", examples(SCHEMAS), "--seed", SEED, *options]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = run_python("-m", *command, env=environment, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: int(number) for number, name in re.findall(r"(\d+) ([a-z]+)", done.stdout)}


@pytest.mark.parametrize("options", [(), ("--triggers",)])
def test_each_mirror_equals_one_that_is_built_from_nothing(options: tuple[str, ...]) -> None:
    counts = figures(primary_kind(), *options)
    assert counts["schemas"] == examples(SCHEMAS)
    assert counts["checks"] > 5 * counts["schemas"]
    # Or the run says nothing.
    assert counts["untracked"] < counts["mirrors"] / 3
    assert counts["failed"] < counts["statements"] / 4
