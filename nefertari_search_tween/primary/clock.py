"""The time that is stored in the primary database."""

from __future__ import annotations

import time


def milliseconds() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000
