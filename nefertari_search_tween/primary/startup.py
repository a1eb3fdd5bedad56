"""Recording what an application writes while it is being configured, before it has its mirrors.

Ramses makes its system user then, others load what they need. Each primary has its own capture
for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

from nefertari_search_tween.interfaces.primary import Reader

# Up to so many objects it is checked whether each of them has a row.
MAX_ROWS = 1000

# The capture of the application that is being configured.
_current: Optional[Any] = None


def start_recording(capture: Any) -> Any:
    """Record by *capture* until :func:`stop_recording`, and return it."""
    global _current  # noqa: PLW0603 - as models and sessions are, it is one in a process
    stop_recording()
    _current = capture
    capture.install()
    return capture


def stop_recording() -> bool:
    """Stop recording, and return True if something was recorded."""
    global _current
    capture, _current = _current, None
    if capture is None:
        return False
    capture.remove()
    return bool(capture.recorded)


def all_pending(reader: Reader, texts: Iterable[str]) -> bool:
    """Return True if each object of a model is among *texts*, keys as the outbox has them.

    :param texts: read if there are few enough objects.
    """
    count = reader.count()
    if count > MAX_ROWS:
        return False
    keys = set()
    for text in texts:
        try:
            keys.add(reader.key(text))
        except ValueError:
            # Written by hand: no object of the model has such a key.
            continue
    return len(reader.existing(keys)) == count
