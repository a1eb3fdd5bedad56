"""Recording what an application writes while it is being configured, before it has its mirrors.

Ramses makes its system user then, others load what they can't be without. The hooks that do it are
each primary's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

from nefertari_search_tween.interfaces.primary import Reader

# Rows that are looked through to see that everything of a model has one.
MOST_ROWS = 1000

# Those of the application that is being configured.
_current: Optional[Any] = None


def start_recording(hooks: Any) -> Any:
    """Record by *hooks* from here on, until :func:`end`; gives them."""
    global _current  # noqa: PLW0603 - as models and sessions are, it is one in a process
    stop_recording()
    _current = hooks
    hooks.install()
    return hooks


def stop_recording() -> bool:
    """Stop recording; True when something was recorded since :func:`begin`."""
    global _current
    hooks, _current = _current, None
    if hooks is None:
        return False
    hooks.remove()
    return bool(hooks.recorded)


def all_pending(reader: Reader, texts: Iterable[str]) -> bool:
    """True when each object of a model is among *texts*, keys as the outbox has them.

    :param texts: read when there are few enough objects to look at them.
    """
    number = reader.count()
    if number > MOST_ROWS:
        return False
    keys = set()
    for text in texts:
        try:
            keys.add(reader.key(text))
        except ValueError:
            # Written by hand: no object of the model has such a key.
            continue
    return len(reader.existing(keys)) == number
